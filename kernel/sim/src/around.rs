//! Reads and writes around the page cache, from a program's memory of their own.

use std::sync::Arc;

use base::user::FakeUser;
use base::{Errno, IovIter, Result, UserAddr};
use sync::{SpinLock, WaitQueue};
use vfs::copy_range::{Spot, copy_file_range};
use vfs::read_write::{Io, IoAccounting};
use vfs::{File, Kiocb, KiocbFlags};

/// Where the program's bytes are.
const BASE: u64 = 0x10_0000;

fn direct(pos: u64) -> Kiocb {
    Kiocb { flags: KiocbFlags::DIRECT, ..Kiocb::at(pos) }
}

/// One direct write: how many bytes it took.
pub fn write_direct(file: &File, bytes: &[u8], pos: u64) -> Result<usize> {
    let user = FakeUser::new(BASE, bytes.len().max(1));
    user.put(BASE, bytes);
    file.ops().write_iter(file, &mut direct(pos), &mut IovIter::user(&user, UserAddr(BASE), bytes.len()))
}

/// Direct writes until all is written: how many bytes, and why no more.
pub(crate) fn write_direct_all(file: &File, bytes: &[u8], pos: u64) -> (usize, Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match write_direct(file, &bytes[done..], pos + done as u64) {
            Ok(0) => return (done, Err(Errno::EIO)),
            Ok(n) => done += n,
            Err(errno) => return (done, Err(errno)),
        }
    }
    (done, Ok(()))
}

/// One direct read of up to `len` bytes.
pub fn read_direct(file: &File, pos: u64, len: usize) -> Result<Vec<u8>> {
    let user = FakeUser::new(BASE, len.max(1));
    let mut to = IovIter::user(&user, UserAddr(BASE), len);
    let done = file.ops().read_iter(file, &mut direct(pos), &mut to)?;
    Ok(user.get(BASE, done))
}

/// copy_file_range(2) between two open files, from a place to a place.
pub fn copy_range(from: (&File, i64), to: (&File, i64), len: usize) -> Result<usize> {
    let (user, account) = (FakeUser::new(BASE, 1), IoAccounting::new());
    let io = Io { memory: &user, account: &account, fsize_limit: u64::MAX, capable: true };
    copy_file_range(&io, Spot { file: from.0, pos: from.1 }, Spot { file: to.0, pos: to.1 }, len)
}

/// A direct transfer that nobody waits for yet.
pub struct Started {
    user: FakeUser,
    end: Arc<(SpinLock<Option<Result<usize>>>, WaitQueue)>,
}

impl Started {
    fn new(len: usize, begin: impl FnOnce(IovIter<'_>, vfs::IoEnd)) -> Started {
        let user = FakeUser::new(BASE, len.max(1));
        Started::on(user, len, begin)
    }

    fn on(user: FakeUser, len: usize, begin: impl FnOnce(IovIter<'_>, vfs::IoEnd)) -> Started {
        let end = Arc::new((SpinLock::new(None), WaitQueue::new()));
        let told = end.clone();
        let tell = move |done| {
            let before = told.0.lock().replace(done);
            assert_eq!(before, None, "it ends once");
            told.1.wake_all();
        };
        begin(IovIter::user(&user, UserAddr(BASE), len), Box::new(tell));
        Started { user, end }
    }

    /// A read.
    pub fn read(file: &Arc<File>, pos: u64, len: usize) -> Started {
        Started::new(len, |mut to, end| file.ops().start_read(file, &mut direct(pos), &mut to, end))
    }

    /// A write, which is durable at its end if `flags` say so.
    pub fn write(file: &Arc<File>, bytes: &[u8], pos: u64, flags: KiocbFlags) -> Started {
        let user = FakeUser::new(BASE, bytes.len().max(1));
        user.put(BASE, bytes);
        let mut iocb = direct(pos);
        iocb.flags |= flags;
        Started::on(user, bytes.len(), |mut from, end| {
            file.ops().start_write(file, &mut iocb, &mut from, end)
        })
    }

    /// Waits: how many bytes it moved.
    pub fn wait(&self) -> Result<usize> {
        let (done, ended) = &*self.end;
        ended.wait_until(|| done.lock().is_some());
        done.lock().unwrap_or(Err(Errno::EIO))
    }

    /// Waits: what was read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(self.user.get(BASE, self.wait()?))
    }
}
