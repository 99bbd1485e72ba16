//! `system.data`: what of an inline file does not fit `i_block`. It lies in the inode, never in a block,
//! and no program sees its name.
//!
//! # Locking
//! Each function takes `xattr_sem`, which orders whoever reads inline bytes with whoever stores them:
//! `look` and `change` run under it.

use alloc::vec::Vec;

use base::{Errno, Result};

use super::entries::{Entry, Value};
use super::name::SYSTEM;
use crate::disk::xattr::{BODY_HEADER, ENTRY, PAD};
use crate::inode::Node;

const NAME: &[u8] = b"data";

impl Node {
    /// Shows the value, None when there is none, under `xattr_sem` shared. EUCLEAN.
    pub(crate) fn with_system_data<R>(&self, look: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let _shared = self.xattr_sem().read();
        let body = self.body_bytes();
        match self.body_list(&body)?.find(SYSTEM, NAME) {
            Some(Value::Here(value)) => Ok(look(Some(value))),
            Some(Value::Inode { .. }) => Err(self.corrupt("system.data lies outside the inode")),
            None => Ok(look(None)),
        }
    }

    /// The longest value that fits the inode beside its other attributes. None: not even an empty one.
    pub(crate) fn system_data_room(&self) -> Result<Option<usize>> {
        let _shared = self.xattr_sem().read();
        let body = self.body_bytes();
        let mut list = self.body_list(&body)?;
        list.remove(SYSTEM, NAME);
        let used: usize = list.entries().iter().map(Entry::len).sum();
        let head = BODY_HEADER + used + ENTRY + NAME.len() + PAD;
        // Values are padded.
        Ok(self.body_room().checked_sub(head).map(|room| room / PAD * PAD))
    }

    /// Stores the value, with None removes it, and then changes the rest of the inode, both under
    /// `xattr_sem` alone; the inode goes to its table. ENOSPC when it does not fit; then nothing changes.
    pub(crate) fn set_system_data(&self, value: Option<&[u8]>, change: impl FnOnce()) -> Result<()> {
        let _alone = self.xattr_sem().write();
        let body = self.body_bytes();
        let mut list = self.body_list(&body)?;
        match value {
            Some(value) => list.set(Entry { index: SYSTEM, name: NAME, value: Value::Here(value) }),
            None => list.remove(SYSTEM, NAME),
        }
        let room = self.body_room();
        if room == 0 {
            // Without room for attributes there can be none to remove.
            return if value.is_none() { Ok(()) } else { Err(Errno::ENOSPC) };
        }
        let tail: Vec<u8> = self.encode_body(&list, room)?;
        change();
        self.write_inode_tail(&tail);
        self.mark_dirty();
        Ok(())
    }
}
