//! An open file: what a descriptor stands for, shared by dup(2) and fork.
//!
//! # Locking
//! The position is an atomic, so that a look at it needs no lock. Reads and writes at the shared
//! position of regular files and directories are serialised by `pos_lock` ([`File::lock_pos`],
//! POSIX 2.9.7); a stream has no such lock, since a reader may wait in it for ever.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::{Errno, Result};
use pagecache::{ErrSeqCursor, FileRa};
use sync::{Mutex, MutexGuard};

use crate::attr::FileType;
use crate::current::current;
use crate::file_ops::{FileOperations, KiocbFlags};
use crate::flags::{FMode, OpenFlags};
use crate::flock;
use crate::inode::{Fixed, Inode};
use crate::mount::Path;
use crate::write_count::Writing;

/// An open file.
pub struct File {
    path: Path,
    inode: Arc<dyn Inode>,
    ops: Arc<dyn FileOperations>,
    mode: FMode,
    flags: AtomicU32,
    pos: AtomicU64,
    pos_lock: Mutex<()>,
    /// Which errors of writeback were told through this file.
    told: ErrSeqCursor,
    /// How it is read, for reading ahead.
    ra: FileRa,
    /// s_maxbytes, kept here so that a write need not ask.
    max_bytes: u64,
    /// No program starts from it as long as it is open for writing.
    _writing: Option<Writing>,
}

/// The operations of a file opened with O_PATH: none.
struct NoOperations;
impl FileOperations for NoOperations {}

impl File {
    /// Opens what is at `path`, which the caller has checked (`namei::open` does). EROFS when it is
    /// to be written on a read-only mount; ETXTBSY when a program runs from it; EINVAL for O_DIRECT that is
    /// not honoured.
    pub fn new(
        path: Path,
        ops: Arc<dyn FileOperations>,
        flags: OpenFlags,
        created: bool,
    ) -> Result<Arc<File>> {
        let inode = path.inode()?.clone();
        if flags.contains(OpenFlags::DIRECT) && !ops.direct() {
            return Err(Errno::EINVAL);
        }
        let mut mode = Self::mode_of(&*inode, &*ops, flags);
        mode.set(FMode::CREATED, created);
        let writes = Self::counts_as_writer(mode, &*inode);
        let writing = if writes { Some(Writing::begin(&inode)?) } else { None };
        if writes {
            path.mount.open_writer()?;
        }
        let told = ops.mapping().map(|m| ErrSeqCursor::of(m.wb_err())).unwrap_or_default();
        let max_bytes = path.mount.superblock().max_bytes();
        Ok(Arc::new(File {
            flags: AtomicU32::new(flags.difference(OpenFlags::ONCE).bits()),
            pos: AtomicU64::new(0),
            pos_lock: Mutex::new(()),
            path,
            inode,
            ops,
            mode,
            told,
            ra: FileRa::new(),
            max_bytes,
            _writing: writing,
        }))
    }

    /// A place in the tree, opened with O_PATH: good for the *at() calls, fstat and fchdir.
    pub fn new_path(path: Path, flags: OpenFlags) -> Result<Arc<File>> {
        let kept = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
        let inode = path.inode()?.clone();
        Ok(Arc::new(File {
            path,
            inode,
            ops: Arc::new(NoOperations),
            mode: FMode::PATH,
            flags: AtomicU32::new((flags & kept).bits()),
            pos: AtomicU64::new(0),
            pos_lock: Mutex::new(()),
            told: ErrSeqCursor::default(),
            ra: FileRa::new(),
            max_bytes: 0,
            _writing: None,
        }))
    }

    fn mode_of(inode: &dyn Inode, ops: &dyn FileOperations, flags: OpenFlags) -> FMode {
        let mut mode = match flags.access_mode() {
            0 => FMode::READ,
            1 => FMode::WRITE,
            2 => FMode::READ | FMode::WRITE,
            _ => FMode::empty(),
        };
        mode.set(FMode::CAN_READ, ops.can_read());
        mode.set(FMode::CAN_WRITE, ops.can_write());
        mode.set(FMode::LSEEK, ops.has_llseek());
        mode.set(FMode::PREAD | FMode::PWRITE, ops.seekable());
        mode.set(FMode::REGULAR, inode.file_type() == FileType::Regular);
        let serialised = matches!(inode.file_type(), FileType::Regular | FileType::Directory);
        mode.set(FMode::ATOMIC_POS, serialised && ops.seekable());
        mode
    }

    /// Device nodes can be written on a read-only mount: the device is not the file system's.
    fn counts_as_writer(mode: FMode, inode: &dyn Inode) -> bool {
        mode.contains(FMode::WRITE) && matches!(inode.file_type(), FileType::Regular | FileType::Directory)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was opened.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// What it calls.
    pub fn ops(&self) -> &dyn FileOperations {
        &*self.ops
    }

    /// The same, counted, for who outlives the file (mmap).
    pub fn ops_arc(&self) -> &Arc<dyn FileOperations> {
        &self.ops
    }

    /// What it can do.
    #[inline]
    pub fn mode(&self) -> FMode {
        self.mode
    }

    /// Its flags now, as F_GETFL tells them. O_LARGEFILE is always set, as on any 64-bit Linux.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// F_SETFL: changes the flags that can change. EPERM for O_APPEND of a file that is append-only, and for
    /// O_NOATIME of somebody else's; EINVAL for O_DIRECT where it is not honoured.
    pub fn set_flags(&self, new: OpenFlags) -> Result<()> {
        let mut changeable = OpenFlags::SETFL;
        let appends = (self.flags() ^ new).contains(OpenFlags::APPEND);
        if appends && self.inode().fixed().contains(Fixed::APPEND) {
            return Err(Errno::EPERM);
        }
        let sets_noatime = (new - self.flags()).contains(OpenFlags::NOATIME);
        if sets_noatime && !current().owns(&self.inode().ownership()) {
            return Err(Errno::EPERM);
        }
        if new.contains(OpenFlags::DIRECT) && !self.ops.direct() {
            return Err(Errno::EINVAL);
        }
        if self.ops.direct() {
            changeable |= OpenFlags::DIRECT;
        }
        // What is always ready has nothing to tell.
        if matches!(self.inode().file_type(), FileType::Regular | FileType::Directory) {
            changeable -= OpenFlags::ASYNC;
        }
        let next = |old| Some((old & !changeable.bits()) | (new & changeable).bits());
        // The closure always gives a value, so this cannot fail.
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        Ok(())
    }

    /// What is known of how it is read (`f_ra`).
    #[inline]
    pub fn ra(&self) -> &FileRa {
        &self.ra
    }

    /// The largest position of this file's file system.
    #[inline]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How a read or write of this file is done by its flags (`iocb_flags`).
    #[inline]
    pub fn kiocb_flags(&self) -> KiocbFlags {
        let flags = self.flags.load(Ordering::Relaxed);
        let rare = OpenFlags::APPEND
            .union(OpenFlags::SYNC)
            .union(OpenFlags::DIRECT)
            .union(OpenFlags::NONBLOCK)
            .union(OpenFlags::NOATIME);
        if flags & rare.bits() == 0 {
            KiocbFlags::empty()
        } else {
            rare_flags(OpenFlags::from_bits_truncate(flags))
        }
    }

    /// EBADF for a file opened with O_PATH, which most calls refuse.
    pub fn check_open_for_io(&self) -> Result<()> {
        if self.mode.contains(FMode::PATH) { Err(Errno::EBADF) } else { Ok(()) }
    }

    /// The position, kept from others while the guard lives (`fdget_pos`).
    #[inline]
    pub fn lock_pos(&self) -> PosGuard<'_> {
        let lock = if self.mode.contains(FMode::ATOMIC_POS) { Some(self.pos_lock.lock()) } else { None };
        PosGuard { file: self, _lock: lock }
    }

    /// The error of writeback that came since this file last told one, told now.
    pub fn take_writeback_error(&self) -> Result<()> {
        match self.ops.mapping() {
            Some(mapping) => mapping.wb_err().check_and_advance(&self.told),
            None => Ok(()),
        }
    }
}

#[cold]
fn rare_flags(flags: OpenFlags) -> KiocbFlags {
    let mut out = KiocbFlags::empty();
    out.set(KiocbFlags::APPEND, flags.contains(OpenFlags::APPEND));
    out.set(KiocbFlags::DSYNC, flags.contains(OpenFlags::DSYNC));
    out.set(KiocbFlags::SYNC, flags.contains(OpenFlags::SYNC));
    out.set(KiocbFlags::DIRECT, flags.contains(OpenFlags::DIRECT));
    out.set(KiocbFlags::NONBLOCK, flags.contains(OpenFlags::NONBLOCK));
    out.set(KiocbFlags::NOATIME, flags.contains(OpenFlags::NOATIME));
    out
}

impl Drop for File {
    fn drop(&mut self) {
        if self.mode.contains(FMode::PATH) {
            return;
        }
        flock::unlock(self);
        self.ops.release(self);
        if Self::counts_as_writer(self.mode, &*self.inode) {
            self.path.mount.close_writer();
        }
    }
}

/// The shared position, held.
pub struct PosGuard<'a> {
    file: &'a File,
    _lock: Option<MutexGuard<'a, ()>>,
}

impl PosGuard<'_> {
    /// Where it is.
    #[inline]
    pub fn get(&self) -> u64 {
        self.file.pos.load(Ordering::Relaxed)
    }

    /// Moves it.
    #[inline]
    pub fn set(&mut self, pos: u64) {
        self.file.pos.store(pos, Ordering::Relaxed);
    }
}
