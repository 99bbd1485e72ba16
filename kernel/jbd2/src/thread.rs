//! The journal's thread (Linux kjournald2): commits what has grown old, and what became too large while nobody
//! waited.
//!
//! It holds the journal weakly: a journal that is dropped without [`Journal::end`] (a disk that is
//! thrown away) takes it along.
//!
//! # Locking
//! Sleeps on [`Bell`], which it owns in part; with none of the journal's locks.

use alloc::sync::{Arc, Weak};

use base::{Result, time};
use sync::atomic::{AtomicBool, Ordering};
use sync::{WaitQueue, thread};

use crate::journal::Journal;
use crate::units::Tid;

/// Wakes the thread.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    stop: AtomicBool,
    queue: WaitQueue,
}

impl Bell {
    /// There is something to look at.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.queue.wake_all();
    }

    /// The thread shall end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits to be rung, or for the time to pass.
    fn wait(&self, ns: u64) {
        self.queue.wait_until_timeout(ns, || self.rung.swap(false, Ordering::AcqRel));
    }
}

/// Starts it. ENOMEM.
pub(crate) fn start(journal: &Arc<Journal>) -> Result<thread::Thread> {
    let (bell, journal) = (journal.bell().clone(), Arc::downgrade(journal));
    thread::spawn("jbd2", move || run(&bell, &journal))
}

fn run(bell: &Bell, journal: &Weak<Journal>) {
    while !bell.stopped() {
        let Some(journal) = journal.upgrade() else { return };
        let wait = match journal.due() {
            // The error has made the journal be given up, and the log has it.
            Due::Now(tid) => journal.commit_until(tid).map_or(u64::MAX, |()| 0),
            Due::In(ns) => ns,
        };
        drop(journal);
        if wait > 0 {
            bell.wait(wait);
        }
    }
}

/// When the running transaction is to be committed.
enum Due {
    Now(Tid),
    In(u64),
}

impl Journal {
    fn due(&self) -> Due {
        let state = self.state().lock();
        let idle = state.tuning.commit_interval_ns;
        let Some(running) = state.running.as_ref().filter(|_| state.aborted.is_none()) else {
            // One that begins now is not due before that.
            return Due::In(idle);
        };
        let now = time::monotonic_ns();
        if now >= running.expires || running.tid.is_at_most(state.commit_request) {
            return Due::Now(running.tid);
        }
        // One that follows it may be due earlier: see `tuning`.
        Due::In((running.expires - now).min(idle))
    }
}
