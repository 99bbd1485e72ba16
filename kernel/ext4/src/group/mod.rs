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

mod check;
mod guard;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use base::{Errno, Ino, Result};
use pagecache::{BlockDevice, Buffer};
use sync::Mutex;

use crate::disk::group_desc::INODE_UNINIT;
use crate::fs::Ext4Fs;
use crate::geometry::Geometry;
use crate::zones::Zones;

pub use check::GroupError;
pub use guard::{Bitmap, GroupGuard, GroupState};

/// No summary of the group was made yet.
const UNKNOWN: u32 = u32::MAX;

struct Group {
    free_blocks: AtomicU32,
    free_inodes: AtomicU32,
    used_dirs: AtomicU32,
    /// The order of the largest free chunk, plus 1; 0: nothing is free; or [`UNKNOWN`].
    largest: AtomicU32,
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

    /// Whether a group may have `len` free blocks in a row, as far as is known without its lock.
    pub fn may_have(&self, number: u32, len: u32) -> bool {
        let Some(group) = self.get(number) else { return false };
        // A run of 2^n - 1 has a chunk of 2^(n - 2) at least.
        group.free_blocks.load(Ordering::Relaxed) >= len
            && match group.largest.load(Ordering::Relaxed) {
                UNKNOWN => true,
                0 => false,
                order => len.checked_shr(order + 1).unwrap_or(0) == 0,
            }
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

fn desc_bytes(geometry: &Geometry, tables: &[Buffer], number: u32) -> Result<Vec<u8>> {
    let per_block = geometry.descs_per_block();
    let offset = (number % per_block) as usize * geometry.desc_size;
    let block = tables.get((number / per_block) as usize).ok_or(Errno::EIO)?.read();
    block.get(offset..offset + geometry.desc_size).map(<[u8]>::to_vec).ok_or(Errno::EIO)
}
