//! Waiting for a place in the running transaction, and holding handles back.

use base::{Errno, Result, time};
use sync::thread;

use crate::journal::Journal;
use crate::state::{Phase, Refused};
use crate::units::Tid;

/// As long as it lives no handle starts; see [`Journal::lock_updates`].
#[must_use = "handles start again when it is dropped"]
pub struct Barrier<'a> {
    journal: &'a Journal,
    /// Not even one with reserved credits.
    holds: bool,
}

impl Drop for Barrier<'_> {
    fn drop(&mut self) {
        let mut state = self.journal.state().lock();
        state.barriers -= 1;
        state.held -= u32::from(self.holds);
        drop(state);
        self.journal.moved.wake_all();
    }
}

impl Journal {
    /// Waits until no handle is active and no credits are reserved, and lets none start until the answer is
    /// dropped (`jbd2_journal_lock_updates`). Not within a handle.
    pub fn lock_updates(&self) -> Barrier<'_> {
        self.state().lock().barriers += 1;
        let barrier = Barrier { journal: self, holds: false };
        self.drained.wait_until(|| {
            let state = self.state().lock();
            state.reserved == 0 && state.is_idle()
        });
        barrier
    }

    /// The same for who does not wait for pages as long as it lives: reserved credits stay, and their
    /// operations wait.
    pub(crate) fn hold_updates(&self) -> Barrier<'_> {
        self.state().lock().barriers += 1;
        let mut barrier = Barrier { journal: self, holds: false };
        self.drained.wait_until(|| {
            let mut state = self.state().lock();
            let idle = state.is_idle();
            state.held += u32::from(idle);
            barrier.holds = idle;
            idle
        });
        barrier
    }

    /// Waits until a handle that was refused may try again.
    pub(crate) fn wait_for_place(&self, refused: Refused) -> Result<()> {
        match refused {
            Refused::Aborted => return Err(Errno::EROFS),
            Refused::Barrier => self.wait_while(|state| state.barriers != 0),
            Refused::Locked(tid) => self.wait_while(|state| {
                state.running.as_ref().is_some_and(|r| r.tid == tid && r.phase != Phase::Running)
            }),
            // Only what is reserved tells that it is used or over. What handles have asked for does not, so with
            // any of that the next look finds the transaction full, and waits for its commit.
            Refused::Reserved(credits) => {
                self.wait_while(|state| state.asked() == 0 && !state.fits(credits, self.limits()));
            }
            Refused::Full(tid) if self.options().thread => self.wait_for_switch(tid),
            // The next look finds the abort.
            Refused::Full(tid) => drop(self.commit_until(tid)),
            Refused::NoSpace => {
                if let Ok(role) = self.take_role() {
                    // The same.
                    let _ = role.make_room();
                }
            }
        }
        Ok(())
    }

    /// Waits as long as it is so and the journal is not given up.
    fn wait_while(&self, so: impl Fn(&crate::state::State) -> bool) {
        self.moved.wait_until(|| {
            let state = self.state().lock();
            state.aborted.is_some() || !so(&state)
        });
    }

    /// The thread commits a transaction that is full; waits until another can begin.
    fn wait_for_switch(&self, tid: Tid) {
        self.state().lock().request(tid, time::monotonic_ns);
        self.bell().ring();
        self.wait_while(|state| {
            state.running.as_ref().is_some_and(|r| r.tid == tid) && tid.is_at_most(state.commit_request)
        });
    }

    /// The transaction of a synchronous handle that has ended: waits a moment for others to join, unless the
    /// same thread came last (then it is alone), and commits.
    pub(crate) fn commit_for_sync(&self, tid: Tid) -> Result<()> {
        let wait = self.state().lock().batch_ns(tid, thread::current(), time::monotonic_ns());
        if wait > 0 {
            thread::sleep_ns(wait);
        }
        self.commit_until(tid)
    }
}
