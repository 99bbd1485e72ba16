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
//! The caller holds `rwsem` alone. `data_sem` is taken alone for step 5, anew for every few hundred runs.

use alloc::vec::Vec;

use base::{Errno, FsBlock, Result};
use vfs::FileType;

use crate::balloc::{blocks, window};
use crate::disk::feature::RoCompat;
use crate::disk::inode::InodeFlags;
use crate::extent::node::MAX_BLOCKS;
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
        if self.truncate_inline(size)? {
            self.touch(Touch::Modified);
            self.mark_dirty();
            return Ok(());
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

    /// Frees the blocks that lie wholly behind `size`. No page of them is cached any more.
    pub(crate) fn free_behind(&self, size: u64) -> Result<()> {
        if !self.is_mapped() {
            return Ok(());
        }
        window::discard(self);
        let first = size.div_ceil(self.fs().geometry().block_size() as u64);
        self.remove_blocks(first, MAX_BLOCKS, || {})
    }

    /// Takes the file blocks `from..to` out of the map and frees them, some hundred runs at a time.
    /// `between` is called after some were taken out and before they are freed: who found their
    /// place before has to be done with them when it returns.
    pub(crate) fn remove_blocks(&self, from: u64, to: u64, between: impl Fn()) -> Result<()> {
        loop {
            let mut gone = Removed::default();
            let done = {
                let _alone = self.data_sem().write();
                // Below 2^32 where there is anything to forget.
                self.extents.forget(u32::try_from(from).unwrap_or(u32::MAX), to);
                if self.flags().contains(InodeFlags::EXTENTS) {
                    Tree::of(self).remove(from, to, &mut gone)
                } else {
                    indirect::remove(self, from, to, &mut gone)
                }
            };
            between();
            // What was taken out is nobody's, even when the rest could not be.
            for run in &gone.runs {
                match run.metadata {
                    true => self.free_pointers(run.first)?,
                    false => self.free_run(run.first, run.len)?,
                }
            }
            if done? {
                return Ok(());
            }
        }
    }

    /// Frees a block of pointers.
    fn free_pointers(&self, block: FsBlock) -> Result<()> {
        self.add_blocks(-1);
        blocks::free_metadata(self.fs(), self.ino32(), block)
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
        indirect::limit::max_bytes(geometry.block_bits, geometry.has_ro_compat(RoCompat::HUGE_FILE))
            .min(geometry.max_bytes())
    }
}

/// Runs that were taken out of a file's map and are to be freed.
#[derive(Default)]
pub(crate) struct Removed {
    runs: Vec<Run>,
}

struct Run {
    first: FsBlock,
    len: u64,
    /// A block of pointers.
    metadata: bool,
}

impl Removed {
    const FULL: usize = 256;

    /// Whether these are enough for one time.
    pub fn is_full(&self) -> bool {
        self.runs.len() >= Removed::FULL
    }

    /// A run of data, joined with the one before it where they touch.
    pub fn data(&mut self, first: FsBlock, len: u64) {
        match self.runs.last_mut().filter(|last| !last.metadata) {
            Some(last) if last.first.0 + last.len == first.0 => last.len += len,
            Some(last) if first.0 + len == last.first.0 => {
                last.first = first;
                last.len += len;
            }
            _ => self.runs.push(Run { first, len, metadata: false }),
        }
    }

    /// A block of pointers.
    pub fn metadata(&mut self, block: FsBlock) {
        self.runs.push(Run { first: block, len: 1, metadata: true });
    }
}
