//! Inodes in memory.
//!
//! # What it is
//! Two objects stand for one inode. A [`Node`] is the inode's memory: attributes, block map, page
//! cache. An [`Ext4Inode`] is a *use* of it, what the vfs, open files and directory entries hold
//! (Linux's `i_count`). The flusher holds Nodes only, so a file that was unlinked and closed is
//! deleted at once, however dirty its pages are.
//!
//! ```text
//!   iget ──▶ LOADING ──▶ USED (Ext4Inode lives) ──last use dropped──▶ nlink > 0: UNUSED, cached while
//!                          ▲                                      │     the flusher has it, then gone
//!                          └───────────── iget ───────────────────┤
//!                                                                 └─▶ nlink == 0: EVICTING ──▶ freed
//! ```
//!
//! # How to use it
//! ```text
//!   let inode = fs.iget(Ino(12))?;           // the one Arc of inode 12
//!   inode.with_meta(|m| m.mode = 0o100600);   // change attributes …
//!   inode.mark_dirty();                       // … and put them into the table's buffer
//! ```
//! [`Node::mark_dirty`] copies the inode into its table block at once, so a Node is not dirty by itself
//! but for the length of one write call ([`Node::set_stale`]); its pages are, and the device's buffers.
//!
//! # Locking
//! `rwsem` (i_rwsem) → handle → `xattr_sem` → `data_sem` (i_data_sem: the block map) → a group's lock → buffer guards →
//! `meta` (spin). `meta` holds the map's root bytes too, because `mark_dirty` must copy them while
//! `data_sem` may be held.
//! Dropping the last [`Ext4Inode`] of a deleted file sleeps and does I/O: never under a spin lock,
//! and never with a group's lock or the inode cache's held.
//!
//! # Invariants
//! 1. At most one live Node and one live Ext4Inode per number ([`cache`]).
//! 2. What the table's buffer holds is what `meta` said at the last `mark_dirty`; `stale` when it has
//!    changed since.
//! 3. After an inode was deleted its Node changes nothing in the table: who stores late, as the flusher that found
//!    it stale before, would write over the inode that has got its number.
//! 4. i_size ([`crate::delayed`]) is published before a page behind the old one can be written back.

pub mod attr;
pub mod blocks;
pub mod cache;
mod evict;
mod ops;
pub mod raw;
mod synchronous;

use alloc::sync::{Arc, Weak};
use core::fmt::Display;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use base::{Errno, FileBlock, FsBlock, Ino, Result, Timespec};
use pagecache::{AddressSpace, Buffer};
use sync::{RwLock, SpinLock};
use vfs::{FileType, WriteCount};
use writeback::{DirtyFlags, DirtyState};

use crate::acl::AclCache;
use crate::delayed::Delayed;
use crate::direct::DioCount;
use crate::disk::inode::InodeFlags;
use crate::error::Site;
use crate::extent::cache::ExtentCache;
use crate::extent::verified::Verified;
use crate::fs::Ext4Fs;
use crate::journal::Reason;
use crate::journal::{LastOrdered, SyncTids, credits};
pub use raw::Meta;

/// An inode's memory.
pub struct Node {
    me: Weak<Node>,
    fs: Arc<Ext4Fs>,
    ino: u32,
    kind: FileType,
    csum_seed: u32,
    /// The block of the inode table, and where in it the inode lies.
    table: Buffer,
    table_offset: usize,
    rwsem: RwLock<()>,
    /// Who writes to it and who runs it.
    writers: WriteCount,
    data_sem: RwLock<()>,
    /// Held shared to look at the extended attributes, alone to change them.
    xattr_sem: RwLock<()>,
    /// The access control lists, as far as they were looked at.
    pub(crate) acls: AclCache,
    meta: SpinLock<Meta>,
    /// Bytes that have no place yet, and both sizes.
    pub(crate) delayed: Delayed,
    /// Recently seen extents, so that a mapped overwrite walks no tree.
    pub(crate) extents: ExtentCache,
    /// Blocks of the extent tree whose checks were passed.
    pub(crate) verified: Verified,
    mapping: Arc<AddressSpace>,
    dirty: DirtyState,
    handle: SpinLock<Weak<Ext4Inode>>,
    /// Eviction has begun: nobody finds the Node any more.
    evicted: AtomicBool,
    /// It was deleted: its slot in the table may be another's. Set, and asked, in the table's guard.
    gone: AtomicBool,
    /// Attributes changed since the last `mark_dirty`.
    stale: AtomicBool,
    /// When times changed that are in `meta` alone ([`synchronous`]), by the monotonic clock; 0: none.
    lazy_since: AtomicU64,
    /// The group that keeps blocks for this file, plus 1; 0: none does.
    window: AtomicU32,
    /// Made without a name, and may get one.
    linkable: AtomicBool,
    /// `meta.flags`, beside it so that a look takes no lock; [`Node::with_meta`] keeps both the same.
    flags: AtomicU32,
    /// When the content was last marked as modified ([`base::time::coarse_ns`]), as long as nobody has
    /// touched `meta` since; 0: unknown. A second write within the tick has nothing to do.
    modified: AtomicU64,
    /// There is no `security.capability`: a write need not look (S_NOSEC).
    no_capability: AtomicBool,
    /// How many threads are between a `write_begin` that has kept a handle and the `write_end` that follows:
    /// a write call, which holds `rwsem` alone, and stores to mapped pages.
    pub(crate) handles_kept: AtomicU32,
    /// Which transactions an fsync waits for.
    pub(crate) tids: SyncTids,
    /// The transaction that last had data of it, plus 1; 0: none had ([`crate::aops::journalled`]).
    pub(crate) journalled: AtomicU64,
    /// Which transaction waits for its data.
    pub(crate) last_ordered: LastOrdered,
    /// Direct I/O under way.
    pub(crate) dio: DioCount,
}

/// A use of an inode: what everybody but the flusher holds.
pub struct Ext4Inode {
    node: Arc<Node>,
}

impl Deref for Ext4Inode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// What [`Node::touch`] sets to now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// Read: atime.
    Read,
    /// The inode changed: ctime.
    Changed,
    /// The content changed: mtime and ctime.
    Modified,
}

impl Node {
    /// The file system.
    pub fn fs(&self) -> &Arc<Ext4Fs> {
        &self.fs
    }

    /// Its number.
    pub fn ino(&self) -> Ino {
        Ino(u64::from(self.ino))
    }

    /// Its number as the disk writes it.
    pub fn ino32(&self) -> u32 {
        self.ino
    }

    /// What kind of inode it is.
    pub fn kind(&self) -> FileType {
        self.kind
    }

    /// Where its checksums start (number and generation).
    pub fn csum_seed(&self) -> u32 {
        self.csum_seed
    }

    /// i_rwsem.
    pub fn rwsem(&self) -> &RwLock<()> {
        &self.rwsem
    }

    /// i_data_sem: held shared to look at the block map, alone to change it.
    pub(crate) fn data_sem(&self) -> &RwLock<()> {
        &self.data_sem
    }

    /// xattr_sem: held shared to look at the extended attributes, alone to change them.
    pub(crate) fn xattr_sem(&self) -> &RwLock<()> {
        &self.xattr_sem
    }

    /// The cached pages.
    pub fn mapping(&self) -> &Arc<AddressSpace> {
        &self.mapping
    }

    /// A counted handle to this Node. None only while it is being dropped.
    pub fn arc(&self) -> Option<Arc<Node>> {
        self.me.upgrade()
    }

    /// A look at the attributes, or a change of them, all at once. Nothing in `f` may sleep.
    pub fn with_meta<R>(&self, f: impl FnOnce(&mut Meta) -> R) -> R {
        let mut meta = self.meta.lock();
        let result = f(&mut meta);
        self.flags.store(meta.flags.bits(), Ordering::Release);
        self.modified.store(0, Ordering::Relaxed);
        result
    }

    /// `i_flags`, without a lock: every read and write asks.
    #[inline]
    pub fn flags(&self) -> InodeFlags {
        InodeFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Sets or clears flags.
    pub fn set_flags(&self, flags: InodeFlags, on: bool) {
        self.with_meta(|m| m.flags.set(flags, on));
    }

    /// `i_links_count` as the disk has it.
    pub fn nlink(&self) -> u16 {
        self.with_meta(|m| m.nlink)
    }

    /// One name more. EMLINK at 65,000 for what is no directory. A directory with dir_nlink goes to 1
    /// ("too many to count") past 65,000; without that feature it is EMLINK too.
    pub fn inc_nlink(&self) -> Result<()> {
        let many = self.kind == FileType::Directory
            && self.fs.geometry().has_ro_compat(crate::disk::feature::RoCompat::DIR_NLINK);
        self.with_meta(|m| {
            if self.kind == FileType::Directory && m.nlink == 1 {
                return Ok(());
            }
            match m.nlink.checked_add(1).filter(|&n| n <= LINK_MAX) {
                Some(n) => m.nlink = n,
                None if many => m.nlink = 1,
                None => return Err(Errno::EMLINK),
            }
            Ok(())
        })
    }

    /// One name less. A directory's count stays at 1 when it is 1 (dir_nlink). Reaching 0 means that
    /// the inode is deleted when its last use goes; put it on the orphan list.
    pub fn drop_nlink(&self) {
        self.with_meta(|m| {
            if self.kind != FileType::Directory || m.nlink > 2 {
                m.nlink = m.nlink.saturating_sub(1);
            }
        });
    }

    /// Sets the count, for a new directory (2) or a removed one (0).
    pub fn set_nlink(&self, n: u16) {
        self.with_meta(|m| m.nlink = n);
    }

    /// Sets times to the present tick. Returns whether any of them moved: if not, the inode stays
    /// clean.
    #[inline]
    pub fn touch(&self, what: Touch) -> bool {
        let tick = base::time::coarse_ns();
        if what == Touch::Modified && tick != 0 && self.modified.load(Ordering::Relaxed) == tick {
            return false;
        }
        self.touch_at(what, tick)
    }

    #[inline(never)]
    fn touch_at(&self, what: Touch, tick: u64) -> bool {
        let now = self.fs.geometry().timestamp(Timespec::from_ns(tick));
        let mut meta = self.meta.lock();
        let m = &mut *meta;
        let moved = match what {
            Touch::Read => return set_time(&mut m.atime, now),
            Touch::Changed => set_time(&mut m.ctime, now),
            Touch::Modified => {
                self.modified.store(tick, Ordering::Relaxed);
                set_time(&mut m.mtime, now) | set_time(&mut m.ctime, now)
            }
        };
        m.version = m.version.wrapping_add(u64::from(moved));
        moved
    }

    /// Puts the attributes into the inode table's buffer, inside a handle. Costs a copy and a checksum, no I/O.
    pub fn mark_dirty(&self) {
        self.store(|_| ());
    }

    /// The same for an inode that is deleted: with the time of that, and for the last time.
    pub(crate) fn mark_deleted(&self, dtime: u32) {
        self.store(|slot| {
            raw::set_dtime(dtime, slot);
            self.gone.store(true, Ordering::Relaxed);
        });
    }

    /// The same with `i_dtime`: the time of the end, or the orphan list's link.
    pub(crate) fn mark_dirty_with_dtime(&self, dtime: u32) {
        self.store(|slot| {
            raw::set_dtime(dtime, slot);
        });
    }

    fn store(&self, more: impl FnOnce(&mut [u8])) {
        let geometry = self.fs.geometry();
        if self.disksize() >= LARGE && self.kind == FileType::Regular {
            self.fs.note_large_file();
        }
        self.edit_slot(|slot| {
            // Taken inside the buffer's guard, so that the last to write writes the newest.
            self.stale.store(false, Ordering::Release);
            self.lazy_since.store(0, Ordering::Relaxed);
            raw::encode(geometry, &self.meta.lock(), self.disksize(), slot);
            more(slot);
            true
        });
        self.tids.note_stored(&self.fs);
        self.track_stored();
    }

    /// Changes the inode's bytes in the table's buffer; their checksum too if `change` says that it did. Not of
    /// one that is gone.
    fn edit_slot(&self, change: impl FnOnce(&mut [u8]) -> bool) {
        let geometry = self.fs.geometry();
        let mut block = self.table.write();
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        let Some(slot) = block.get_mut(self.table_offset..self.table_offset + geometry.inode_size) else {
            return;
        };
        if change(slot) {
            raw::seal(geometry, self.csum_seed, slot);
        }
    }

    /// The attributes have changed (said after the change, never before it), and who changed them will call
    /// [`Node::store_if_stale`] when it has done the rest: once per write call and not once per page.
    pub(crate) fn set_stale(&self) {
        self.stale.store(true, Ordering::Release);
    }

    /// [`Node::mark_dirty`] in a handle, if there is something new. Nothing is stored when nothing may be
    /// written any more.
    #[inline]
    pub(crate) fn store_if_stale(&self) {
        if self.is_stale() {
            self.store_now();
        }
    }

    #[cold]
    fn store_now(&self) {
        if let Ok(_handle) = self.fs.start_tracked(credits::inode()) {
            self.mark_dirty();
        }
    }

    /// Whether there is something that the table does not have.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Sets `i_dtime` in the table's buffer: the orphan list's link.
    pub(crate) fn set_dtime(&self, dtime: u32) {
        self.edit_slot(|slot| raw::set_dtime(dtime, slot));
    }

    /// A look at the inode's bytes in the table, `s_inode_size` of them, as `mark_dirty` left them.
    pub(crate) fn with_table_slot<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let block = self.table.read();
        block.get(self.table_offset..self.table_offset + self.fs.geometry().inode_size).map(look)
    }

    /// Writes the last bytes of the inode's slot, which belong to the attributes, and its checksum.
    pub(crate) fn write_inode_tail(&self, tail: &[u8]) {
        self.fs.mark_ineligible(Reason::Xattr);
        self.edit_slot(|slot| {
            raw::set_tail(tail, slot);
            true
        });
    }

    /// Gives the inode `extra_isize` bytes of extra fields, the new ones zero, and the `tail` behind them.
    pub(crate) fn widen(&self, extra_isize: u16, tail: &[u8]) {
        self.with_meta(|m| {
            m.extra_isize = extra_isize;
            if raw::has_birth(extra_isize) {
                m.crtime.get_or_insert_default();
            }
        });
        self.write_inode_tail(tail);
        self.mark_dirty();
    }

    /// Whether it is known that there is no `security.capability`.
    pub(crate) fn no_capability(&self) -> bool {
        self.no_capability.load(Ordering::Relaxed)
    }

    /// Says whether there is none. The caller holds `rwsem` alone.
    pub(crate) fn set_no_capability(&self, none: bool) {
        self.no_capability.store(none, Ordering::Relaxed);
    }

    /// Tells the flusher that pages are dirty.
    #[inline(always)]
    pub(crate) fn mark_pages_dirty(&self) {
        self.fs.bdi().mark_inode_dirty(&self.dirty, DirtyFlags::PAGES, || {
            self.arc().map(|node| node as Arc<dyn writeback::DirtyInode>)
        });
    }

    /// The group that may keep blocks for this file ([`crate::balloc::window`]).
    pub(crate) fn window(&self) -> Option<u32> {
        self.window.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Says which group does.
    pub(crate) fn set_window(&self, group: Option<u32>) {
        // There are fewer groups than that.
        self.window.store(group.map_or(0, |g| g.saturating_add(1)), Ordering::Relaxed);
    }

    /// Whether it was made without a name, and may get one.
    pub(crate) fn is_linkable(&self) -> bool {
        self.linkable.load(Ordering::Relaxed)
    }

    /// Says whether it may.
    pub(crate) fn set_linkable(&self, yes: bool) {
        self.linkable.store(yes, Ordering::Relaxed);
    }

    /// The disk contradicts itself about this inode. EUCLEAN.
    #[cold]
    #[track_caller]
    pub fn corrupt(&self, check: impl Display) -> Errno {
        self.fs.corrupt(Site::inode(self.ino), check)
    }

    /// The same, at a block of the disk.
    #[cold]
    #[track_caller]
    pub fn corrupt_block(&self, block: FsBlock, check: impl Display) -> Errno {
        self.fs.corrupt(Site::at(self.ino, block), check)
    }

    /// The same, at a block of the file: what a directory knows of itself.
    #[cold]
    #[track_caller]
    pub fn corrupt_file_block(&self, block: FileBlock, check: impl Display) -> Errno {
        self.fs.corrupt(Site::in_file(self.ino, block), check)
    }
}

/// From this size on a file needs the large_file feature.
const LARGE: u64 = 1 << 31;

/// The most names an inode can have.
pub const LINK_MAX: u16 = 65_000;

fn set_time(old: &mut Timespec, now: Timespec) -> bool {
    core::mem::replace(old, now) != now
}
