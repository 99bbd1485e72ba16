//! One group while its lock is held: its descriptor, read and changed.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use base::{Errno, FsBlock, Result};
use sync::MutexGuard;
use zerocopy::IntoBytes;

use super::check::{Change, GroupError, bitmap_checksum, changed, checksum, matches};
use super::{Group, UNKNOWN};
use crate::balloc::bits::Run;
use crate::balloc::buddy::Buddy;
use crate::balloc::pending::Waiting;
use crate::balloc::window::Window;
use crate::disk::group_desc::{BLOCK_UNINIT, CHECKSUM_OFFSET, GroupDesc, INODE_UNINIT, SIZE_64};
use crate::disk::{hi16, join16, lo16};
use crate::fs::Ext4Fs;
use crate::geometry::Geometry;

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
    pub(super) desc: GroupDesc,
    /// The block bitmap.
    pub blocks: Bitmap,
    /// The inode bitmap.
    pub inodes: Bitmap,
    /// The log was told that one of them cannot be read: it need not hear it for each page that is written.
    pub told_unreadable: bool,
    /// What is free by size, once somebody asked.
    pub summary: Option<Box<Buddy>>,
    /// Free blocks that are kept for growing files; the summary leaves them out.
    pub windows: Vec<Window>,
    /// Freed blocks that wait for a commit; the summary leaves them out too.
    pub waiting: Vec<Waiting>,
}

/// A group, alone.
pub struct GroupGuard<'a> {
    /// Which.
    pub number: u32,
    pub(super) group: &'a Group,
    pub(super) state: MutexGuard<'a, GroupState>,
}

impl GroupState {
    pub(super) fn check_counts(
        &self,
        geometry: &Geometry,
        number: u32,
    ) -> core::result::Result<(), GroupError> {
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

    pub(super) fn free_blocks(&self) -> u32 {
        join16(self.desc.bg_free_blocks_count_lo, self.desc.bg_free_blocks_count_hi)
    }

    pub(super) fn free_inodes(&self) -> u32 {
        join16(self.desc.bg_free_inodes_count_lo, self.desc.bg_free_inodes_count_hi)
    }

    pub(super) fn used_dirs(&self) -> u32 {
        join16(self.desc.bg_used_dirs_count_lo, self.desc.bg_used_dirs_count_hi)
    }

    pub(super) fn table_unused(&self) -> u32 {
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

    /// Sets a `bg_flags` bit.
    pub fn set_flag(&mut self, flag: u16) {
        self.state.desc.bg_flags = (self.state.desc.bg_flags.get() | flag).into();
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

    /// Changes a run of the block bitmap, and its checksum by what that changes. `change` is
    /// [`bits::set`](crate::balloc::bits::set) or `clear`, and the error is theirs: nothing changed then. On a bad
    /// disk something else may have the bitmap's block and have changed it: then the sum stays wrong.
    pub fn change_blocks(
        &mut self,
        geometry: &Geometry,
        bitmap: &mut [u8],
        run: Run,
        change: Change,
    ) -> core::result::Result<(), u32> {
        let right = cfg!(debug_assertions) && self.block_bitmap_matches(geometry, bitmap);
        let difference = changed(geometry, bitmap, geometry.blocks_per_group, run, change)?;
        let desc = &mut self.state.desc;
        let crc = join16(desc.bg_block_bitmap_csum_lo, desc.bg_block_bitmap_csum_hi) ^ difference;
        (desc.bg_block_bitmap_csum_lo, desc.bg_block_bitmap_csum_hi) = (lo16(crc), hi16(crc));
        debug_assert!(!right || self.block_bitmap_matches(geometry, bitmap));
        Ok(())
    }

    /// The same with the inode bitmap.
    pub fn change_inodes(
        &mut self,
        geometry: &Geometry,
        bitmap: &mut [u8],
        run: Run,
        change: Change,
    ) -> core::result::Result<(), u32> {
        let right = cfg!(debug_assertions) && self.inode_bitmap_matches(geometry, bitmap);
        let difference = changed(geometry, bitmap, geometry.inodes_per_group, run, change)?;
        let desc = &mut self.state.desc;
        let crc = join16(desc.bg_inode_bitmap_csum_lo, desc.bg_inode_bitmap_csum_hi) ^ difference;
        (desc.bg_inode_bitmap_csum_lo, desc.bg_inode_bitmap_csum_hi) = (lo16(crc), hi16(crc));
        debug_assert!(!right || self.inode_bitmap_matches(geometry, bitmap));
        Ok(())
    }

    /// Takes over the checksum of a new block bitmap.
    pub fn seal_block_bitmap(&mut self, geometry: &Geometry, bitmap: &[u8]) {
        if let Some(crc) = bitmap_checksum(geometry, bitmap, geometry.blocks_per_group) {
            self.state.desc.bg_block_bitmap_csum_lo = lo16(crc);
            self.state.desc.bg_block_bitmap_csum_hi = hi16(crc);
        }
    }

    /// Takes over the checksum of a new inode bitmap.
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

    /// Tells searches how large the largest chunk of the summary is.
    pub fn publish_largest(&self) {
        let largest = match &self.state.summary {
            Some(summary) => summary.largest().map_or(0, |order| order + 1),
            None => UNKNOWN,
        };
        self.group.largest.store(largest, Ordering::Relaxed);
    }

    /// Nothing of a kind is to be taken from this group any more.
    pub fn give_up_blocks(&mut self) {
        self.state.blocks = Bitmap::Bad;
        self.state.summary = None;
        self.state.windows.clear();
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
