//! The first pass: where the log ends.

use alloc::vec::Vec;

use crate::checksum::TransactionSum;
use crate::disk::{BlockType, Checksums, CommitBlock, CommitSum, Format, Incompat, Tag, Tags};
use crate::log::Log;
use crate::recovery::RecoveryError;
use crate::recovery::walk::Walk;
use crate::superblock::LogSuperblock;
use crate::units::{LogBlock, Tid};

/// What is known of the transaction that the scan is in.
#[derive(Default)]
struct Seen {
    /// A descriptor or revoke block does not fit its checksum: perhaps it is of an older file system.
    suspicious: bool,
    /// A copy does not fit its checksum.
    torn: bool,
    /// v1: all of it so far.
    sum: TransactionSum,
}

/// What a commit block means.
enum Verdict {
    Whole,
    /// Of an older file system.
    Stale,
    Damaged,
}

struct Scan<'a> {
    walk: Walk<'a>,
    sb: &'a LogSuperblock,
    format: Format,
    async_commit: bool,
    seen: Seen,
    /// When the last whole transaction was committed.
    last_commit: u64,
    /// A transaction that is not whole though it has its commit block; the first of them.
    damaged: Option<Tid>,
}

/// The first transaction that is not whole.
pub(super) fn scan(log: &Log, sb: &LogSuperblock, start: LogBlock) -> Result<Tid, RecoveryError> {
    let mut scan = Scan {
        walk: Walk::new(log, sb, start),
        sb,
        format: sb.format(),
        async_commit: sb.incompat().contains(Incompat::ASYNC_COMMIT),
        seen: Seen::default(),
        last_commit: 0,
        damaged: None,
    };
    scan.run()
}

impl Scan<'_> {
    fn run(&mut self) -> Result<Tid, RecoveryError> {
        while let Some((at, header)) = self.walk.next()? {
            match header.kind {
                BlockType::Descriptor => self.descriptor(at)?,
                BlockType::Revoke => self.seen.suspicious |= !self.format.tail_fits(self.walk.block(at)?),
                BlockType::Commit => {
                    if !self.commit(at)? {
                        break;
                    }
                }
                BlockType::SuperblockV1 | BlockType::SuperblockV2 => break,
            }
        }
        Ok(self.damaged.unwrap_or(self.walk.tid))
    }

    fn descriptor(&mut self, at: LogBlock) -> Result<(), RecoveryError> {
        self.seen.suspicious |= !self.format.tail_fits(self.walk.block(at)?);
        let tags = self.walk.count_tags(self.sb, at)?;
        if !self.seen.suspicious {
            match self.format.checksums {
                Checksums::V1 => self.add_up(at, tags)?,
                Checksums::V2 | Checksums::V3 if self.async_commit => self.look_at_copies(at)?,
                _ => {}
            }
        }
        self.walk.skip(tags);
        Ok(())
    }

    /// v1: the descriptor and the blocks it describes.
    fn add_up(&mut self, at: LogBlock, tags: u32) -> Result<(), RecoveryError> {
        self.seen.sum.add(self.walk.block(at)?);
        for copy in self.walk.ahead(tags) {
            self.seen.sum.add(self.walk.block(copy)?);
        }
        Ok(())
    }

    /// v2 and v3: each copy against its tag.
    fn look_at_copies(&mut self, at: LogBlock) -> Result<(), RecoveryError> {
        let tags: Vec<Tag> = Tags::of(&self.format, self.walk.block(at)?).collect();
        // As many as a block has room for.
        for (copy, tag) in self.walk.ahead(tags.len() as u32).zip(tags) {
            let sum = self.format.tag_checksum(self.walk.tid, self.walk.block(copy)?);
            self.seen.torn |= sum != tag.checksum;
        }
        Ok(())
    }

    /// Whether the scan goes on behind this commit block.
    fn commit(&mut self, at: LogBlock) -> Result<bool, RecoveryError> {
        let tid = self.walk.tid;
        let block = self.walk.block(at)?;
        let Some(commit) = CommitBlock::read(block) else { return Ok(false) };
        let own_fits = CommitBlock::checksum_fits(&self.format, block);
        match self.judge(&commit, own_fits) {
            Verdict::Stale => return Ok(false),
            // Without async commit the commit block came when all the rest was there.
            Verdict::Damaged if !self.async_commit => {
                return Err(RecoveryError::Transaction(tid));
            }
            Verdict::Damaged if self.damaged.is_none() => self.damaged = Some(tid),
            Verdict::Damaged | Verdict::Whole => {
                // It was acknowledged when the one before it was on the disk.
                if let Some(damaged) = self.damaged {
                    return Err(RecoveryError::Transaction(damaged));
                }
                self.last_commit = commit.seconds;
            }
        }
        self.seen = Seen::default();
        self.walk.tid = tid.next();
        Ok(true)
    }

    fn judge(&self, commit: &CommitBlock, own_fits: bool) -> Verdict {
        let content_fits = match (self.format.checksums, commit.sum) {
            (Checksums::V1, CommitSum::Crc32(sum)) => sum == self.seen.sum.value(),
            (Checksums::V1, CommitSum::Unknown) => false,
            _ => true,
        };
        if !self.seen.suspicious && !self.seen.torn && own_fits && content_fits {
            Verdict::Whole
        } else if commit.seconds < self.last_commit {
            Verdict::Stale
        } else {
            Verdict::Damaged
        }
    }
}
