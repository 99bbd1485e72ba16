//! Block groups in memory, and the descriptors' one door.
//!
//! # What it is
//! [`Groups`] holds every descriptor, checked once at mount ([`GroupError`], one variant per check).
//! Who changes a group takes its lock ([`Groups::lock`]), changes counts and bitmaps, and calls
//! [`GroupGuard::store`], which writes the descriptor with its checksum into the buffer of the
//! descriptor table. The free counts are kept beside the lock as atomics, so that a search passes
//! over full groups without taking anything.
//!
//! # Locking
//! One sleeping lock per group, because a bitmap may have to be read under it. Never two groups at
//! once. Under it: one bitmap buffer's guard, then one descriptor buffer's guard, not both.
//!
//! # Invariants
//! 1. Bitmaps and tables of all groups lie inside the file system and overlap nothing
//!    ([`crate::zones`] refuses the mount otherwise).
//! 2. `free_blocks <= blocks of the group`, `free_inodes` and `itable_unused <= inodes_per_group`.
//! 3. The atomics equal the descriptor's counts whenever the lock is free.
//!
//! Source: ext4 documentation, "Block Group Descriptors", "Checksums", "Lazy Block Group
//! Initialization".

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use base::{Errno, FsBlock, Ino, Result};
use pagecache::{BlockDevice, Buffer};
use sync::{Mutex, MutexGuard};
use zerocopy::{FromZeros, IntoBytes};

use crate::checksum::{crc16, crc32c};
use crate::disk::feature::{Incompat, RoCompat};
use crate::disk::group_desc::{BLOCK_UNINIT, CHECKSUM_OFFSET, GroupDesc, INODE_UNINIT, SIZE_32, SIZE_64};
use crate::disk::{hi16, join16, join32, lo16};
use crate::fs::Ext4Fs;
use crate::geometry::Geometry;
use crate::zones::Zones;

/// Why a descriptor is refused: one variant per check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupError {
    /// `bg_checksum` does not match; the value on disk and the one computed.
    Checksum(u16, u16),
    /// `bg_block_bitmap` lies outside the file system (or its group, without flex_bg).
    BlockBitmap(u64),
    /// `bg_inode_bitmap` likewise.
    InodeBitmap(u64),
    /// `bg_inode_table` likewise.
    InodeTable(u64),
    /// `bg_free_blocks_count` exceeds the group.
    FreeBlocks(u32),
    /// `bg_free_inodes_count` exceeds the group.
    FreeInodes(u32),
    /// `bg_used_dirs_count` exceeds the group.
    UsedDirs(u32),
    /// `bg_itable_unused` exceeds the group.
    TableUnused(u32),
    /// A block is claimed by two bitmaps, tables or superblock copies.
    Overlap(u64),
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupError::Checksum(disk, calc) => {
                write!(f, "bg_checksum is {disk:#06x}, the descriptor's bytes give {calc:#06x}")
            }
            GroupError::BlockBitmap(v) => write!(f, "bg_block_bitmap {v} is out of range"),
            GroupError::InodeBitmap(v) => write!(f, "bg_inode_bitmap {v} is out of range"),
            GroupError::InodeTable(v) => write!(f, "bg_inode_table {v} is out of range"),
            GroupError::FreeBlocks(v) => write!(f, "bg_free_blocks_count {v} exceeds the group"),
            GroupError::FreeInodes(v) => write!(f, "bg_free_inodes_count {v} exceeds the group"),
            GroupError::UsedDirs(v) => write!(f, "bg_used_dirs_count {v} exceeds the group"),
            GroupError::TableUnused(v) => write!(f, "bg_itable_unused {v} exceeds the group"),
            GroupError::Overlap(v) => write!(f, "block {v} is claimed twice by the file system's metadata"),
        }
    }
}

/// What is known of one bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bitmap {
    /// Not looked at yet.
    Unchecked,
    /// Its checks were passed.
    Good,
    /// They were not: the group gives out nothing of this kind any more.
    Bad,
}

/// One group's descriptor and what is remembered of its bitmaps.
pub struct GroupState {
    /// The descriptor, both halves; the second is zero when the disk has 32-byte descriptors.
    desc: GroupDesc,
    /// The block bitmap.
    pub blocks: Bitmap,
    /// The inode bitmap.
    pub inodes: Bitmap,
    /// No free run of blocks is longer than this.
    pub longest_run: u32,
}

struct Group {
    free_blocks: AtomicU32,
    free_inodes: AtomicU32,
    used_dirs: AtomicU32,
    inode_table: u64,
    block_bitmap: u64,
    inode_bitmap: u64,
    state: Mutex<GroupState>,
}

/// All groups.
pub struct Groups {
    groups: Box<[Group]>,
    tables: Vec<Buffer>,
}

/// A group, alone.
pub struct GroupGuard<'a> {
    /// Which.
    pub number: u32,
    group: &'a Group,
    state: MutexGuard<'a, GroupState>,
}

impl Groups {
    /// Reads and checks every descriptor. The error says which group.
    pub fn read(
        geometry: &Geometry,
        device: &Arc<BlockDevice>,
    ) -> Result<core::result::Result<Groups, (u32, GroupError)>> {
        let mut tables = Vec::new();
        for n in 0..geometry.desc_blocks() {
            tables.push(device.bread(geometry.desc_block(n))?);
        }
        let mut groups = Vec::new();
        for number in 0..geometry.groups {
            let bytes = desc_bytes(geometry, &tables, number)?;
            match Group::check(geometry, number, &bytes) {
                Ok(group) => groups.push(group),
                Err(e) => return Ok(Err((number, e))),
            }
        }
        Ok(Ok(Groups { groups: groups.into_boxed_slice(), tables }))
    }

    /// The places of all metadata. The group of a block that is claimed twice.
    pub fn zones(&self, geometry: &Geometry) -> core::result::Result<Zones, (u32, GroupError)> {
        let mut runs = Vec::new();
        for (number, group) in (0..).zip(self.groups.iter()) {
            let first = geometry.group_first_block(number).0;
            runs.push((
                first,
                u64::from(geometry.base_meta_blocks(number).min(geometry.group_blocks(number))),
            ));
            runs.push((group.block_bitmap, 1));
            runs.push((group.inode_bitmap, 1));
            runs.push((group.inode_table, u64::from(geometry.table_blocks())));
        }
        Zones::build(geometry, runs).map_err(|block| {
            let number = geometry.locate(block).map_or(0, |(g, _)| g);
            (number, GroupError::Overlap(block.0))
        })
    }

    /// Free blocks and inodes of all groups.
    pub fn totals(&self) -> (u64, u32) {
        let blocks = self.groups.iter().map(|g| u64::from(g.free_blocks.load(Ordering::Relaxed))).sum();
        let inodes = self.groups.iter().map(|g| g.free_inodes.load(Ordering::Relaxed)).sum();
        (blocks, inodes)
    }

    /// Directories in all groups.
    pub fn directories(&self) -> u64 {
        self.groups.iter().map(|g| u64::from(g.used_dirs.load(Ordering::Relaxed))).sum()
    }

    /// Free blocks of a group at this moment; 0 for one that is not there.
    pub fn free_blocks(&self, number: u32) -> u32 {
        self.get(number).map_or(0, |g| g.free_blocks.load(Ordering::Relaxed))
    }

    /// Free inodes of a group at this moment.
    pub fn free_inodes(&self, number: u32) -> u32 {
        self.get(number).map_or(0, |g| g.free_inodes.load(Ordering::Relaxed))
    }

    /// Directories of a group at this moment.
    pub fn used_dirs(&self, number: u32) -> u32 {
        self.get(number).map_or(0, |g| g.used_dirs.load(Ordering::Relaxed))
    }

    /// The first block of a group's inode table.
    pub fn inode_table(&self, number: u32) -> u64 {
        self.get(number).map_or(0, |g| g.inode_table)
    }

    /// Whether an inode lies in the part of its group's table that was ever used.
    pub fn inode_may_be_used(&self, fs: &Ext4Fs, ino: u32) -> bool {
        let geometry = fs.geometry();
        let Some((group, index)) = geometry.locate_inode(Ino(u64::from(ino))) else { return false };
        if !geometry.group_csum() {
            return true;
        }
        match self.lock(group) {
            Some(g) => !g.has_flag(INODE_UNINIT) && index < geometry.inodes_per_group - g.table_unused(),
            None => false,
        }
    }

    /// Takes a group's lock. None for a number that is no group.
    pub fn lock(&self, number: u32) -> Option<GroupGuard<'_>> {
        let group = self.get(number)?;
        Some(GroupGuard { number, group, state: group.state.lock() })
    }

    fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)
    }
}

impl Group {
    fn check(geometry: &Geometry, number: u32, bytes: &[u8]) -> core::result::Result<Group, GroupError> {
        let desc = parse(bytes);
        let disk = desc.bg_checksum.get();
        if let Some(calc) = checksum(geometry, number, bytes)
            && disk != calc
        {
            return Err(GroupError::Checksum(disk, calc));
        }
        let bitmap = join32(desc.bg_block_bitmap_lo, desc.bg_block_bitmap_hi);
        check_place(geometry, number, bitmap, 1).ok_or(GroupError::BlockBitmap(bitmap))?;
        let inode_bitmap = join32(desc.bg_inode_bitmap_lo, desc.bg_inode_bitmap_hi);
        check_place(geometry, number, inode_bitmap, 1).ok_or(GroupError::InodeBitmap(inode_bitmap))?;
        let table = join32(desc.bg_inode_table_lo, desc.bg_inode_table_hi);
        check_place(geometry, number, table, u64::from(geometry.table_blocks()))
            .ok_or(GroupError::InodeTable(table))?;
        let state = GroupState {
            desc,
            blocks: Bitmap::Unchecked,
            inodes: Bitmap::Unchecked,
            longest_run: geometry.group_blocks(number),
        };
        state.check_counts(geometry, number)?;
        Ok(Group {
            free_blocks: AtomicU32::new(state.free_blocks()),
            free_inodes: AtomicU32::new(state.free_inodes()),
            used_dirs: AtomicU32::new(state.used_dirs()),
            inode_table: table,
            block_bitmap: bitmap,
            inode_bitmap,
            state: Mutex::new(state),
        })
    }
}

impl GroupState {
    fn check_counts(&self, geometry: &Geometry, number: u32) -> core::result::Result<(), GroupError> {
        let inodes = geometry.inodes_per_group;
        if self.free_blocks() > geometry.group_blocks(number) {
            return Err(GroupError::FreeBlocks(self.free_blocks()));
        }
        if self.free_inodes() > inodes {
            return Err(GroupError::FreeInodes(self.free_inodes()));
        }
        if self.used_dirs() > inodes {
            return Err(GroupError::UsedDirs(self.used_dirs()));
        }
        if geometry.group_csum() && self.table_unused() > inodes {
            return Err(GroupError::TableUnused(self.table_unused()));
        }
        Ok(())
    }

    fn free_blocks(&self) -> u32 {
        join16(self.desc.bg_free_blocks_count_lo, self.desc.bg_free_blocks_count_hi)
    }

    fn free_inodes(&self) -> u32 {
        join16(self.desc.bg_free_inodes_count_lo, self.desc.bg_free_inodes_count_hi)
    }

    fn used_dirs(&self) -> u32 {
        join16(self.desc.bg_used_dirs_count_lo, self.desc.bg_used_dirs_count_hi)
    }

    fn table_unused(&self) -> u32 {
        join16(self.desc.bg_itable_unused_lo, self.desc.bg_itable_unused_hi)
    }
}

impl core::ops::Deref for GroupGuard<'_> {
    type Target = GroupState;

    fn deref(&self) -> &GroupState {
        &self.state
    }
}

impl core::ops::DerefMut for GroupGuard<'_> {
    fn deref_mut(&mut self) -> &mut GroupState {
        &mut self.state
    }
}

impl GroupGuard<'_> {
    /// Where the block bitmap lies.
    pub fn block_bitmap(&self) -> FsBlock {
        FsBlock(self.group.block_bitmap)
    }

    /// Where the inode bitmap lies.
    pub fn inode_bitmap(&self) -> FsBlock {
        FsBlock(self.group.inode_bitmap)
    }

    /// Where the inode table begins.
    pub fn inode_table(&self) -> FsBlock {
        FsBlock(self.group.inode_table)
    }

    /// Whether a `bg_flags` bit is set.
    pub fn has_flag(&self, flag: u16) -> bool {
        self.state.desc.bg_flags.get() & flag != 0
    }

    /// Clears a `bg_flags` bit.
    pub fn clear_flag(&mut self, flag: u16) {
        self.state.desc.bg_flags = (self.state.desc.bg_flags.get() & !flag).into();
    }

    /// Free blocks.
    pub fn free_blocks(&self) -> u32 {
        self.state.free_blocks()
    }

    /// Sets the count of free blocks.
    pub fn set_free_blocks(&mut self, n: u32) {
        (self.state.desc.bg_free_blocks_count_lo, self.state.desc.bg_free_blocks_count_hi) =
            (lo16(n), hi16(n));
    }

    /// Free inodes.
    pub fn free_inodes(&self) -> u32 {
        self.state.free_inodes()
    }

    /// Sets the count of free inodes.
    pub fn set_free_inodes(&mut self, n: u32) {
        (self.state.desc.bg_free_inodes_count_lo, self.state.desc.bg_free_inodes_count_hi) =
            (lo16(n), hi16(n));
    }

    /// Directories.
    pub fn used_dirs(&self) -> u32 {
        self.state.used_dirs()
    }

    /// Sets the count of directories.
    pub fn set_used_dirs(&mut self, n: u32) {
        (self.state.desc.bg_used_dirs_count_lo, self.state.desc.bg_used_dirs_count_hi) = (lo16(n), hi16(n));
    }

    /// Inodes at the end of the table that were never used.
    pub fn table_unused(&self) -> u32 {
        self.state.table_unused()
    }

    /// Sets that count.
    pub fn set_table_unused(&mut self, n: u32) {
        (self.state.desc.bg_itable_unused_lo, self.state.desc.bg_itable_unused_hi) = (lo16(n), hi16(n));
    }

    /// Whether the block bitmap's bytes match the descriptor's checksum of them.
    pub fn block_bitmap_matches(&self, geometry: &Geometry, bitmap: &[u8]) -> bool {
        let desc = &self.state.desc;
        let disk = join16(desc.bg_block_bitmap_csum_lo, desc.bg_block_bitmap_csum_hi);
        matches(geometry, bitmap, geometry.blocks_per_group, disk)
    }

    /// Whether the inode bitmap's bytes match.
    pub fn inode_bitmap_matches(&self, geometry: &Geometry, bitmap: &[u8]) -> bool {
        let desc = &self.state.desc;
        let disk = join16(desc.bg_inode_bitmap_csum_lo, desc.bg_inode_bitmap_csum_hi);
        matches(geometry, bitmap, geometry.inodes_per_group, disk)
    }

    /// Takes over the checksum of a changed block bitmap.
    pub fn seal_block_bitmap(&mut self, geometry: &Geometry, bitmap: &[u8]) {
        if let Some(crc) = bitmap_checksum(geometry, bitmap, geometry.blocks_per_group) {
            self.state.desc.bg_block_bitmap_csum_lo = lo16(crc);
            self.state.desc.bg_block_bitmap_csum_hi = hi16(crc);
        }
    }

    /// Takes over the checksum of a changed inode bitmap.
    pub fn seal_inode_bitmap(&mut self, geometry: &Geometry, bitmap: &[u8]) {
        if let Some(crc) = bitmap_checksum(geometry, bitmap, geometry.inodes_per_group) {
            self.state.desc.bg_inode_bitmap_csum_lo = lo16(crc);
            self.state.desc.bg_inode_bitmap_csum_hi = hi16(crc);
        }
    }

    /// Writes the descriptor with its checksum into the buffer of the descriptor table, and brings
    /// the atomics up to date.
    pub fn store(&mut self, fs: &Ext4Fs) -> Result<()> {
        let geometry = fs.geometry();
        let per_block = geometry.descs_per_block();
        let table = fs.groups.tables.get((self.number / per_block) as usize).ok_or(Errno::EIO)?;
        let offset = (self.number % per_block) as usize * geometry.desc_size;
        let mut block = table.write();
        let bytes = block.get_mut(offset..offset + geometry.desc_size).ok_or(Errno::EIO)?;
        let known = geometry.desc_size.min(SIZE_64);
        bytes[..known].copy_from_slice(&self.state.desc.as_bytes()[..known]);
        if let Some(crc) = checksum(geometry, self.number, bytes) {
            self.state.desc.bg_checksum = crc.into();
            bytes[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&crc.to_le_bytes());
        }
        drop(block);
        self.group.free_blocks.store(self.state.free_blocks(), Ordering::Relaxed);
        self.group.free_inodes.store(self.state.free_inodes(), Ordering::Relaxed);
        self.group.used_dirs.store(self.state.used_dirs(), Ordering::Relaxed);
        Ok(())
    }

    /// Nothing of a kind is to be taken from this group any more.
    pub fn give_up_blocks(&mut self) {
        self.state.blocks = Bitmap::Bad;
        self.group.free_blocks.store(0, Ordering::Relaxed);
    }

    /// The same for inodes.
    pub fn give_up_inodes(&mut self) {
        self.state.inodes = Bitmap::Bad;
        self.group.free_inodes.store(0, Ordering::Relaxed);
    }

    /// Whether the block bitmap was never written.
    pub fn blocks_uninit(&self, geometry: &Geometry) -> bool {
        geometry.group_csum() && self.has_flag(BLOCK_UNINIT)
    }

    /// Whether the inode bitmap was never written.
    pub fn inodes_uninit(&self, geometry: &Geometry) -> bool {
        geometry.group_csum() && self.has_flag(INODE_UNINIT)
    }
}

fn parse(bytes: &[u8]) -> GroupDesc {
    let mut desc = GroupDesc::new_zeroed();
    let known = bytes.len().min(SIZE_64);
    desc.as_mut_bytes()[..known].copy_from_slice(&bytes[..known]);
    desc
}

fn desc_bytes(geometry: &Geometry, tables: &[Buffer], number: u32) -> Result<Vec<u8>> {
    let per_block = geometry.descs_per_block();
    let offset = (number % per_block) as usize * geometry.desc_size;
    let block = tables.get((number / per_block) as usize).ok_or(Errno::EIO)?.read();
    block.get(offset..offset + geometry.desc_size).map(<[u8]>::to_vec).ok_or(Errno::EIO)
}

/// The checksum of a descriptor's bytes; None when this disk has none.
fn checksum(geometry: &Geometry, number: u32, bytes: &[u8]) -> Option<u16> {
    let (head, tail) = (&bytes[..CHECKSUM_OFFSET], &bytes[SIZE_32..]);
    if geometry.metadata_csum() {
        let crc = crc32c(crc32c(geometry.csum_seed, &number.to_le_bytes()), head);
        let crc = crc32c(crc32c(crc, &[0; 2]), tail);
        return Some((crc & 0xffff) as u16);
    }
    if geometry.has_ro_compat(RoCompat::GDT_CSUM) {
        let crc = crc16(crc16(crc16(!0, &geometry.uuid), &number.to_le_bytes()), head);
        return Some(crc16(crc, tail));
    }
    None
}

/// Some when `len` blocks from `first` on may hold this group's metadata.
fn check_place(geometry: &Geometry, number: u32, first: u64, len: u64) -> Option<()> {
    let end = first.checked_add(len)?;
    let (low, high) = if geometry.has_incompat(Incompat::FLEX_BG) {
        (geometry.first_data_block + 1, geometry.blocks_count)
    } else {
        let start = geometry.group_first_block(number).0;
        (start, start + u64::from(geometry.group_blocks(number)))
    };
    (first >= low && end <= high).then_some(())
}

/// The checksum over the `bits` bits of a bitmap; None without metadata_csum.
fn bitmap_checksum(geometry: &Geometry, bitmap: &[u8], bits: u32) -> Option<u32> {
    let bytes = bitmap.get(..bits as usize / 8)?;
    geometry.metadata_csum().then(|| crc32c(geometry.csum_seed, bytes))
}

/// Compares a bitmap's checksum with the descriptor's, whose upper half only 64-byte ones have.
fn matches(geometry: &Geometry, bitmap: &[u8], bits: u32, disk: u32) -> bool {
    let Some(crc) = bitmap_checksum(geometry, bitmap, bits) else { return true };
    if geometry.desc_size >= SIZE_64 { crc == disk } else { crc & 0xffff == disk & 0xffff }
}
