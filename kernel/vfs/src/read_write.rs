//! read, write and their relatives: the checks between a system call and the file system.
//!
//! ```text
//!   write(fd, buf, n)     access mode EBADF → operation EINVAL → buffer EFAULT → position and length
//!                         EINVAL → cut at MAX_RW_COUNT → write_iter → accounting
//! ```
//! in exactly this order, which is that of `vfs_write`. The vectored calls read the iovec array
//! first (EINVAL, EFAULT), as Linux 6.1 does. The position of an O_APPEND write is the file
//! system's affair: it must hold the inode to know where the end is.
//!
//! The caller has the open file from [`crate::FdTable::get_io`] (EBADF), and for pread64 and pwrite64
//! has answered EINVAL for a negative position before that.
//!
//! # Cost
//! One virtual call, two atomic counters and no allocation on the way of a write to a cached page.
//! Source: read(2), readv(2), pwritev2(2).

use core::sync::atomic::{AtomicU64, Ordering};

use base::{Errno, IoVec, IovIter, Result, UserAddr, UserMemory};

use crate::attr::FileType;
use crate::file::File;
use crate::file_ops::{Kiocb, KiocbFlags, SpliceSink};
use crate::flags::FMode;
use crate::iovec::Segments;
use crate::trace;

const RWF_HIPRI: u32 = 1;

/// The most one call moves: 2 GiB less a page.
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// What a task has read and written, as /proc/self/io tells it.
#[derive(Debug, Default)]
pub struct IoAccounting {
    /// Bytes that read calls returned.
    pub rchar: AtomicU64,
    /// Bytes that write calls took.
    pub wchar: AtomicU64,
    /// Read calls.
    pub syscr: AtomicU64,
    /// Write calls.
    pub syscw: AtomicU64,
}

impl IoAccounting {
    /// Nothing yet.
    pub const fn new() -> IoAccounting {
        IoAccounting {
            rchar: AtomicU64::new(0),
            wchar: AtomicU64::new(0),
            syscr: AtomicU64::new(0),
            syscw: AtomicU64::new(0),
        }
    }

    #[inline]
    fn read(&self, done: &Result<usize>) {
        if let Ok(n) = done {
            add(&self.rchar, *n as u64);
        }
        add(&self.syscr, 1);
    }

    #[inline]
    fn written(&self, done: &Result<usize>) {
        if let Ok(n) = done {
            add(&self.wchar, *n as u64);
        }
        add(&self.syscw, 1);
    }
}

/// Only the task itself adds to its counters, others look: no exclusive access is needed.
#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// For whom a call reads and writes.
#[derive(Clone, Copy)]
pub struct Io<'a> {
    /// The program's memory.
    pub memory: &'a dyn UserMemory,
    /// Its counters.
    pub account: &'a IoAccounting,
    /// Its RLIMIT_FSIZE.
    pub fsize_limit: u64,
    /// Whether its writes leave set-id bits alone ([`crate::Cred::capable`]).
    pub capable: bool,
}

/// read(2).
pub fn read(io: &Io<'_>, file: &File, buf: UserAddr, count: usize) -> Result<usize> {
    let mut position = file.lock_pos();
    let mut iocb = Kiocb { pos: position.get(), flags: file.kiocb_flags(), fsize_limit: u64::MAX };
    let done = vfs_read(io, file, buf, count, &mut iocb);
    if done.is_ok() {
        position.set(iocb.pos);
    }
    done
}

/// write(2).
pub fn write(io: &Io<'_>, file: &File, buf: UserAddr, count: usize) -> Result<usize> {
    let mut position = file.lock_pos();
    let mut iocb = write_iocb(io, file, position.get());
    let done = vfs_write(io, file, buf, count, &mut iocb);
    if done.is_ok() {
        position.set(iocb.pos);
    }
    done
}

/// pread64(2). EINVAL for a negative position, ESPIPE where there are none.
pub fn pread(io: &Io<'_>, file: &File, buf: UserAddr, count: usize, pos: i64) -> Result<usize> {
    let pos = u64::try_from(pos).map_err(|_| Errno::EINVAL)?;
    if !file.mode().contains(FMode::PREAD) {
        return Err(Errno::ESPIPE);
    }
    let mut iocb = Kiocb { pos, flags: file.kiocb_flags(), fsize_limit: u64::MAX };
    vfs_read(io, file, buf, count, &mut iocb)
}

/// pwrite64(2). With O_APPEND it appends, whatever the position, as on Linux.
pub fn pwrite(io: &Io<'_>, file: &File, buf: UserAddr, count: usize, pos: i64) -> Result<usize> {
    let pos = u64::try_from(pos).map_err(|_| Errno::EINVAL)?;
    if !file.mode().contains(FMode::PWRITE) {
        return Err(Errno::ESPIPE);
    }
    vfs_write(io, file, buf, count, &mut write_iocb(io, file, pos))
}

/// The memory and length of an iovec array in the program.
#[derive(Clone, Copy, Debug)]
pub struct UserVec {
    /// Its first element.
    pub base: UserAddr,
    /// How many.
    pub len: usize,
}

/// readv(2).
pub fn readv(io: &Io<'_>, file: &File, vec: UserVec) -> Result<usize> {
    preadv2(io, file, vec, -1, 0)
}

/// writev(2).
pub fn writev(io: &Io<'_>, file: &File, vec: UserVec) -> Result<usize> {
    pwritev2(io, file, vec, -1, 0)
}

/// preadv(2). EINVAL for a negative position, ESPIPE where there are none.
pub fn preadv(io: &Io<'_>, file: &File, vec: UserVec, pos: i64) -> Result<usize> {
    if pos < 0 { Err(Errno::EINVAL) } else { preadv2(io, file, vec, pos, 0) }
}

/// pwritev(2). EINVAL for a negative position, ESPIPE where there are none.
pub fn pwritev(io: &Io<'_>, file: &File, vec: UserVec, pos: i64) -> Result<usize> {
    if pos < 0 { Err(Errno::EINVAL) } else { pwritev2(io, file, vec, pos, 0) }
}

/// preadv2(2): position -1 means the file's own. `rwf` are the RWF_* flags.
pub fn preadv2(io: &Io<'_>, file: &File, vec: UserVec, pos: i64, rwf: u32) -> Result<usize> {
    at_position(file, FMode::PREAD, pos, |pos| {
        let segments = Segments::import(io.memory, vec)?;
        check_mode(file, FMode::READ, FMode::CAN_READ)?;
        if segments.total() == 0 {
            return Ok((0, pos));
        }
        verify_area(file, pos, segments.total())?;
        let flags = file.kiocb_flags() | rw_flags(file, rwf)?;
        if rwf & !RWF_HIPRI != 0 && !file.mode().contains(FMode::CAN_READ) {
            // A directory, part by part, as in `write_each`.
            return Err(Errno::EOPNOTSUPP);
        }
        let mut iocb = Kiocb { pos, flags, fsize_limit: u64::MAX };
        let mut to = IovIter::user_vec(io.memory, segments.as_slice());
        let done = do_read(file, &mut iocb, &mut to);
        io.account.read(&done);
        done.map(|n| (n, iocb.pos))
    })
}

/// pwritev2(2): position -1 means the file's own.
pub fn pwritev2(io: &Io<'_>, file: &File, vec: UserVec, pos: i64, rwf: u32) -> Result<usize> {
    at_position(file, FMode::PWRITE, pos, |pos| {
        let segments = Segments::import(io.memory, vec)?;
        check_mode(file, FMode::WRITE, FMode::CAN_WRITE)?;
        if segments.total() == 0 {
            return Ok((0, pos));
        }
        verify_area(file, pos, segments.total())?;
        if !file.ops().has_write_iter() {
            return write_each(io, file, segments.as_slice(), pos, rwf);
        }
        let mut iocb = write_iocb(io, file, pos);
        iocb.flags |= rw_flags(file, rwf)?;
        let mut from = IovIter::user_vec(io.memory, segments.as_slice());
        let done = do_write(file, &mut iocb, &mut from);
        io.account.written(&done);
        done.map(|n| (n, iocb.pos))
    })
}

/// A vectored write to a file that knows `write` alone: part by part, until one is short, and no flag but
/// RWF_HIPRI (`do_loop_readv_writev`).
#[cold]
fn write_each(io: &Io<'_>, file: &File, parts: &[IoVec], pos: u64, rwf: u32) -> Result<(usize, u64)> {
    if rwf & !RWF_HIPRI != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut iocb = write_iocb(io, file, pos);
    let mut done = 0;
    for part in parts {
        let step = do_write(file, &mut iocb, &mut IovIter::user(io.memory, part.base, part.len));
        match step {
            Ok(n) => done += n,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        if step != Ok(part.len) {
            break;
        }
    }
    io.account.written(&Ok(done));
    Ok((done, iocb.pos))
}

/// Reads into the kernel's memory, as the loader does. Checks the mode, counts for nobody.
pub fn kernel_read(file: &File, buf: &mut [u8], pos: u64) -> Result<usize> {
    check_mode(file, FMode::READ, FMode::CAN_READ)?;
    verify_area(file, pos, buf.len())?;
    let flags = file.kiocb_flags() & KiocbFlags::NOATIME;
    let mut iocb = Kiocb { flags, ..Kiocb::at(pos) };
    do_read(file, &mut iocb, &mut IovIter::to_kernel(buf))
}

/// Writes from the kernel's memory, through the cache.
pub fn kernel_write(file: &File, buf: &[u8], pos: u64) -> Result<usize> {
    check_mode(file, FMode::WRITE, FMode::CAN_WRITE)?;
    verify_area(file, pos, buf.len())?;
    let mut iocb = Kiocb { pos, flags: file.kiocb_flags() - KiocbFlags::DIRECT, fsize_limit: u64::MAX };
    do_write(file, &mut iocb, &mut IovIter::from_kernel(buf))
}

/// At most `len` bytes from `pos` on as frames for `sink`, for splice: with all checks, and counted. `pos`
/// moves on.
pub(crate) fn splice_read(
    io: &Io<'_>,
    file: &File,
    pos: &mut u64,
    len: usize,
    sink: &mut SpliceSink<'_>,
) -> Result<usize> {
    check_mode(file, FMode::READ, FMode::CAN_READ)?;
    if file.inode().file_type() == FileType::Directory || !file.ops().has_splice_read() {
        return Err(Errno::EINVAL);
    }
    verify_area(file, *pos, len)?;
    let mut iocb = Kiocb { pos: *pos, flags: file.kiocb_flags(), fsize_limit: u64::MAX };
    trace::read(file, iocb.pos, len);
    let done = file.ops().splice_read(file, &mut iocb, len, sink);
    io.account.read(&done);
    *pos = iocb.pos;
    done
}

/// Reads from `pos` on into the kernel's memory for sendfile and copy_file_range: with all checks, and counted. `pos`
/// moves on.
pub(crate) fn read_for_copy(io: &Io<'_>, file: &File, pos: &mut u64, buf: &mut [u8]) -> Result<usize> {
    check_mode(file, FMode::READ, FMode::CAN_READ)?;
    if file.inode().file_type() == FileType::Directory {
        return Err(Errno::EINVAL);
    }
    verify_area(file, *pos, buf.len())?;
    let mut iocb = Kiocb { pos: *pos, flags: file.kiocb_flags(), fsize_limit: u64::MAX };
    let done = do_read(file, &mut iocb, &mut IovIter::to_kernel(buf));
    io.account.read(&done);
    *pos = iocb.pos;
    done
}

/// The same for writing.
pub(crate) fn splice_write(io: &Io<'_>, file: &File, pos: &mut u64, buf: &[u8]) -> Result<usize> {
    if buf.is_empty() {
        return Ok(0);
    }
    check_mode(file, FMode::WRITE, FMode::CAN_WRITE)?;
    verify_area(file, *pos, buf.len())?;
    let mut iocb = write_iocb(io, file, *pos);
    let done = do_write(file, &mut iocb, &mut IovIter::from_kernel(buf));
    io.account.written(&done);
    *pos = iocb.pos;
    done
}

/// Calls `work` with the program's memory that an iovec array names. EINVAL, EFAULT.
pub fn with_user_vec<R>(
    io: &Io<'_>,
    vec: UserVec,
    work: impl FnOnce(&mut IovIter<'_>) -> Result<R>,
) -> Result<R> {
    let segments = Segments::import(io.memory, vec)?;
    work(&mut IovIter::user_vec(io.memory, segments.as_slice()))
}

/// `vfs_read`.
#[inline(always)]
fn vfs_read(io: &Io<'_>, file: &File, buf: UserAddr, count: usize, iocb: &mut Kiocb) -> Result<usize> {
    check_mode(file, FMode::READ, FMode::CAN_READ)?;
    if !buf.access_ok(count as u64) {
        return Err(Errno::EFAULT);
    }
    verify_area(file, iocb.pos, count)?;
    let mut to = IovIter::user(io.memory, buf, count.min(MAX_RW_COUNT));
    let done = do_read(file, iocb, &mut to);
    io.account.read(&done);
    done
}

/// `vfs_write`.
#[inline(always)]
fn vfs_write(io: &Io<'_>, file: &File, buf: UserAddr, count: usize, iocb: &mut Kiocb) -> Result<usize> {
    check_mode(file, FMode::WRITE, FMode::CAN_WRITE)?;
    if !buf.access_ok(count as u64) {
        return Err(Errno::EFAULT);
    }
    verify_area(file, iocb.pos, count)?;
    let mut from = IovIter::user(io.memory, buf, count.min(MAX_RW_COUNT));
    let done = do_write(file, iocb, &mut from);
    io.account.written(&done);
    done
}

#[inline]
fn do_read(file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
    if !file.mode().contains(FMode::CAN_READ) {
        // Only a directory comes this far without the operation (`check_mode`).
        return Err(Errno::EISDIR);
    }
    trace::read(file, iocb.pos, to.count());
    file.ops().read_iter(file, iocb, to)
}

#[inline]
fn do_write(file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
    // `file_start_write`: a freeze waits for writes to regular files; devices are not the file
    // system's.
    let _write = file.mode().contains(FMode::REGULAR).then(|| file.path().mount.start_write());
    trace::write(file, iocb.pos, from.count());
    file.ops().write_iter(file, iocb, from)
}

#[inline(always)]
pub(crate) fn write_iocb(io: &Io<'_>, file: &File, pos: u64) -> Kiocb {
    let mut flags = file.kiocb_flags();
    if !io.capable {
        flags |= KiocbFlags::KILL_PRIV;
    }
    Kiocb { pos, flags, fsize_limit: io.fsize_limit }
}

/// Opened for it, EBADF; has the operation, EINVAL.
#[inline]
pub(crate) fn check_mode(file: &File, opened: FMode, can: FMode) -> Result<()> {
    if file.mode().contains(opened | can) { Ok(()) } else { refuse_mode(file, opened) }
}

#[cold]
fn refuse_mode(file: &File, opened: FMode) -> Result<()> {
    if !file.mode().contains(opened) {
        return Err(Errno::EBADF);
    }
    // Linux gives directories a read operation that says EISDIR, after the other checks.
    if opened == FMode::READ && file.inode().file_type() == FileType::Directory {
        return Ok(());
    }
    Err(Errno::EINVAL)
}

/// `rw_verify_area`: the length fits a signed size, and position plus length a signed position.
/// Streams have no position.
#[inline(always)]
pub(crate) fn verify_area(file: &File, pos: u64, count: usize) -> Result<()> {
    let count = count as u64;
    if count > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    let end = pos.wrapping_add(count);
    if (pos | end) > i64::MAX as u64 && file.mode().contains(FMode::LSEEK) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Runs a vectored call at `pos`, or at the file's own position when that is -1.
fn at_position(
    file: &File,
    positioned: FMode,
    pos: i64,
    call: impl FnOnce(u64) -> Result<(usize, u64)>,
) -> Result<usize> {
    if pos == -1 {
        let mut position = file.lock_pos();
        let (done, after) = call(position.get())?;
        position.set(after);
        return Ok(done);
    }
    let pos = u64::try_from(pos).map_err(|_| Errno::EINVAL)?;
    if !file.mode().contains(positioned) {
        return Err(Errno::ESPIPE);
    }
    call(pos).map(|(done, _)| done)
}

/// RWF_* to what the file system is asked for. RWF_HIPRI asks for polling, which changes nothing of
/// the result. EOPNOTSUPP for flags nobody knows, and for RWF_NOWAIT where a file cannot promise it.
pub(crate) fn rw_flags(file: &File, rwf: u32) -> Result<KiocbFlags> {
    const DSYNC: u32 = 2;
    const SYNC: u32 = 4;
    const NOWAIT: u32 = 8;
    const APPEND: u32 = 16;
    if rwf & !(RWF_HIPRI | DSYNC | SYNC | NOWAIT | APPEND) != 0 || (rwf & NOWAIT != 0 && !file.ops().nowait())
    {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut flags = KiocbFlags::empty();
    flags.set(KiocbFlags::DSYNC, rwf & (DSYNC | SYNC) != 0);
    flags.set(KiocbFlags::SYNC, rwf & SYNC != 0);
    flags.set(KiocbFlags::NOWAIT, rwf & NOWAIT != 0);
    flags.set(KiocbFlags::APPEND, rwf & APPEND != 0);
    Ok(flags)
}
