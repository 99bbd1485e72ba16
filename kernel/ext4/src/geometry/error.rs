//! Why a superblock is refused.

use alloc::string::String;
use core::fmt;

use base::Errno;

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
    /// A mount as ext2 or ext3 of what has other features: the type, and which.
    Flavor(&'static str, String),
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
            SuperError::Flavor(kind, names) => {
                write!(f, "couldn't mount as {kind} due to feature incompatibilities: {names}")
            }
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
            | SuperError::Flavor(..)
            | SuperError::Truncated(..) => Errno::EINVAL,
            _ => Errno::EUCLEAN,
        }
    }
}
