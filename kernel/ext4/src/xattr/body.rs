//! Attributes in the inode itself, between the extra fields and the inode's end.
//!
//! # Locking
//! The bytes lie in the inode table's buffer: read and written under its guard, for one copy. The
//! caller holds `xattr_sem`.

use alloc::vec::Vec;

use base::Result;

use super::entries::{List, Place};
use crate::disk::feature::Incompat;
use crate::disk::xattr::{BODY_HEADER, MAGIC, PAD};
use crate::inode::Node;

impl Node {
    /// Bytes that attributes may take in the inode, their magic included; 0 when there is no room for
    /// any.
    pub(super) fn body_room(&self) -> usize {
        let extra = usize::from(self.with_meta(|m| m.extra_isize));
        let room = self.fs().geometry().inode_size.saturating_sub(crate::disk::inode::BASE_SIZE + extra);
        // Without extra fields the bytes behind the first 128 have no meaning yet.
        if extra == 0 || room < BODY_HEADER + PAD { 0 } else { room }
    }

    /// A copy of the inode's bytes from the magic on; empty when it has no attributes there.
    pub(super) fn body_bytes(&self) -> Vec<u8> {
        let room = self.body_room();
        if room == 0 {
            return Vec::new();
        }
        self.with_table_slot(|slot| {
            let bytes = &slot[slot.len() - room..];
            if bytes.starts_with(&MAGIC.to_le_bytes()) { bytes.to_vec() } else { Vec::new() }
        })
        .unwrap_or_default()
    }

    /// Whether there are attributes in the inode.
    pub(crate) fn has_body_attributes(&self) -> bool {
        let _shared = self.xattr_sem().read();
        !self.body_bytes().is_empty()
    }

    /// The attributes in [`Node::body_bytes`]. EUCLEAN.
    pub(super) fn body_list<'a>(&self, bytes: &'a [u8]) -> Result<List<'a>> {
        if bytes.is_empty() {
            return Ok(List::empty(Place::Body));
        }
        let ea_inode = self.fs().geometry().has_incompat(Incompat::EA_INODE);
        List::parse(Place::Body, bytes, ea_inode).map_err(|e| self.corrupt(e))
    }

    /// Makes `list` the attributes in the inode. ENOSPC when they do not fit.
    pub(super) fn write_body(&self, list: &List<'_>) -> Result<()> {
        let bytes = self.encode_body(list, self.body_room())?;
        self.write_inode_tail(&bytes);
        Ok(())
    }

    /// The `room` last bytes of the inode with these attributes.
    pub(super) fn encode_body(&self, list: &List<'_>, room: usize) -> Result<Vec<u8>> {
        let mut bytes = alloc::vec![0; room];
        if !list.entries().is_empty() {
            list.write(&mut bytes)?;
            bytes[..BODY_HEADER].copy_from_slice(&MAGIC.to_le_bytes());
        }
        Ok(bytes)
    }
}
