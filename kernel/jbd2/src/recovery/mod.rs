//! Recovery: what was committed to the log and may not have reached its home is written there.
//!
//! ```text
//!   scan     from the log's start, transaction by transaction, to the first that is not whole
//!   plan     the whole ones again: the newest copy of each block, and what was revoked
//!   replay   those copies to their homes; FLUSH
//!   finish   the superblock: the log is empty, and numbers go on behind the transaction that was cut off
//! ```
//! [`recover`] does the first three, [`finish`] the last: between them, fast commits are replayed by the
//! file system ([`FastCommitArea`]). A crash before the end of `finish` finds the same log again, and a
//! second replay does the same as the first.
//!
//! # Where the log ends
//! A commit block says that its transaction is whole. A transaction without one was cut off by a crash: it
//! is dropped. So is what is left of older turns of the ring, which has older numbers, or none. With
//! checksums, a transaction that has its commit block but does not fit its checksums is damage, and the
//! recovery fails before it has written anything; but see the next paragraph.
//!
//! *Async commit* writes the commit block along with its transaction, so a crash may leave the one without
//! all of the other. There, the last transaction is dropped when something of it does not fit; the one that
//! was acknowledged by an fsync had reached the disk whole. If another committed one follows it is damage.
//! (Linux does so for checksums v1 only, where the commit block knows of each block; here, with v2 and v3,
//! the scan looks at each block of such a journal.)
//!
//! A journal whose log was once initialised lazily may contain blocks of an older file system with a number
//! that fits by chance. Their checksums do not, and their commit time is before that of the transaction
//! before them: they are taken for the end of the log, as Linux does.
//!
//! # Hostile logs
//! A pass looks at each block of the ring at most once, so it ends. Copies go to blocks of the device that
//! are not the log's, and nowhere else. (The device's size counts, not the file system's: a log may contain
//! the growth of it.)
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)"; the rules about damage were read off Linux's
//! and e2fsck's behaviour.

mod fast_commit;
mod journal;
mod plan;
mod replay;
mod scan;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

use alloc::sync::Arc;
use core::fmt;

use base::{Errno, FsBlock};
use block::BioFlags;
use pagecache::BlockDevice;

pub use fast_commit::FastCommitArea;

use crate::log::Log;
use crate::superblock::LogSuperblock;
use crate::units::{LogBlock, Tid};

/// What a recovery found and did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// The first transaction that was replayed.
    pub first: Tid,
    /// The first that was not: fast commits are of this one.
    pub end: Tid,
    /// Blocks that were written home.
    pub replayed: u64,
    /// Copies that were not, since a newer one or a revoke record came behind them.
    pub superseded: u64,
    /// Revoke records.
    pub revokes: u64,
}

impl Report {
    /// The number that the next transaction gets. `end` itself may lie in the log, cut off.
    pub fn next(&self) -> Tid {
        self.end.next()
    }
}

/// Why a log cannot be recovered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecoveryError {
    /// The device failed at a block of the log, or at writing home (None).
    Io(Option<LogBlock>, Errno),
    /// A committed transaction does not fit its checksums.
    Transaction(Tid),
    /// The copy of a block in the log does not fit its checksum.
    Copy(FsBlock, LogBlock),
    /// A revoke block claims more bytes than it has.
    Revoke(LogBlock, u32),
    /// A copy belongs to a block that the device does not have, or that is the log's.
    Home(FsBlock, LogBlock),
    /// No memory for the list of all blocks.
    Memory,
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Io(Some(at), errno) => write!(f, "{errno} at block {at} of the log"),
            RecoveryError::Io(None, errno) => write!(f, "{errno} while blocks were written home"),
            RecoveryError::Transaction(tid) => write!(f, "transaction {tid} has bad checksums"),
            RecoveryError::Copy(home, at) => {
                write!(f, "bad checksum of block {home} at block {at} of the log")
            }
            RecoveryError::Revoke(at, bytes) => {
                write!(f, "revoke block at block {at} of the log claims {bytes} bytes")
            }
            RecoveryError::Home(home, at) => {
                write!(f, "block {at} of the log belongs to block {home}, where none can be")
            }
            RecoveryError::Memory => f.write_str("no memory for the recovery"),
        }
    }
}

impl From<RecoveryError> for Errno {
    fn from(error: RecoveryError) -> Errno {
        match error {
            RecoveryError::Io(_, errno) => errno,
            RecoveryError::Transaction(_) | RecoveryError::Copy(..) => Errno::EBADMSG,
            RecoveryError::Revoke(..) | RecoveryError::Home(..) => Errno::EUCLEAN,
            RecoveryError::Memory => Errno::ENOMEM,
        }
    }
}

/// Brings home what the log has, and flushes. Nothing of it when the log is empty. `device`: the file
/// system's; its cached blocks show what was replayed. It has no journal set yet. `barrier`: whether FLUSH
/// is wanted.
pub fn recover(
    log: &Log,
    sb: &LogSuperblock,
    device: &Arc<BlockDevice>,
    barrier: bool,
) -> Result<Report, RecoveryError> {
    let Some(start) = sb.start() else {
        let (first, end) = (sb.sequence(), sb.sequence());
        return Ok(Report { first, end, replayed: 0, superseded: 0, revokes: 0 });
    };
    let end = scan::scan(log, sb, start)?;
    let plan = plan::plan(log, sb, start, end)?;
    plan.check(log, device)?;
    let replayed = replay::replay(log, sb, &plan, device)?;
    if barrier {
        device.flush().map_err(|errno| RecoveryError::Io(None, errno))?;
    }
    let report = Report {
        first: sb.sequence(),
        end,
        replayed,
        superseded: plan.copies - replayed,
        revokes: plan.revokes,
    };
    let name = device.disk().name();
    log::info!("JBD2: {name}: recovered transactions {} to {end}, {replayed} blocks", report.first);
    Ok(report)
}

/// Marks the log empty, once all that it had is on stable storage. Nothing to do when nothing was.
pub fn finish(log: &Log, sb: &mut LogSuperblock, report: &Report) -> Result<(), RecoveryError> {
    if sb.start().is_none() {
        return Ok(());
    }
    sb.set_tail(report.next(), None);
    let written = log.write_superblock(sb.block(), BioFlags::FUA);
    written.map_err(|errno| RecoveryError::Io(None, errno))
}
