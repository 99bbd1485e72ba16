//! Changing a file's size.
//!
//! # Order, and what a crash in between leaves
//! ```text
//!   shrink  1 zero the rest of the last block     (a block of old bytes must never show again)
//!           2 onto the orphan list                (a mount after a crash goes on from here)
//!           3 i_size, published and in the table
//!           4 pages behind it dropped, I/O on them waited for
//!           5 blocks freed, from the end backwards
//!           6 off the orphan list
//!   grow    i_size alone: what is behind the old end is zeros already
//! ```
//!
//! # Locking
//! The caller holds `rwsem` alone. `data_sem` is taken alone for step 5.

use base::{Errno, FsBlock, Result};
use vfs::FileType;

use crate::balloc::{blocks, window};
use crate::disk::inode::InodeFlags;
use crate::extent::tree::Tree;
use crate::indirect;
use crate::inode::{Node, Touch};

impl Node {
    /// Cuts or extends a regular file to `size` bytes. EFBIG, EROFS, EIO, EUCLEAN.
    pub fn truncate(&self, size: u64) -> Result<()> {
        self.fs().check_writable()?;
        if size > self.max_bytes() {
            return Err(Errno::EFBIG);
        }
        let old = self.size();
        if size < old {
            self.shrink(size)?;
        } else {
            self.set_size(size);
            if size == old {
                // ftruncate to the present size gives back what was allocated behind it.
                self.free_behind(size)?;
            }
        }
        self.touch(Touch::Modified);
        self.mark_dirty();
        Ok(())
    }

    fn shrink(&self, size: u64) -> Result<()> {
        pagecache::block_truncate_page(self.mapping(), self, size)?;
        self.mark_pages_dirty();
        self.add_orphan()?;
        self.set_size(size);
        self.mark_dirty();
        self.mapping().truncate_pagecache(size);
        self.free_behind(size)?;
        self.del_orphan()
    }

    /// Drops pages and blocks behind i_size: after a write that ended short, and for an orphan that was
    /// being cut when the machine stopped.
    pub(crate) fn trim(&self) -> Result<()> {
        let size = self.size();
        self.mapping().truncate_pagecache(size);
        self.free_behind(size)?;
        self.mark_dirty();
        Ok(())
    }

    /// Frees the blocks that lie wholly behind `size`.
    pub(crate) fn free_behind(&self, size: u64) -> Result<()> {
        if !self.is_mapped() {
            return Ok(());
        }
        window::discard(self);
        let first = size.div_ceil(self.fs().geometry().block_size() as u64);
        let Ok(first) = u32::try_from(first) else { return Ok(()) };
        let _alone = self.data_sem().write();
        if self.flags().contains(InodeFlags::EXTENTS) {
            Tree::of(self).truncate(first)
        } else {
            indirect::truncate(self, first)
        }
    }

    /// Frees a run of the file's blocks and takes it off `i_blocks`. Blocks of directories and symbolic
    /// links are metadata: what is cached of them must not be written any more.
    pub(crate) fn free_run(&self, first: FsBlock, len: u64) -> Result<()> {
        if self.kind() != FileType::Regular {
            (first.0..first.0.saturating_add(len)).for_each(|b| self.fs().device().forget(FsBlock(b)));
        }
        self.add_blocks(-i64::try_from(len).unwrap_or(0));
        blocks::free(self.fs(), self.ino32(), first, len)
    }

    /// The largest size this file can have: 2^32 - 1 blocks with extents, what three levels of pointers
    /// reach without.
    pub fn max_bytes(&self) -> u64 {
        let geometry = self.fs().geometry();
        if self.flags().contains(InodeFlags::EXTENTS) {
            return geometry.max_bytes();
        }
        let pointers = geometry.block_size() as u64 / 4;
        let blocks = 12 + pointers + pointers.pow(2) + pointers.pow(3);
        blocks.min(u64::from(u32::MAX)) << geometry.block_bits
    }
}
