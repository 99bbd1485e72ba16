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

use alloc::string::String;
use core::fmt;

use base::{Errno, FsBlock, Ino};

use crate::checksum::crc32c;
use crate::disk::feature::{Compat, Incompat, RoCompat, incompat_names};
use crate::disk::superblock::{self as raw, Superblock};
use crate::disk::{group_desc, join32};
use zerocopy::IntoBytes;

/// Why a superblock is refused: one variant per check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SuperError {
    /// `s_magic` is not 0xef53.
    Magic(u16),
    /// `s_checksum` does not match; the value on disk and the one computed.
    Checksum(u32, u32),
    /// `s_checksum_type` is not crc32c.
    ChecksumType(u8),
    /// `s_rev_level` is newer than any known.
    Revision(u32),
    /// Incompatible features that Quill does not have, by name.
    Incompat(String),
    /// `s_log_block_size` gives blocks that Quill does not read (only 1, 2 and 4 KiB).
    BlockSize(u32),
    /// `s_log_cluster_size` differs from the block size.
    ClusterSize(u32),
    /// `s_blocks_per_group` is 0, no multiple of 8, or more than one bitmap block holds.
    BlocksPerGroup(u32),
    /// `s_inodes_per_group` is 0, no multiple of a table block, or more than one bitmap block holds.
    InodesPerGroup(u32),
    /// `s_first_data_block` is not what the block size demands.
    FirstDataBlock(u32),
    /// `s_blocks_count` is no more than `s_first_data_block`, or too large.
    BlocksCount(u64),
    /// The device ends before the file system: blocks counted, blocks there.
    Truncated(u64, u64),
    /// `s_inodes_count` is not groups times `s_inodes_per_group`.
    InodesCount(u32, u64),
    /// `s_inode_size` is no power of two from 128 to the block size.
    InodeSize(u16),
    /// `s_first_ino` lies among or before the reserved inodes.
    FirstIno(u32),
    /// `s_desc_size` is no power of two from 64 to the block size.
    DescSize(u16),
    /// `s_log_groups_per_flex` is above 31.
    FlexSize(u8),
    /// `s_r_blocks_count` exceeds the blocks there are.
    ReservedBlocks(u64),
    /// `s_free_blocks_count` exceeds the blocks there are.
    FreeBlocks(u64),
    /// `s_free_inodes_count` exceeds the inodes there are.
    FreeInodes(u32),
    /// `s_want_extra_isize` or `s_min_extra_isize` does not fit the inode.
    ExtraIsize(u16),
    /// `s_reserved_gdt_blocks` is more than one block's worth of pointers.
    ReservedGdt(u16),
    /// `s_first_meta_bg` lies past the descriptors.
    FirstMetaBg(u32),
    /// metadata_csum and uninit_bg are both set, which contradict each other.
    TwoChecksums,
}

impl fmt::Display for SuperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuperError::Magic(v) => write!(f, "no ext4 file system here (s_magic is {v:#06x}, not 0xef53)"),
            SuperError::Checksum(disk, calc) => {
                write!(f, "s_checksum is {disk:#010x}, the superblock's bytes give {calc:#010x}")
            }
            SuperError::ChecksumType(v) => write!(f, "s_checksum_type {v} is unknown (1 is crc32c)"),
            SuperError::Revision(v) => write!(f, "s_rev_level {v} is unknown"),
            SuperError::Incompat(names) => {
                write!(f, "s_feature_incompat has what Quill cannot read: {names}")
            }
            SuperError::BlockSize(v) => {
                write!(f, "s_log_block_size {v}: only blocks of 1, 2 and 4 KiB are supported")
            }
            SuperError::ClusterSize(v) => write!(f, "s_log_cluster_size {v} differs from s_log_block_size"),
            SuperError::BlocksPerGroup(v) => write!(f, "s_blocks_per_group {v} is impossible"),
            SuperError::InodesPerGroup(v) => write!(f, "s_inodes_per_group {v} is impossible"),
            SuperError::FirstDataBlock(v) => write!(f, "s_first_data_block {v} does not fit the block size"),
            SuperError::BlocksCount(v) => write!(f, "s_blocks_count {v} is impossible"),
            SuperError::Truncated(want, have) => {
                write!(
                    f,
                    "s_blocks_count is {want}, but the device ends after {have} blocks: truncated image?"
                )
            }
            SuperError::InodesCount(v, want) => write!(f, "s_inodes_count is {v}, the groups hold {want}"),
            SuperError::InodeSize(v) => write!(f, "s_inode_size {v} is impossible"),
            SuperError::FirstIno(v) => write!(f, "s_first_ino {v} is impossible"),
            SuperError::DescSize(v) => write!(f, "s_desc_size {v} is impossible"),
            SuperError::FlexSize(v) => write!(f, "s_log_groups_per_flex {v} is impossible"),
            SuperError::ReservedBlocks(v) => write!(f, "s_r_blocks_count {v} exceeds s_blocks_count"),
            SuperError::FreeBlocks(v) => write!(f, "s_free_blocks_count {v} exceeds s_blocks_count"),
            SuperError::FreeInodes(v) => write!(f, "s_free_inodes_count {v} exceeds s_inodes_count"),
            SuperError::ExtraIsize(v) => write!(f, "s_want_extra_isize {v} does not fit s_inode_size"),
            SuperError::ReservedGdt(v) => write!(f, "s_reserved_gdt_blocks {v} is impossible"),
            SuperError::FirstMetaBg(v) => write!(f, "s_first_meta_bg {v} lies past the descriptors"),
            SuperError::TwoChecksums => f.write_str("metadata_csum and uninit_bg are both set"),
        }
    }
}

impl SuperError {
    /// What mount(2) answers.
    pub fn errno(&self) -> Errno {
        match self {
            SuperError::Magic(_)
            | SuperError::ChecksumType(_)
            | SuperError::Revision(_)
            | SuperError::Incompat(_)
            | SuperError::BlockSize(_)
            | SuperError::ClusterSize(_)
            | SuperError::Truncated(..) => Errno::EINVAL,
            _ => Errno::EUCLEAN,
        }
    }
}

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
    /// Default: new files take their directory's group.
    pub bsd_groups: bool,
    /// Blocks that hold no files' data, as mke2fs counted them; 0 for "count yourself".
    pub overhead: u32,
}

impl Geometry {
    /// Checks a superblock for a device of `device_bytes` bytes.
    pub fn check(sb: &Superblock, device_bytes: u64) -> Result<Geometry, SuperError> {
        check_identity(sb)?;
        let block_bits = check_block_size(sb)?;
        check_groups(sb, block_bits)?;
        let blocks_count = check_blocks(sb, block_bits, device_bytes)?;
        let geometry = Self::compute(sb, block_bits, blocks_count)?;
        geometry.check_counts(sb)?;
        Ok(geometry)
    }

    fn compute(sb: &Superblock, block_bits: u32, blocks_count: u64) -> Result<Geometry, SuperError> {
        let incompat = Incompat::from_bits_truncate(features(sb).1);
        let first_data_block = u64::from(sb.s_first_data_block.get());
        let blocks_per_group = sb.s_blocks_per_group.get();
        let groups = (blocks_count - first_data_block).div_ceil(u64::from(blocks_per_group));
        let groups = u32::try_from(groups).map_err(|_| SuperError::BlocksCount(blocks_count))?;
        let inode_size = check_inode_size(sb, block_bits)?;
        let csum_seed = if incompat.contains(Incompat::CSUM_SEED) {
            sb.s_checksum_seed.get()
        } else {
            crc32c(!0, &sb.s_uuid)
        };
        Ok(Geometry {
            block_bits,
            blocks_count,
            first_data_block,
            blocks_per_group,
            inodes_per_group: sb.s_inodes_per_group.get(),
            inodes_count: sb.s_inodes_count.get(),
            groups,
            desc_size: check_desc_size(sb, block_bits)?,
            inode_size,
            first_ino: check_first_ino(sb)?,
            want_extra_isize: check_extra_isize(sb, inode_size)?,
            log_flex: check_flex(sb)?,
            reserved_blocks: join32(sb.s_r_blocks_count_lo, reserved_hi(sb)),
            reserved_uid: u32::from(sb.s_def_resuid.get()),
            reserved_gid: u32::from(sb.s_def_resgid.get()),
            reserved_gdt: u32::from(sb.s_reserved_gdt_blocks.get()),
            first_meta_bg: sb.s_first_meta_bg.get(),
            backup_groups: [sb.s_backup_bgs[0].get(), sb.s_backup_bgs[1].get()],
            compat: Compat::from_bits_truncate(features(sb).0),
            incompat,
            ro_compat: RoCompat::from_bits_truncate(features(sb).2),
            uuid: sb.s_uuid,
            csum_seed,
            hash_seed: sb.s_hash_seed.map(|w| w.get()),
            hash_version: sb.s_def_hash_version,
            hash_unsigned: sb.s_flags.get() & raw::FLAG_UNSIGNED_HASH != 0,
            errors: error_policy(sb.s_errors.get()),
            journal_ino: sb.s_journal_inum.get(),
            bsd_groups: sb.s_default_mount_opts.get() & raw::DEFM_BSDGROUPS != 0,
            overhead: sb.s_overhead_clusters.get(),
        })
    }

    /// The checks that need the group count.
    fn check_counts(&self, sb: &Superblock) -> Result<(), SuperError> {
        let want = u64::from(self.groups) * u64::from(self.inodes_per_group);
        if u64::from(self.inodes_count) != want {
            return Err(SuperError::InodesCount(self.inodes_count, want));
        }
        if self.reserved_blocks > self.blocks_count {
            return Err(SuperError::ReservedBlocks(self.reserved_blocks));
        }
        let free = free_blocks(sb);
        if free > self.blocks_count {
            return Err(SuperError::FreeBlocks(free));
        }
        if sb.s_free_inodes_count.get() > self.inodes_count {
            return Err(SuperError::FreeInodes(sb.s_free_inodes_count.get()));
        }
        if self.reserved_gdt > self.block_size() as u32 / 4 {
            return Err(SuperError::ReservedGdt(sb.s_reserved_gdt_blocks.get()));
        }
        if self.has_incompat(Incompat::META_BG) && self.first_meta_bg > self.desc_blocks() {
            return Err(SuperError::FirstMetaBg(self.first_meta_bg));
        }
        Ok(())
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> usize {
        1 << self.block_bits
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
    pub fn max_bytes(&self) -> u64 {
        let blocks = u64::from(u32::MAX);
        let counted =
            if self.has_ro_compat(RoCompat::HUGE_FILE) { blocks } else { blocks >> (self.block_bits - 9) };
        counted << self.block_bits
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

/// `s_free_blocks_count`, both halves.
pub fn free_blocks(sb: &Superblock) -> u64 {
    let hi = if has_64bit(sb) { sb.s_free_blocks_count_hi } else { 0.into() };
    join32(sb.s_free_blocks_count_lo, hi)
}

/// The checksum of a superblock's bytes.
pub fn super_checksum(sb: &Superblock) -> u32 {
    crc32c(!0, &sb.as_bytes()[..raw::CHECKSUM_OFFSET])
}

fn reserved_hi(sb: &Superblock) -> zerocopy::byteorder::little_endian::U32 {
    if has_64bit(sb) { sb.s_r_blocks_count_hi } else { 0.into() }
}

fn has_64bit(sb: &Superblock) -> bool {
    features(sb).1 & Incompat::BIT64.bits() != 0
}

/// The three feature words; an old revision has none, whatever the bytes say.
pub fn features(sb: &Superblock) -> (u32, u32, u32) {
    if sb.s_rev_level.get() == raw::GOOD_OLD_REV {
        return (0, 0, 0);
    }
    (sb.s_feature_compat.get(), sb.s_feature_incompat.get(), sb.s_feature_ro_compat.get())
}

fn check_identity(sb: &Superblock) -> Result<(), SuperError> {
    if sb.s_magic.get() != raw::MAGIC {
        return Err(SuperError::Magic(sb.s_magic.get()));
    }
    if sb.s_rev_level.get() > raw::DYNAMIC_REV {
        return Err(SuperError::Revision(sb.s_rev_level.get()));
    }
    let (_, incompat, ro_compat) = features(sb);
    let unknown = incompat & !Incompat::SUPPORTED.bits();
    if unknown != 0 {
        return Err(SuperError::Incompat(incompat_names(unknown)));
    }
    let ro_compat = RoCompat::from_bits_truncate(ro_compat);
    if !ro_compat.contains(RoCompat::METADATA_CSUM) {
        return Ok(());
    }
    if ro_compat.contains(RoCompat::GDT_CSUM) {
        return Err(SuperError::TwoChecksums);
    }
    if sb.s_checksum_type != 1 {
        return Err(SuperError::ChecksumType(sb.s_checksum_type));
    }
    let (disk, calc) = (sb.s_checksum.get(), super_checksum(sb));
    if disk == calc { Ok(()) } else { Err(SuperError::Checksum(disk, calc)) }
}

fn check_block_size(sb: &Superblock) -> Result<u32, SuperError> {
    let log = sb.s_log_block_size.get();
    if log > 2 {
        return Err(SuperError::BlockSize(log));
    }
    let bigalloc = features(sb).2 & RoCompat::BIGALLOC.bits() != 0;
    if !bigalloc && sb.s_log_cluster_size.get() != log {
        return Err(SuperError::ClusterSize(sb.s_log_cluster_size.get()));
    }
    Ok(10 + log)
}

fn check_groups(sb: &Superblock, block_bits: u32) -> Result<(), SuperError> {
    let bits_in_block = 8u32 << block_bits;
    let blocks = sb.s_blocks_per_group.get();
    let bigalloc = features(sb).2 & RoCompat::BIGALLOC.bits() != 0;
    if blocks == 0 || blocks % 8 != 0 || (blocks > bits_in_block && !bigalloc) {
        return Err(SuperError::BlocksPerGroup(blocks));
    }
    let inodes = sb.s_inodes_per_group.get();
    let per_block = (1u32 << block_bits) / u32::from(check_inode_size(sb, block_bits)? as u16);
    if inodes < per_block || inodes > bits_in_block || inodes % 8 != 0 {
        return Err(SuperError::InodesPerGroup(inodes));
    }
    Ok(())
}

fn check_blocks(sb: &Superblock, block_bits: u32, device_bytes: u64) -> Result<u64, SuperError> {
    let hi = if has_64bit(sb) { sb.s_blocks_count_hi } else { 0.into() };
    let count = join32(sb.s_blocks_count_lo, hi);
    let first = sb.s_first_data_block.get();
    // With bigalloc (read-only) even 1 KiB blocks begin at 0.
    let bigalloc = features(sb).2 & RoCompat::BIGALLOC.bits() != 0;
    if first != u32::from(block_bits == 10 && !bigalloc) {
        return Err(SuperError::FirstDataBlock(first));
    }
    if count <= u64::from(first) || count >= 1 << 48 {
        return Err(SuperError::BlocksCount(count));
    }
    let have = device_bytes >> block_bits;
    if count > have { Err(SuperError::Truncated(count, have)) } else { Ok(count) }
}

fn check_inode_size(sb: &Superblock, block_bits: u32) -> Result<usize, SuperError> {
    let size = match sb.s_rev_level.get() {
        raw::GOOD_OLD_REV => raw::GOOD_OLD_INODE_SIZE,
        _ => sb.s_inode_size.get(),
    };
    let fits =
        size.is_power_of_two() && size >= raw::GOOD_OLD_INODE_SIZE && usize::from(size) <= 1 << block_bits;
    if fits { Ok(usize::from(size)) } else { Err(SuperError::InodeSize(size)) }
}

fn check_desc_size(sb: &Superblock, block_bits: u32) -> Result<usize, SuperError> {
    if !has_64bit(sb) {
        return Ok(group_desc::SIZE_32);
    }
    let size = sb.s_desc_size.get();
    let fits = size.is_power_of_two()
        && usize::from(size) >= group_desc::SIZE_64
        && usize::from(size) <= 1 << block_bits;
    if fits { Ok(usize::from(size)) } else { Err(SuperError::DescSize(size)) }
}

fn check_first_ino(sb: &Superblock) -> Result<u32, SuperError> {
    if sb.s_rev_level.get() == raw::GOOD_OLD_REV {
        return Ok(raw::GOOD_OLD_FIRST_INO);
    }
    let first = sb.s_first_ino.get();
    let fits = (raw::GOOD_OLD_FIRST_INO..=sb.s_inodes_per_group.get()).contains(&first);
    if fits { Ok(first) } else { Err(SuperError::FirstIno(first)) }
}

fn check_extra_isize(sb: &Superblock, inode_size: usize) -> Result<u16, SuperError> {
    let room = inode_size - 128;
    if room == 0 {
        return Ok(0);
    }
    let want = sb.s_want_extra_isize.get().max(sb.s_min_extra_isize.get());
    if usize::from(want) > room || want % 4 != 0 {
        return Err(SuperError::ExtraIsize(want));
    }
    // Linux: at least up to i_crtime_extra's end (32) when the disk does not say.
    Ok(if want == 0 { 32.min(room) as u16 } else { want })
}

fn check_flex(sb: &Superblock) -> Result<u32, SuperError> {
    if features(sb).1 & Incompat::FLEX_BG.bits() == 0 {
        return Ok(0);
    }
    let log = sb.s_log_groups_per_flex;
    if log < 32 { Ok(u32::from(log)) } else { Err(SuperError::FlexSize(log)) }
}

fn error_policy(s_errors: u16) -> ErrorPolicy {
    match s_errors {
        2 => ErrorPolicy::RemountReadOnly,
        3 => ErrorPolicy::Panic,
        _ => ErrorPolicy::Continue,
    }
}

fn is_power_of(mut n: u32, base: u32) -> bool {
    while n > 1 && n % base == 0 {
        n /= base;
    }
    n == 1
}

#[cfg(test)]
#[path = "geometry_tests.rs"]
mod tests;

#[cfg(test)]
pub mod testing {
    //! A geometry for tests that need no disk: 64 MiB of 1 KiB blocks with metadata_csum.
    pub fn geometry() -> super::Geometry {
        super::Geometry::check(&super::tests::sample(), 64 << 20).unwrap()
    }
}
