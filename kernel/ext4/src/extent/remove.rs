//! Taking blocks out of an extent tree: the end of a file, or a hole in its middle.
//!
//! # How
//! From the end of the range backwards, leaf by leaf: all entries of a leaf that the range touches go
//! in one edit, what sticks out of the range on either side stays. A leaf that becomes empty is freed
//! with every index above that becomes empty by it; when the range is clear, a root with one small
//! child takes its entries ([`Tree::shorten`]).
//!
//! # Locking
//! As in [`super::tree`]: the caller holds `data_sem` alone.
//!
//! # Bounds
//! Each round takes an entry away, splits a node (at most [`ROUNDS`] times before an entry goes), or
//! moves one leaf to the left.
//!
//! # Invariants
//! A key in an index is the first key of its child, as e2fsck demands.

use arrayvec::ArrayVec;
use base::{FsBlock, Result};

use super::node::{self, Entry, MAX_BLOCKS};
use super::tree::{Path, ROUNDS, Step, Tree};
use crate::balloc::blocks;
use crate::truncate::Removed;

/// Entries that one edit takes away.
const BATCH: usize = 64;

/// Entries that the root in the inode has.
const ROOT_ENTRIES: usize = 4;

/// Entries of a leaf that a range touches, the last of them if they are many.
struct Touched {
    first: usize,
    entries: ArrayVec<Entry, BATCH>,
}

impl Tree<'_> {
    /// Takes the file blocks `from..to` out of the tree and notes them in `gone`, until that is full.
    /// True when nothing is left in the range. ENOSPC when an extent cannot be cut in two.
    pub fn remove(&self, from: u64, to: u64, gone: &mut Removed) -> Result<bool> {
        let mut to = to.min(MAX_BLOCKS);
        if self.remove_from_root(from, to, gone)? {
            return Ok(true);
        }
        let mut splits = 0;
        while from < to {
            if gone.is_full() {
                return Ok(false);
            }
            // Below 2^32.
            let path = self.walk((to - 1) as u32)?;
            let Some(leaf) = path.last() else { break };
            let touched = self.read(leaf.at, |b| Touched::find(b, leaf, from, to))?;
            gone.spend(1);
            let here = touched.reach(from, to, gone);
            let touched = touched.behind(here);
            if touched.entries.is_empty() {
                if leaf.low >= to {
                    break;
                }
                to = leaf.low;
            } else if self.cut(&path, &touched, here, to, gone)? {
                splits = 0;
            } else if splits < ROUNDS {
                splits += 1;
                self.split(&path)?;
            } else {
                return Err(self.inode.corrupt("extent tree cannot grow any more"));
            }
        }
        self.shorten()?;
        Ok(true)
    }

    /// The same if the root is the leaf, all that the range touches lies in it whole, and `gone` has the
    /// room: the end of most files.
    fn remove_from_root(&self, from: u64, to: u64, gone: &mut Removed) -> Result<bool> {
        let Some(taken) = self.edit(None, |b| take_whole(b, from, to, gone))? else { return Ok(false) };
        for e in taken.iter().rev() {
            gone.data(FsBlock(e.start), u64::from(e.len));
        }
        Ok(true)
    }

    /// Takes entries of one leaf away but for what lies outside the range. False, and nothing changed,
    /// when the leaf has no room for two pieces of one.
    fn cut(&self, path: &Path, touched: &Touched, from: u64, to: u64, gone: &mut Removed) -> Result<bool> {
        let (Some(leaf), Some(first), Some(last)) =
            (path.last(), touched.entries.first(), touched.entries.last())
        else {
            return Ok(false);
        };
        let mut kept = ArrayVec::<Entry, 2>::new();
        if u64::from(first.block) < from {
            // Shorter than the entry, as is the next.
            kept.push(first.part(first.block, (from - u64::from(first.block)) as u32));
        }
        if last.end() > to {
            kept.push(last.part(to as u32, (last.end() - to) as u32));
        }
        let range = touched.first..touched.first + touched.entries.len();
        let now_first = self.edit(leaf.at, |b| {
            let done = node::replace(b, range, &kept);
            done.then(|| (node::entries(b) > 0).then(|| node::key(b, 0)))
        })?;
        let Some(now_first) = now_first else { return Ok(false) };
        match now_first {
            None => self.drop_leaf(path, gone)?,
            Some(key) if touched.first == 0 => self.fix_keys(path, key)?,
            Some(_) => {}
        }
        for e in touched.entries.iter().rev() {
            let (begin, end) = (u64::from(e.block).max(from), e.end().min(to));
            gone.data(FsBlock(e.start + (begin - u64::from(e.block))), end - begin);
        }
        Ok(true)
    }

    /// The path's leaf has no entries left: frees it, and every index above that becomes empty by it.
    fn drop_leaf(&self, path: &Path, gone: &mut Removed) -> Result<()> {
        for level in (1..path.len()).rev() {
            let (Some(empty), Some(above)) = (path.get(level), path.get(level - 1)) else { break };
            let Some(at) = empty.at else { break };
            let pos = above.pos.unwrap_or(0);
            let first = self.edit(above.at, |b| {
                node::remove(b, pos);
                if node::entries(b) == 0 && level == 1 {
                    node::set_depth(b, 0);
                }
                node::key(b, 0)
            })?;
            self.free_node(at)?;
            // The node above, a bitmap and a descriptor.
            gone.spend(3);
            if above.entries > 1 {
                return if pos == 0 { self.fix_keys(&path[..level], first) } else { Ok(()) };
            }
        }
        Ok(())
    }

    /// As long as the root has one child whose entries fit the root, they move there: one level less.
    pub(super) fn shorten(&self) -> Result<()> {
        while self.read(None, |b| node::depth(b) > 0 && node::entries(b) == 1)? {
            let path = self.walk(0)?;
            let (Some(root), Some(child)) = (path.first(), path.get(1)) else { break };
            let Some(at) = child.at.filter(|_| child.entries <= root.max) else { break };
            let bytes = self.read(Some(at), <[u8]>::to_vec)?;
            self.edit(None, |b| node::absorb(b, &bytes))?;
            self.free_node(at)?;
        }
        Ok(())
    }

    /// A node's block is one no more.
    fn free_node(&self, at: FsBlock) -> Result<()> {
        self.inode.verified.forget(at.0);
        self.inode.add_blocks(-1);
        blocks::free_metadata(self.inode.fs(), self.inode.ino32(), at)
    }
}

/// Takes the entries in `from..to` out of the root. None, and nothing changed, when it has an index or an
/// entry sticks out of the range, or when they are too many for a chunk.
fn take_whole(root: &mut [u8], from: u64, to: u64, gone: &Removed) -> Option<ArrayVec<Entry, ROOT_ENTRIES>> {
    if node::depth(root) > 0 {
        return None;
    }
    let (mut first, mut taken) = (0, ArrayVec::new());
    let mut cost = 0u32;
    for pos in 0..node::entries(root) {
        let e = node::leaf(root, pos);
        if e.end() <= from || u64::from(e.block) >= to {
            continue;
        }
        if u64::from(e.block) < from || e.end() > to {
            return None;
        }
        if taken.is_empty() {
            first = pos;
        }
        cost = cost.saturating_add(gone.cost(FsBlock(e.start), u64::from(e.len)));
        taken.try_push(e).ok()?;
    }
    if cost > gone.left() {
        return None;
    }
    node::replace(root, first..first + taken.len(), &[]).then_some(taken)
}

impl Touched {
    fn find(bytes: &[u8], leaf: &Step, from: u64, to: u64) -> Touched {
        let mut found = Touched { first: 0, entries: ArrayVec::new() };
        let Some(last) = leaf.pos else { return found };
        let reaches = |i: &usize| {
            let e = node::leaf(bytes, *i);
            e.end() > from && u64::from(e.block) < to
        };
        let count = (0..=last).rev().take(BATCH).take_while(reaches).count();
        found.first = last + 1 - count;
        found.entries = (found.first..=last).map(|i| node::leaf(bytes, i)).take(BATCH).collect();
        found
    }

    /// How far down to take blocks away in this chunk: to `from`, or as far as `gone` has room.
    fn reach(&self, from: u64, to: u64, gone: &Removed) -> u64 {
        let mut left = gone.left();
        let mut here = to;
        for e in self.entries.iter().rev() {
            let (begin, end) = (u64::from(e.block).max(from), e.end().min(to));
            let cost = gone.cost(FsBlock(e.start + (begin - u64::from(e.block))), end - begin);
            if cost > left {
                let first = here == to;
                return if first { begin.max(end.saturating_sub(gone.room())) } else { here };
            }
            left -= cost;
            here = begin;
        }
        here
    }

    /// Those that reach past a block.
    fn behind(mut self, here: u64) -> Touched {
        let before = self.entries.iter().take_while(|e| e.end() <= here).count();
        self.entries.drain(..before);
        self.first += before;
        self
    }
}
