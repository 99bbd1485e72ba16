//! The second pass: which copy of each block is to be replayed.
//!
//! A copy counts when no newer one of its block follows, and no revoke record of its own transaction or a
//! later one names it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::FsBlock;
use hashbrown::HashMap;
use pagecache::BlockDevice;

use crate::disk::{BlockType, Format, Revokes, Tag, TagFlags, Tags};
use crate::log::Log;
use crate::recovery::RecoveryError;
use crate::recovery::walk::Walk;
use crate::superblock::{LogSuperblock, Ring};
use crate::units::{LogBlock, Tid};

/// A block's newest copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Copy {
    pub home: FsBlock,
    pub at: LogBlock,
    pub tid: Tid,
    pub escaped: bool,
    pub checksum: u32,
}

/// What is to be done.
#[derive(Default)]
pub(super) struct Plan {
    /// In the order of the log.
    pub live: Vec<Copy>,
    /// Copies that the log has.
    pub copies: u64,
    /// Revoke records that it has.
    pub revokes: u64,
}

#[derive(Default)]
struct Gathered {
    newest: HashMap<FsBlock, Copy>,
    revoked: HashMap<FsBlock, Tid>,
    copies: u64,
    revokes: u64,
}

/// Of the transactions before `end`, to which the first pass came.
pub(super) fn plan(log: &Log, sb: &LogSuperblock, start: LogBlock, end: Tid) -> Result<Plan, RecoveryError> {
    let (format, mut walk, mut all) = (sb.format(), Walk::new(log, sb, start), Gathered::default());
    while walk.tid != end {
        // The first pass saw the same blocks: should they be others now, the device lies.
        let Some((at, header)) = walk.next()? else {
            return Err(RecoveryError::Transaction(walk.tid));
        };
        match header.kind {
            BlockType::Descriptor => {
                let tags = walk.count_tags(sb, at)?;
                let copies = walk.ahead(tags);
                let tid = walk.tid;
                all.add_copies(&format, tid, walk.block(at)?, copies)?;
                walk.skip(tags);
            }
            BlockType::Revoke => all.add_revokes(&format, walk.tid, at, walk.block(at)?)?,
            BlockType::Commit => walk.tid = walk.tid.next(),
            BlockType::SuperblockV1 | BlockType::SuperblockV2 => {
                return Err(RecoveryError::Transaction(walk.tid));
            }
        }
    }
    all.into_plan(&sb.ring(), start)
}

impl Gathered {
    fn add_copies(
        &mut self,
        format: &Format,
        tid: Tid,
        descriptor: &[u8],
        copies: impl Iterator<Item = LogBlock>,
    ) -> Result<(), RecoveryError> {
        for (Tag { block: home, flags, checksum }, at) in Tags::of(format, descriptor).zip(copies) {
            self.newest.try_reserve(1).map_err(|_| RecoveryError::Memory)?;
            let escaped = flags.contains(TagFlags::ESCAPE);
            self.newest.insert(home, Copy { home, at, tid, escaped, checksum });
            self.copies += 1;
        }
        Ok(())
    }

    fn add_revokes(
        &mut self,
        format: &Format,
        tid: Tid,
        at: LogBlock,
        block: &[u8],
    ) -> Result<(), RecoveryError> {
        let records = Revokes::of(format, block).map_err(|e| RecoveryError::Revoke(at, e.bytes))?;
        for home in records {
            self.revoked.try_reserve(1).map_err(|_| RecoveryError::Memory)?;
            self.revoked.insert(home, tid);
            self.revokes += 1;
        }
        Ok(())
    }

    fn into_plan(self, ring: &Ring, start: LogBlock) -> Result<Plan, RecoveryError> {
        let mut live = Vec::new();
        live.try_reserve_exact(self.newest.len()).map_err(|_| RecoveryError::Memory)?;
        let revoked = |copy: &Copy| self.revoked.get(&copy.home).is_some_and(|tid| copy.tid.is_at_most(*tid));
        live.extend(self.newest.values().filter(|copy| !revoked(copy)));
        base::sort::by_key(&mut live, |copy: &Copy| ring.distance(start, copy.at));
        Ok(Plan { live, copies: self.copies, revokes: self.revokes })
    }
}

impl Plan {
    /// Each copy has a home on the device that is not the log's.
    pub fn check(&self, log: &Log, device: &Arc<BlockDevice>) -> Result<(), RecoveryError> {
        let blocks = device.size() >> device.block_bits();
        let inside = Arc::ptr_eq(log.disk(), device.disk());
        let bad = |copy: &&Copy| copy.home.0 >= blocks || inside && log.map().contains(copy.home);
        match self.live.iter().find(bad) {
            Some(copy) => Err(RecoveryError::Home(copy.home, copy.at)),
            None => Ok(()),
        }
    }
}
