//! A thread that does what an interrupt handler must not: sleep.
//!
//! ```
//! use sync::WorkQueue;
//! static WORK: WorkQueue = WorkQueue::new("worker");
//! WORK.start().unwrap();                              // where sleeping is allowed; again it does nothing
//! WORK.queue(Box::new(|| println!("later")));         // anywhere, in an interrupt too
//! ```
//! Work is done in the order in which it came, one piece at a time: who queues must not wait, in the work,
//! for other work of the same queue.
//!
//! # Locking
//! `list` is a `SpinLock`, held for a few instructions; no work is done under it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};

use base::Result;

use crate::{SpinLock, WaitQueue, thread};

/// Something to be done once.
pub type Work = Box<dyn FnOnce() + Send>;

/// Work that waits for its thread; see the module.
pub struct WorkQueue {
    name: &'static str,
    list: SpinLock<VecDeque<Work>>,
    more: WaitQueue,
    started: AtomicBool,
}

impl WorkQueue {
    /// Empty, its thread not yet there.
    pub const fn new(name: &'static str) -> WorkQueue {
        WorkQueue {
            name,
            list: SpinLock::new(VecDeque::new()),
            more: WaitQueue::new(),
            started: AtomicBool::new(false),
        }
    }

    /// Starts the thread, once. ENOMEM.
    pub fn start(&'static self) -> Result<()> {
        if self.started.load(Ordering::Acquire) || self.started.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let spawned = thread::spawn(self.name, || self.serve());
        if spawned.is_err() {
            self.started.store(false, Ordering::Release);
        }
        spawned.map(drop)
    }

    /// Has `work` done by the thread.
    pub fn queue(&self, work: Work) {
        self.list.lock().push_back(work);
        self.more.wake_one();
    }

    fn serve(&self) {
        loop {
            self.more.wait_until(|| !self.list.lock().is_empty());
            let next = self.list.lock().pop_front();
            if let Some(work) = next {
                work();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    #[test]
    fn in_the_order_it_came() {
        static WORK: WorkQueue = WorkQueue::new("test");
        let seen: Arc<SpinLock<Vec<u32>>> = Arc::new(SpinLock::new(Vec::new()));
        let done = Arc::new(WaitQueue::new());
        let put = |n| {
            let (seen, done) = (seen.clone(), done.clone());
            WORK.queue(Box::new(move || {
                seen.lock().push(n);
                done.wake_all();
            }));
        };
        put(1);
        WORK.start().unwrap();
        WORK.start().unwrap();
        (2..=100).for_each(put);
        done.wait_until(|| seen.lock().len() == 100);
        assert!(seen.lock().iter().copied().eq(1..=100));
    }
}
