//! The end of an inode: its last use is dropped and it has no name.
//!
//! # Order
//! Pages, blocks (a handle for each chunk), and in a last handle attributes, off the orphan list, `i_dtime`,
//! the number. What is one chunk goes in that last handle, too. A crash in between finds the inode on the orphan list and goes on; an I/O error leaves it
//! there for the next mount or e2fsck.
//!
//! A fast commit has told of the name that went, and needs no more: an inode that lost its last one in an earlier
//! transaction is on the disk's orphan list, and leaving that costs a whole commit.
//!
//! # Locking
//! A use that is dropped inside a handle is kept until that has ended ([`crate::journal::Later`]). Who wants the
//! number's slot may hold a handle, so the slot is free before the last handle ends, and no handle
//! starts in between.

use alloc::sync::Arc;

use base::Result;
use vfs::FileType;

use super::{Ext4Inode, Node};
use crate::balloc::{inodes, window};
use crate::extent::node::MAX_BLOCKS;
use crate::fs::Ext4Fs;
use crate::inode::cache::use_of;
use crate::journal::credits;

impl Drop for Ext4Inode {
    fn drop(&mut self) {
        let node = &self.node;
        if node.fs.read_only() || (node.nlink() != 0 && !node.has_lazy_times()) {
            return;
        }
        if node.fs.in_handle() {
            // A new use in place of this one, whose end comes when it may.
            return node.fs.later.keep(use_of(node.clone()));
        }
        if node.nlink() != 0 {
            return node.store_lazy_times();
        }
        if node.fs.inodes.begin_eviction(node) {
            let leaving = Leaving { fs: &node.fs, ino: node.ino };
            if let Err(e) = node.delete(leaving) {
                log::error!("EXT4-fs ({}): inode #{}: not deleted: {e}", node.fs.disk_name(), node.ino);
            }
        }
    }
}

/// The slot of an inode that is being evicted; free when dropped.
struct Leaving<'a> {
    fs: &'a Arc<Ext4Fs>,
    ino: u32,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.fs.inodes.end_eviction(self.ino);
    }
}

impl Node {
    fn delete(&self, leaving: Leaving<'_>) -> Result<()> {
        self.fs.bdi().forget(&self.dirty);
        let small = self.is_mapped() && self.is_one_chunk();
        if self.is_mapped() && !small {
            {
                let _handle = self.fs.start_tracked(credits::inode())?;
                self.settle_ordered(0..u64::MAX)?;
            }
            self.set_size(0);
            self.mapping.truncate_pagecache(0);
            self.free_behind(0)?;
        }
        let blocks = if small { credits::chunk(self) } else { 0 };
        let _handle = self.fs.start_tracked(blocks + credits::evict())?;
        // Dropped before the handle.
        let _leaving = leaving;
        if small {
            self.settle_ordered(0..u64::MAX)?;
            self.set_size(0);
            self.mapping.truncate_pagecache(0);
            window::discard(self);
            // Once, by `is_one_chunk`.
            while !self.remove_chunk(0, MAX_BLOCKS, || {}).inspect_err(|_| self.mark_dirty())? {}
        }
        self.free_xattrs()?;
        self.forget_orphan()?;
        // 0 would say "in use": a clock that stands at 1970 still deletes.
        let now = base::time::coarse_now().sec.clamp(1, i64::from(u32::MAX));
        self.mark_deleted(u32::try_from(now).unwrap_or(u32::MAX));
        inodes::give_back(&self.fs, self.ino, self.kind == FileType::Directory)
    }
}
