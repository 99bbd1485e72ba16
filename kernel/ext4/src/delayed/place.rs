//! Where delayed blocks get their place: writeback asks for a run, and gets it in one piece if there is one.
//!
//! # Handles
//! The map changes, so there must be a handle, and it cannot begin here, where a page is locked. Who sweeps
//! begins it before ([`crate::aops`]); where there is none, or no room for one more run in it, the answer is
//! EAGAIN, and the sweep lets the page go, begins a new one and asks again.
//!
//! # Unwritten first, or ordered
//! With `dioread_nolock` the blocks are unwritten until their data are on the disk ([`super::convert`]).
//! Else, or when the journal has no room for that, they become written extents at once, before their data are on
//! the disk. The transaction is told of them (`note_new`), and waits for the data before it commits. i_disksize
//! follows in the same handle.
//!
//! # Only what is delayed
//! A run ends where the delayed blocks end: what lies behind has a place, or no bytes. So a page that a
//! truncate has dropped, after it had taken its blocks out, gets none.

use base::{Errno, FileBlock, Result};
use pagecache::{Extent, ExtentKind, MapMode};

use crate::balloc::claim::Claimant;
use crate::disk::inode::InodeFlags;
use crate::extent::node::MAX_BLOCKS;
use crate::inode::Node;
use crate::journal::credits;
use crate::trace;

impl Node {
    /// Places for the dirty blocks from `first` on: at least one, and no more than `count`, unless they were
    /// there. EAGAIN outside a handle, and where that is full; ENOSPC, EROFS, EIO, EUCLEAN.
    ///
    /// `unwritten`: what has no place gets unwritten blocks, and what lies in unwritten blocks stays there; both are
    /// answered as `new`, and converted after the I/O ([`convert`](super::convert)).
    pub(crate) fn map_for_writeback(&self, first: FileBlock, count: u64, unwritten: bool) -> Result<Extent> {
        let block = u32::try_from(first.0).ok().filter(|&b| u64::from(b) < MAX_BLOCKS).ok_or(Errno::EFBIG)?;
        let seen = self.map_blocks(first, count, MapMode::Read)?;
        if matches!(seen.kind, ExtentKind::Mapped { .. }) {
            return Ok(seen);
        }
        self.fs().check_writable()?;
        if !self.has_room_in_handle(credits::map(self, 1))? {
            return Err(Errno::EAGAIN);
        }
        let _alone = self.data_sem().write();
        // A dirty block that is none of these is one by itself.
        let run = self.delayed.find(block);
        let len = run.map_or(1, |run| run.end() - u64::from(block));
        let who = if run.is_some_and(|run| run.reserved) { Claimant::Reserved } else { Claimant::File };
        let how = MapMode::Writeback { unwritten: false };
        trace::da_write_pages_extent(self, block, count.min(len), run.is_some_and(|run| !run.reserved));
        match self.flags().contains(InodeFlags::EXTENTS) {
            true if unwritten && run.is_some() => self.give_unwritten_place(block, count.min(len), who),
            true => self.give_place(block, count.min(len), how, who),
            false => self.give_place_indirect(block, count.min(len), how, who),
        }
    }

    /// Blocks of the file have got written blocks in the map: they are delayed no more. What was reserved for
    /// them was used, if `who` says so, and else is given back. `data_sem` is held alone.
    pub(crate) fn delayed_are_placed(&self, block: u32, len: u32, how: MapMode, who: Claimant) {
        let (from, end) = (u64::from(block), u64::from(block) + u64::from(len));
        let mut state = self.delayed.state.lock();
        let (_, reserved) = self.take_delayed(&mut state, from, end);
        if matches!(how, MapMode::Writeback { .. }) {
            self.raise_disksize(end << self.fs().geometry().block_bits);
        }
        drop(state);
        self.settle_reserved(reserved, who);
    }

    /// Blocks reserved for the file, in sectors of 512 bytes.
    pub(crate) fn delayed_sectors(&self) -> u64 {
        u64::from(self.delayed.reserved()) << (self.fs().geometry().block_bits - 9)
    }

    /// Whether the present handle may change so many blocks more. True without a journal, which knows no
    /// handles.
    fn has_room_in_handle(&self, credits: u32) -> Result<bool> {
        let Some(journal) = self.fs().journal() else { return Ok(true) };
        if !journal.current_handle() {
            return Ok(false);
        }
        let handle = journal.start(0)?;
        Ok(handle.credits_left() >= credits || handle.extend(credits)?)
    }
}
