//! Values: beside their entry, or in an inode of their own (ea_inode).
//!
//! Such an inode has no name. It says in `i_atime` the crc32c of its content, and in `i_ctime` and
//! `i_version` how many entries lead to it; the last that goes takes it along. Its blocks are counted
//! in `i_blocks` of the inode that has the attribute, as well as in its own. Changes of a block that is
//! shared and has such entries are refused (EOPNOTSUPP).
//!
//! Source: ext4 documentation, "Extended Attributes" (`e_value_inum`); e2fsck's rules for such inodes.

use alloc::vec::Vec;

use base::{Errno, FileBlock, Ino, Result};

use super::entries::Value;
use super::hash;
use crate::checksum::crc32c;
use crate::disk::inode::InodeFlags;
use crate::inode::Node;
use crate::journal::Reason;

impl Node {
    /// The bytes of a value. EUCLEAN when an inode that should hold it does not.
    pub(super) fn read_value(&self, name: &[u8], value: Value<'_>) -> Result<Vec<u8>> {
        match value {
            Value::Here(bytes) => Ok(bytes.to_vec()),
            Value::Inode { ino, size, hash } => self.read_value_inode(name, ino, size, hash),
        }
    }

    fn read_value_inode(&self, name: &[u8], ino: u32, size: u32, e_hash: u32) -> Result<Vec<u8>> {
        if size as usize > vfs::xattr::SIZE_MAX {
            return Err(Errno::ERANGE);
        }
        let holder = self.value_inode(ino)?;
        if holder.size() != u64::from(size) {
            return Err(self.corrupt(format_args!("attribute value inode {ino} has another size")));
        }
        let mut bytes = Vec::new();
        for number in 0..holder.block_count() {
            let Some(block) = holder.bread_dir(FileBlock(number))? else {
                return Err(self.corrupt(format_args!("attribute value inode {ino} has a hole")));
            };
            bytes.extend_from_slice(&block.read());
        }
        bytes.truncate(size as usize);
        let value_hash = crc32c(self.fs().geometry().csum_seed, &bytes);
        if !hash::entry_matches(name, value_hash, e_hash) {
            return Err(self.corrupt(format_args!("e_hash does not match attribute value inode {ino}")));
        }
        Ok(bytes)
    }

    /// The inode that holds a value.
    fn value_inode(&self, ino: u32) -> Result<alloc::sync::Arc<crate::inode::Ext4Inode>> {
        if ino == self.ino32() {
            return Err(self.corrupt("an attribute's value lies in the inode itself"));
        }
        match self.fs().iget(Ino(u64::from(ino))) {
            Ok(holder) if holder.flags().contains(InodeFlags::EA_INODE) => Ok(holder),
            Ok(_) | Err(Errno::ESTALE) => {
                Err(self.corrupt(format_args!("attribute value inode {ino} is none")))
            }
            Err(e) => Err(e),
        }
    }

    /// One entry less leads to a value's inode; without any it is deleted with its last use.
    pub(super) fn leave_value_inode(&self, ino: u32) -> Result<()> {
        self.fs().mark_ineligible(Reason::Xattr);
        let holder = self.value_inode(ino)?;
        let _alone = holder.rwsem().write();
        let last = holder.with_meta(|m| {
            let count = (m.ctime.sec.cast_unsigned() << 32) | (m.version & u64::from(u32::MAX));
            let left = count.saturating_sub(1);
            m.ctime.sec = i64::from((left >> 32) as u32);
            m.version = (m.version & !u64::from(u32::MAX)) | (left & u64::from(u32::MAX));
            left == 0
        });
        if last {
            holder.set_nlink(0);
        }
        holder.mark_dirty();
        if last { holder.add_orphan() } else { Ok(()) }
    }

    /// The inode goes: so does its use of every value's inode.
    pub(super) fn leave_all_value_inodes(&self) -> Result<()> {
        let mut inodes = Vec::new();
        let body = self.body_bytes();
        // The inodes of a shared block stay with its other users.
        let block = match self.xattr_block()? {
            Some(block) if !super::block::is_shared(&block) => block.read().to_vec(),
            _ => Vec::new(),
        };
        let lists = [self.body_list(&body)?, self.block_list(&block)?];
        for entry in lists.iter().flat_map(|list| list.entries()) {
            if let Value::Inode { ino, .. } = entry.value {
                inodes.push(ino);
            }
        }
        inodes.into_iter().try_for_each(|ino| self.leave_value_inode(ino))
    }
}
