//! The descriptors' door: what is checked of each, and the checksums of descriptors and bitmaps.
//!
//! Source: ext4 documentation, "Block Group Descriptors", "Checksums".

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::AtomicU32;

use sync::Mutex;
use zerocopy::{FromZeros, IntoBytes};

use super::guard::{Bitmap, GroupState};
use super::{Group, UNKNOWN};
use crate::balloc::bits::Run;
use crate::checksum::{crc16, crc32c, delta};
use crate::disk::feature::{Incompat, RoCompat};
use crate::disk::group_desc::{CHECKSUM_OFFSET, GroupDesc, SIZE_32, SIZE_64};
use crate::disk::join32;
use crate::geometry::Geometry;

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

impl Group {
    /// Checks a descriptor's bytes.
    pub(super) fn check(
        geometry: &Geometry,
        number: u32,
        bytes: &[u8],
    ) -> core::result::Result<Group, GroupError> {
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
            told_unreadable: false,
            summary: None,
            windows: Vec::new(),
            waiting: Vec::new(),
        };
        state.check_counts(geometry, number)?;
        Ok(Group {
            free_blocks: AtomicU32::new(state.free_blocks()),
            free_inodes: AtomicU32::new(state.free_inodes()),
            used_dirs: AtomicU32::new(state.used_dirs()),
            largest: AtomicU32::new(UNKNOWN),
            inode_table: table,
            block_bitmap: bitmap,
            inode_bitmap,
            state: Mutex::new(state),
        })
    }
}

fn parse(bytes: &[u8]) -> GroupDesc {
    let mut desc = GroupDesc::new_zeroed();
    let known = bytes.len().min(SIZE_64);
    desc.as_mut_bytes()[..known].copy_from_slice(&bytes[..known]);
    desc
}

/// The checksum of a descriptor's bytes; None when this disk has none.
pub(super) fn checksum(geometry: &Geometry, number: u32, bytes: &[u8]) -> Option<u16> {
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
pub(super) fn bitmap_checksum(geometry: &Geometry, bitmap: &[u8], bits: u32) -> Option<u32> {
    let bytes = bitmap.get(..bits as usize / 8)?;
    geometry.metadata_csum().then(|| crc32c(geometry.csum_seed, bytes))
}

/// Sets or clears `len` bits from `start` on, or says which of them was not as it should be.
pub(super) type Change = fn(&mut [u8], u32, u32) -> Result<(), u32>;

/// Changes a run of a bitmap's first `bits` bits, and tells by what the checksum over them changes. A run
/// that is not among them fails, as does one that `change` finds wrong; then nothing changed.
pub(super) fn changed(
    geometry: &Geometry,
    bitmap: &mut [u8],
    bits: u32,
    run: Run,
    change: Change,
) -> Result<u32, u32> {
    if !geometry.metadata_csum() {
        return change(bitmap, run.start, run.len).map(|()| 0);
    }
    let summed = bitmap.get_mut(..bits as usize / 8).ok_or(run.start)?;
    // The words of the run, so that they are looked at as words.
    let first = run.start & !63;
    let end = run.start.saturating_add(run.len).div_ceil(64) as usize * 8;
    let range = first as usize / 8..end.min(summed.len());
    let done = delta(summed, range, |words| change(words, run.start - first, run.len));
    let (done, difference) = done.ok_or(run.start)?;
    done.map(|()| difference).map_err(|at| at.saturating_add(first))
}

/// Compares a bitmap's checksum with the descriptor's, whose upper half only 64-byte ones have.
pub(super) fn matches(geometry: &Geometry, bitmap: &[u8], bits: u32, disk: u32) -> bool {
    let Some(crc) = bitmap_checksum(geometry, bitmap, bits) else { return true };
    if geometry.desc_size >= SIZE_64 { crc == disk } else { crc & 0xffff == disk & 0xffff }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing::geometry;

    fn good() -> GroupDesc {
        let mut desc = GroupDesc::new_zeroed();
        desc.bg_block_bitmap_lo = 300.into();
        desc.bg_inode_bitmap_lo = 301.into();
        desc.bg_inode_table_lo = 302.into();
        desc.bg_free_blocks_count_lo = 8000.into();
        desc.bg_free_inodes_count_lo = 2048.into();
        desc
    }

    fn sealed(desc: &GroupDesc, number: u32) -> Vec<u8> {
        let mut desc = *desc;
        desc.bg_checksum = checksum(&geometry(), number, desc.as_bytes()).unwrap_or(0).into();
        desc.as_bytes().to_vec()
    }

    fn refused(change: impl FnOnce(&mut GroupDesc)) -> Option<GroupError> {
        let mut desc = good();
        change(&mut desc);
        Group::check(&geometry(), 0, &sealed(&desc, 0)).err()
    }

    #[test]
    fn every_check_has_its_word() {
        assert_eq!(refused(|_| {}), None);
        // Without flex_bg a group's metadata lies in the group: blocks 1 to 8192.
        assert_eq!(refused(|d| d.bg_block_bitmap_lo = 8193.into()), Some(GroupError::BlockBitmap(8193)));
        assert_eq!(
            refused(|d| d.bg_inode_bitmap_hi = 1.into()),
            Some(GroupError::InodeBitmap((1 << 32) | 301))
        );
        assert_eq!(refused(|d| d.bg_inode_table_lo = 7682.into()), Some(GroupError::InodeTable(7682)));
        assert_eq!(refused(|d| d.bg_inode_table_lo = 7681.into()), None);
        assert_eq!(refused(|d| d.bg_free_blocks_count_lo = 8193.into()), Some(GroupError::FreeBlocks(8193)));
        assert_eq!(refused(|d| d.bg_free_inodes_count_lo = 2049.into()), Some(GroupError::FreeInodes(2049)));
        assert_eq!(refused(|d| d.bg_used_dirs_count_hi = 1.into()), Some(GroupError::UsedDirs(65536)));
        assert_eq!(refused(|d| d.bg_itable_unused_lo = 2049.into()), Some(GroupError::TableUnused(2049)));
    }

    #[test]
    fn the_checksum_knows_the_group() {
        let bytes = sealed(&good(), 0);
        assert!(matches!(Group::check(&geometry(), 1, &bytes), Err(GroupError::Checksum(..))));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Group::check(&geometry(), 0, &bad).is_err(), "bit {bit}");
        }
    }
}
