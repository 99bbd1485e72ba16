//! `Reserved`: credits put aside for an operation that comes later and must not wait.
//!
//! ```text
//! let reserved = journal.reserve(24);         // within a handle, say; None: not now
//! …the data are on their way…
//! let handle = reserved.start()?;             // joins whatever runs, even what takes no other handle any more
//! ```
//! # Why
//! What ends a write of data may change metadata, and pages stay under writeback until it has. Who waits for
//! such a page may be within a handle, or be one that the next commit waits for. So this operation must get into the
//! transaction that waits for them, and must find room in it without a commit.
//!
//! # How it always finds a place
//! What handles have asked for and what is reserved are together never more than a transaction may have. A handle
//! that does not fit beside what is reserved waits until that is used, or given back. At most a quarter of a
//! transaction is reserved, so there is always room for others.
//!
//! It looks for no room in the log either, even where it begins a transaction: what had been asked for in the one
//! before left as much as is reserved, of the whole transaction for which there was room then. What each commit takes
//! beside the blocks comes out of the eighth more that [`Limits::room`] wants.
//!
//! It waits for two things, both short: the switch of the running transaction, and a fast commit that writes
//! down how things are now ([`Journal::hold_updates`]); neither of them waits for pages.
//!
//! # Locking
//! `state` (spin). May be dropped in an interrupt.
//!
//! Source: `jbd2__journal_start` with `rsv_blocks`, `jbd2_journal_start_reserved`, in the kernel's jbd2 API.

use alloc::sync::Arc;

use base::{Errno, Result, time};

use crate::handle::Handle;
use crate::journal::Journal;
use crate::state::{Limits, Phase, State};
use crate::units::Tid;

/// Credits put aside; given back when dropped. See the module.
#[must_use = "it is given back when it is dropped"]
pub struct Reserved {
    journal: Arc<Journal>,
    /// 0 once they are used.
    credits: u32,
}

impl State {
    /// Puts credits aside, if a transaction has room for them beside its handles'.
    fn reserve(&mut self, credits: u32, limits: &Limits) -> bool {
        let reserved = self.reserved.saturating_add(credits);
        let granted = self.aborted.is_none()
            && self.open
            && self.barriers == 0
            && reserved <= limits.max_credits / 4
            && reserved.saturating_add(self.asked()) <= limits.max_credits;
        if granted {
            self.reserved = reserved;
        }
        granted
    }

    /// They are used, or given back. Whether somebody may wait for that.
    fn unreserve(&mut self, credits: u32) {
        self.reserved = self.reserved.saturating_sub(credits);
    }

    /// A handle with reserved credits joins; None as long as it must wait.
    fn admit_reserved(&mut self, credits: u32) -> Option<Result<Tid>> {
        if self.aborted.is_some() || !self.open {
            return Some(Err(Errno::EROFS));
        }
        let switches = self.running.as_ref().is_some_and(|running| running.phase == Phase::Switching);
        if self.held != 0 || switches {
            return None;
        }
        self.unreserve(credits);
        let running = self.running_or_new(time::monotonic_ns);
        running.updates += 1;
        running.handles += 1;
        running.outstanding += credits;
        Some(Ok(running.tid))
    }
}

impl Journal {
    /// Puts credits aside for an operation that shall not wait. None when there is no room for them now, after an
    /// abort, and while handles are held back. Does not wait.
    pub fn reserve(self: &Arc<Self>, credits: u32) -> Option<Reserved> {
        let granted = self.state().lock().reserve(credits, self.limits());
        granted.then(|| Reserved { journal: self.clone(), credits })
    }

    /// Reserved credits are fewer: who waits for that looks again.
    fn tell_unreserved(&self) {
        let barrier = self.state().lock().barriers != 0;
        self.moved.wake_all();
        if barrier {
            self.drained.wake_all();
        }
    }
}

impl Reserved {
    /// Begins the operation, in a handle of its own. The thread is in none. Waits for nothing that waits for a
    /// page. EROFS after an abort.
    pub fn start(mut self) -> Result<Handle> {
        let (journal, credits) = (self.journal.clone(), self.credits);
        let mut joined = Err(Errno::EROFS);
        let mut join = || {
            let admitted = journal.state().lock().admit_reserved(credits);
            admitted.map(|tid| joined = tid).is_some()
        };
        if !join() {
            journal.moved.wait_until(join);
        }
        let tid = joined?;
        self.credits = 0;
        journal.tell_unreserved();
        Ok(Handle::enter(journal, tid, credits))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.credits > 0 {
            self.journal.state().lock().unreserve(self.credits);
            self.journal.tell_unreserved();
        }
    }
}
