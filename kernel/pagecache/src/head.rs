//! A buffer head: the state of one block within a page.
//!
//! A page of 4 KiB holds one, two, four or eight blocks. Each has a place on the disk and bits of its own,
//! so that with 1 KiB blocks one block of a page can be dirty while its neighbour was never read.
//! The place and the bits are one atomic word, kept inside the page: nothing is allocated.
//!
//! ```text
//!   MAPPED     `block` is its place on the disk
//!   NEW        allocated by the write under way: what the disk holds there is not the file's
//!   DELAY      space is reserved, the place comes at writeback
//!   UNWRITTEN  its place is allocated but unwritten, and the bytes are on their way: it is converted when they are there
//!   UPTODATE   the page's bytes are the block's content
//!   DIRTY      they are newer than the disk's
//!   WRITING    they are on their way to the disk
//!   CHECKED    of metadata: who uses the block has found its bytes sound since they were read
//!   JOURNALLED of metadata, and of data with data=journal: changed in the journal's running transaction; may not go home before its commit
//!   COMMITTING the same: of the transaction that commits, its bytes not yet copied to the log
//! ```
//! # Locking
//! MAPPED, NEW, DELAY, UNWRITTEN and the place change with the page locked, or by the end of an I/O that has
//! UNWRITTEN set, which is so under WRITEBACK only. UPTODATE is set by who
//! holds the page lock (or the read that holds it). DIRTY of a data page is set with the page locked;
//! of a metadata buffer also without, by `Buffer::write`'s guard. WRITING is set with the page locked
//! and cleared by the end of the I/O. CHECKED is set at any time by the block's user. JOURNALLED and COMMITTING
//! are the journal's: set with the block's bytes locked for writing, changed by its commit under its own lock.
//! Where JOURNALLED is set, DIRTY is not.

use base::FsBlock;
use sync::atomic::{AtomicU64, Ordering};

const PLACE_BITS: u32 = 48;
const PLACE: u64 = (1 << PLACE_BITS) - 1;

/// `block` is the place on the disk.
pub const MAPPED: u64 = 1 << 48;
/// Allocated by the write under way.
pub const NEW: u64 = 1 << 49;
/// Reserved, not placed.
pub const DELAY: u64 = 1 << 50;
/// Placed, to be converted after the I/O that is under way.
pub const UNWRITTEN: u64 = 1 << 51;
/// The bytes are the block's.
pub const UPTODATE: u64 = 1 << 52;
/// The bytes are newer than the disk's.
pub const DIRTY: u64 = 1 << 53;
/// The bytes are being written.
pub const WRITING: u64 = 1 << 54;
/// The user of a metadata block has checked it.
pub const CHECKED: u64 = 1 << 55;
/// In the list of the journal's running transaction.
pub const JOURNALLED: u64 = 1 << 56;
/// In the list of the transaction that commits, and not copied to the log yet.
pub const COMMITTING: u64 = 1 << 57;

/// One block's state.
#[derive(Debug, Default)]
pub struct BufferHead(AtomicU64);

impl BufferHead {
    /// Its bits (and place).
    #[inline]
    pub fn state(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether all of `bits` are set.
    #[inline]
    pub fn has(&self, bits: u64) -> bool {
        self.state() & bits == bits
    }

    /// Its place on the disk, when MAPPED.
    #[inline]
    pub fn block(&self) -> Option<FsBlock> {
        let state = self.state();
        (state & MAPPED != 0).then_some(FsBlock(state & PLACE))
    }

    /// Sets bits; returns the state before.
    #[inline]
    pub fn set(&self, bits: u64) -> u64 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }

    /// Clears bits; returns the state before.
    #[inline]
    pub fn clear(&self, bits: u64) -> u64 {
        self.0.fetch_and(!bits, Ordering::AcqRel)
    }

    /// Clears `from` and sets `to` in one step; returns the state before.
    #[inline]
    pub fn replace(&self, from: u64, to: u64) -> u64 {
        let step = |old: u64| Some((old & !from) | to);
        // The closure always gives a value, so both arms are the state before.
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).unwrap_or_else(|old| old)
    }

    /// Gives it a place; false when the number needs more than 48 bits.
    pub fn map(&self, block: FsBlock) -> bool {
        if block.0 > PLACE {
            return false;
        }
        let place = |old: u64| Some((old & !(PLACE | DELAY)) | MAPPED | block.0);
        // The closure always gives a value, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, place);
        true
    }

    /// The same of a place that is unwritten until the I/O that begins now is over.
    pub(crate) fn map_unwritten(&self, block: FsBlock) -> bool {
        if block.0 > PLACE {
            return false;
        }
        let place = |old: u64| Some((old & !(PLACE | DELAY)) | MAPPED | UNWRITTEN | block.0);
        // The closure always gives a value, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, place);
        true
    }

    /// Its bytes did not reach the disk: it is dirty still. One that is unwritten there has no place any more, so
    /// that the next attempt asks for it, and converts it.
    pub(crate) fn write_failed(&self) {
        let again = |old: u64| {
            let unwritten = old & UNWRITTEN != 0;
            Some(if unwritten { (old & !(MAPPED | UNWRITTEN | PLACE)) | DELAY } else { old } | DIRTY)
        };
        // The closure always gives a value, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, again);
    }

    /// Forgets everything: the block is gone (`discard_buffer`). WRITING stays until the I/O ends.
    pub fn discard(&self) {
        self.0.fetch_and(WRITING, Ordering::AcqRel);
    }

    /// The block's bytes are known, if they were, but it has no place any more and nothing to write.
    pub fn forget_place(&self) {
        self.0.fetch_and(WRITING | UPTODATE, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_and_bits_do_not_meet() {
        let head = BufferHead::default();
        assert_eq!(head.block(), None);
        head.set(DELAY | UPTODATE);
        assert!(head.map(FsBlock(PLACE)));
        assert_eq!(head.block(), Some(FsBlock(PLACE)));
        assert!(head.has(MAPPED | UPTODATE) && !head.has(DELAY));
        assert!(head.map(FsBlock(5)));
        assert_eq!(head.block(), Some(FsBlock(5)));
        assert!(!head.map(FsBlock(PLACE + 1)));
        head.discard();
        assert_eq!(head.state(), 0);
    }

    #[test]
    fn what_failed_is_dirty_and_what_is_unwritten_has_no_place() {
        let head = BufferHead::default();
        assert!(head.map(FsBlock(5)));
        head.set(UPTODATE | WRITING);
        head.write_failed();
        assert_eq!(head.state(), MAPPED | UPTODATE | WRITING | DIRTY | 5);
        head.set(UNWRITTEN);
        head.write_failed();
        assert_eq!(head.state(), DELAY | UPTODATE | WRITING | DIRTY);
    }
}
