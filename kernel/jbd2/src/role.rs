//! Who commits: waiting for a transaction, and the right to bring it to the log.
//!
//! ```text
//!   complete_transaction(tid)      committed already?  ── yes ──▶ done
//!        ▲                               │ no
//!        │ woken by the end of a commit  │ nobody at it? ── yes ──▶ take the role, commit, give it back
//!        └───────────── sleep ◀──── no ──┘
//! ```
//! Those that sleep while a commit runs find, when it ends, their transaction committed, or one of them commits
//! the next for all.
//!
//! # Locking
//! The role is above page locks and handles: who waits for it holds neither, nor what a handle's holder wants.

use base::{Errno, Result, time};

use crate::journal::Journal;
use crate::state::Stage;
use crate::units::Tid;

/// The right to commit and to checkpoint, which one thread has at a time.
pub(crate) struct Role<'a> {
    pub(crate) journal: &'a Journal,
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        self.journal.state().lock().busy = false;
        self.journal.moved.wake_all();
    }
}

/// How a wait for a commit ended.
enum Turn<'a> {
    Committed,
    /// It is ours to do.
    Mine(Role<'a>),
}

impl Journal {
    /// Returns when the transaction is on stable storage; commits it if nobody does. The answer: whether a
    /// flush of the file system's device comes with it that covers what was written before this call. EIO when
    /// the journal is given up and the transaction with it. EDEADLK within a handle.
    pub fn complete_transaction(&self, tid: Tid) -> Result<bool> {
        if self.current_handle() {
            log::error!("{self}: a commit is waited for within a handle");
            return Err(Errno::EDEADLK);
        }
        let covered = self.will_flush(tid);
        self.commit_until(tid)?;
        // One that had changed nothing goes on running, and sends nothing.
        Ok(covered && self.state().lock().is_committed(tid))
    }

    /// Commits what is running, and waits.
    pub fn force_commit(&self) -> Result<()> {
        self.last_tid().map_or(Ok(()), |tid| self.complete_transaction(tid).map(drop))
    }

    /// The transaction that runs, or else the one that commits.
    fn last_tid(&self) -> Option<Tid> {
        let state = self.state().lock();
        let running = state.running.as_ref().map(|running| running.tid);
        running.or_else(|| state.committing.as_ref().map(|committing| committing.tid))
    }

    /// Whether the flush of this transaction's commit is still to come.
    fn will_flush(&self, tid: Tid) -> bool {
        let state = self.state().lock();
        if !state.tuning.barrier || state.is_committed(tid) {
            return false;
        }
        match &state.committing {
            Some(committing) if committing.tid == tid => {
                committing.stage < if self.is_external() { Stage::Log } else { Stage::Record }
            }
            _ => true,
        }
    }

    /// Waits for the transaction's commit, or runs it.
    pub(crate) fn commit_until(&self, tid: Tid) -> Result<()> {
        self.state().lock().request(tid, time::monotonic_ns);
        loop {
            match self.turn(tid)? {
                Turn::Committed => return Ok(()),
                Turn::Mine(role) => {
                    if !role.commit()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits until the transaction is committed, or there is none to commit, or nobody commits.
    fn turn(&self, tid: Tid) -> Result<Turn<'_>> {
        let mut turn = Ok(Turn::Committed);
        self.moved.wait_until(|| {
            let mut state = self.state().lock();
            if state.is_committed(tid) || !state.is_pending(tid) {
                return true;
            }
            if state.aborted.is_some() {
                turn = Err(Errno::EIO);
                return true;
            }
            if state.busy {
                return false;
            }
            state.busy = true;
            turn = Ok(Turn::Mine(Role { journal: self }));
            true
        });
        turn
    }

    /// Waits until nobody else commits or checkpoints. EIO after an abort.
    pub(crate) fn take_role(&self) -> Result<Role<'_>> {
        let mut taken = Err(Errno::EIO);
        self.moved.wait_until(|| {
            let mut state = self.state().lock();
            if state.aborted.is_some() {
                return true;
            }
            if state.busy {
                return false;
            }
            state.busy = true;
            taken = Ok(Role { journal: self });
            true
        });
        taken
    }
}
