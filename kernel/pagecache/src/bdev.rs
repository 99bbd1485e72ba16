//! Interface first; the body follows.
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};
use base::{FsBlock, Result};
use block::Disk;
use crate::{AddressSpace, AddressSpaceOperations};
/// A disk as a cached file of blocks: metadata and /dev/vda.
pub struct BlockDevice { disk: Arc<Disk> }
/// One block, cached. Cheap to clone.
#[derive(Clone)]
pub struct Buffer { device: Arc<BlockDevice> }
/// Shared bytes of a block.
pub struct BufferRead<'a> { bytes: &'a [u8] }
/// The bytes of a block, alone; dirty when dropped.
pub struct BufferWrite<'a> { bytes: &'a mut [u8] }
impl BlockDevice {
    /// The one of this disk.
    pub fn of(_disk: &Arc<Disk>) -> Arc<BlockDevice> { unimplemented!() }
    /// Sets the block size (10, 11 or 12) after writing and dropping all that is cached. EINVAL, EIO.
    pub fn set_block_size(&self, _bits: u32) -> Result<()> { unimplemented!() }
    /// log2 of the block size.
    pub fn block_bits(&self) -> u32 { unimplemented!() }
    /// The block, read in. EIO (also past the end of the disk); the next call tries again.
    pub fn bread(self: &Arc<Self>, _block: FsBlock) -> Result<Buffer> { unimplemented!() }
    /// The block without reading it (zeros if it was not cached): the caller fills it whole.
    pub fn getblk(self: &Arc<Self>, _block: FsBlock) -> Result<Buffer> { unimplemented!() }
    /// Starts reading `n` blocks nobody waits for.
    pub fn readahead(self: &Arc<Self>, _block: FsBlock, _n: u64) { unimplemented!() }
    /// Writes all dirty buffers and waits. No FLUSH.
    pub fn sync(&self) -> Result<()> { unimplemented!() }
    /// Device FLUSH.
    pub fn flush(&self) -> Result<()> { self.disk.flush() }
    /// The block was freed: what is cached of it is never written (waits for a write under way).
    pub fn forget(&self, _block: FsBlock) { unimplemented!() }
    /// The disk.
    pub fn disk(&self) -> &Arc<Disk> { &self.disk }
    /// Its pages, for devfs.
    pub fn mapping(&self) -> &Arc<AddressSpace> { unimplemented!() }
    /// Its operations, for devfs.
    pub fn ops(&self) -> &dyn AddressSpaceOperations { unimplemented!() }
    /// Bytes on the disk.
    pub fn size(&self) -> u64 { unimplemented!() }
    /// What is told when a buffer became dirty: writeback hooks in here. The first call wins.
    pub fn set_dirty_hook(&self, _hook: alloc::boxed::Box<dyn Fn() + Send + Sync>) { unimplemented!() }
}
impl Buffer {
    /// Which block.
    pub fn block(&self) -> FsBlock { unimplemented!() }
    /// The bytes, shared.
    pub fn read(&self) -> BufferRead<'_> { unimplemented!() }
    /// The bytes, alone, once a write of them under way is over; marks the buffer dirty when dropped.
    pub fn write(&self) -> BufferWrite<'_> { unimplemented!() }
    /// Writes this block if dirty and waits. No FLUSH.
    pub fn sync(&self) -> Result<()> { let _ = &self.device; unimplemented!() }
}
impl Deref for BufferRead<'_> { type Target = [u8]; fn deref(&self) -> &[u8] { self.bytes } }
impl Deref for BufferWrite<'_> { type Target = [u8]; fn deref(&self) -> &[u8] { self.bytes } }
impl DerefMut for BufferWrite<'_> { fn deref_mut(&mut self) -> &mut [u8] { self.bytes } }
