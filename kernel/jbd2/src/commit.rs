//! Commit.
use base::{Errno, FsBlock, Result};

use crate::journal::Journal;
use crate::state::Refused;
use crate::units::Tid;

impl Journal {
    /// A handle leaves its transaction, with so many credits unspent.
    #[inline]
    pub(crate) fn leave(&self, unspent: u32) {
        let last = self.state().lock().leave(unspent);
        if last {
            self.drained.wake_all();
        }
    }

    /// Waits until a handle that was refused may try again.
    pub(crate) fn wait_for_place(&self, refused: Refused) -> Result<()> {
        match refused {
            Refused::Aborted => Err(Errno::EROFS),
            _ => Err(Errno::ENOSPC),
        }
    }

    /// Waits until the transaction is committed, for a synchronous handle that has ended.
    pub(crate) fn commit_for_sync(&self, tid: Tid) -> Result<()> {
        self.complete_transaction(tid).map(drop)
    }

    /// Returns when the transaction is on stable storage; commits it if nobody does. Whether that commit sends a flush that
    /// covers what the caller wrote before the call. EROFS after an abort, with the transaction lost. EDEADLK
    /// within a handle.
    pub fn complete_transaction(&self, tid: Tid) -> Result<bool> {
        let _ = tid;
        Err(Errno::EROFS)
    }

    /// Commits what is running, and waits.
    pub fn force_commit(&self) -> Result<()> {
        self.running_tid().map_or(Ok(()), |tid| self.complete_transaction(tid).map(drop))
    }

    /// The block is freed by the current handle: its change in the running transaction need not be logged.
    /// With `was_metadata`, older copies in the log shall not be replayed over what the block is next.
    pub fn forget(&self, block: FsBlock, was_metadata: bool) {
        let _ = (block, was_metadata);
    }
}
