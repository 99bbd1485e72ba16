//! What the flusher knows of an inode.
//!
//! # Locking
//! The bits of a [`DirtyState`] are one atomic word, so that marking an inode that is marked already
//! costs a few instructions. Its place in the lists belongs to the lists' lock.

use alloc::sync::Arc;
use core::sync::atomic::fence;

use base::{Ino, Result};
use bitflags::bitflags;
use sync::WaitQueue;
use sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{AddressSpace, WritebackControl};

bitflags! {
    /// What of an inode is dirty.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct DirtyFlags: u32 {
        /// Pages of its mapping (I_DIRTY_PAGES).
        const PAGES = 1;
        /// Attributes that are not needed to get at the data, as times (I_DIRTY_SYNC).
        const INODE = 2;
        /// Attributes that fdatasync needs too: size, block map (I_DIRTY_DATASYNC).
        const DATASYNC = 4;
    }
}

/// In one of the lists.
pub(crate) const LISTED: u32 = 8;
/// Being written by some thread.
const SYNCING: u32 = 16;

const ATTRIBUTES: DirtyFlags = DirtyFlags::INODE.union(DirtyFlags::DATASYNC);

/// Who waits for an inode that another writes: seldom, so one queue does.
static SYNC_DONE: WaitQueue = WaitQueue::new();

/// What the flusher asks of an inode.
pub trait DirtyInode: Send + Sync {
    /// Its number, for messages.
    fn ino(&self) -> Ino;

    /// Its dirty bits and its place in the lists.
    fn dirty_state(&self) -> &DirtyState;

    /// Its pages.
    fn mapping(&self) -> &Arc<AddressSpace>;

    /// Starts dirty pages on their way to the disk.
    fn writepages(&self, control: &mut WritebackControl) -> Result<()>;

    /// Puts the attributes into the inode's block; with `sync`, that block on the disk too. Called
    /// when INODE or DATASYNC was set. After an error it is called again later.
    fn write_inode(&self, sync: bool) -> Result<()>;
}

/// An inode's dirty bits and its place in the flusher's lists; every inode has one.
#[derive(Debug, Default)]
pub struct DirtyState {
    bits: AtomicU32,
    /// Key in the lists, under their lock: when it became dirty, and a number that makes it unique.
    pub(crate) when: AtomicU64,
    pub(crate) number: AtomicU64,
}

impl DirtyState {
    /// Of a clean inode.
    pub const fn new() -> DirtyState {
        DirtyState { bits: AtomicU32::new(0), when: AtomicU64::new(0), number: AtomicU64::new(0) }
    }

    /// What is dirty now, pages as far as they were marked.
    pub fn flags(&self) -> DirtyFlags {
        DirtyFlags::from_bits_truncate(self.bits.load(Ordering::Acquire))
    }

    /// Whether `what` is marked and the inode listed. The change that `what` stands for was made
    /// before: the fence pairs with the clearing in [`DirtyState::take`], so either the writer that
    /// takes the bits sees the change, or the bits are seen taken here.
    #[inline]
    pub(crate) fn is_marked(&self, what: DirtyFlags) -> bool {
        fence(Ordering::SeqCst);
        let wanted = what.bits() | LISTED;
        self.bits.load(Ordering::Relaxed) & wanted == wanted
    }

    /// Marks; true when the inode is not listed, or nothing of it was dirty: its age is to be seen to.
    pub(crate) fn mark(&self, what: DirtyFlags) -> bool {
        let old = self.bits.fetch_or(what.bits(), Ordering::SeqCst);
        old & LISTED == 0 || DirtyFlags::from_bits_truncate(old).is_empty()
    }

    /// Clears bits; returns which of them were set. What they stand for is read afterwards.
    pub(crate) fn take(&self, what: DirtyFlags) -> DirtyFlags {
        let old = self.bits.fetch_and(!what.bits(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
        DirtyFlags::from_bits_truncate(old) & what
    }

    /// Takes the attribute bits that an fsync cares for.
    pub(crate) fn take_attributes(&self, datasync: bool) -> DirtyFlags {
        if datasync && !self.flags().contains(DirtyFlags::DATASYNC) {
            return DirtyFlags::empty();
        }
        self.take(ATTRIBUTES)
    }

    /// Under the lists' lock. True when it was not listed before.
    pub(crate) fn set_listed(&self) -> bool {
        self.bits.fetch_or(LISTED, Ordering::SeqCst) & LISTED == 0
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.bits.load(Ordering::SeqCst) & LISTED != 0
    }

    /// Under the lists' lock: no longer listed, unless something has become dirty.
    pub(crate) fn unlist_if_clean(&self) -> bool {
        let clean = |bits| (DirtyFlags::from_bits_truncate(bits).is_empty()).then_some(bits & !LISTED);
        self.bits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, clean).is_ok()
    }

    /// Under the lists' lock: nothing is dirty any more, whatever was.
    pub(crate) fn unlist(&self) {
        self.bits.fetch_and(SYNCING, Ordering::SeqCst);
    }

    /// The right to write this inode; None when another has it and `wait` is false.
    pub(crate) fn begin_sync(&self, wait: bool) -> Option<Syncing<'_>> {
        let free = || self.bits.fetch_or(SYNCING, Ordering::Acquire) & SYNCING == 0;
        if wait {
            SYNC_DONE.wait_until(free);
        } else if !free() {
            return None;
        }
        Some(Syncing(self))
    }
}

/// The right to write an inode; dropped, it goes to the next.
pub(crate) struct Syncing<'a>(&'a DirtyState);

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.0.bits.fetch_and(!SYNCING, Ordering::Release);
        SYNC_DONE.wake_all();
    }
}
