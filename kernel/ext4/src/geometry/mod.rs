//! The superblock's one door: raw bytes in, a [`Geometry`] out that the rest of the crate trusts.
//!
//! # What it is
//! [`Geometry::check`] looks at every field of the superblock that anything else is computed from.
//! Each failed check is one variant of [`SuperError`], whose text names the field and the value, and
//! whose [`SuperError::errno`] is what mount(2) answers: EINVAL for "this is no ext4 that Quill can
//! read", EUCLEAN for "this is one, and it is damaged".
//!
//! # Worked example
//! mke2fs's default for 64 MiB: 1 KiB blocks, 65536 of them, `s_first_data_block` 1, 8192 blocks a
//! group, so ceil((65536 - 1) / 8192) = 8 groups; 2048 inodes a group of 256 bytes, so a table of 512
//! blocks; 64-byte descriptors, 16 of them in a block, so one block of descriptors.
//!
//! # Invariants of a [`Geometry`]
//! 1. `block_bits` is 10, 11 or 12; `blocks_per_group <= 8 * block_size`, and the same for inodes.
//! 2. `first_data_block < blocks_count`, and the device holds `blocks_count` blocks.
//! 3. `inodes_count == groups * inodes_per_group` and fits u32; `groups >= 1` and fits u32.
//! 4. `desc_size` is a power of two from 32 to the block size.
//! 5. `inode_size` is a power of two from 128 to the block size.
//!
//! Source: ext4 documentation, "Super Block", "Block Groups", "Meta Block Groups".

mod check;
mod error;

use base::{FsBlock, Ino, Timespec};

use crate::disk::feature::{Compat, Incompat, RoCompat};
use crate::disk::superblock as raw;

pub use check::{features, super_checksum};
pub use error::SuperError;

/// What to do when the disk contradicts itself (`s_errors`, `errors=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorPolicy {
    /// Note it on the disk and go on.
    Continue,
    /// Note it and write no more.
    RemountReadOnly,
    /// Stop the machine.
    Panic,
}

/// Everything about a file system that stays the same while it is mounted, checked.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// log2 of the block size.
    pub block_bits: u32,
    /// Blocks of the file system, the one before `first_data_block` included.
    pub blocks_count: u64,
    /// The block of the first group's start: 1 with 1 KiB blocks, else 0.
    pub first_data_block: u64,
    /// Blocks in each group but perhaps the last.
    pub blocks_per_group: u32,
    /// Inodes in each group.
    pub inodes_per_group: u32,
    /// Inodes in all.
    pub inodes_count: u32,
    /// Block groups.
    pub groups: u32,
    /// Bytes of a group descriptor.
    pub desc_size: usize,
    /// Bytes of an inode.
    pub inode_size: usize,
    /// The first inode that is not reserved.
    pub first_ino: u32,
    /// Bytes past the first 128 that new inodes use; 0 with 128-byte inodes.
    pub want_extra_isize: u16,
    /// log2 of the groups in a flex group; 0 without flex_bg.
    pub log_flex: u32,
    /// Blocks kept for root.
    pub reserved_blocks: u64,
    /// Who may use them besides root.
    pub reserved_uid: u32,
    /// Which group may use them.
    pub reserved_gid: u32,
    /// Blocks after the descriptors that wait for a larger table.
    pub reserved_gdt: u32,
    /// The first meta block group, when meta_bg is on.
    pub first_meta_bg: u32,
    /// Groups with backups under sparse_super2.
    pub backup_groups: [u32; 2],
    /// Features.
    pub compat: Compat,
    /// Features.
    pub incompat: Incompat,
    /// Features that are known; the unknown ones make the mount read-only.
    pub ro_compat: RoCompat,
    /// The id, 16 bytes.
    pub uuid: [u8; 16],
    /// Where every crc32c of this file system starts.
    pub csum_seed: u32,
    /// The secret of the directory hash.
    pub hash_seed: [u32; 4],
    /// The hash of new indexed directories (`s_def_hash_version`).
    pub hash_version: u8,
    /// Whether that hash takes characters as unsigned.
    pub hash_unsigned: bool,
    /// What to do on contradictions.
    pub errors: ErrorPolicy,
    /// The journal's inode; 0 for none.
    pub journal_ino: u32,
    /// `s_default_mount_opts`: options that hold unless the mount says otherwise.
    pub default_mount_opts: u32,
    /// The largest file, in bytes.
    max_bytes: u64,
    /// Blocks that hold no files' data, as mke2fs counted them; 0 for "count yourself".
    pub overhead: u32,
}

impl Geometry {
    /// Bytes of a block.
    pub fn block_size(&self) -> usize {
        1 << self.block_bits
    }

    /// A moment as the inodes of this disk can keep it (`timestamp_truncate`): with 128 bytes they have
    /// whole seconds, and none past 2038.
    #[inline]
    pub fn timestamp(&self, t: Timespec) -> Timespec {
        const FIRST: i64 = -(1 << 31);
        const LAST: i64 = (3i64 << 32) + (1 << 31) - 1;
        let long = self.inode_size > crate::disk::inode::BASE_SIZE;
        if long && (0..LAST).contains(&t.sec) {
            return t;
        }
        let last = if long { LAST } else { i64::from(i32::MAX) };
        let nsec = if long && (FIRST + 1..last).contains(&t.sec) { t.nsec } else { 0 };
        Timespec { sec: t.sec.clamp(FIRST, last), nsec }
    }

    /// Whether a feature is on.
    pub fn has_incompat(&self, feature: Incompat) -> bool {
        self.incompat.contains(feature)
    }

    /// Whether a feature is on.
    pub fn has_ro_compat(&self, feature: RoCompat) -> bool {
        self.ro_compat.contains(feature)
    }

    /// Whether a feature is on.
    pub fn has_compat(&self, feature: Compat) -> bool {
        self.compat.contains(feature)
    }

    /// Whether metadata carries crc32c.
    pub fn metadata_csum(&self) -> bool {
        self.has_ro_compat(RoCompat::METADATA_CSUM)
    }

    /// Whether group descriptors carry a checksum of either kind, and with it the UNINIT flags.
    pub fn group_csum(&self) -> bool {
        self.ro_compat.intersects(RoCompat::METADATA_CSUM.union(RoCompat::GDT_CSUM))
    }

    /// Descriptors in a block.
    pub fn descs_per_block(&self) -> u32 {
        (self.block_size() / self.desc_size) as u32
    }

    /// Blocks that hold the descriptors.
    pub fn desc_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descs_per_block())
    }

    /// Inodes in a block of the inode table.
    pub fn inodes_per_block(&self) -> u32 {
        (self.block_size() / self.inode_size) as u32
    }

    /// Blocks of each group's inode table.
    pub fn table_blocks(&self) -> u32 {
        self.inodes_per_group.div_ceil(self.inodes_per_block())
    }

    /// The group's first block.
    pub fn group_first_block(&self, group: u32) -> FsBlock {
        FsBlock(self.first_data_block + u64::from(group) * u64::from(self.blocks_per_group))
    }

    /// Blocks in this group: the last may be short.
    pub fn group_blocks(&self, group: u32) -> u32 {
        let first = self.group_first_block(group).0;
        (self.blocks_count.saturating_sub(first)).min(u64::from(self.blocks_per_group)) as u32
    }

    /// Which group a block lies in, and where in it. None outside the file system.
    pub fn locate(&self, block: FsBlock) -> Option<(u32, u32)> {
        if block.0 >= self.blocks_count {
            return None;
        }
        let relative = block.0.checked_sub(self.first_data_block)?;
        let per_group = u64::from(self.blocks_per_group);
        // The quotient is below `groups`, the rest below `blocks_per_group`: both fit.
        Some(((relative / per_group) as u32, (relative % per_group) as u32))
    }

    /// Which group an inode lies in, and where in its table. None for 0 and past the last.
    pub fn locate_inode(&self, ino: Ino) -> Option<(u32, u32)> {
        let index = u32::try_from(ino.0.checked_sub(1)?).ok()?;
        (index < self.inodes_count).then(|| (index / self.inodes_per_group, index % self.inodes_per_group))
    }

    /// Groups in a flex group.
    pub fn flex_size(&self) -> u32 {
        1 << self.log_flex
    }

    /// Whether the group begins with a copy of the superblock.
    pub fn has_super(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.has_compat(Compat::SPARSE_SUPER2) {
            return self.backup_groups.contains(&group);
        }
        if group == 1 || !self.has_ro_compat(RoCompat::SPARSE_SUPER) {
            return true;
        }
        group % 2 == 1 && [3, 5, 7].iter().any(|&base| is_power_of(group, base))
    }

    /// How many blocks at the group's start hold copies of the superblock and the descriptors.
    pub fn base_meta_blocks(&self, group: u32) -> u32 {
        let per_block = self.descs_per_block();
        let meta_group = group / per_block;
        let copy = u32::from(self.has_super(group));
        if self.has_incompat(Incompat::META_BG) && meta_group >= self.first_meta_bg {
            let first = meta_group * per_block;
            let holds = group == first || group == first.saturating_add(1) || group == first + per_block - 1;
            return copy + u32::from(holds);
        }
        let table =
            if self.has_incompat(Incompat::META_BG) { self.first_meta_bg } else { self.desc_blocks() };
        copy * (1 + table + self.reserved_gdt)
    }

    /// Where block `n` of the group descriptors lies (the primary copy).
    pub fn desc_block(&self, n: u32) -> FsBlock {
        if !self.has_incompat(Incompat::META_BG) || n < self.first_meta_bg {
            return FsBlock(self.super_block().0 + 1 + u64::from(n));
        }
        let group = n * self.descs_per_block();
        FsBlock(self.group_first_block(group).0 + u64::from(self.has_super(group)))
    }

    /// The largest file: 2^32 - 1 blocks, and without huge_file what 32 bits of sectors count
    /// (`ext4_max_size`).
    #[inline]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The block that holds the superblock.
    pub fn super_block(&self) -> FsBlock {
        FsBlock(raw::OFFSET >> self.block_bits)
    }

    /// Where in that block it lies.
    pub fn super_offset(&self) -> usize {
        (raw::OFFSET as usize) & (self.block_size() - 1)
    }
}

fn is_power_of(mut n: u32, base: u32) -> bool {
    while n > 1 && n.is_multiple_of(base) {
        n /= base;
    }
    n == 1
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub mod testing {
    //! A geometry for tests that need no disk: 64 MiB of 1 KiB blocks with metadata_csum.
    pub fn geometry() -> super::Geometry {
        super::Geometry::check(&super::tests::sample(), 64 << 20).unwrap()
    }
}
