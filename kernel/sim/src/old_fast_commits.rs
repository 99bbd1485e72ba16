//! What e2fsck 1.47.0 makes of fast commits, for those who ask for its judgement.
//!
//! * Behind a log whose last transaction is newer than they are, it takes their number for an error and gives up the
//!   whole log, where Linux (and we) pass over them. Linux leaves them there; we wipe them after the commit, and a
//!   crash may come in between.
//! * It replays them with the superblock and the group descriptors that it read before it replayed the log, and
//!   writes those back: inodes that the log has made are unused then, and the superblock's checksum may be another
//!   one's. So it is a judge of fast commits only where the log before them is empty.

use std::collections::BTreeSet;

use ext4::checksum::crc32c;
use jbd2::Tid;
use jbd2::disk::{BlockType, Header};
use jbd2::superblock::LogSuperblock;

use crate::image::Image;

/// HEAD and the length of its value, in the first block of fast commits.
const HEAD: [u8; 4] = [9, 0, 8, 0];

/// What a journal holds.
struct Found {
    /// Its first transaction, and the one behind its last.
    first: Tid,
    end: Tid,
    /// Where fast commits begin, and of which transaction they are.
    heads: Vec<(usize, Tid)>,
}

impl Image {
    /// Without fast commits of a transaction that the log has, or that came before it.
    pub fn without_old_fast_commits(mut self) -> Image {
        if let Some(found) = self.fast_commits() {
            for (at, _) in found.heads.iter().filter(|(_, tid)| tid.is_before(found.end)) {
                self.bytes[*at..*at + HEAD.len()].fill(0);
            }
        }
        self
    }

    /// Whether a replay goes through transactions of the log and then fast commits.
    pub fn has_fast_commits_behind_the_log(&self) -> bool {
        self.fast_commits().is_some_and(|found| {
            found.first != found.end && found.heads.iter().any(|(_, tid)| *tid == found.end)
        })
    }

    /// None when the log is empty. The journal may lie in pieces; so its blocks are known by what they begin with.
    fn fast_commits(&self) -> Option<Found> {
        let size = 1024usize << self.bytes.get(1024 + 0x18)?;
        let blocks = || self.bytes.chunks_exact(size).enumerate();
        let header = |kind, block| Header::read(block).filter(|header| header.kind == kind);
        let (_, block) = blocks().find(|(_, block)| header(BlockType::SuperblockV2, block).is_some())?;
        let superblock = LogSuperblock::load(block, u32::MAX, crc32c).ok()?;
        superblock.start()?;
        let committed = blocks().filter_map(|(_, block)| header(BlockType::Commit, block));
        let committed: BTreeSet<u32> = committed.map(|header| header.tid.0).collect();
        let first = superblock.sequence();
        let mut end = first;
        while committed.contains(&end.0) {
            end = end.next();
        }
        let tid = |block: &[u8]| Some(Tid(u32::from_le_bytes(block.get(8..12)?.try_into().ok()?)));
        let heads = blocks().filter(|(_, block)| block.starts_with(&HEAD));
        let heads = heads.filter_map(|(n, block)| Some((n * size, tid(block)?))).collect();
        Some(Found { first, end, heads })
    }
}
