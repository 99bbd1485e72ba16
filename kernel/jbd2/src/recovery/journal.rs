//! Recovery of a [`Journal`] that was loaded and has not begun.
//!
//! ```text
//! let report = journal.recover()?;             // the log's transactions are at home, and durable
//! let area = journal.fast_commit_area();       // what the file system finds in it …
//! journal.finish_recovery(&report)?;           // … is nothing: the log is empty
//! journal.begin()?;
//! ```
//! With fast commits, the last two are these, so that the fast commits count until a transaction has what they
//! say, and no longer:
//! ```text
//! journal.keep_fast_commits(&report)?;         // the log is empty, and its next transaction the fast commits' own
//! journal.begin_with_fast_commits()?;          // perhaps of a Journal that was loaded anew
//! { let _handle = journal.start(…)?; … }       // what they say, in one handle
//! journal.force_commit()?;                     // they are of no use any more
//! ```

use alloc::sync::Arc;

use base::Errno;
use block::BioFlags;

use crate::journal::Journal;
use crate::recovery::{FastCommitArea, RecoveryError, Report, finish, recover};
use crate::state::State;
use crate::units::Tid;

impl Journal {
    /// Brings home what the log has; see [`recover`]. Does nothing when it is empty. The same again after a
    /// failure, or when [`Journal::finish_recovery`] was not reached. The device's cached blocks are what was
    /// replayed: what was read of them before must be read again.
    pub fn recover(&self) -> Result<Report, RecoveryError> {
        let setup = self.setup();
        let superblock = self.tail().lock().superblock.clone();
        recover(self.log(), &superblock, &setup.fs_device, setup.options.barrier)
    }

    /// The fast commits that follow what [`Journal::recover`] replayed: of transaction `end` of its report, if
    /// any. None when the journal has no area for them, or its log is empty: what is in the area is older.
    pub fn fast_commit_area(&self) -> Option<FastCommitArea<'_>> {
        let superblock = &self.tail().lock().superblock;
        superblock.start()?;
        FastCommitArea::of(self.log(), superblock)
    }

    /// What the log had is at home, on stable storage: the log is empty, but the fast commits of the transaction
    /// that comes next count.
    pub fn keep_fast_commits(&self, report: &Report) -> Result<(), RecoveryError> {
        let superblock = &mut self.tail().lock().superblock;
        superblock.set_tail(report.end, Some(superblock.first()));
        let written = self.log().write_superblock(superblock.block(), BioFlags::FUA);
        written.map_err(|errno| RecoveryError::Io(None, errno))
    }

    /// As [`Journal::begin`], after [`Journal::keep_fast_commits`]. EUCLEAN when the log is another.
    pub fn begin_with_fast_commits(self: &Arc<Self>) -> Result<(), Errno> {
        {
            let superblock = &self.tail().lock().superblock;
            if superblock.start() != Some(superblock.first()) {
                log::error!("{self}: the log is not empty");
                return Err(Errno::EUCLEAN);
            }
        }
        self.reset()?;
        // The features are on the disk before a block is that has them.
        let superblock = self.tail().lock().superblock.clone();
        self.log().write_superblock(superblock.block(), BioFlags::FUA)?;
        self.fast_area().lock().take_over(superblock.sequence());
        self.open()
    }

    /// Passes over what the log has, because the file system says that it is not wanted: the log is empty.
    pub fn wipe(&self) -> Result<(), RecoveryError> {
        let (first, blocks) = {
            let superblock = &self.tail().lock().superblock;
            (superblock.sequence(), superblock.ring().blocks())
        };
        // There are no more transactions in the log than blocks.
        let end = Tid(first.0.wrapping_add(blocks));
        self.finish_recovery(&Report { first, end, replayed: 0, superseded: 0, revokes: 0 })
    }

    /// All that was recovered is on stable storage: marks the log empty, and goes on with numbers behind those
    /// in it.
    pub fn finish_recovery(&self, report: &Report) -> Result<(), RecoveryError> {
        let superblock = &mut self.tail().lock().superblock;
        finish(self.log(), superblock, report)?;
        let mut state = self.state().lock();
        *state = State::new(report.next(), superblock.ring().blocks(), state.tuning);
        Ok(())
    }
}
