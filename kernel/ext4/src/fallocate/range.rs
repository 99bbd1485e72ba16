//! FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE: the end of a file moves.
//!
//! What is dirty behind the range is written first and all pages from there on are dropped, twice
//! (see [`super`]): the cache has no other names for pages. Until there is a journal a crash in the
//! middle of the move leaves a tree that e2fsck accepts, of which some leaves have moved.

use base::{Errno, PAGE_SIZE, Result};

use super::{Bytes, Node};
use crate::extent::tree::Tree;

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
        let moved = {
            let _alone = self.data_sem().write();
            Tree::of(self).shift_left(end, first)
        };
        self.set_stale();
        self.drop_from(bytes.start);
        moved?;
        self.set_size(size - (bytes.end - bytes.start));
        Ok(())
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
        let moved = {
            let _alone = self.data_sem().write();
            let tree = Tree::of(self);
            tree.cut_at(first).and_then(|()| tree.shift_right(first, end - first))
        };
        self.set_stale();
        self.drop_from(bytes.start);
        moved?;
        self.set_size(size + len);
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
        pagecache::filemap_write_and_wait_range(self.mapping(), self, from..u64::MAX)?;
        self.drop_from(start);
        Ok(())
    }

    fn drop_from(&self, start: u64) {
        self.mapping().truncate_pagecache(start / PAGE_SIZE as u64 * PAGE_SIZE as u64);
    }
}
