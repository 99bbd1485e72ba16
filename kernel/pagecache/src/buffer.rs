//! `Buffer`: a handle to one cached block of metadata.
//!
//! A buffer is got from [`BlockDevice::bread`] or [`BlockDevice::getblk`] and is uptodate from then on.
//! It is cheap to clone, and as long as one lives its block stays in memory. Its bytes are reached
//! through two guards:
//!
//! | | while another reads | while another writes | while it is on its way to the disk |
//! |---|---|---|---|
//! | [`Buffer::read`] | goes | waits | goes |
//! | [`Buffer::write`] | waits | waits | waits |
//!
//! So what a write sends is the block as it was at one moment between two guards, never half a change.
//!
//! # With a journal
//! When the device has one ([`BlockDevice::set_journal`]), a write guard first tells it of the change, once
//! per block and transaction; the block then is not dirty but the journal's, until its transaction has
//! committed. `journal.rs` has this door.
//!
//! # What the caller must not do
//! Hold a guard longer than the change takes, or sync while holding one: the sweep waits for the
//! guard. Where two are needed, take the lower block number first.
//!
//! # Locking
//! The block's `ByteLock`; inside it, when a write guard goes, the tree lock of the device's mapping.

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Deref, DerefMut};

use base::{FsBlock, Result};
use sync::{ByteReadGuard, ByteWriteGuard};

use crate::bdev::BlockDevice;
use crate::filemap::filemap_write_and_wait_range;
use crate::head::{self, BufferHead};
use crate::page::Page;

/// A handle to one cached block; see the module.
#[derive(Clone)]
pub struct Buffer {
    device: Arc<BlockDevice>,
    page: Arc<Page>,
    /// Which block of the page.
    head: usize,
    block: FsBlock,
}

impl Buffer {
    pub(crate) fn new(device: &Arc<BlockDevice>, page: Arc<Page>, head: usize) -> Buffer {
        let block = FsBlock(page.first_block().0 + head as u64);
        Buffer { device: device.clone(), page, head, block }
    }

    /// A block of a file's page, for the journal alone: it has no guards (see `journal_data`).
    pub(crate) fn of_file(device: &Arc<BlockDevice>, page: Arc<Page>, head: usize, block: FsBlock) -> Buffer {
        Buffer { device: device.clone(), page, head, block }
    }

    /// Which block.
    #[inline]
    pub fn block(&self) -> FsBlock {
        self.block
    }

    /// The bytes, shared.
    #[inline]
    pub fn read(&self) -> BufferRead<'_> {
        BufferRead { bytes: self.page.read_bytes(self.head) }
    }

    /// The bytes, alone, and not on their way to the disk. When the guard goes the block is dirty, or in the
    /// journal's running transaction.
    #[inline]
    pub fn write(&self) -> BufferWrite<'_> {
        let bytes = self.page.write_bytes(self.head);
        let journalled = self.head().has(head::JOURNALLED) || self.device.journal().enter(self, &bytes);
        BufferWrite { bytes, buffer: self, journalled }
    }

    /// Its state.
    #[inline]
    pub(crate) fn head(&self) -> &BufferHead {
        &self.page.heads()[self.head]
    }

    /// Its page.
    pub(crate) fn page(&self) -> &Arc<Page> {
        &self.page
    }

    /// Which block of the page.
    pub(crate) fn index(&self) -> usize {
        self.head
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Arc<BlockDevice> {
        &self.device
    }

    /// Its bytes are newer than the disk's from now on.
    pub(crate) fn set_dirty(&self) {
        if self.page.is_metadata() {
            return self.device.block_changed(&self.page, self.head);
        }
        // Of a file that is gone only the journal knows that the block is to be written.
        self.head().set(head::DIRTY);
        if let Some(mapping) = self.page.mapping() {
            mapping.set_page_dirty(&self.page);
        }
    }

    /// Whether its bytes are newer than the disk's and may go there.
    pub fn is_dirty(&self) -> bool {
        self.head().has(head::DIRTY)
    }

    /// Whether [`Buffer::set_checked`] was called since the block was read, or taken by `getblk`. What a
    /// check means is the caller's affair: a block has one kind of user from its allocation to its end.
    #[inline]
    pub fn is_checked(&self) -> bool {
        self.head().has(head::CHECKED)
    }

    /// The bytes were found sound: a checksum need not be computed again at each look.
    #[inline]
    pub fn set_checked(&self) {
        self.head().set(head::CHECKED);
    }

    /// Writes this block if it is dirty (its dirty neighbours in the page go with it), and waits; also
    /// for a write under way. No FLUSH.
    pub fn sync(&self) -> Result<()> {
        let bits = self.page.block_bits();
        let start = self.block().0 << bits;
        filemap_write_and_wait_range(self.device.mapping(), &*self.device, start..start + (1 << bits))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {})", self.block(), self.device.disk().name())
    }
}

/// The bytes of a block, shared.
pub struct BufferRead<'a> {
    bytes: ByteReadGuard<'a>,
}

/// The bytes of a block, alone; dirty, or the journal's, when dropped.
pub struct BufferWrite<'a> {
    bytes: ByteWriteGuard<'a>,
    buffer: &'a Buffer,
    /// The journal has the block and says when it may go home.
    journalled: bool,
}

impl Deref for BufferRead<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for BufferWrite<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for BufferWrite<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for BufferWrite<'_> {
    fn drop(&mut self) {
        // The byte lock goes after this, with the field.
        if !self.journalled {
            self.buffer.set_dirty();
        }
    }
}
