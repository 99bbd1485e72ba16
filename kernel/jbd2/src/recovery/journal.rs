//! Recovery of a [`Journal`] that was loaded and has not begun.
//!
//! ```text
//! let report = journal.recover()?;                    // the log's transactions are at home, and durable
//! if let Some(area) = journal.fast_commit_area() { … }     // the file system's affair; then sync and flush
//! journal.finish_recovery(&report)?;                  // the log is empty
//! journal.begin()?;
//! ```

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
        *self.state().lock() = State::new(report.next(), superblock.ring().blocks());
        Ok(())
    }
}
