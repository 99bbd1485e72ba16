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
use crate::page::Page;

/// A handle to one cached block; see the module.
#[derive(Clone)]
pub struct Buffer {
    device: Arc<BlockDevice>,
    page: Arc<Page>,
    /// Which block of the page.
    head: usize,
}

impl Buffer {
    pub(crate) fn new(device: &Arc<BlockDevice>, page: Arc<Page>, head: usize) -> Buffer {
        Buffer { device: device.clone(), page, head }
    }

    /// Which block.
    pub fn block(&self) -> FsBlock {
        FsBlock(self.page.first_block().0 + self.head as u64)
    }

    /// The bytes, shared.
    #[inline]
    pub fn read(&self) -> BufferRead<'_> {
        BufferRead { bytes: self.page.read_bytes(self.head) }
    }

    /// The bytes, alone, and not on their way to the disk. The block is dirty when the guard goes.
    #[inline]
    pub fn write(&self) -> BufferWrite<'_> {
        BufferWrite { bytes: self.page.write_bytes(self.head), buffer: self }
    }

    /// Whether its bytes are newer than the disk's.
    pub fn is_dirty(&self) -> bool {
        self.page.heads()[self.head].has(crate::head::DIRTY)
    }

    /// Whether [`Buffer::set_checked`] was called since the block was read, or taken by `getblk`. What a
    /// check means is the caller's affair: a block has one kind of user from its allocation to its end.
    #[inline]
    pub fn is_checked(&self) -> bool {
        self.page.heads()[self.head].has(crate::head::CHECKED)
    }

    /// The bytes were found sound: a checksum need not be computed again at each look.
    #[inline]
    pub fn set_checked(&self) {
        self.page.heads()[self.head].set(crate::head::CHECKED);
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

/// The bytes of a block, alone; dirty when dropped.
pub struct BufferWrite<'a> {
    bytes: ByteWriteGuard<'a>,
    buffer: &'a Buffer,
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
        self.buffer.device.block_changed(&self.buffer.page, self.buffer.head);
    }
}
