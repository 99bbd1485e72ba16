//! Symbolic links.
//!
//! A target of up to 59 bytes lies in the inode itself, where the block map would be (a *fast* link:
//! it has no blocks). A longer one lies in the file's first block. Neither goes through the page
//! cache: the block is metadata in the device's cache, as a directory's are.
//!
//! # Locking
//! [`write_target`] works on an inode that nobody else has yet. A link never changes afterwards, so
//! reading needs no lock.
//!
//! Source: the kernel's ext4 documentation, "Symbolic Links".

use alloc::vec::Vec;

use base::{Errno, FileBlock, Result};
use vfs::{MountFlags, Symlink};

use crate::dir::DirBlocks;
use crate::disk::inode::{BLOCK_SIZE, InodeFlags};
use crate::inode::{Ext4Inode, Node};
use crate::namei::NodeDir;

/// The longest target of a fast link: one byte of `i_block` is left for a NUL.
pub(crate) const FAST_MAX: usize = BLOCK_SIZE - 1;

/// Gives a new link its target, which is shorter than a block. ENOSPC, EIO.
pub(crate) fn write_target(inode: &Ext4Inode, target: &[u8]) -> Result<()> {
    if target.len() <= FAST_MAX {
        inode.set_flags(InodeFlags::EXTENTS, false);
        inode.with_meta(|m| {
            m.block = [0; BLOCK_SIZE];
            m.block[..target.len()].copy_from_slice(target);
        });
    } else {
        let mut bytes = alloc::vec![0; inode.fs().geometry().block_size()];
        bytes.get_mut(..target.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(target);
        NodeDir::new(inode).append(&bytes)?;
    }
    inode.set_size(target.len() as u64);
    inode.mark_dirty();
    Ok(())
}

impl Symlink for Ext4Inode {
    fn accessed(&self, mount: MountFlags) {
        Node::accessed(self, mount);
    }

    fn readlink(&self) -> Result<Vec<u8>> {
        let size = usize::try_from(self.size()).map_err(|_| Errno::EUCLEAN)?;
        let target = if let Some(bytes) = self.inline_bytes()? {
            Some(bytes).filter(|bytes| bytes.len() == size)
        } else if self.is_fast_symlink() {
            let block = self.with_meta(|m| m.block);
            block.get(..size).filter(|_| size <= FAST_MAX).map(<[u8]>::to_vec)
        } else {
            let buffer = self.bread_dir(FileBlock(0))?;
            let bytes = buffer.as_ref().map(|buffer| buffer.read());
            bytes.and_then(|bytes| bytes.get(..size).map(<[u8]>::to_vec))
        };
        let target = target.ok_or_else(|| self.corrupt(format_args!("symbolic link of {size} bytes")))?;
        if target.is_empty() || target.contains(&0) {
            return Err(self.corrupt("symbolic link with an empty target or a NUL in it"));
        }
        Ok(target)
    }
}
