//! The end of an inode: its last use is dropped and it has no name.
//!
//! # Order
//! Pages, blocks, attributes, off the orphan list, `i_dtime`, the number. A crash in between finds the
//! inode on the orphan list and goes on; an I/O error leaves it there for the next mount or e2fsck.

use base::Result;
use vfs::FileType;

use super::{Ext4Inode, Node};
use crate::balloc::inodes;

impl Drop for Ext4Inode {
    fn drop(&mut self) {
        let node = &self.node;
        if node.nlink() == 0 && !node.fs.read_only() && node.fs.inodes.begin_eviction(node) {
            if let Err(e) = node.delete() {
                log::error!("EXT4-fs ({}): inode #{}: not deleted: {e}", node.fs.disk_name(), node.ino);
            }
            node.fs.inodes.end_eviction(node.ino);
        }
    }
}

impl Node {
    fn delete(&self) -> Result<()> {
        self.fs.bdi().forget(&self.dirty);
        let mapped = self.is_mapped();
        if mapped {
            self.set_size(0);
            self.mapping.truncate_pagecache(0);
            self.free_behind(0)?;
        }
        self.free_xattrs()?;
        self.del_orphan()?;
        // 0 would say "in use": a clock that stands at 1970 still deletes.
        let now = base::time::coarse_now().sec.clamp(1, i64::from(u32::MAX));
        self.mark_deleted(u32::try_from(now).unwrap_or(u32::MAX));
        inodes::give_back(&self.fs, self.ino, self.kind == FileType::Directory)
    }
}
