//! Moving the end of a file: what FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE do to the tree.
//!
//! No block moves on the disk; the entries get other keys, leaf by leaf. To the left the leaves are
//! taken in ascending order, to the right in descending order, so that the keys ascend after each. Each
//! call here is one leaf: the caller sees to it that a handle has room for it.
//!
//! # Locking
//! As in [`super::tree`]: the caller holds `data_sem` alone.
//!
//! Source: `ext4_ext_shift_extents`.

use base::{Errno, Result};

use super::node::{self, Entry, MAX_BLOCKS};
use super::tree::{Lookup, ROUNDS, Tree};

impl Tree<'_> {
    /// Brings what one leaf has from file block `at` on `by` blocks towards the file's begin, where there is
    /// a hole. Where the next leaf begins; None after the last.
    pub fn shift_left(&self, at: u64, by: u32) -> Result<Option<u64>> {
        self.inode.extents.forget(0, u64::MAX);
        // Below 2^32.
        let path = self.walk(at as u32)?;
        let Some(leaf) = path.last() else { return Err(Errno::EIO) };
        let first = self.edit(leaf.at, |b| rekey(b, at, |key| key.saturating_sub(by)))?;
        if let Some(key) = first {
            self.fix_keys(&path, key)?;
        }
        Ok((leaf.high < MAX_BLOCKS).then_some(leaf.high))
    }

    /// After a shift to the left: joins the extent that begins at `block` with the one before it, and lets
    /// the tree become lower.
    pub fn close_gap(&self, block: u32) -> Result<()> {
        self.join_at(block)?;
        self.shorten()
    }

    /// EINVAL when the last extent, `by` blocks further, would come to lie past what a file can have.
    pub fn check_room(&self, by: u32) -> Result<()> {
        if self.end()? > MAX_BLOCKS - u64::from(by) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Brings what the leaf before file block `to` has from `from` on `by` blocks further; no extent lies
    /// across `from`. The next `to`; None after the last leaf.
    pub fn shift_right(&self, from: u32, to: u64, by: u32) -> Result<Option<u64>> {
        self.inode.extents.forget(0, u64::MAX);
        // Below 2^32.
        let path = self.walk(to.saturating_sub(1) as u32)?;
        let Some(leaf) = path.last() else { return Err(Errno::EIO) };
        if leaf.low >= to {
            return Ok(None);
        }
        let first = self.edit(leaf.at, |b| rekey(b, u64::from(from), |key| key.saturating_add(by)))?;
        if let Some(key) = first {
            self.fix_keys(&path, key)?;
        }
        Ok((leaf.low > u64::from(from)).then_some(leaf.low))
    }

    /// Cuts the extent that lies across `block`, if there is one, in two. ENOSPC.
    pub fn cut_at(&self, block: u32) -> Result<()> {
        for _ in 0..ROUNDS {
            let Lookup::Found(e) = self.lookup(block)? else { return Ok(()) };
            if e.block == block {
                return Ok(());
            }
            self.inode.extents.forget(e.block, e.end());
            let path = self.walk(block)?;
            let Some((leaf, pos)) = path.last().and_then(|leaf| Some((leaf, leaf.pos?))) else { break };
            let head = block - e.block;
            let pieces = [e.part(e.block, head), e.part(block, e.len - head)];
            if self.edit(leaf.at, |b| node::replace(b, pos..pos + 1, &pieces))? {
                return Ok(());
            }
            self.split(&path)?;
        }
        Err(self.inode.corrupt("extent tree cannot grow any more"))
    }

    /// Joins the extent that begins at `block` with the one before it, where they fit and lie in one
    /// leaf.
    fn join_at(&self, block: u32) -> Result<()> {
        let path = self.walk(block)?;
        let Some(leaf) = path.last() else { return Err(Errno::EIO) };
        let Some((before, pos)) = leaf.pos.and_then(|pos| Some((pos.checked_sub(1)?, pos))) else {
            return Ok(());
        };
        let joined = self.read(leaf.at, |b| node::leaf(b, before).join(&node::leaf(b, pos)))?;
        if let Some(joined) = joined {
            self.edit(leaf.at, |b| node::replace(b, before..pos + 1, &[joined]))?;
        }
        Ok(())
    }

    /// The file block after the last extent.
    pub fn end(&self) -> Result<u64> {
        let path = self.walk(MAX_BLOCKS as u32)?;
        let Some(leaf) = path.last() else { return Err(Errno::EIO) };
        let Some(pos) = leaf.pos else { return Ok(0) };
        self.read(leaf.at, |b| Entry::end(&node::leaf(b, pos)))
    }
}

/// Gives the entries of a leaf from file block `from` on other keys. The leaf's first key, if it is
/// another now.
fn rekey(bytes: &mut [u8], from: u64, key: impl Fn(u32) -> u32) -> Option<u32> {
    let mut first = None;
    for i in 0..node::entries(bytes) {
        let old = node::key(bytes, i);
        if u64::from(old) >= from {
            let new = key(old);
            node::set_key(bytes, i, new);
            first = (i == 0).then_some(new).or(first);
        }
    }
    first
}
