//! Where threads wait for a file to become readable or writable, and others who want to be told once.
//!
//! ```text
//!   a read that finds nothing   PollQueue::wait_interruptible       as in a WaitQueue
//!   IOCB_CMD_POLL               PollQueue::watch: a Watch, which is asked to look at each wake
//!   a write                     changes the file, then PollQueue::wake
//! ```
//! A [`Watch`] looks at the file by [`crate::FileOperations::poll`] at each wake. So whoever wakes holds nothing that
//! `poll` takes; and where that is done in an interrupt, `poll` must be possible there.
//!
//! # Locking
//! `watches` is a `SpinLock`, held for a few instructions; no watch is called under it. `watched` lets a wake pass that
//! nobody watches.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::fence;

use sync::atomic::{AtomicUsize, Ordering};
use sync::{SpinLock, WaitQueue};

/// What a program names by POLLIN and the others, one for one as in `struct pollfd` (`mangle_poll`).
pub const KNOWN: u32 = 0x27ff;
/// Something is wrong: always told.
pub const POLLERR: u32 = 0x8;
/// The other end is gone: always told.
pub const POLLHUP: u32 = 0x10;

/// Who wants to be told.
pub trait Watch: Send + Sync {
    /// The file has changed, so that it may be ready for `key` (0: for anything). In an interrupt, perhaps.
    fn look(&self, key: u32);
}

/// The queue; see the module.
pub struct PollQueue {
    queue: WaitQueue,
    watched: AtomicUsize,
    watches: SpinLock<Vec<Arc<dyn Watch>>>,
}

impl PollQueue {
    /// An empty queue.
    pub const fn new() -> PollQueue {
        PollQueue {
            queue: WaitQueue::new(),
            watched: AtomicUsize::new(0),
            watches: SpinLock::new(Vec::new()),
        }
    }

    /// As [`WaitQueue::wait_interruptible`].
    pub fn wait_interruptible(&self, ns: Option<u64>, condition: impl FnMut() -> bool) -> bool {
        self.queue.wait_interruptible(ns, condition)
    }

    /// The file has changed, so that it may be ready for `key` (0: for anything): wakes every thread that waits, and has
    /// every watch look.
    pub fn wake(&self, key: u32) {
        self.queue.wake_all();
        // Pairs with the one in `watch`: either the watch is seen here, or its first look sees the change.
        fence(Ordering::SeqCst);
        if self.watched.load(Ordering::Relaxed) != 0 {
            self.tell(key);
        }
    }

    #[cold]
    fn tell(&self, key: u32) {
        let present = self.watches.lock().clone();
        present.iter().for_each(|watch| watch.look(key));
    }

    /// From here on a watch is told; who begins to watch looks once after this.
    pub fn watch(&self, watch: Arc<dyn Watch>) {
        self.watches.lock().push(watch);
        self.watched.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// It is not told any more, unless that is under way.
    pub fn unwatch(&self, watch: &dyn Watch) {
        let gone = {
            let mut watches = self.watches.lock();
            let found = watches.iter().position(|other| core::ptr::addr_eq(Arc::as_ptr(other), watch));
            found.map(|at| watches.swap_remove(at))
        };
        if gone.is_some() {
            self.watched.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Default for PollQueue {
    fn default() -> Self {
        PollQueue::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Watch for Counts {
        fn look(&self, key: u32) {
            self.0.fetch_add(key as usize, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_watch_looks_at_each_wake_until_it_is_taken_out() {
        let queue = PollQueue::new();
        let (one, two) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
        queue.wake(1);
        queue.watch(one.clone());
        queue.watch(two.clone());
        queue.wake(1);
        queue.unwatch(&*one);
        queue.unwatch(&*one);
        queue.wake(1);
        queue.unwatch(&*two);
        queue.wake(1);
        assert_eq!((one.0.load(Ordering::SeqCst), two.0.load(Ordering::SeqCst)), (1, 2));
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&two)), (1, 1));
    }
}
