//! The end of an inode: its last use is dropped and it has no name.
//!
//! # Order
//! Pages, blocks, attributes, off the orphan list, `i_dtime`, the number. A crash in between finds the
//! inode on the orphan list and goes on; an I/O error leaves it there for the next mount or e2fsck.

use base::{FsBlock, Result};
use vfs::FileType;
use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::U32;

use super::{Ext4Inode, Node};
use crate::balloc::{blocks, inodes};
use crate::checksum::crc32c;

/// `h_magic` of a block of extended attributes.
const XATTR_MAGIC: u32 = 0xea02_0000;
/// `h_refcount` and `h_checksum` in it.
const REFCOUNT: usize = 4;
const CHECKSUM: usize = 16;

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
        self.free_attributes()?;
        self.del_orphan()?;
        // 0 would say "in use": a clock that stands at 1970 still deletes.
        let now = base::time::coarse_now().sec.clamp(1, i64::from(u32::MAX));
        self.mark_dirty();
        self.set_dtime(u32::try_from(now).unwrap_or(u32::MAX));
        inodes::give_back(&self.fs, self.ino, self.kind == FileType::Directory)
    }

    /// One user less of the block of extended attributes; the last frees it.
    fn free_attributes(&self) -> Result<()> {
        let file_acl = self.with_meta(|m| core::mem::take(&mut m.file_acl));
        if file_acl == 0 {
            return Ok(());
        }
        let block = FsBlock(file_acl);
        if !self.fs.zones.allows(block, 1) {
            return Err(self.corrupt_block(block, "i_file_acl cannot belong to a file"));
        }
        self.add_blocks(-1);
        let buffer = self.fs.device().bread(block)?;
        let word = |at: usize| {
            buffer.read().get(at..).and_then(|b| U32::read_from_prefix(b).ok()).map_or(0, |w| w.0.get())
        };
        if word(0) != XATTR_MAGIC {
            return Err(self.corrupt_block(block, "h_magic of the attribute block is wrong"));
        }
        let users = word(REFCOUNT);
        if users <= 1 {
            return blocks::free_metadata(&self.fs, self.ino, block);
        }
        let mut bytes = buffer.write();
        bytes[REFCOUNT..REFCOUNT + 4].copy_from_slice(&(users - 1).to_le_bytes());
        if self.fs.geometry().metadata_csum() {
            bytes[CHECKSUM..CHECKSUM + 4].fill(0);
            let crc = crc32c(crc32c(self.fs.geometry().csum_seed, &file_acl.to_le_bytes()), &bytes);
            bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&crc.to_le_bytes());
        }
        Ok(())
    }
}
