//! eventfd: a counter to wait for.
//!
//! A write adds to it, a read takes all of it (with EFD_SEMAPHORE 1) and waits while it is 0; a write that
//! would reach 2^64 - 1 waits too. The kernel adds by [`EventFd::signal`], which never waits.
//!
//! # Locking
//! `count` is a `SpinLock`, because an I/O that ends in an interrupt signals. Nothing is taken under it.
//!
//! Source: eventfd(2).

use alloc::sync::Arc;

use base::{Errno, IovIter, Result};
use sync::SpinLock;

use crate::anon;
use crate::file::File;
use crate::file_ops::{FileOperations, Kiocb, KiocbFlags, Whence};
use crate::flags::OpenFlags;
use crate::poll::PollQueue;

/// EFD_SEMAPHORE: a read takes 1.
pub const SEMAPHORE: u32 = 1;

const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;
const POLLERR: u32 = 8;

/// The counter.
pub struct EventFd {
    count: SpinLock<u64>,
    semaphore: bool,
    changed: PollQueue,
}

/// What is open: the counter is shared with who signals.
struct Opened(Arc<EventFd>);

/// A new one, open. `flags`: O_NONBLOCK or nothing.
pub fn eventfd(count: u32, semaphore: bool, flags: OpenFlags) -> Result<Arc<File>> {
    let counter = EventFd { count: SpinLock::new(count.into()), semaphore, changed: PollQueue::new() };
    anon::open("eventfd", Arc::new(Opened(Arc::new(counter))), flags | OpenFlags::RDWR)
}

/// The counter behind an open file (`eventfd_ctx_fdget`). None for what is none.
pub fn of(file: &File) -> Option<&Arc<EventFd>> {
    file.ops().as_eventfd()
}

impl EventFd {
    /// Adds `n`, at most up to 2^64 - 1. Callable in an interrupt.
    pub fn signal(&self, n: u64) {
        {
            let mut count = self.count.lock();
            *count = count.saturating_add(n);
        }
        self.changed.wake(POLLIN);
    }

    /// Takes what a read takes; None while there is nothing.
    fn take(&self) -> Option<u64> {
        let mut count = self.count.lock();
        let taken = if self.semaphore { (*count).min(1) } else { *count };
        *count -= taken;
        (taken > 0).then_some(taken)
    }

    /// Adds, if it stays below 2^64 - 1.
    fn add(&self, n: u64) -> Option<()> {
        let mut count = self.count.lock();
        *count = count.checked_add(n).filter(|&sum| sum < u64::MAX)?;
        Some(())
    }

    /// Does it, or waits until it can be done; after it the counter may be ready for `key`. EAGAIN, EINTR.
    fn when_possible<T>(&self, iocb: &Kiocb, key: u32, mut step: impl FnMut() -> Option<T>) -> Result<T> {
        let mut done = step();
        if done.is_none() {
            if iocb.flags.intersects(KiocbFlags::NONBLOCK | KiocbFlags::NOWAIT) {
                return Err(Errno::EAGAIN);
            }
            self.changed.wait_interruptible(None, || {
                done = done.take().or_else(&mut step);
                done.is_some()
            });
        }
        self.changed.wake(key);
        done.ok_or(Errno::EINTR)
    }
}

impl FileOperations for Opened {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn has_write_iter(&self) -> bool {
        false
    }

    fn has_splice_read(&self) -> bool {
        false
    }

    fn seekable(&self) -> bool {
        false
    }

    fn has_llseek(&self) -> bool {
        true
    }

    /// Every seek leads to where it was (`noop_llseek`).
    fn llseek(&self, _file: &File, pos: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Ok(pos)
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        if to.count() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let taken = self.0.when_possible(iocb, POLLOUT, || self.0.take())?;
        match to.copy_from_slice(&taken.to_ne_bytes()) {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let mut bytes = [0; size_of::<u64>()];
        if from.count() < bytes.len() {
            return Err(Errno::EINVAL);
        }
        if from.copy_to_slice(&mut bytes) < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let n = u64::from_ne_bytes(bytes);
        if n == u64::MAX {
            return Err(Errno::EINVAL);
        }
        self.0.when_possible(iocb, POLLIN, || self.0.add(n))?;
        Ok(bytes.len())
    }

    fn poll(&self, _file: &File) -> u32 {
        match *self.0.count.lock() {
            0 => POLLOUT,
            n if n < u64::MAX - 1 => POLLIN | POLLOUT,
            u64::MAX => POLLIN | POLLERR,
            _ => POLLIN,
        }
    }

    fn poll_queue(&self) -> Option<&PollQueue> {
        Some(&self.0.changed)
    }

    fn as_eventfd(&self) -> Option<&Arc<EventFd>> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &File) -> Result<u64> {
        let mut bytes = [0; 8];
        let mut iocb = Kiocb { flags: file.kiocb_flags(), ..Kiocb::at(0) };
        file.ops().read_iter(file, &mut iocb, &mut IovIter::to_kernel(&mut bytes))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn write(file: &File, n: u64) -> Result<usize> {
        let mut iocb = Kiocb { flags: file.kiocb_flags(), ..Kiocb::at(0) };
        file.ops().write_iter(file, &mut iocb, &mut IovIter::from_kernel(&n.to_ne_bytes()))
    }

    #[test]
    fn counts() {
        let file = eventfd(3, false, OpenFlags::NONBLOCK).unwrap();
        assert_eq!(file.ops().poll(&file), POLLIN | POLLOUT);
        assert_eq!(write(&file, 4), Ok(8));
        of(&file).unwrap().signal(1);
        assert_eq!(read(&file), Ok(8));
        assert_eq!((read(&file), file.ops().poll(&file)), (Err(Errno::EAGAIN), POLLOUT));
        assert_eq!(write(&file, u64::MAX), Err(Errno::EINVAL));
        assert_eq!(write(&file, u64::MAX - 1), Ok(8));
        assert_eq!((write(&file, 1), file.ops().poll(&file)), (Err(Errno::EAGAIN), POLLIN));
        of(&file).unwrap().signal(9);
        assert_eq!(file.ops().poll(&file), POLLIN | POLLERR);
        assert_eq!(read(&file), Ok(u64::MAX));
    }

    #[test]
    fn one_at_a_time() {
        let file = eventfd(2, true, OpenFlags::NONBLOCK).unwrap();
        assert_eq!([read(&file), read(&file), read(&file)], [Ok(1), Ok(1), Err(Errno::EAGAIN)]);
    }

    #[test]
    fn a_reader_waits() {
        let file = eventfd(0, false, OpenFlags::empty()).unwrap();
        let reader = file.clone();
        let thread = std::thread::spawn(move || read(&reader));
        of(&file).unwrap().signal(7);
        assert_eq!(thread.join().unwrap(), Ok(7));
    }
}
