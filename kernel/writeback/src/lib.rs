//! What is dirty, when it goes, and who must wait. Interface first; the body follows.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
use alloc::sync::Arc;
use base::{Ino, Result};
pub use pagecache::{AddressSpace, BlockDevice, SyncMode, WritebackControl};

/// What of an inode is dirty (bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirtyFlags(pub u32);
impl DirtyFlags {
    /// Pages of its mapping.
    pub const PAGES: DirtyFlags = DirtyFlags(1);
    /// Its attributes, not needed to reach its data (times): I_DIRTY_SYNC.
    pub const INODE: DirtyFlags = DirtyFlags(2);
    /// What fdatasync needs too (size, block map): I_DIRTY_DATASYNC.
    pub const DATASYNC: DirtyFlags = DirtyFlags(4);
}
/// Each inode holds one: its dirty bits and its place in the flusher's lists.
#[derive(Default)]
pub struct DirtyState { _flags: core::sync::atomic::AtomicU32 }
/// What the flusher asks of an inode.
pub trait DirtyInode: Send + Sync {
    /// Its number, for messages.
    fn ino(&self) -> Ino;
    /// Its dirty state.
    fn dirty_state(&self) -> &DirtyState;
    /// Its pages.
    fn mapping(&self) -> &Arc<AddressSpace>;
    /// Starts dirty pages on their way.
    fn writepages(&self, control: &mut WritebackControl) -> Result<()>;
    /// Puts the inode's attributes into its buffer (`sync`: and that buffer to the disk). Called when INODE or DATASYNC was set.
    fn write_inode(&self, sync: bool) -> Result<()>;
}
/// The flusher of one disk.
pub struct Bdi;
impl Bdi {
    /// Makes one without a thread: what is dirty is written by sync and by throttled writers (tests).
    pub fn new(_device: &Arc<BlockDevice>) -> Arc<Bdi> { unimplemented!() }
    /// Makes one and starts its flusher thread.
    pub fn start(_device: &Arc<BlockDevice>) -> Result<Arc<Bdi>> { unimplemented!() }
    /// Writes everything and ends the thread: at unmount.
    pub fn stop(&self) -> Result<()> { unimplemented!() }
    /// Something of the inode is dirty: call it after the change. A few instructions when it already was. `inode` gives the strong handle, asked only when the inode was clean (None: it is being dropped).
    pub fn mark_inode_dirty(&self, _state: &DirtyState, _what: DirtyFlags, _inode: impl FnOnce() -> Option<Arc<dyn DirtyInode>>) { unimplemented!() }
    /// fsync's middle: pages of the range, wait, and the inode itself if it is dirty (`datasync`: only if DATASYNC). No device metadata, no FLUSH.
    pub fn write_inode_now(&self, _inode: &dyn DirtyInode, _range: core::ops::Range<u64>, _datasync: bool) -> Result<()> { unimplemented!() }
    /// The inode is deleted: nothing of it needs to be written any more; drops it from the lists.
    pub fn forget(&self, _state: &DirtyState) { unimplemented!() }
    /// Writes every dirty inode, then the device's own buffers; with `wait` all of it is done on return. No FLUSH.
    pub fn sync(&self, _wait: bool) -> Result<()> { unimplemented!() }
}
/// Pages of memory the thresholds are computed from.
pub fn set_memory(_total_pages: usize) { unimplemented!() }
/// A writer dirtied `pages` pages: sleeps while too much is dirty.
pub fn balance_dirty_pages_ratelimited(_bdi: &Bdi, _pages: usize) { unimplemented!() }
