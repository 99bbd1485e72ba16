//! O_DIRECT on regular files: `ext4_dio_read_iter`, `ext4_dio_write_iter`.
//!
//! # Ways through
//! ```text
//!   read                       shared   bios from where the data lies, zeros for holes, cut at i_size
//!   write over written blocks  shared   others do the same at the same time
//!   write into holes           alone    blocks found, unwritten ─ bios ─ converted   (extent/direct.rs)
//!   write behind the end       alone    orphan list ─ as above ─ i_size ─ off the list
//!   write of parts of blocks   alone    earlier direct I/O waited for; the rest of a fresh block zeroed
//!   inline or journalled data           through the page cache
//! ```
//! What the direct way leaves over (a hole of a block-mapped file, memory that cannot be reached, pages that
//! somebody dirties meanwhile) goes through the page cache, is written back at once and dropped from it.
//!
//! # Nobody waits
//! `start_read` and `start_write` return when the bios are on their way. A write that grows the file or takes
//! parts of blocks is waited for all the same, as in Linux. What is left to do after the last bio and may
//! sleep (converting, an fsync, pages read in meanwhile) is done by the thread `dio`.
//!
//! # Locking
//! `rwsem` until the bios are on their way; after that [`DioCount`] keeps the blocks where they are: truncate,
//! fallocate and writes of parts of blocks wait for it with `rwsem` held alone.
//!
//! # Errors
//! EINVAL where place, length or memory are not aligned to the device's blocks and there is data; a write that
//! begins in a hole of a block-mapped file goes through the cache before that is seen, as in Linux. EIO for any
//! part makes the call fail whole, and nothing of it is converted. Else a call that ends early is short.

mod read;
mod write;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use base::{Errno, FileBlock, Result};
use pagecache::{ExtentKind, MEMORY_ALIGN, MapMode, filemap_write_and_wait_range};
use sync::WaitQueue;
use vfs::DioAlign;

use crate::disk::inode::InodeFlags;
use crate::inode::Node;

/// Direct I/O under way on an inode (`i_dio_count`).
#[derive(Default)]
pub(crate) struct DioCount {
    count: AtomicUsize,
    idle: WaitQueue,
}

impl DioCount {
    /// Sleeps until there is none. The caller holds `rwsem` alone, so no more comes.
    pub fn wait(&self) {
        if self.count.load(Ordering::Acquire) != 0 {
            self.idle.wait_until(|| self.count.load(Ordering::Acquire) == 0);
        }
    }
}

/// One of them. Dropped in an interrupt, perhaps: who waits for its end has the inode too.
struct UnderWay(Arc<Node>);

impl UnderWay {
    fn begin(node: &Node) -> Result<UnderWay> {
        let node = node.arc().ok_or(Errno::EIO)?;
        node.dio.count.fetch_add(1, Ordering::AcqRel);
        Ok(UnderWay(node))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.dio.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.dio.idle.wake_all();
        }
    }
}

impl Node {
    /// Whether its data can go around the cache at all (`ext4_should_use_dio`).
    pub(crate) fn can_direct(&self) -> bool {
        !self.is_inline() && !self.mapping().journals_data()
    }

    /// Whether a direct read into the kernel's memory would be done: EINVAL where place or length is not in whole
    /// blocks of the device and there is data in the range.
    pub(crate) fn check_direct_read(&self, pos: u64, count: usize) -> Result<()> {
        let end = pos.saturating_add(count as u64).min(self.size());
        if pos >= end || !self.can_direct() || self.in_whole_blocks(pos, count) {
            return Ok(());
        }
        filemap_write_and_wait_range(self.mapping(), self, pos..end)?;
        let bits = self.fs().geometry().block_bits;
        let (mut at, last) = (pos >> bits, (end - 1) >> bits);
        while at <= last {
            let extent = self.map_blocks(FileBlock(at), last - at + 1, MapMode::Read)?;
            if matches!(extent.kind, ExtentKind::Mapped { .. }) {
                return Err(Errno::EINVAL);
            }
            at = at.saturating_add(extent.len.max(1));
        }
        Ok(())
    }

    /// The same for a write.
    pub(crate) fn check_direct_write(&self, pos: u64, count: usize) -> Result<()> {
        if !self.can_direct() || self.in_whole_blocks(pos, count) {
            return Ok(());
        }
        if !self.flags().contains(InodeFlags::EXTENTS) {
            filemap_write_and_wait_range(self.mapping(), self, pos..pos.saturating_add(count as u64))?;
        }
        if self.begins_in_bare_hole(pos)? { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Whether `pos` is in a hole within the file that cannot have unwritten blocks, so that what is written there goes
    /// through the cache. What was delayed there has its place.
    fn begins_in_bare_hole(&self, pos: u64) -> Result<bool> {
        let bits = self.fs().geometry().block_bits;
        let block = pos >> bits;
        if self.flags().contains(InodeFlags::EXTENTS) || block << bits >= self.size() {
            return Ok(false);
        }
        Ok(matches!(self.map_blocks(FileBlock(block), 1, MapMode::Read)?.kind, ExtentKind::Hole))
    }

    fn in_whole_blocks(&self, pos: u64, count: usize) -> bool {
        // A power of two.
        (pos | count as u64).is_multiple_of(u64::from(self.fs().device().disk().logical_block_size()))
    }

    /// What it must be aligned to; nothing where it goes through the cache.
    pub(crate) fn dio_align(&self) -> DioAlign {
        match self.can_direct() {
            true => DioAlign { memory: MEMORY_ALIGN, offset: self.fs().device().disk().logical_block_size() },
            false => DioAlign::default(),
        }
    }
}
