//! Descriptors: small numbers for open files.
//!
//! The lowest free number is handed out. RLIMIT_NOFILE is the caller's to pass, since it belongs to
//! the process. open(2) first reserves a number (EMFILE comes before anything else can fail), then
//! opens, then installs: [`FdTable::reserve`].
//!
//! # Locking
//! One spin lock, held for a few instructions and for growing the table. A file is never dropped
//! under it: its release may sleep.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};
use sync::SpinLock;

use crate::file::File;
use crate::flags::OpenFlags;
use crate::mount::Path;

/// The base of a relative path is the working directory (`AT_FDCWD`).
pub const AT_FDCWD: i32 = -100;

/// The descriptors of a process.
#[derive(Default)]
pub struct FdTable {
    inner: SpinLock<Table>,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    /// No slot below it is free.
    first_free: usize,
}

#[derive(Clone, Default)]
enum Slot {
    #[default]
    Free,
    /// Handed out, file to come.
    Reserved,
    Open {
        file: Arc<File>,
        cloexec: bool,
    },
}

impl Table {
    /// The lowest free number at or above `min` and below `limit`, marked reserved.
    fn reserve(&mut self, min: usize, limit: usize) -> Result<usize> {
        let from = min.max(self.first_free);
        let free = |s: &Slot| matches!(s, Slot::Free);
        let fd = match self.slots.get(from..).and_then(|s| s.iter().position(free)) {
            Some(i) => from + i,
            None => from.max(self.slots.len()),
        };
        if fd >= limit {
            return Err(Errno::EMFILE);
        }
        if fd >= self.slots.len() {
            self.slots.resize(fd + 1, Slot::Free);
        }
        self.slots[fd] = Slot::Reserved;
        if min <= self.first_free {
            self.first_free = fd + 1;
        }
        Ok(fd)
    }

    fn take(&mut self, fd: usize) -> Slot {
        let Some(slot) = self.slots.get_mut(fd) else { return Slot::Free };
        self.first_free = self.first_free.min(fd);
        core::mem::take(slot)
    }
}

fn index(fd: i32) -> Result<usize> {
    usize::try_from(fd).map_err(|_| Errno::EBADF)
}

/// Table positions stay below RLIMIT_NOFILE, whose ceiling is far below 2^31.
fn number(fd: usize) -> i32 {
    i32::try_from(fd).unwrap_or(i32::MAX)
}

/// The largest table, whatever the limit says (`sysctl_nr_open`).
pub const NR_OPEN: usize = 1 << 20;

fn clamp(limit: u64) -> usize {
    usize::try_from(limit).map_or(NR_OPEN, |l| l.min(NR_OPEN))
}

impl FdTable {
    /// No descriptors.
    pub const fn new() -> FdTable {
        FdTable { inner: SpinLock::new(Table { slots: Vec::new(), first_free: 0 }) }
    }

    /// The open file of a descriptor, O_PATH ones too. EBADF.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        match self.inner.lock().slots.get(fd as usize) {
            // A negative number becomes an index no table has.
            Some(Slot::Open { file, .. }) => Ok(file.clone()),
            _ => Err(Errno::EBADF),
        }
    }

    /// The open file of a descriptor that is good for I/O. EBADF also for O_PATH.
    #[inline]
    pub fn get_io(&self, fd: i32) -> Result<Arc<File>> {
        let file = self.get(fd)?;
        file.check_open_for_io()?;
        Ok(file)
    }

    /// Where a path that is given relative to `dirfd` begins. An absolute path needs no descriptor,
    /// so a bad one is not looked at. EBADF.
    pub fn base(&self, dirfd: i32, path: &[u8], cwd: &Path) -> Result<Path> {
        if dirfd == AT_FDCWD || path.first() == Some(&b'/') {
            return Ok(cwd.clone());
        }
        Ok(self.get(dirfd)?.path().clone())
    }

    /// Takes the lowest free number for a file to come. EMFILE.
    pub fn reserve(&self, limit: u64) -> Result<Reserved<'_>> {
        let fd = self.inner.lock().reserve(0, clamp(limit))?;
        Ok(Reserved { table: self, fd: Some(fd) })
    }

    /// Gives a file the lowest free number at or above `min` (F_DUPFD). EINVAL when `min` is
    /// negative or not below the limit, EMFILE.
    pub fn install_from(&self, min: i32, file: Arc<File>, cloexec: bool, limit: u64) -> Result<i32> {
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        if min >= clamp(limit) {
            return Err(Errno::EINVAL);
        }
        let mut table = self.inner.lock();
        let fd = table.reserve(min, clamp(limit))?;
        table.slots[fd] = Slot::Open { file, cloexec };
        Ok(number(fd))
    }

    /// Gives a file the lowest free number. EMFILE.
    pub fn install(&self, file: Arc<File>, cloexec: bool, limit: u64) -> Result<i32> {
        Ok(self.reserve(limit)?.install(file, cloexec))
    }

    /// dup(2). EBADF, EMFILE.
    pub fn dup(&self, fd: i32, limit: u64) -> Result<i32> {
        let file = self.get(fd)?;
        self.install(file, false, limit)
    }

    /// F_DUPFD and F_DUPFD_CLOEXEC.
    pub fn dup_from(&self, fd: i32, min: i32, cloexec: bool, limit: u64) -> Result<i32> {
        let file = self.get(fd)?;
        self.install_from(min, file, cloexec, limit)
    }

    /// dup3(2): `new` becomes `old`'s file; what it was is closed. EINVAL when they are one or a
    /// flag is unknown, EBADF past the limit, EBUSY while another thread is opening `new`.
    pub fn dup3(&self, old: i32, new: i32, flags: u32, limit: u64) -> Result<i32> {
        if flags & !OpenFlags::CLOEXEC.bits() != 0 || old == new {
            return Err(Errno::EINVAL);
        }
        let to = index(new)?;
        if to >= clamp(limit) {
            return Err(Errno::EBADF);
        }
        let file = self.get(old)?;
        let cloexec = flags & OpenFlags::CLOEXEC.bits() != 0;
        let mut table = self.inner.lock();
        if to >= table.slots.len() {
            table.slots.resize(to + 1, Slot::Free);
        }
        if matches!(table.slots[to], Slot::Reserved) {
            return Err(Errno::EBUSY);
        }
        let before = core::mem::replace(&mut table.slots[to], Slot::Open { file, cloexec });
        drop(table);
        drop(before);
        Ok(new)
    }

    /// dup2(2) of old: as dup3, but the same number twice is fine if it is open.
    pub fn dup2(&self, old: i32, new: i32, limit: u64) -> Result<i32> {
        if old == new { self.get(old).map(|_| new) } else { self.dup3(old, new, 0, limit) }
    }

    /// close(2). A call that uses the file just now keeps it until it returns. EBADF.
    pub fn close(&self, fd: i32) -> Result<()> {
        let fd = index(fd)?;
        let mut table = self.inner.lock();
        if !matches!(table.slots.get(fd), Some(Slot::Open { .. })) {
            return Err(Errno::EBADF);
        }
        let closed = table.take(fd);
        drop(table);
        drop(closed);
        Ok(())
    }

    /// close_range(2): every open descriptor of `first..=last` is closed, or with `cloexec_only`
    /// marked to be closed on exec.
    pub fn close_range(&self, first: u32, last: u32, cloexec_only: bool) -> Result<()> {
        if first > last {
            return Err(Errno::EINVAL);
        }
        let mut at = first as usize;
        while at <= last as usize && at < self.inner.lock().slots.len() {
            if cloexec_only {
                // EBADF only says that there is nothing to mark.
                let _ = self.set_cloexec(number(at), true);
            } else {
                let _ = self.close(number(at));
            }
            at += 1;
        }
        Ok(())
    }

    /// F_GETFD: whether it closes on exec. EBADF.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        match self.inner.lock().slots.get(index(fd)?) {
            Some(Slot::Open { cloexec, .. }) => Ok(*cloexec),
            _ => Err(Errno::EBADF),
        }
    }

    /// F_SETFD. EBADF.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<()> {
        match self.inner.lock().slots.get_mut(index(fd)?) {
            Some(Slot::Open { cloexec, .. }) => {
                *cloexec = on;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Closes what execve(2) closes.
    pub fn close_on_exec(&self) {
        self.close_where(|slot| matches!(slot, Slot::Open { cloexec: true, .. }));
    }

    /// Closes everything, at the end of the process.
    pub fn close_all(&self) {
        self.close_where(|slot| matches!(slot, Slot::Open { .. }));
    }

    fn close_where(&self, goes: impl Fn(&Slot) -> bool) {
        let mut table = self.inner.lock();
        let going: Vec<usize> = (0..table.slots.len()).filter(|&fd| goes(&table.slots[fd])).collect();
        let closed: Vec<Slot> = going.into_iter().map(|fd| table.take(fd)).collect();
        drop(table);
        drop(closed);
    }

    /// The open descriptors and their files, for /proc/self/fd.
    pub fn list(&self) -> Vec<(i32, Arc<File>)> {
        let table = self.inner.lock();
        let open = |(fd, slot): (usize, &Slot)| match slot {
            Slot::Open { file, .. } => Some((number(fd), file.clone())),
            _ => None,
        };
        table.slots.iter().enumerate().filter_map(open).collect()
    }

    /// How many slots the table has (`FDSize` of /proc/self/status).
    pub fn size(&self) -> usize {
        self.inner.lock().slots.len()
    }
}

/// A number that is taken, for a file to come. Dropped without a file, it is free again.
pub struct Reserved<'a> {
    table: &'a FdTable,
    fd: Option<usize>,
}

impl Reserved<'_> {
    /// Gives the number its file, and tells it.
    pub fn install(mut self, file: Arc<File>, cloexec: bool) -> i32 {
        let Some(fd) = self.fd.take() else { return i32::MAX };
        let mut table = self.table.inner.lock();
        if let Some(slot) = table.slots.get_mut(fd) {
            *slot = Slot::Open { file, cloexec };
        }
        number(fd)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(fd) = self.fd {
            self.table.inner.lock().take(fd);
        }
    }
}
