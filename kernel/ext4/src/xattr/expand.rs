//! Room for more extra fields: `i_extra_isize` of an old inode grows to `s_want_extra_isize`.
//!
//! ```text
//!   128 | extra | magic, entries … values |          an inode made with fewer extra fields
//!   128 | extra + new | magic, entries … |           the attributes moved up, those that no longer
//!                                                     fit moved to the block
//! ```
//! Without the fields an inode has no nanoseconds, no times past 2038 and no birth; Linux makes room
//! when it next changes the inode, and so does Quill, with setattr and with a new attribute.

use base::Result;

use super::entries::{List, Place};
use crate::disk::feature::Incompat;
use crate::disk::inode::BASE_SIZE;
use crate::inode::Node;

impl Node {
    /// Grows `i_extra_isize` to what the superblock wants, if it is less and there is a way. That there
    /// is none is no error. EIO, EUCLEAN.
    pub(crate) fn grow_extra_isize(&self) -> Result<()> {
        let want = self.fs().geometry().want_extra_isize;
        let old = self.with_meta(|m| m.extra_isize);
        if old >= want {
            return Ok(());
        }
        let _alone = self.xattr_sem().write();
        let bytes = self.body_bytes();
        let mut body = self.body_list(&bytes)?;
        let room = self.fs().geometry().inode_size.saturating_sub(BASE_SIZE + usize::from(want));
        if !body.entries().is_empty() && !body.fits(room) && !self.move_to_block(&mut body, room)? {
            return Ok(());
        }
        // The new fields are zeros, and so is what lies between them and a larger i_extra_isize.
        let mut tail = alloc::vec![0; usize::from(want - old)];
        tail.extend(self.encode_body(&body, room)?);
        self.widen(want, &tail);
        Ok(())
    }

    /// Moves attributes out of the inode until the rest fits `room`. False when the block is too
    /// small for them; then nothing has changed.
    fn move_to_block(&self, body: &mut List<'_>, room: usize) -> Result<bool> {
        let old = self.xattr_block()?;
        let bytes = old.as_ref().map_or_else(alloc::vec::Vec::new, |b| b.read().to_vec());
        let ea_inode = self.fs().geometry().has_incompat(Incompat::EA_INODE);
        let mut block = match bytes.as_slice() {
            [] => List::empty(Place::Block),
            bytes => List::parse(Place::Block, bytes, ea_inode).map_err(|e| self.corrupt(e))?,
        };
        let mut stays = List::empty(Place::Body);
        for entry in body.entries() {
            stays.set(*entry);
            // The rest of an inline file never leaves the inode.
            if !stays.fits(room) && entry.index != super::name::SYSTEM {
                stays.remove(entry.index, entry.name);
                block.set(*entry);
            }
        }
        if !stays.fits(room) || !block.fits(self.fs().geometry().block_size()) {
            return Ok(false);
        }
        match self.write_xattr_block(old.as_ref(), &block) {
            Ok(()) => {}
            Err(base::Errno::ENOSPC) => return Ok(false),
            Err(e) => return Err(e),
        }
        let mut moved = List::empty(Place::Body);
        body.entries().iter().filter(|e| stays.find(e.index, e.name).is_some()).for_each(|e| moved.set(*e));
        *body = moved;
        Ok(true)
    }
}
