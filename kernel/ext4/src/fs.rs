//! A mounted ext4: what all its inodes share.
//!
//! # What it is
//! [`Ext4Fs`] joins the checked geometry, the block device's cache, the flusher, the groups, the inode
//! cache and the orphan list. `mount.rs` makes one, `unmount.rs` ends it; this file is the meeting
//! point in between.
//!
//! # Locking
//! No lock stands around the file system. `state` and the counters are atomics; the superblock's
//! bytes are reached through its buffer's guard alone, for the length of one closure.
//!
//! # Invariants
//! 1. `free_blocks + reserved_blocks + claimed blocks == sum of the groups' free counts`: a writer claims blocks from
//!    the counter first and only then looks for them, so that the search cannot come too late.
//! 2. Once `state` is read-only it never goes back by itself.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};

use base::{Errno, FsBlock, Ino, Result};
use jbd2::Journal;
use pagecache::{BlockDevice, Buffer, Claim};
use sync::{Once, SpinLock};
use writeback::Bdi;
use zerocopy::{FromBytes, IntoBytes};

use crate::balloc::pending::Pending;
use crate::balloc::trim::Freed;
use crate::balloc::window::Kept;
use crate::checksum::{crc32c, delta};
use crate::disk::feature::{Compat, RoCompat};
use crate::disk::superblock::{CHECKSUM_OFFSET, LAST_ORPHAN_OFFSET, SIZE, Superblock};
use crate::geometry::{ErrorPolicy, Geometry, super_checksum};
use crate::group::Groups;
use crate::inode::cache::InodeCache;
use crate::inode::{Ext4Inode, Node};
use crate::journal::Reason;
use crate::journal::{Later, Tracker};
use crate::lazyinit::LazyInit;
use crate::options::{self, DataMode, Flag, Flavor, Options};
use crate::orphan::Orphans;
use crate::zones::Zones;

/// A mounted ext4 file system.
pub struct Ext4Fs {
    me: Weak<Ext4Fs>,
    geometry: Geometry,
    device: Arc<BlockDevice>,
    bdi: Arc<Bdi>,
    /// As long as it is mounted.
    claim: SpinLock<Option<Claim>>,
    superblock: Buffer,
    pub(crate) groups: Groups,
    pub(crate) zones: Zones,
    pub(crate) inodes: InodeCache,
    pub(crate) orphans: Orphans,
    options: SpinLock<Options>,
    /// The flags among them that are on ([`Flag`]), beside them so that a look takes no lock.
    flags_on: AtomicU32,
    read_only: AtomicBool,
    /// The disk was marked as in use: there may be something to write.
    begun: AtomicBool,
    /// `large_file` is on, or has been switched on.
    large_file: AtomicBool,
    /// Nothing on the disk may ever be written, whatever a remount asks.
    must_not_write: bool,
    /// Free blocks that nobody has claimed or reserved, and that wait for no commit ([`crate::balloc::claim`]).
    pub(crate) free_blocks: AtomicU64,
    /// Free blocks that are reserved for bytes in the page cache ([`crate::delayed`]).
    pub(crate) reserved_blocks: AtomicU64,
    /// Those among them that may become blocks of pointers.
    pub(crate) reserved_pointers: AtomicU64,
    pub(crate) free_inodes: AtomicU32,
    /// Free blocks that are kept for growing files.
    pub(crate) kept: Kept,
    /// The thread that zeroes inode tables.
    pub(crate) lazy_init: LazyInit,
    /// Freed blocks that are to be discarded.
    pub(crate) freed: Freed,
    /// Uses of inodes that outlive a handle.
    pub(crate) later: Later,
    /// What the next fast commit has to tell.
    pub(crate) tracker: Tracker,
    /// The journal, if it is mounted with one.
    pub(crate) journal: Once<Arc<Journal>>,
    /// Freed blocks that wait for a commit.
    pub(crate) pending: Pending,
    /// Its journal's device, when that is another.
    log_claim: SpinLock<Option<Claim>>,
    /// It was shut down: nothing works any more.
    shut_down: AtomicBool,
    /// Sectors the disk had written when it was mounted, for `s_kbytes_written`.
    pub(crate) sectors_at_mount: u64,
    kbytes_at_mount: u64,
    /// `s_state` before the mount changed it.
    state_at_mount: AtomicU16,
    /// The root directory's use by the mount; taken at unmount.
    root: SpinLock<Option<Arc<Ext4Inode>>>,
    /// Feeds generations and the search's starting points.
    random: AtomicU64,
}

/// What `mount.rs` puts together.
pub(crate) struct Parts {
    pub geometry: Geometry,
    pub device: Arc<BlockDevice>,
    pub bdi: Arc<Bdi>,
    pub claim: Claim,
    pub superblock: Buffer,
    pub groups: Groups,
    pub zones: Zones,
    pub options: Options,
    pub read_only: bool,
    pub must_not_write: bool,
}

impl Ext4Fs {
    pub(crate) fn new(parts: Parts) -> Arc<Ext4Fs> {
        let (free_blocks, free_inodes) = parts.groups.totals();
        let large_file = AtomicBool::new(parts.geometry.has_ro_compat(RoCompat::LARGE_FILE));
        let sectors_at_mount = crate::state::sectors_written(parts.device.disk());
        let seed = base::time::now().as_ns().unwrap_or(0) ^ u64::from(parts.geometry.csum_seed);
        let flags_on = AtomicU32::new(flags_of(&parts.options, &parts.geometry).bits());
        let kbytes_at_mount = superblock_in(&parts.superblock, &parts.geometry).s_kbytes_written.get();
        Arc::new_cyclic(|me| Ext4Fs {
            me: me.clone(),
            geometry: parts.geometry,
            device: parts.device,
            bdi: parts.bdi,
            claim: SpinLock::new(Some(parts.claim)),
            superblock: parts.superblock,
            groups: parts.groups,
            zones: parts.zones,
            inodes: InodeCache::new(),
            orphans: Orphans::new(),
            options: SpinLock::new(parts.options),
            flags_on,
            read_only: AtomicBool::new(parts.read_only),
            begun: AtomicBool::new(false),
            large_file,
            must_not_write: parts.must_not_write,
            free_blocks: AtomicU64::new(free_blocks),
            reserved_blocks: AtomicU64::new(0),
            reserved_pointers: AtomicU64::new(0),
            free_inodes: AtomicU32::new(free_inodes),
            kept: Kept::default(),
            freed: Freed::default(),
            lazy_init: LazyInit::default(),
            later: Later::default(),
            tracker: Tracker::default(),
            journal: Once::new(),
            pending: Pending::default(),
            log_claim: SpinLock::new(None),
            shut_down: AtomicBool::new(false),
            sectors_at_mount,
            kbytes_at_mount,
            state_at_mount: AtomicU16::new(0),
            root: SpinLock::new(None),
            random: AtomicU64::new(seed),
        })
    }

    /// The checked superblock.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The block device's cache: all metadata lives there.
    pub fn device(&self) -> &Arc<BlockDevice> {
        &self.device
    }

    /// The flusher of the disk.
    pub fn bdi(&self) -> &Arc<Bdi> {
        &self.bdi
    }

    /// "vda", for messages.
    pub fn disk_name(&self) -> &str {
        self.device.disk().name()
    }

    /// The devices are free for others.
    pub(crate) fn give_up_claim(&self) {
        let claims = (self.claim.lock().take(), self.log_claim.lock().take());
        drop(claims);
    }

    /// The hold on the device, for who mounts it once more.
    pub(crate) fn take_claim(&self) -> Option<Claim> {
        self.claim.lock().take()
    }

    /// Holds the journal's own device as long as this is mounted.
    pub(crate) fn keep_log_claim(&self, claim: Claim) {
        *self.log_claim.lock() = Some(claim);
    }

    /// It is mounted with this journal.
    pub(crate) fn set_journal(&self, journal: Arc<Journal>) {
        self.journal.call_once(|| journal);
    }

    /// A block of metadata was freed: what is cached of it is not written, and what the log has of it not
    /// replayed.
    pub(crate) fn forget(&self, block: FsBlock) {
        match self.journal() {
            Some(journal) => journal.forget(block, true),
            None => self.device.forget(block),
        }
    }

    /// A handle that does not keep it.
    pub(crate) fn weak(&self) -> Weak<Ext4Fs> {
        self.me.clone()
    }

    /// EIO after a shutdown.
    #[inline]
    pub(crate) fn check_running(&self) -> Result<()> {
        // A flag alone: nothing else is learned from it.
        if self.shut_down.load(Ordering::Relaxed) { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Nothing works from now on.
    pub(crate) fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
    }

    /// A counted handle. None only while it is being dropped.
    pub(crate) fn arc(&self) -> Option<Arc<Ext4Fs>> {
        self.me.upgrade()
    }

    /// The inode of a number, from memory or from the disk (`ext4_iget`). ESTALE for one that is
    /// free, EUCLEAN for one that is damaged or out of range.
    pub fn iget(&self, ino: Ino) -> Result<Arc<Ext4Inode>> {
        let fs = self.arc().ok_or(Errno::EIO)?;
        InodeCache::get(&fs, ino)
    }

    /// A new inode near `parent`, with one name (a directory: still one; set 2 yourself), no size,
    /// an empty extent map when it is a file, directory or symbolic link, and its bytes in the table.
    /// `owner` is what [`vfs::Cred::init_owner`] gave, its mode with the type. ENOSPC, EROFS, EIO.
    pub fn new_inode(&self, parent: &Node, owner: vfs::Ownership, name: &[u8]) -> Result<Arc<Ext4Inode>> {
        let fs = self.arc().ok_or(Errno::EIO)?;
        crate::balloc::inodes::create(&fs, parent, owner, name)
    }

    /// Whether nothing may be written.
    #[inline]
    pub fn read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// EROFS when nothing may be written: the first line of everything that changes the disk.
    pub fn check_writable(&self) -> Result<()> {
        if self.read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// From now on nothing is changed any more.
    pub(crate) fn become_read_only(&self, why: &str) {
        if !self.read_only.swap(true, Ordering::AcqRel) {
            log::error!("EXT4-fs (device {}): remounting read-only: {why}", self.disk_name());
        }
    }

    /// Sets the read-only state for a remount. EROFS when the disk must not be written.
    pub(crate) fn set_read_only(&self, yes: bool) -> Result<()> {
        if !yes && self.must_not_write {
            return Err(Errno::EROFS);
        }
        self.read_only.store(yes, Ordering::Release);
        Ok(())
    }

    /// Whether nothing on the disk may ever be written, whatever a remount asks.
    pub(crate) fn must_not_write(&self) -> bool {
        self.must_not_write
    }

    /// The mount options now.
    pub fn options(&self) -> Options {
        self.options.lock().clone()
    }

    /// Whether an option holds: said at mount, or the superblock's or Linux's default.
    pub fn is_on(&self, flag: Flag) -> bool {
        self.flags_on().contains(flag)
    }

    /// All options that hold.
    #[inline]
    pub(crate) fn flags_on(&self) -> Flag {
        Flag::from_bits_retain(self.flags_on.load(Ordering::Relaxed))
    }

    /// The largest directory in KiB; 0 for no limit.
    pub(crate) fn max_dir_size_kb(&self) -> u32 {
        self.options.lock().max_dir_size_kb
    }

    /// The user and the group who may use the reserved blocks: `resuid=` and `resgid=`, or the
    /// superblock's.
    pub(crate) fn reserved_for(&self) -> (u32, u32) {
        let options = self.options.lock();
        let (uid, gid) = (self.geometry.reserved_uid, self.geometry.reserved_gid);
        (options.resuid.unwrap_or(uid), options.resgid.unwrap_or(gid))
    }

    /// How gently inode tables are zeroed: a wait of so many times what one took.
    pub(crate) fn init_itable(&self) -> u32 {
        self.options.lock().init_itable.unwrap_or(options::INIT_ITABLE)
    }

    /// The type this was mounted as.
    pub fn flavor(&self) -> Flavor {
        self.options.lock().flavor
    }

    /// Whether there are no access control lists (`noacl`).
    pub(crate) fn no_acl(&self) -> bool {
        !self.is_on(Flag::ACL)
    }

    /// What the journal promises of files' data: said, or the superblock's word, or ordered.
    pub(crate) fn data_mode(&self) -> DataMode {
        let said = self.options.lock().data;
        said.or(options::default_data(self.geometry.default_mount_opts)).unwrap_or_default()
    }

    /// Other options, for a remount.
    pub(crate) fn set_options(&self, options: Options) {
        self.flags_on.store(flags_of(&options, &self.geometry).bits(), Ordering::Relaxed);
        *self.options.lock() = options;
    }

    /// What to do on contradictions: `errors=`, or else the superblock's word.
    pub fn error_policy(&self) -> ErrorPolicy {
        self.options.lock().errors.unwrap_or(self.geometry.errors)
    }

    /// A copy of the superblock's bytes as they are now.
    pub(crate) fn superblock(&self) -> Superblock {
        superblock_in(&self.superblock, &self.geometry)
    }

    /// `s_kbytes_written` at mount.
    pub(crate) fn kbytes_at_mount(&self) -> u64 {
        self.kbytes_at_mount
    }

    /// `s_state` before the mount changed it.
    pub(crate) fn state_at_mount(&self) -> u16 {
        self.state_at_mount.load(Ordering::Relaxed)
    }

    /// Remembers `s_state` before the mount changes it: from now on there may be something to write.
    pub(crate) fn note_state_at_mount(&self, state: u16) {
        self.state_at_mount.store(state, Ordering::Relaxed);
        self.begun.store(true, Ordering::Release);
    }

    /// Whether anything may have been written since the mount, even if nothing may be now.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// A file is 2 GiB or larger: the superblock must say that there are such files.
    pub(crate) fn note_large_file(&self) {
        if !self.large_file.swap(true, Ordering::AcqRel) {
            self.with_superblock(|sb| {
                let features = sb.s_feature_ro_compat.get() | RoCompat::LARGE_FILE.bits();
                sb.s_feature_ro_compat = features.into();
            });
        }
    }

    /// An inode has a block of attributes: the superblock must say that there are such blocks.
    pub(crate) fn note_ext_attr(&self) {
        self.with_superblock(|sb| {
            let features = sb.s_feature_compat.get() | Compat::EXT_ATTR.bits();
            sb.s_feature_compat = features.into();
        });
    }

    /// Changes the superblock and renews its checksum; the buffer becomes dirty.
    pub(crate) fn with_superblock(&self, change: impl FnOnce(&mut Superblock)) {
        self.mark_ineligible(Reason::Other);
        let mut block = self.superblock.write();
        let at = self.geometry.super_offset();
        let Some(bytes) = block.get_mut(at..at + SIZE) else { return };
        let Ok(mut sb) = Superblock::read_from_bytes(bytes) else { return };
        change(&mut sb);
        if self.geometry.metadata_csum() {
            sb.s_checksum = super_checksum(&sb).into();
        }
        bytes.copy_from_slice(sb.as_bytes());
    }

    /// Sets the head of the orphan list: every unlink does, so its checksum changes by what this changes.
    pub(crate) fn set_last_orphan(&self, ino: u32) {
        let mut block = self.superblock.write();
        let at = self.geometry.super_offset();
        let Some(bytes) = block.get_mut(at..at + SIZE) else { return };
        let (summed, sum) = bytes.split_at_mut(CHECKSUM_OFFSET);
        let field = LAST_ORPHAN_OFFSET..LAST_ORPHAN_OFFSET + 4;
        let set = |bytes: &mut [u8]| bytes.copy_from_slice(&ino.to_le_bytes());
        let right = cfg!(debug_assertions) && *sum == crc32c(!0, summed).to_le_bytes();
        if self.geometry.metadata_csum()
            && let Some(((), difference)) = delta(summed, field.clone(), set)
        {
            sum.iter_mut().zip(difference.to_le_bytes()).for_each(|(byte, change)| *byte ^= change);
            debug_assert!(!right || *sum == crc32c(!0, summed).to_le_bytes());
        } else {
            set(&mut summed[field]);
        }
    }

    /// The buffer that holds the superblock.
    pub(crate) fn superblock_buffer(&self) -> &Buffer {
        &self.superblock
    }

    /// The root directory as the mount holds it.
    pub(crate) fn root_inode(&self) -> Option<Arc<Ext4Inode>> {
        self.root.lock().clone()
    }

    /// Sets or takes the mount's use of the root directory; the old one is returned, so that it is
    /// dropped outside the lock.
    pub(crate) fn set_root(&self, root: Option<Arc<Ext4Inode>>) -> Option<Arc<Ext4Inode>> {
        core::mem::replace(&mut self.root.lock(), root)
    }

    /// A number nobody can easily guess (xorshift64*): generations, starting points. No secret.
    pub(crate) fn random(&self) -> u32 {
        let step = |x: u64| {
            let mut x = x | 1;
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            Some(x)
        };
        let old = self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or(1);
        (old.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// A line of the mount's kind in the log.
    pub(crate) fn say(&self, text: core::fmt::Arguments<'_>) {
        log::info!("EXT4-fs ({}): {text}", self.disk_name());
    }

    /// The options as /proc/mounts shows them.
    pub(crate) fn options_text(&self) -> String {
        self.options.lock().text(&self.geometry)
    }
}

/// The flags that hold: those that were said, else the superblock's or Linux's.
fn flags_of(options: &Options, geometry: &Geometry) -> Flag {
    options.on(options::defaults(geometry.default_mount_opts, options.flavor))
}

/// The superblock's bytes in its buffer.
fn superblock_in(buffer: &Buffer, geometry: &Geometry) -> Superblock {
    let block = buffer.read();
    let at = geometry.super_offset();
    // The buffer holds a whole block, and a block from 1 KiB on holds the superblock.
    match block.get(at..at + SIZE).map(Superblock::read_from_bytes) {
        Some(Ok(sb)) => sb,
        _ => zerocopy::FromZeros::new_zeroed(),
    }
}
