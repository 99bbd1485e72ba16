//! The vfs's part of asynchronous I/O: the checks of io_submit(2) before a read or write is begun, in its
//! order, and the count of requests that the system allows.
//!
//! The contexts and their rings are `process::aio`'s.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use base::{Errno, IovIter, Result, UserAddr};

use crate::file::File;
use crate::file_ops::{IoEnd, Kiocb};
use crate::flags::FMode;
use crate::freeze::AsyncWrite;
use crate::iovec::Segments;
use crate::read_write::{Io, MAX_RW_COUNT, UserVec, rw_flags, verify_area, write_iocb};
use crate::trace;

/// /proc/sys/fs/aio-nr: requests that all contexts were made for.
static NR: AtomicU64 = AtomicU64::new(0);
/// /proc/sys/fs/aio-max-nr.
static MAX_NR: AtomicU64 = AtomicU64::new(65536);

/// How many requests all contexts were made for.
pub fn nr() -> u64 {
    NR.load(Ordering::Relaxed)
}

/// How many they may be.
pub fn max_nr() -> u64 {
    MAX_NR.load(Ordering::Relaxed)
}

/// Changes how many they may be; what there is stays.
pub fn set_max_nr(max: u64) {
    MAX_NR.store(max, Ordering::Relaxed);
}

/// A context's share of them.
#[derive(Debug)]
pub struct Share(u64);

impl Share {
    /// Room for `n` requests. EAGAIN.
    pub fn take(n: u64) -> Result<Share> {
        let room = |now: u64| now.checked_add(n).filter(|&sum| sum <= max_nr());
        NR.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Errno::EAGAIN)?;
        Ok(Share(n))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        NR.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// The program's memory of a request.
#[derive(Clone, Copy, Debug)]
pub enum Memory {
    /// One range.
    One(UserAddr, usize),
    /// What an iovec array names.
    Many(UserVec),
}

/// Where, and how.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// From or to where.
    pub memory: Memory,
    /// The file's byte.
    pub pos: i64,
    /// RWF_*.
    pub rwf: u32,
}

/// Begins a read. An error is io_submit's; after Ok `end` is called once, with what the read came to.
/// EOPNOTSUPP, EBADF, EINVAL, EFAULT.
pub fn start_read(io: &Io<'_>, file: &Arc<File>, request: &Request, end: IoEnd) -> Result<()> {
    let flags = file.kiocb_flags() | rw_flags(file, request.rwf)?;
    check_mode(file, FMode::READ, FMode::CAN_READ)?;
    with_memory(io, request.memory, |to| {
        let pos = check_place(file, request.pos, to.count())?;
        trace::read(file, pos, to.count());
        let mut iocb = Kiocb { pos, flags, fsize_limit: u64::MAX };
        file.ops().start_read(file, &mut iocb, to, end);
        Ok(())
    })
}

/// Begins a write.
pub fn start_write(io: &Io<'_>, file: &Arc<File>, request: &Request, end: IoEnd) -> Result<()> {
    let flags = rw_flags(file, request.rwf)?;
    check_mode(file, FMode::WRITE, FMode::CAN_WRITE)?;
    if !file.ops().has_write_iter() {
        return Err(Errno::EINVAL);
    }
    with_memory(io, request.memory, |from| {
        let pos = check_place(file, request.pos, from.count())?;
        let regular = file.mode().contains(FMode::REGULAR);
        let under_way = regular.then(|| AsyncWrite::begin(&file.path().mount));
        trace::write(file, pos, from.count());
        let mut iocb = write_iocb(io, file, pos);
        iocb.flags |= flags;
        let end = Box::new(move |done| {
            // Before `end`, which has the file: so this is not the mount's last handle.
            drop(under_way);
            end(done);
        });
        file.ops().start_write(file, &mut iocb, from, end);
        Ok(())
    })
}

/// Opened for it, EBADF; has the operation, EINVAL.
fn check_mode(file: &File, opened: FMode, can: FMode) -> Result<()> {
    match (file.mode().contains(opened), file.mode().contains(can)) {
        (false, _) => Err(Errno::EBADF),
        (_, false) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

fn check_place(file: &File, pos: i64, count: usize) -> Result<u64> {
    let pos = u64::try_from(pos).map_err(|_| Errno::EINVAL)?;
    verify_area(file, pos, count)?;
    Ok(pos)
}

fn with_memory(
    io: &Io<'_>,
    memory: Memory,
    begin: impl FnOnce(&mut IovIter<'_>) -> Result<()>,
) -> Result<()> {
    match memory {
        Memory::One(at, len) => {
            let len = len.min(MAX_RW_COUNT);
            if !at.access_ok(len as u64) {
                return Err(Errno::EFAULT);
            }
            begin(&mut IovIter::user(io.memory, at, len))
        }
        Memory::Many(vec) => {
            let segments = Segments::import(io.memory, vec)?;
            begin(&mut IovIter::user_vec(io.memory, segments.as_slice()))
        }
    }
}
