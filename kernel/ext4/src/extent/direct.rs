//! Blocks for direct writes, and for writeback that does the same: found before the data, made the file's after it.
//!
//! ```text
//!   map_direct           a hole gets blocks, unwritten ones; nobody reads what they hold
//!   … the data reaches them …
//!   convert_unwritten    exactly what was written becomes written
//! ```
//! So a crash, or a write that fails, leaves zeros where there was a hole, and never somebody else's old
//! bytes; and ordered mode has nothing to wait for.
//!
//! A block-mapped file knows no unwritten blocks. Inside i_size its holes stay for the page cache to fill;
//! behind it blocks are given out at once, for nobody reads there before i_size follows, and the orphan list
//! takes them back.
//!
//! # Locking
//! `rwsem` alone for [`Node::map_direct`]. `data_sem` shared to look, alone to change, inside a handle.
//!
//! Source: `ext4_iomap_alloc`, `ext4_convert_unwritten_extents`.

use base::{Errno, FileBlock, Result};
use pagecache::{Extent, ExtentKind, MapMode};

use super::map::answer;
use super::node::{Entry, MAX_BLOCKS};
use super::tree::{Lookup, Tree};
use crate::balloc::blocks::{self, Request};
use crate::balloc::claim::Claimant;
use crate::disk::extent::MAX_UNWRITTEN;
use crate::disk::inode::InodeFlags;
use crate::inode::Node;
use crate::journal::credits;
use crate::trace;

impl Node {
    /// Where a direct write puts the blocks from `first` on, of which it has `count >= 1`. `new`: what is there
    /// on the disk is not the file's, and [`Node::convert_unwritten`] is to follow. A hole: not by this way.
    /// ENOSPC, EFBIG, EROFS, EIO, EUCLEAN.
    pub(crate) fn map_direct(&self, first: FileBlock, count: u64) -> Result<Extent> {
        let block = u32::try_from(first.0).ok().filter(|&b| u64::from(b) < MAX_BLOCKS).ok_or(Errno::EFBIG)?;
        let seen = self.map_blocks(first, count, MapMode::Read)?;
        if matches!(seen.kind, ExtentKind::Mapped { .. }) {
            return Ok(seen);
        }
        if self.flags().contains(InodeFlags::EXTENTS) {
            return self.fs().transact(credits::map(self, 1), || self.place_unwritten(block, count));
        }
        let bits = self.fs().geometry().block_bits;
        if first.0 << bits < self.size() {
            return Ok(seen);
        }
        self.fs().transact(credits::map(self, 1), || {
            let extent = self.map_blocks(first, count, MapMode::Write { ahead: 0 });
            self.mark_dirty();
            extent
        })
    }

    /// The unwritten extent at a block, made where there is none. Inside a handle.
    fn place_unwritten(&self, block: u32, count: u64) -> Result<Extent> {
        let _alone = self.data_sem().write();
        let tree = Tree::of(self);
        let entry = match tree.lookup(block)? {
            Lookup::Found(entry) => entry,
            Lookup::Hole { before, next } => {
                let entry = self.fill_unwritten(block, count, before, next, Claimant::File);
                // Even a failure may have left the tree with one node more.
                self.mark_dirty();
                entry?
            }
        };
        let place = answer(&Entry { unwritten: false, ..entry }, block, entry.unwritten);
        Ok(Extent { len: if entry.unwritten { place.len.min(count.max(1)) } else { place.len }, ..place })
    }

    /// The unwritten blocks at a delayed block, given to it where there are none, and counted as in flight. Inside
    /// a handle, with `data_sem` held alone.
    pub(crate) fn give_unwritten_place(&self, block: u32, count: u64, who: Claimant) -> Result<Extent> {
        let entry = match Tree::of(self).lookup(block)? {
            Lookup::Found(entry) if !entry.unwritten => return Ok(answer(&entry, block, false)),
            Lookup::Found(entry) => entry,
            Lookup::Hole { before, next } => {
                let entry = self.fill_unwritten(block, count, before, next, who);
                // Even a failure may have left the tree with one node more. Not before the change: somebody else would
                // store the inode without it, and what is not stale any more is not stored in this handle.
                self.set_stale();
                entry?
            }
        };
        let place = answer(&Entry { unwritten: false, ..entry }, block, true);
        let len = place.len.min(count.max(1));
        self.delayed.begin_flight(u64::from(block)..u64::from(block) + len);
        Ok(Extent { len, ..place })
    }

    /// Up to `count` unwritten blocks for a hole that ends at `next`.
    fn fill_unwritten(
        &self,
        block: u32,
        count: u64,
        before: Option<Entry>,
        next: u64,
        who: Claimant,
    ) -> Result<Entry> {
        let tree = Tree::of(self);
        let room = next.saturating_sub(u64::from(block)).min(u64::from(MAX_UNWRITTEN));
        // At most MAX_UNWRITTEN, a u32.
        let want = count.clamp(1, room.max(1)) as u32;
        let request = Request { goal: tree.goal(block, before), want, who };
        trace::request_blocks(self, block, &request);
        let (start, len) = blocks::allocate_growing(self, &request, block, self.growth(block, before))?;
        trace::allocate_blocks(self, block, &request, start, len);
        let entry = Entry { block, len, start: start.0, unwritten: true };
        if let Err(e) = tree.insert(entry) {
            blocks::give_back(self.fs(), self.ino32(), start, len, who)?;
            return Err(e);
        }
        // Of a direct write: a store to a mapped page may have delayed them since the range was written back.
        self.delayed_are_allocated(block.into(), entry.end(), who);
        self.add_blocks(i64::from(len));
        Ok(entry)
    }

    /// The data of bytes `pos..end` is on the disk: what was unwritten of the blocks they lie in is written now.
    pub(crate) fn convert_unwritten(&self, pos: u64, end: u64) -> Result<()> {
        if !self.flags().contains(InodeFlags::EXTENTS) {
            return Ok(());
        }
        let bits = self.fs().geometry().block_bits;
        let (mut at, last) = (pos >> bits, end.div_ceil(1 << bits));
        while at < last {
            let block = u32::try_from(at).map_err(|_| Errno::EFBIG)?;
            at += self.fs().transact(credits::map(self, 1), || {
                let done = self.convert_run(block, last - at);
                self.mark_dirty();
                done
            })?;
        }
        Ok(())
    }

    /// One extent of it; how many blocks of at most `count` are written now.
    pub(crate) fn convert_run(&self, block: u32, count: u64) -> Result<u64> {
        let _alone = self.data_sem().write();
        let tree = Tree::of(self);
        let Lookup::Found(entry) = tree.lookup(block)? else {
            return Err(self.corrupt(format_args!("file block {block} was written and is a hole")));
        };
        // At most the entry's length, a u32.
        let len = (entry.end() - u64::from(block)).min(count) as u32;
        if entry.unwritten {
            self.extents.forget(entry.block, entry.end());
            tree.convert(block, len, false)?;
            self.delayed_are_placed(block, len, MapMode::Read, Claimant::File);
            self.extents.put(Entry { unwritten: false, ..entry.part(block, len) });
        }
        Ok(u64::from(len))
    }

    /// Whether all of the bytes `pos..end` are on the disk already, so that a write over them changes no map
    /// (`ext4_overwrite_io`).
    pub(crate) fn is_overwrite(&self, pos: u64, end: u64) -> Result<bool> {
        let bits = self.fs().geometry().block_bits;
        let (mut at, last) = (pos >> bits, end.div_ceil(1 << bits));
        while at < last {
            let extent = self.map_blocks(FileBlock(at), last - at, MapMode::Read)?;
            if !matches!(extent.kind, ExtentKind::Mapped { .. }) {
                return Ok(false);
            }
            at += extent.len;
        }
        Ok(true)
    }
}
