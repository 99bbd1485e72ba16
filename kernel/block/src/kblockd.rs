//! kblockd: the thread that asks a queue again when time has come.
//!
//! Two things in this crate happen because time passes, not because somebody submits or completes: an
//! elevator that waits on purpose has waited long enough, and a driver has held a request for too
//! long. A queue says with [`Timer::arm`] when it wants to be asked; the thread sleeps until the
//! earliest such moment of all queues and then calls [`RequestQueue::timer`] of each.
//!
//! ```
//! block::kblockd::start().unwrap();      // once, at boot; again it does nothing
//! ```
//!
//! # Without it
//! Where nobody has started it (tests of other crates, the simulator), no elevator waits on purpose: the
//! queue tells it at once that the time has come (queue.rs, dispatch.rs). So no caller hangs, and runs with the
//! same steps do the same things. Timeouts are then not noticed.
//!
//! # Virtual time
//! A queue asks its [`Timer`] for the time, never the clock. A test gives it one of its own
//! (testing.rs) and calls `timer` itself; kblockd does not know such a queue.
//!
//! # Locking
//! `next` and `queues` are `SpinLock`s, held for a few instructions, neither with the other. `arm` takes
//! `next` and wakes the thread, so it may be called in an interrupt; not with a queue's lock held.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use base::Result;
use base::time::monotonic_ns;
use sync::{SpinLock, WaitQueue, thread};

use crate::queue::RequestQueue;

/// Who tells a queue the time, and calls [`RequestQueue::timer`] when it is later.
pub(crate) trait Timer: Send + Sync {
    /// Nanoseconds of CLOCK_MONOTONIC.
    fn now(&self) -> u64;

    /// Calls the queue's timer function at `at`, or earlier. False: it never will.
    fn arm(&self, at: u64) -> bool;
}

/// The thread's side of things.
pub(crate) struct Kblockd {
    /// When to wake up next; [`NEVER`].
    next: SpinLock<u64>,
    earlier: WaitQueue,
    queues: SpinLock<Vec<Weak<RequestQueue>>>,
    started: AtomicBool,
}

const NEVER: u64 = u64::MAX;

pub(crate) static KBLOCKD: Kblockd = Kblockd {
    next: SpinLock::new(NEVER),
    earlier: WaitQueue::new(),
    queues: SpinLock::new(Vec::new()),
    started: AtomicBool::new(false),
};

/// Starts the thread. ENOMEM.
pub fn start() -> Result<()> {
    if KBLOCKD.started.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let spawned = thread::spawn("kblockd", || KBLOCKD.serve());
    if spawned.is_err() {
        KBLOCKD.started.store(false, Ordering::Release);
    }
    spawned.map(drop)
}

impl Timer for Kblockd {
    fn now(&self) -> u64 {
        monotonic_ns()
    }

    fn arm(&self, at: u64) -> bool {
        if !self.started.load(Ordering::Acquire) {
            return false;
        }
        let earlier = {
            let mut next = self.next.lock();
            let earlier = at < *next;
            *next = at.min(*next);
            earlier
        };
        if earlier {
            self.earlier.wake_one();
        }
        true
    }
}

impl Kblockd {
    /// The queue is asked when its time has come, as long as it lives.
    pub fn register(&self, queue: &Arc<RequestQueue>) {
        self.queues.lock().push(Arc::downgrade(queue));
    }

    fn serve(&self) {
        loop {
            self.sleep();
            let now = monotonic_ns();
            for queue in self.living() {
                if let Some(at) = queue.timer(now) {
                    self.arm(at);
                }
            }
        }
    }

    /// Until the earliest moment that anybody has armed, which is then forgotten.
    fn sleep(&self) {
        loop {
            let at = *self.next.lock();
            let left = at.saturating_sub(monotonic_ns());
            if left == 0 {
                *self.next.lock() = NEVER;
                return;
            }
            let earlier = || *self.next.lock() < at;
            match at {
                NEVER => self.earlier.wait_until(earlier),
                _ => _ = self.earlier.wait_until_timeout(left, earlier),
            }
        }
    }

    /// The queues there are; those that are gone are forgotten.
    fn living(&self) -> Vec<Arc<RequestQueue>> {
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        queues.iter().filter_map(Weak::upgrade).collect()
    }
}
