//! fallocate(2): blocks for a range, holes in one, ranges taken out and put in.
//!
//! ```text
//!   0, KEEP_SIZE          holes become unwritten blocks
//!   ZERO_RANGE            the same, and written blocks become unwritten ones
//!   PUNCH_HOLE            blocks go; their content reads as zeros
//!   COLLAPSE_RANGE        blocks go, and what is behind them comes forward    (range.rs)
//!   INSERT_RANGE          what is behind goes back, a hole is between          (range.rs)
//! ```
//! A block-mapped file knows no unwritten blocks: there only PUNCH_HOLE works, as in Linux.
//!
//! # Pages and blocks
//! A reader locks a page first and asks for its place then. So a range's pages go twice: before the
//! blocks are taken out, and again after it, before they are freed; who found the old place in
//! between has filled a page by then, and that page goes too. The parts of blocks at the ends of a
//! range are zeroed in the page cache.
//!
//! # Unwritten blocks and crashes
//! A write into unwritten blocks makes them written when its page is readied, before the data is on
//! the disk, as in Linux with `nodelalloc`. fsync writes the data first and the tree after; a crash
//! in between, when the tree went by itself, can show a block's old bytes. Ordered journaling ends that.
//!
//! # Locking
//! `rwsem` alone around each, and the mapping's `invalidate_lock` but for mode 0; `data_sem` alone around each change of the tree, per run.
//!
//! # Errors
//! EINVAL for what is not aligned or lies past the end, EOPNOTSUPP, EFBIG, EROFS, ENOSPC: then the blocks
//! that were found stay, and i_size tells how far it came.
//!
//! Source: fallocate(2), `ext4_fallocate`, `ext4_punch_hole`, `ext4_zero_range`.

mod alloc;
mod range;

use base::{Errno, Result};
use bitflags::bitflags;

use crate::disk::inode::InodeFlags;
use crate::inode::{Node, Touch};

bitflags! {
    /// FALLOC_FL_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Mode: u32 {
        /// i_size stays.
        const KEEP_SIZE = 0x01;
        /// Blocks go.
        const PUNCH_HOLE = 0x02;
        /// A range goes, with what is in it.
        const COLLAPSE_RANGE = 0x08;
        /// A range reads as zeros, its blocks stay.
        const ZERO_RANGE = 0x10;
        /// A hole comes in between.
        const INSERT_RANGE = 0x20;
    }
}

/// Bytes of a file, not empty; the end does not overflow.
#[derive(Clone, Copy)]
struct Bytes {
    start: u64,
    end: u64,
}

impl Node {
    /// EOPNOTSUPP for a mode that is none, and for blocks of pointers, which can only be punched.
    pub fn check_fallocate(&self, mode: u32) -> Result<()> {
        let mode = Mode::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let can = self.is_inline() || self.flags().contains(InodeFlags::EXTENTS);
        if can || mode.contains(Mode::PUNCH_HOLE) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    /// See the module's manual. The vfs has checked mode and range.
    pub fn fallocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        let mode = Mode::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let bytes = Bytes { start: offset, end };
        let _alone = self.rwsem().write();
        self.fs().check_writable()?;
        self.dio.wait();
        if self.is_inline() {
            self.convert_inline()?;
        }
        let old = self.size();
        let changes = Mode::PUNCH_HOLE | Mode::COLLAPSE_RANGE | Mode::ZERO_RANGE | Mode::INSERT_RANGE;
        // Where blocks go or change, stores to mapped pages stay out until they have.
        let no_faults = mode.intersects(changes).then(|| self.mapping().invalidate_lock());
        if end > old {
            self.zero_behind(old)?;
        }
        let done = if mode.contains(Mode::PUNCH_HOLE) {
            self.punch_hole(bytes)
        } else if !self.flags().contains(InodeFlags::EXTENTS) {
            Err(Errno::EOPNOTSUPP)
        } else if mode.contains(Mode::COLLAPSE_RANGE) {
            self.collapse_range(bytes)
        } else if mode.contains(Mode::INSERT_RANGE) {
            self.insert_range(bytes)
        } else if mode.contains(Mode::ZERO_RANGE) {
            self.zero_range(bytes, mode.contains(Mode::KEEP_SIZE))
        } else {
            self.reserve_range(bytes, mode.contains(Mode::KEEP_SIZE))
        };
        drop(no_faults);
        self.grown_from(old);
        self.store_if_stale();
        done
    }

    /// Blocks that are whole in a range.
    fn whole_blocks(&self, bytes: Bytes) -> (u64, u64) {
        let bits = self.fs().geometry().block_bits;
        (bytes.start.div_ceil(1 << bits), bytes.end >> bits)
    }

    /// Blocks that a range touches.
    fn touched_blocks(&self, bytes: Bytes) -> (u64, u64) {
        let bits = self.fs().geometry().block_bits;
        (bytes.start >> bits, bytes.end.div_ceil(1 << bits))
    }

    fn modified(&self) {
        self.touch(Touch::Modified);
        self.set_stale();
    }

    fn reserve_range(&self, bytes: Bytes, keep_size: bool) -> Result<()> {
        let (first, end) = self.touched_blocks(bytes);
        let new_size = (!keep_size && bytes.end > self.size()).then_some(bytes.end);
        self.modified();
        self.reserve_blocks(first, end, new_size, false)
    }

    fn zero_range(&self, bytes: Bytes, keep_size: bool) -> Result<()> {
        let new_size = (!keep_size && bytes.end > self.size()).then_some(bytes.end);
        let (first, end) = self.touched_blocks(bytes);
        let (whole_first, whole_end) = self.whole_blocks(bytes);
        self.modified();
        if (first, end) != (whole_first, whole_end) {
            self.reserve_blocks(first, end, new_size, false)?;
        }
        if whole_first < whole_end {
            self.write_range(bytes)?;
            self.drop_pages(whole_first, whole_end);
            let done = self.reserve_blocks(whole_first, whole_end, new_size, true);
            self.drop_pages(whole_first, whole_end);
            done?;
        }
        self.zero_partial_blocks(bytes)?;
        if let Some(size) = new_size {
            self.set_size(size.max(self.size()));
        }
        Ok(())
    }

    fn punch_hole(&self, bytes: Bytes) -> Result<()> {
        if bytes.start >= self.size() {
            return Ok(());
        }
        let block = self.fs().geometry().block_size() as u64;
        // Nothing is cached behind the end; what was reserved there, behind the last page, stays.
        let page_end = self.size().next_multiple_of(base::PAGE_SIZE as u64);
        let end = bytes.end.min(page_end).min(self.max_bytes().saturating_sub(block));
        if end <= bytes.start {
            return Ok(());
        }
        let bytes = Bytes { end, ..bytes };
        self.modified();
        let (first, end) = self.whole_blocks(bytes);
        if first < end {
            self.write_range(bytes)?;
            self.drop_pages(first, end);
        }
        self.zero_partial_blocks(bytes)?;
        if first < end {
            self.remove_blocks(first, end, || self.drop_pages(first, end))?;
            self.set_stale();
        }
        Ok(())
    }

    /// Writes what is dirty of a range whose blocks are about to go or to become unwritten: bytes that have no
    /// place get one before, so that writeback does not allocate here meanwhile.
    fn write_range(&self, bytes: Bytes) -> Result<()> {
        self.settle_journalled(bytes.start..bytes.end)?;
        pagecache::filemap_write_and_wait_range(self.mapping(), self, bytes.start..bytes.end)
    }

    /// Drops the pages of blocks that are about to change, or have changed.
    fn drop_pages(&self, first: u64, end: u64) {
        let bits = self.fs().geometry().block_bits;
        self.mapping().truncate_pagecache_range(first << bits..end << bits);
    }

    /// Zeroes what a range has of the blocks at its ends that are only partly in it.
    fn zero_partial_blocks(&self, bytes: Bytes) -> Result<()> {
        let block = self.fs().geometry().block_size() as u64;
        let (head, tail) = (bytes.start.next_multiple_of(block), bytes.end / block * block);
        let zero = |from: u64, to: u64| if from < to { self.zero_within_block(from, to) } else { Ok(()) };
        if head > tail {
            // Within one block.
            return zero(bytes.start, bytes.end);
        }
        zero(bytes.start, head)?;
        zero(tail, bytes.end)
    }
}
