//! Fast commits: what is promised between two commits, told in few words.
//!
//! ```text
//!   disk/fast_commit.rs   the words: blocks of the journal's area → changes
//!   outcome.rs            what the changes come to: inodes and names as they are in the end
//!   apply.rs              the file system made so
//!   runs.rs               sets of blocks
//!   track.rs  tell.rs     and the other way: what the running transaction changes, in words for an fsync
//!   stats.rs              how many, and why not
//! ```
//! # When they are replayed
//! After the log was replayed, on a file system that was put together for this alone and whose journal takes
//! handles. All of it is one handle, and so one transaction, whose number is the fast commits' own: once it is
//! in the log they are of no use, and before that they are all there is. So a crash at any moment finds one or
//! the other. (Linux changes the disk in place here, and relies on a second replay to do the same again.)
//!
//! # What is made good that nobody told
//! Fast commits do not say which blocks and inodes are in use, how long a file's map is, nor how many
//! subdirectories a directory has: all of that follows from what they say.

mod apply;
mod outcome;
mod runs;
mod stats;
mod tell;
#[cfg(test)]
mod tests;
mod track;

use alloc::vec::Vec;

use base::{Result, time};
use jbd2::{Journal, Tid, Told};

use crate::disk::fast_commit::{self as disk, Change};
use crate::fs::Ext4Fs;
use crate::trace::{self, FcStatus};
pub(crate) use apply::replay;
pub(crate) use stats::Reason;
pub(crate) use track::Tracker;

/// Makes the transaction durable by a fast commit; see [`Journal::fast_commit`].
pub(crate) fn commit(fs: &Ext4Fs, journal: &Journal, tid: Tid) -> Option<bool> {
    trace::fc_commit_start(fs, tid);
    let (begun, mut blocks) = (time::monotonic_ns(), 0);
    let done = journal.fast_commit(tid, |place| {
        let told = tell::tell(fs, place);
        if let Told::Record(record) = &told {
            blocks = record.len().div_ceil(place.block_size) as u64;
        }
        told
    });
    let status = match done {
        Some(_) if blocks > 0 => {
            fs.tracker.stats.committed(blocks, time::monotonic_ns().saturating_sub(begun));
            FcStatus::Ok
        }
        Some(_) => FcStatus::Skipped,
        None if journal.is_ineligible(tid) => {
            fs.tracker.stats.ineligible();
            FcStatus::Ineligible
        }
        None => FcStatus::Failed,
    };
    trace::fc_commit_stop(fs, if status == FcStatus::Ok { blocks } else { 0 }, status, tid);
    done
}

/// `JBD2_FC_REPLAY_CONTINUE` and `_STOP`: whether what follows a block counts too.
const GOES_ON: u64 = 1;
const STOPS: u64 = 0;

/// What fast commits of transaction `tid` say, if there are any.
pub(crate) fn told(fs: &Ext4Fs, journal: &Journal, tid: u32) -> Result<Vec<Change>> {
    let Some(mut area) = journal.fast_commit_area() else { return Ok(Vec::new()) };
    let mut last = None;
    let changes = disk::read(area.blocks(), tid, fs.geometry().inode_size, |n, block| {
        if let Some(before) = last.replace(n) {
            trace::fc_replay_scan(fs, Ok(GOES_ON), before);
        }
        block.clear();
        block.extend_from_slice(area.read(n)?);
        Ok(())
    });
    if let Some(last) = last {
        trace::fc_replay_scan(fs, changes.as_ref().map(|_| STOPS).map_err(|&e| e.into()), last);
    }
    Ok(changes.inspect_err(|e| log::error!("EXT4-fs ({}): {e}", fs.disk_name()))?)
}
