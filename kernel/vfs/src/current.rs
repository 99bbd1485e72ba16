//! The credentials of the thread that asks (`current_cred`).
//!
//! Most of the vfs is told who asks, as an argument. What lies far below the file system's operations,
//! where no such argument comes (who may have the last blocks of a disk), asks here. Who runs a task on a
//! thread says so with [`set_current`], and again when the task becomes somebody else; every other thread
//! is the kernel's, and so root's.
//!
//! # Locking
//! None: each thread has its own.

use alloc::sync::Arc;
use core::cell::RefCell;

use sync::PerThread;

use crate::cred::Cred;

static CURRENT: PerThread<RefCell<Arc<Cred>>> = PerThread::new(|| RefCell::new(Arc::new(Cred::ROOT)));

/// From now on this thread works for `cred` (`commit_creds`).
pub fn set_current(cred: Arc<Cred>) {
    let old = CURRENT.with(|current| current.replace(cred));
    drop(old);
}

/// For whom this thread works.
pub fn current() -> Arc<Cred> {
    CURRENT.with(|current| current.borrow().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_works_for_its_own() {
        set_current(Arc::new(Cred::user(7, 8)));
        let other = sync::thread::spawn("other", || assert_eq!(*current(), Cred::ROOT)).unwrap();
        other.join();
        assert_eq!(*current(), Cred::user(7, 8));
        set_current(Arc::new(Cred::ROOT));
    }
}
