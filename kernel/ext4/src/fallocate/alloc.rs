//! Unwritten blocks for a range of a file.

use base::{FsBlock, Result};

use super::Node;
use crate::balloc::blocks::{self, Request};
use crate::balloc::claim::Claimant;
use crate::disk::extent::MAX_UNWRITTEN;
use crate::extent::node::Entry;
use crate::extent::tree::{Lookup, Tree};
use crate::journal::Reason;
use crate::journal::credits;

/// Blocks that become unwritten in one handle: what may be in the log of them is revoked there.
const MOST_REVOKED: u32 = 4096;

impl Node {
    /// What the log has of these blocks, if data go there, is nothing any more.
    fn revoke(&self, entry: &Entry) {
        if let Some(journal) = self.fs().journal().filter(|_| self.journals_data()) {
            let end = entry.start.saturating_add(entry.len.into());
            (entry.start..end).for_each(|block| journal.revoke(FsBlock(block)));
        }
    }

    /// Fills the holes among the blocks `first..end` with unwritten ones; with `zero` written ones
    /// become unwritten too. i_size follows up to `new_size`. ENOSPC: what was done stays.
    pub(super) fn reserve_blocks(
        &self,
        first: u64,
        end: u64,
        new_size: Option<u64>,
        zero: bool,
    ) -> Result<()> {
        let bits = self.fs().geometry().block_bits;
        let mut at = first;
        while at < end {
            at += self.fs().transact_tracked(credits::map(self, 1), || {
                if zero {
                    self.fs().mark_ineligible(Reason::FallocRange);
                }
                // The vfs has checked the range against the largest file: below 2^32.
                let done = self.reserve_run(at as u32, end - at, zero).map(u64::from);
                if let (Some(size), Ok(done)) = (new_size, &done) {
                    self.set_size(self.size().max(size.min((at + done) << bits)));
                }
                // Even a failure may have left the tree with one node more.
                self.mark_dirty();
                done
            })?;
        }
        Ok(())
    }

    /// How far the hole at `block`, which ends at `next`, is reserved all through or not at all, and whose
    /// blocks those are.
    fn homogeneous(&self, block: u32, next: u64) -> (u64, Claimant) {
        let hole = next.saturating_sub(u64::from(block));
        match self.delayed.next_from(block) {
            Some(run) if run.block > block => (hole.min(u64::from(run.block - block)), Claimant::File),
            Some(run) => (hole.min(run.end() - u64::from(block)), Claimant::Reserved),
            None => (hole, Claimant::File),
        }
    }

    /// One run of it, of at most `count` blocks; how many blocks are as they should be now, at least 1. Inside a handle.
    fn reserve_run(&self, block: u32, count: u64, zero: bool) -> Result<u32> {
        let _alone = self.data_sem().write();
        let tree = Tree::of(self);
        // At most MAX_UNWRITTEN, a u32.
        let most = |len: u64| len.min(count).clamp(1, u64::from(MAX_UNWRITTEN)) as u32;
        match tree.lookup(block)? {
            Lookup::Found(e) => {
                let len = most(e.end() - u64::from(block));
                if zero && !e.unwritten {
                    let len = len.min(MOST_REVOKED);
                    self.extents.forget(e.block, e.end());
                    tree.convert(block, len, true)?;
                    self.revoke(&e.part(block, len));
                    return Ok(len);
                }
                Ok(len)
            }
            Lookup::Hole { before, next } => {
                let (room, who) = self.homogeneous(block, next);
                let request = Request { goal: tree.goal(block, before), want: most(room), who };
                let (start, len) = blocks::allocate(self.fs(), &request)?;
                let new = Entry { block, len, start: start.0, unwritten: true };
                if let Err(e) = tree.insert(new) {
                    blocks::give_back(self.fs(), self.ino32(), start, len, who)?;
                    return Err(e);
                }
                self.delayed_are_allocated(block.into(), new.end(), who);
                self.add_blocks(i64::from(len));
                Ok(len)
            }
        }
    }
}
