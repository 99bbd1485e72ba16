//! FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE: the end of a file moves.
//!
//! What is dirty behind the range is written first and all pages from there on are dropped, twice
//! (see [`super`]): the cache has no other names for pages. A tree of many leaves needs several
//! handles; a crash between two of them leaves a tree that e2fsck accepts, of which some leaves have
//! moved, as with Linux. So i_size grows before extents go to the right.

use base::{Errno, PAGE_SIZE, Result};

use super::{Bytes, Node};
use crate::extent::node::MAX_BLOCKS;
use crate::extent::tree::Tree;
use crate::journal::Reason;
use crate::journal::credits;

impl Node {
    /// Takes a range out. EINVAL when it reaches the end or is no whole blocks.
    pub(super) fn collapse_range(&self, bytes: Bytes) -> Result<()> {
        let (first, end) = self.aligned(bytes)?;
        let size = self.size();
        if bytes.end >= size {
            return Err(Errno::EINVAL);
        }
        self.modified();
        self.write_and_drop(bytes.start)?;
        self.remove_blocks(first.into(), end.into(), || self.drop_from(bytes.start))?;
        let mut at = u64::from(end);
        let moved = self.leaf_by_leaf(|tree| match tree.shift_left(at, end - first)? {
            Some(next) => {
                at = next;
                Ok(false)
            }
            None => {
                tree.close_gap(first)?;
                self.set_size(size - (bytes.end - bytes.start));
                Ok(true)
            }
        });
        self.drop_from(bytes.start);
        moved
    }

    /// Puts a hole in. EINVAL when it begins at or behind the end or is no whole blocks, EFBIG.
    pub(super) fn insert_range(&self, bytes: Bytes) -> Result<()> {
        let (first, end) = self.aligned(bytes)?;
        let (size, len) = (self.size(), bytes.end - bytes.start);
        if len > self.max_bytes().saturating_sub(size) {
            return Err(Errno::EFBIG);
        }
        if bytes.start >= size {
            return Err(Errno::EINVAL);
        }
        self.modified();
        self.write_and_drop(bytes.start)?;
        let mut to = None;
        let moved = self.leaf_by_leaf(|tree| {
            let Some(at) = to else {
                tree.check_room(end - first)?;
                tree.cut_at(first)?;
                self.set_size(size + len);
                to = Some(MAX_BLOCKS);
                return Ok(false);
            };
            let next = tree.shift_right(first, at, end - first)?;
            to = to.and(next);
            Ok(next.is_none())
        });
        self.drop_from(bytes.start);
        moved
    }

    /// Changes the tree step by step, until `step` says that it is done: in one handle as long as that can
    /// be extended, and in a new one then.
    fn leaf_by_leaf(&self, mut step: impl FnMut(&Tree<'_>) -> Result<bool>) -> Result<()> {
        let mut done = false;
        while !done {
            let mut handle = self.fs().start_tracked(credits::shift(self))?;
            self.fs().mark_ineligible(Reason::FallocRange);
            let moved = {
                let _alone = self.data_sem().write();
                let tree = Tree::of(self);
                self.delayed.forget_hole();
                loop {
                    match step(&tree) {
                        Ok(false) if handle.extend(credits::shift(self)) => {}
                        end => break end,
                    }
                }
            };
            self.mark_dirty();
            done = moved?;
        }
        Ok(())
    }

    /// The blocks of a range that has to be whole blocks.
    fn aligned(&self, bytes: Bytes) -> Result<(u32, u32)> {
        let whole = self.whole_blocks(bytes);
        if whole != self.touched_blocks(bytes) {
            return Err(Errno::EINVAL);
        }
        let block = |n: u64| u32::try_from(n).map_err(|_| Errno::EFBIG);
        Ok((block(whole.0)?, block(whole.1)?))
    }

    /// Everything from the page of `start` on goes to the disk and out of the cache.
    fn write_and_drop(&self, start: u64) -> Result<()> {
        crate::balloc::window::discard(self);
        let from = start / PAGE_SIZE as u64 * PAGE_SIZE as u64;
        self.settle_journalled(from..u64::MAX)?;
        pagecache::filemap_write_and_wait_range(self.mapping(), self, from..u64::MAX)?;
        self.drop_from(start);
        Ok(())
    }

    fn drop_from(&self, start: u64) {
        self.mapping().truncate_pagecache(start / PAGE_SIZE as u64 * PAGE_SIZE as u64);
    }
}
