//! The checks of a superblock, from what identifies it to what is computed from the rest.

use zerocopy::IntoBytes;

use super::{ErrorPolicy, Geometry, SuperError};
use crate::checksum::crc32c;
use crate::disk::feature::{Compat, Incompat, RoCompat, incompat_names};
use crate::disk::superblock::{self as raw, Superblock};
use crate::disk::{group_desc, join32};

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
        let ro_compat = RoCompat::from_bits_truncate(features(sb).2);
        let blocks = u64::from(u32::MAX);
        let largest =
            if ro_compat.contains(RoCompat::HUGE_FILE) { blocks } else { blocks >> (block_bits - 9) };
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
            ro_compat,
            uuid: sb.s_uuid,
            csum_seed,
            hash_seed: sb.s_hash_seed.map(|w| w.get()),
            hash_version: sb.s_def_hash_version,
            hash_unsigned: sb.s_flags.get() & raw::FLAG_UNSIGNED_HASH != 0,
            errors: error_policy(sb.s_errors.get()),
            journal_ino: sb.s_journal_inum.get(),
            default_mount_opts: sb.s_default_mount_opts.get(),
            max_bytes: largest << block_bits,
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
    if blocks == 0 || !blocks.is_multiple_of(8) || (blocks > bits_in_block && !bigalloc) {
        return Err(SuperError::BlocksPerGroup(blocks));
    }
    let inodes = sb.s_inodes_per_group.get();
    let per_block = (1u32 << block_bits) / u32::from(check_inode_size(sb, block_bits)? as u16);
    if inodes < per_block || inodes > bits_in_block || !inodes.is_multiple_of(8) {
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
    let fits = (raw::GOOD_OLD_FIRST_INO..=sb.s_inodes_count.get()).contains(&first);
    if fits { Ok(first) } else { Err(SuperError::FirstIno(first)) }
}

fn check_extra_isize(sb: &Superblock, inode_size: usize) -> Result<u16, SuperError> {
    let room = inode_size - 128;
    if room == 0 {
        return Ok(0);
    }
    let want = sb.s_want_extra_isize.get().max(sb.s_min_extra_isize.get());
    if usize::from(want) > room || !want.is_multiple_of(4) {
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
