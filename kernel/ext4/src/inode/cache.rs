//! The inode cache: one [`Node`] and one [`Ext4Inode`] per number.
//!
//! # Locking
//! `slots` is held for a look-up or a change of one slot, never across I/O; nothing is dropped under
//! it that could be a last use. Who finds a slot that is being loaded or evicted sleeps in `settled`
//! until it is not; but inside a handle nobody waits for an eviction, which needs handles itself: to him the
//! inode is gone. Only a new inode waits for the slot of its number: that eviction has got as far as giving
//! the number back, and starts no handle any more.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use base::{Errno, FsBlock, Ino, Result};
use hashbrown::HashMap;
use pagecache::{AddressSpace, Buffer};
use sync::{Mutex, RwLock, SpinLock, WaitQueue};
use writeback::DirtyState;

use super::raw::{self, Decoded, InodeError};
use super::{Ext4Inode, Node};
use crate::aops::journalled;
use crate::delayed::Delayed;
use crate::disk::inode::{InodeFlags, ROOT_INO};
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::journal::SyncTids;

enum Slot {
    /// Somebody reads it from the disk.
    Busy,
    /// Somebody takes it off the disk.
    Leaving,
    /// In memory, as long as the Node lives.
    There(Weak<Node>),
}

/// All inodes in memory.
pub struct InodeCache {
    slots: Mutex<HashMap<u32, Slot>>,
    settled: WaitQueue,
}

/// What a look into the cache gave.
enum Look {
    Found(Arc<Ext4Inode>),
    /// Nobody had it: the caller now owns the busy slot.
    Mine,
    Wait,
    /// Its inode is being evicted.
    Leaving,
}

impl InodeCache {
    pub(crate) fn new() -> InodeCache {
        InodeCache { slots: Mutex::new(HashMap::new()), settled: WaitQueue::new() }
    }

    /// The inode, read from the disk when it is not in memory.
    pub(crate) fn get(fs: &Arc<Ext4Fs>, ino: Ino) -> Result<Arc<Ext4Inode>> {
        let number = check_number(fs, ino)?;
        match fs.inodes.claim(number, !fs.in_handle())? {
            Some(inode) => Ok(inode),
            None => fs.inodes.settle(number, load(fs, number, Purpose::Use)),
        }
    }

    /// As [`InodeCache::get`], for an inode that belongs to the file system itself.
    pub(crate) fn get_special(fs: &Arc<Ext4Fs>, ino: Ino) -> Result<Arc<Ext4Inode>> {
        let number = u32::try_from(ino.0).unwrap_or(0);
        if fs.geometry().locate_inode(ino).is_none() {
            return Err(fs.corrupt(Site::inode(number), "inode number is out of range"));
        }
        match fs.inodes.claim(number, true)? {
            Some(inode) => Ok(inode),
            None => fs.inodes.settle(number, load(fs, number, Purpose::Use)),
        }
    }

    /// As [`InodeCache::get`], for the orphan list: an inode without names is welcome.
    pub(crate) fn get_orphan(fs: &Arc<Ext4Fs>, ino: Ino) -> Result<Arc<Ext4Inode>> {
        let number = check_number(fs, ino)?;
        match fs.inodes.claim(number, true)? {
            Some(inode) => Ok(inode),
            None => fs.inodes.settle(number, load(fs, number, Purpose::Orphan)),
        }
    }

    /// Puts a new inode, whose number the bitmap has just given out, into the cache. EUCLEAN when
    /// that number is in use in memory: then the bitmap lied.
    pub(crate) fn insert(
        fs: &Arc<Ext4Fs>,
        number: u32,
        make: impl FnOnce() -> Result<Made>,
    ) -> Result<Arc<Ext4Inode>> {
        if fs.inodes.claim(number, true)?.is_some() {
            return Err(fs.corrupt(Site::inode(number), "the inode bitmap gave out an inode that is in use"));
        }
        let built = make().map(|parts| parts.into_node(fs, number));
        fs.inodes.settle(number, built)
    }

    /// The inode in memory, or None and the slot is the caller's to [`InodeCache::settle`]. ESTALE for
    /// one that is being evicted, unless the caller may wait for that.
    fn claim(&self, number: u32, may_wait: bool) -> Result<Option<Arc<Ext4Inode>>> {
        loop {
            match self.look(number) {
                Look::Found(inode) => return Ok(Some(inode)),
                Look::Mine => return Ok(None),
                Look::Leaving if !may_wait => return Err(Errno::ESTALE),
                Look::Wait | Look::Leaving => self.settled.wait_until(|| {
                    !matches!(self.slots.lock().get(&number), Some(Slot::Busy | Slot::Leaving))
                }),
            }
        }
    }

    fn look(&self, number: u32) -> Look {
        let mut slots = self.slots.lock();
        let node = match slots.get(&number) {
            Some(Slot::Busy) => return Look::Wait,
            Some(Slot::Leaving) => return Look::Leaving,
            Some(Slot::There(node)) => node.upgrade(),
            None => None,
        };
        match node {
            // The use takes the only Arc made here with it, so no Node is dropped under the lock.
            Some(node) => Look::Found(use_of(node)),
            None => {
                slots.insert(number, Slot::Busy);
                Look::Mine
            }
        }
    }

    /// Ends the busy time of a slot: with a Node, or with nothing.
    fn settle(&self, number: u32, node: Result<Arc<Node>>) -> Result<Arc<Ext4Inode>> {
        let mut slots = self.slots.lock();
        let result = match node {
            Ok(node) => {
                slots.insert(number, Slot::There(Arc::downgrade(&node)));
                Ok(use_of(node))
            }
            Err(e) => {
                slots.remove(&number);
                Err(e)
            }
        };
        drop(slots);
        self.settled.wake_all();
        result
    }

    /// The last use of a Node was dropped. True when the caller must now evict it: it has no name,
    /// nobody else has begun, and nobody has come back to it.
    pub(super) fn begin_eviction(&self, node: &Node) -> bool {
        let mut slots = self.slots.lock();
        if node.nlink() != 0 || node.handle.lock().strong_count() > 0 || node.evicted.load(Ordering::Acquire)
        {
            return false;
        }
        node.evicted.store(true, Ordering::Release);
        slots.insert(node.ino, Slot::Leaving);
        true
    }

    /// The eviction is over.
    pub(super) fn end_eviction(&self, number: u32) {
        self.slots.lock().remove(&number);
        self.settled.wake_all();
    }

    /// A Node goes for good: its slot, if it is still its own, goes too.
    fn forget(&self, node: &Node) {
        let mut slots = self.slots.lock();
        if let Some(Slot::There(there)) = slots.get(&node.ino)
            && core::ptr::eq(there.as_ptr(), node)
        {
            slots.remove(&node.ino);
        }
    }

    /// The Node of this number, if it is in memory. Waits for nothing.
    pub(crate) fn find(&self, number: u32) -> Option<Arc<Node>> {
        match self.slots.lock().get(&number) {
            Some(Slot::There(node)) => node.upgrade(),
            _ => None,
        }
    }

    /// The Nodes in memory, for sync and unmount.
    pub(crate) fn all(&self) -> alloc::vec::Vec<Arc<Node>> {
        let slots = self.slots.lock();
        slots
            .values()
            .filter_map(|slot| if let Slot::There(node) = slot { node.upgrade() } else { None })
            .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end_delayed();
        self.fs.inodes.forget(self);
    }
}

/// The one use of a Node: the present one, or a new one.
pub(super) fn use_of(node: Arc<Node>) -> Arc<Ext4Inode> {
    let mut handle = node.handle.lock();
    if let Some(present) = handle.upgrade() {
        return present;
    }
    let new = Arc::new(Ext4Inode { node: node.clone() });
    *handle = Arc::downgrade(&new);
    drop(handle);
    new
}

/// EUCLEAN when no inode that a name may lead to has this number.
fn check_number(fs: &Ext4Fs, ino: Ino) -> Result<u32> {
    let number = u32::try_from(ino.0).unwrap_or(0);
    let geometry = fs.geometry();
    if (number >= geometry.first_ino || number == ROOT_INO) && geometry.locate_inode(ino).is_some() {
        return Ok(number);
    }
    Err(fs.corrupt(Site::inode(number), format_args!("inode number {ino} is out of range")))
}

/// Whether an inode without names may be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Use,
    Orphan,
}

/// Where an inode lies in the table: the block, and the byte in it.
pub(crate) fn table_place(fs: &Ext4Fs, number: u32) -> Result<(FsBlock, usize)> {
    let geometry = fs.geometry();
    let (group, index) = geometry.locate_inode(Ino(u64::from(number))).ok_or(Errno::EUCLEAN)?;
    let per_block = geometry.inodes_per_block();
    let block = fs.groups.inode_table(group) + u64::from(index / per_block);
    Ok((FsBlock(block), (index % per_block) as usize * geometry.inode_size))
}

/// An inode outside the cache, for who has the file system to himself. ESTALE when it is free.
pub(crate) fn load_uncached(fs: &Arc<Ext4Fs>, number: u32) -> Result<Arc<Node>> {
    load(fs, number, Purpose::Orphan)
}

fn load(fs: &Arc<Ext4Fs>, number: u32, purpose: Purpose) -> Result<Arc<Node>> {
    let (block, offset) = table_place(fs, number)?;
    if !fs.groups.inode_may_be_used(fs, number) {
        return Err(
            fs.corrupt(Site::inode(number), "lies in the part of the inode table that was never used")
        );
    }
    let table = fs
        .device()
        .bread(block)
        .map_err(|e| fs.failed(Site::at(number, block), e, "unable to read itable block"))?;
    let decoded = {
        let bytes = table.read();
        let slot = bytes.get(offset..offset + fs.geometry().inode_size).ok_or(Errno::EIO)?;
        raw::decode(fs.geometry(), number, slot)
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(InodeError::Free) => return Err(Errno::ESTALE),
        Err(e) => return Err(fs.corrupt(Site::at(number, block), e)),
    };
    if decoded.meta.nlink == 0 && purpose == Purpose::Use {
        return Err(Errno::ESTALE);
    }
    let node = Made { decoded, table, offset }.into_node(fs, number);
    crate::extent::check_root(&node)?;
    crate::inline::check(&node)?;
    if node.flags().contains(InodeFlags::CASEFOLD) {
        // Told and noted; names of other case are other names, as in any directory.
        let _told = node.corrupt("casefold flag without casefold feature");
    }
    Ok(node)
}

/// What a Node is made of.
pub(crate) struct Made {
    pub decoded: Decoded,
    pub table: Buffer,
    pub offset: usize,
}

impl Made {
    fn into_node(self, fs: &Arc<Ext4Fs>, number: u32) -> Arc<Node> {
        let Decoded { meta, size, kind, .. } = self.decoded;
        let flags = meta.flags.bits();
        let mapping = AddressSpace::new();
        mapping.set_host(fs.device().disk().dev(), number.into());
        mapping.set_journals_data(journalled::is_wanted(fs, kind, meta.flags));
        Arc::new_cyclic(|me| Node {
            me: me.clone(),
            fs: fs.clone(),
            ino: number,
            kind,
            csum_seed: raw::csum_seed(fs.geometry(), number, meta.generation),
            table: self.table,
            table_offset: self.offset,
            rwsem: RwLock::new(()),
            writers: Default::default(),
            data_sem: RwLock::new(()),
            xattr_sem: RwLock::new(()),
            acls: Default::default(),
            delayed: Delayed::new(size),
            meta: SpinLock::new(meta),
            extents: Default::default(),
            verified: Default::default(),
            mapping,
            dirty: DirtyState::default(),
            handle: SpinLock::new(Weak::new()),
            evicted: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            stale: AtomicBool::new(false),
            lazy_since: AtomicU64::new(0),
            window: AtomicU32::new(0),
            linkable: AtomicBool::new(false),
            flags: AtomicU32::new(flags),
            modified: AtomicU64::new(0),
            no_capability: AtomicBool::new(false),
            handles_kept: AtomicU32::new(0),
            dio: Default::default(),
            tids: SyncTids::new(fs),
            journalled: AtomicU64::new(0),
            last_ordered: Default::default(),
        })
    }
}
