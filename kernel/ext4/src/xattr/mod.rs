//! Extended attributes of an inode, and what is built on them.
//!
//! # Where an attribute lies
//! First in the inode, behind its extra fields, as long as there is room; else in one block
//! (`i_file_acl`) that inodes may share; a value of an ea_inode file system may lie in an inode of
//! its own, which is read and given up, but never made.
//!
//! ```text
//!   mod.rs      get, set, list            entries.rs  the door: bytes to a checked list and back
//!   body.rs     in the inode              hash.rs     hashes and checksum
//!   block.rs    in a block, shared        name.rs     namespaces
//!   value.rs    in an inode of its own    expand.rs   room for more extra fields
//!   system_data.rs  the rest of an inline file
//! ```
//!
//! # Order of the steps
//! A new value is written before the old one is taken away, so a crash in between leaves both, of
//! which the one in the inode is found first; a lost value is never the outcome.
//!
//! # Locking
//! `i_rwsem` (the vfs) → handle → `xattr_sem`, shared to read, alone to change → a group's lock → one buffer
//! guard. Nothing of another inode is touched under it but an ea_inode's link count.
//!
//! # Invariants
//! 1. A name is at most once in inode and block together.
//! 2. `i_file_acl` names a block whose `h_refcount` counts this inode.
//!
//! Source: ext4 documentation, "Extended Attributes"; xattr(7).

mod block;
mod body;
mod entries;
mod expand;
mod hash;
pub mod name;
mod system_data;
mod value;

use alloc::vec::Vec;

use base::{Errno, FsBlock, Result};
use pagecache::Buffer;
use vfs::xattr::{CAPABILITY, Name, XattrFlags, Xattrs};

use crate::disk::feature::Incompat;
use crate::inode::{Ext4Inode, Node, Touch};
use crate::journal::Reason;
use crate::journal::credits;
use crate::options::Flag;
use entries::{Entry, List, Place, Value};

impl Node {
    /// The value of an attribute. None when there is none; EUCLEAN, EIO.
    pub fn xattr(&self, index: u8, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let _shared = self.xattr_sem().read();
        self.xattr_locked(index, name)
    }

    /// The same under `xattr_sem`.
    fn xattr_locked(&self, index: u8, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let body = self.body_bytes();
        if let Some(value) = self.body_list(&body)?.find(index, name) {
            return self.read_value(name, value).map(Some);
        }
        let Some(block) = self.xattr_block()? else { return Ok(None) };
        let bytes = block.read().to_vec();
        match self.block_list(&bytes)?.find(index, name) {
            Some(value) => self.read_value(name, value).map(Some),
            None => Ok(None),
        }
    }

    /// The attributes in the block's bytes, which [`Node::xattr_block`] has checked.
    fn block_list<'a>(&self, bytes: &'a [u8]) -> Result<List<'a>> {
        if bytes.is_empty() {
            return Ok(List::empty(Place::Block));
        }
        let ea_inode = self.fs().geometry().has_incompat(Incompat::EA_INODE);
        List::parse(Place::Block, bytes, ea_inode)
            .map_err(|e| self.corrupt_block(FsBlock(self.with_meta(|m| m.file_acl)), e))
    }

    /// Sets an attribute, or with None takes it away. ENODATA, EEXIST, ENOSPC, EUCLEAN, EIO.
    pub fn set_xattr(&self, index: u8, name: &[u8], value: Option<&[u8]>, flags: XattrFlags) -> Result<()> {
        self.fs().transact_tracked(credits::xattr(), || self.set_xattr_locked(index, name, value, flags))
    }

    /// The same inside a handle.
    fn set_xattr_locked(
        &self,
        index: u8,
        name: &[u8],
        value: Option<&[u8]>,
        flags: XattrFlags,
    ) -> Result<()> {
        self.fs().mark_ineligible(Reason::Xattr);
        let _alone = self.xattr_sem().write();
        let body = self.body_bytes();
        let block = self.xattr_block()?;
        let block_bytes = block.as_ref().map_or_else(Vec::new, |b| b.read().to_vec());
        let change =
            Change { index, name, body: self.body_list(&body)?, block: self.block_list(&block_bytes)? };
        let old = change.old();
        match (old, value) {
            (None, _) if flags.contains(XattrFlags::REPLACE) => return Err(Errno::ENODATA),
            (None, None) => return Ok(()),
            (Some(_), Some(_)) if flags.contains(XattrFlags::CREATE) => return Err(Errno::EEXIST),
            (Some(Value::Here(old)), Some(new)) if old == new => return Ok(()),
            _ => {}
        }
        if block.as_ref().is_some_and(block::is_shared) && change.block.has_value_inodes() {
            // A copy of the block would be one more user of each such inode.
            return Err(Errno::EOPNOTSUPP);
        }
        match value {
            Some(value) => self.place_value(change, block.as_ref(), value)?,
            None => self.remove_entry(change, block.as_ref())?,
        }
        if let Some(Value::Inode { ino, size, .. }) = old {
            // Its blocks were counted here too.
            self.add_blocks(-i64::from(size.div_ceil(1 << self.fs().geometry().block_bits)));
            self.leave_value_inode(ino)?;
        }
        self.touch(Touch::Changed);
        self.mark_dirty();
        Ok(())
    }

    /// Puts a value into the inode if it fits, else into the block, and takes it from where it was.
    fn place_value<'a>(&self, mut change: Change<'a>, block: Option<&Buffer>, value: &'a [u8]) -> Result<()> {
        let (index, name) = (change.index, change.name);
        let new = Entry { index, name, value: Value::Here(value) };
        let (in_body, in_block) = change.where_is_it();
        let room = self.body_room();
        change.body.set(new);
        if change.body.fits(room) {
            self.write_body(&change.body)?;
            if in_block {
                change.block.remove(index, name);
                self.write_xattr_block(block, &change.block)?;
            }
            return Ok(());
        }
        change.block.set(new);
        self.write_xattr_block(block, &change.block)?;
        if in_body {
            change.body.remove(index, name);
            self.write_body(&change.body)?;
        }
        Ok(())
    }

    fn remove_entry(&self, mut change: Change<'_>, block: Option<&Buffer>) -> Result<()> {
        let (in_body, in_block) = change.where_is_it();
        if in_body {
            change.body.remove(change.index, change.name);
            self.write_body(&change.body)?;
        }
        if in_block {
            change.block.remove(change.index, change.name);
            self.write_xattr_block(block, &change.block)?;
        }
        Ok(())
    }

    /// Tells namespace and name of every attribute. EUCLEAN, EIO.
    pub fn list_xattrs(&self, each: &mut dyn FnMut(u8, &[u8])) -> Result<()> {
        let _shared = self.xattr_sem().read();
        let body = self.body_bytes();
        self.body_list(&body)?.entries().iter().for_each(|e| each(e.index, e.name));
        if let Some(block) = self.xattr_block()? {
            let bytes = block.read().to_vec();
            self.block_list(&bytes)?.entries().iter().for_each(|e| each(e.index, e.name));
        }
        Ok(())
    }

    /// A new inode has none, so nobody need look.
    pub(crate) fn note_no_xattrs(&self) {
        self.set_no_capability(true);
        self.acls.note_none();
    }

    /// Takes a program's capabilities away, since its content changes. Looks once: then it is known
    /// that there are none. The caller holds `rwsem` alone.
    #[inline]
    pub(crate) fn drop_capability(&self) -> Result<()> {
        if self.no_capability() { Ok(()) } else { self.look_for_capability() }
    }

    #[cold]
    fn look_for_capability(&self) -> Result<()> {
        if self.xattr(name::SECURITY, CAPABILITY.rest)?.is_some() {
            self.set_xattr(name::SECURITY, CAPABILITY.rest, None, XattrFlags::empty())?;
        }
        self.set_no_capability(true);
        Ok(())
    }

    /// The inode goes for good: its share of the block, and inodes that hold values.
    pub(crate) fn free_xattrs(&self) -> Result<()> {
        let _alone = self.xattr_sem().write();
        if self.fs().geometry().has_incompat(Incompat::EA_INODE) {
            self.leave_all_value_inodes()?;
        }
        match self.xattr_block()? {
            Some(block) => self.leave_xattr_block(block.block()),
            None => Ok(()),
        }
    }
}

/// What a change starts from.
struct Change<'a> {
    index: u8,
    name: &'a [u8],
    body: List<'a>,
    block: List<'a>,
}

impl<'a> Change<'a> {
    fn old(&self) -> Option<Value<'a>> {
        self.body.find(self.index, self.name).or_else(|| self.block.find(self.index, self.name))
    }

    /// Whether it is in the inode, and in the block.
    fn where_is_it(&self) -> (bool, bool) {
        let there = |list: &List<'_>| list.find(self.index, self.name).is_some();
        (there(&self.body), there(&self.block))
    }
}

impl Xattrs for Ext4Inode {
    fn get(&self, name: Name<'_>) -> Result<Vec<u8>> {
        self.check_space(name)?;
        self.xattr(name::index(name.space), name.rest)?.ok_or(Errno::ENODATA)
    }

    fn set(&self, name: Name<'_>, value: Option<&[u8]>, flags: XattrFlags) -> Result<()> {
        self.check_space(name)?;
        if name == CAPABILITY && value.is_none() && flags.is_empty() {
            return self.drop_capability();
        }
        self.set_xattr(name::index(name.space), name.rest, value, flags)?;
        if name == CAPABILITY {
            self.set_no_capability(value.is_none());
        }
        self.commit_if_sync();
        Ok(())
    }

    fn list(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let (user, acl) = (self.fs().is_on(Flag::USER_XATTR), !self.fs().no_acl());
        self.list_xattrs(&mut |index, rest| {
            let hidden = match index {
                name::USER => !user,
                name::ACL_ACCESS | name::ACL_DEFAULT => !acl,
                _ => false,
            };
            if let Some(whole) = name::whole(index, rest).filter(|_| !hidden) {
                each(&whole);
            }
        })
    }
}

impl Ext4Inode {
    /// EOPNOTSUPP for `user.` under the option nouser_xattr.
    fn check_space(&self, name: Name<'_>) -> Result<()> {
        let off = name.space == vfs::xattr::Namespace::User && !self.fs().is_on(Flag::USER_XATTR);
        if off { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
    }
}
