//! A block of attributes, which several inodes may share.
//!
//! ```text
//!   h_refcount 1   rewritten in place
//!   h_refcount n   the inode that changes gets a block of its own, the shared one loses a user
//!   last user      the block is freed
//! ```
//! Linux shares a block among inodes whose attributes are equal. Quill respects that, and makes no new
//! sharing: so a block with one user, found under its inode's `xattr_sem`, keeps one.
//!
//! # Locking
//! The count changes under the buffer's write guard. Nothing else is held but the inode's semaphores.

use base::{FsBlock, Result};
use pagecache::Buffer;
use zerocopy::{FromBytes, IntoBytes};

use super::entries::{List, Place, XattrError};
use super::hash;
use crate::balloc::blocks::{self, Request};
use crate::balloc::claim::Claimant;
use crate::disk::feature::{Compat, Incompat};
use crate::disk::xattr::{BLOCK_HEADER, BlockHeader, MAGIC, REFCOUNT_MAX};
use crate::inode::Node;

fn header(bytes: &[u8]) -> core::result::Result<BlockHeader, XattrError> {
    BlockHeader::read_from_prefix(bytes).map(|(header, _)| header).map_err(|_| XattrError::Magic(0))
}

/// Whether more than one inode uses a block.
pub(super) fn is_shared(block: &Buffer) -> bool {
    header(&block.read()).is_ok_and(|head| head.h_refcount.get() > 1)
}

impl Node {
    /// The inode's block of attributes, with its head and all entries checked. EUCLEAN, EIO.
    pub(super) fn xattr_block(&self) -> Result<Option<Buffer>> {
        let number = FsBlock(self.with_meta(|m| m.file_acl));
        if number.0 == 0 {
            return Ok(None);
        }
        if !self.fs().zones.allows(number, 1) {
            return Err(self.corrupt_block(number, XattrError::Place));
        }
        let buffer = self.fs().device().bread(number)?;
        let checked = self.check_xattr_block(number, &buffer.read());
        checked.map_err(|e| self.corrupt_block(number, e))?;
        Ok(Some(buffer))
    }

    fn check_xattr_block(&self, number: FsBlock, bytes: &[u8]) -> core::result::Result<(), XattrError> {
        let geometry = self.fs().geometry();
        let head = header(bytes)?;
        if head.h_magic.get() != MAGIC {
            return Err(XattrError::Magic(head.h_magic.get()));
        }
        if head.h_blocks.get() != 1 {
            return Err(XattrError::Blocks(head.h_blocks.get()));
        }
        if !(1..=REFCOUNT_MAX).contains(&head.h_refcount.get()) {
            return Err(XattrError::Refcount(head.h_refcount.get()));
        }
        if geometry.metadata_csum() {
            let (disk, computed) =
                (head.h_checksum.get(), hash::checksum(geometry.csum_seed, number.0, bytes));
            if disk != computed {
                return Err(XattrError::Checksum(disk, computed));
            }
        }
        List::parse(Place::Block, bytes, geometry.has_incompat(Incompat::EA_INODE)).map(drop)
    }

    /// Makes `list` the attributes in the inode's block: in place, in a new block, or in none. `old` is
    /// the present block. ENOSPC leaves all as it was.
    pub(super) fn write_xattr_block(&self, old: Option<&Buffer>, list: &List<'_>) -> Result<()> {
        let mut bytes = alloc::vec![0; self.fs().geometry().block_size()];
        list.write(&mut bytes)?;
        if list.entries().is_empty() {
            return old.map_or(Ok(()), |old| self.leave_xattr_block(old.block()));
        }
        if let Some(old) = old.filter(|old| !is_shared(old)) {
            self.seal_xattr_block(old.block(), &mut bytes, 1);
            old.write().copy_from_slice(&bytes);
            return Ok(());
        }
        let new = self.new_xattr_block()?;
        self.seal_xattr_block(new, &mut bytes, 1);
        self.fs().device().getblk(new)?.write().copy_from_slice(&bytes);
        if let Some(old) = old {
            self.leave_xattr_block(old.block())?;
        }
        self.with_meta(|m| m.file_acl = new.0);
        self.add_blocks(1);
        Ok(())
    }

    /// Writes head, hash and checksum.
    fn seal_xattr_block(&self, number: FsBlock, bytes: &mut [u8], users: u32) {
        let geometry = self.fs().geometry();
        let mut head = BlockHeader {
            h_magic: MAGIC.into(),
            h_refcount: users.into(),
            h_blocks: 1.into(),
            h_hash: hash::block(bytes).into(),
            h_checksum: 0.into(),
            h_reserved: [0.into(); 3],
        };
        bytes[..BLOCK_HEADER].copy_from_slice(head.as_bytes());
        if geometry.metadata_csum() {
            head.h_checksum = hash::checksum(geometry.csum_seed, number.0, bytes).into();
            bytes[..BLOCK_HEADER].copy_from_slice(head.as_bytes());
        }
    }

    /// A block near the inode. ENOSPC.
    fn new_xattr_block(&self) -> Result<FsBlock> {
        let geometry = self.fs().geometry();
        let group = geometry.locate_inode(self.ino()).map_or(0, |(group, _)| group);
        let request = Request { goal: geometry.group_first_block(group), want: 1, who: Claimant::File };
        let (block, _) = blocks::allocate(self.fs(), &request)?;
        if !geometry.has_compat(Compat::EXT_ATTR) {
            self.fs().note_ext_attr();
        }
        Ok(block)
    }

    /// The inode uses its block of attributes no more; the last user frees it.
    pub(super) fn leave_xattr_block(&self, number: FsBlock) -> Result<()> {
        self.with_meta(|m| m.file_acl = 0);
        self.add_blocks(-1);
        let buffer = self.fs().device().bread(number)?;
        let last = {
            let mut bytes = buffer.write();
            let Ok(mut head) = header(&bytes) else { return Ok(()) };
            let users = head.h_refcount.get().saturating_sub(1);
            if users > 0 {
                head.h_refcount = users.into();
                bytes[..BLOCK_HEADER].copy_from_slice(head.as_bytes());
                if self.fs().geometry().metadata_csum() {
                    head.h_checksum = hash::checksum(self.fs().geometry().csum_seed, number.0, &bytes).into();
                    bytes[..BLOCK_HEADER].copy_from_slice(head.as_bytes());
                }
            }
            users == 0
        };
        if last { blocks::free_metadata(self.fs(), self.ino32(), number) } else { Ok(()) }
    }
}
