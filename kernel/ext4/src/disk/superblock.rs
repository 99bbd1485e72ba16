//! The superblock: 1024 bytes at byte 1024 of the device.
//!
//! Source: ext4 documentation, "Super Block".

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the superblock lies on the device, in bytes.
pub const OFFSET: u64 = 1024;
/// Its size in bytes.
pub const SIZE: usize = 1024;
/// `s_magic`.
pub const MAGIC: u16 = 0xef53;
/// Where `s_last_orphan` lies.
pub const LAST_ORPHAN_OFFSET: usize = 0xe8;
/// Where `s_checksum` lies: the checksum covers what is before it.
pub const CHECKSUM_OFFSET: usize = 0x3fc;

/// `s_state`: unmounted cleanly.
pub const STATE_VALID: u16 = 1;
/// `s_state`: errors were found.
pub const STATE_ERROR: u16 = 2;

/// `s_flags`: the directory hash treats characters as unsigned.
pub const FLAG_UNSIGNED_HASH: u32 = 2;

/// `s_rev_level` of a file system with fixed inode size and no feature words.
pub const GOOD_OLD_REV: u32 = 0;
/// `s_rev_level` of a file system with feature words.
pub const DYNAMIC_REV: u32 = 1;
/// The first usable inode when `s_rev_level` is [`GOOD_OLD_REV`].
pub const GOOD_OLD_FIRST_INO: u32 = 11;
/// The inode size when `s_rev_level` is [`GOOD_OLD_REV`].
pub const GOOD_OLD_INODE_SIZE: u16 = 128;

/// `s_default_mount_opts`: tell more in the log.
pub const DEFM_DEBUG: u32 = 0x1;
/// `s_default_mount_opts`: new files take the directory's group.
pub const DEFM_BSDGROUPS: u32 = 0x2;
/// `s_default_mount_opts`: the data mode.
pub const DEFM_JMODE: u32 = 0x60;
/// [`DEFM_JMODE`]: data go through the journal.
pub const DEFM_JMODE_DATA: u32 = 0x20;
/// [`DEFM_JMODE`]: data before metadata; both bits: in no order.
pub const DEFM_JMODE_ORDERED: u32 = 0x40;
/// `s_default_mount_opts`: no FLUSH needed.
pub const DEFM_NOBARRIER: u32 = 0x100;
/// `s_default_mount_opts`: tell the disk of freed blocks.
pub const DEFM_DISCARD: u32 = 0x400;
/// `s_default_mount_opts`: allocate at once.
pub const DEFM_NODELALLOC: u32 = 0x800;

/// The layout. Offsets are checked below.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Superblock {
    pub s_inodes_count: U32,
    pub s_blocks_count_lo: U32,
    pub s_r_blocks_count_lo: U32,
    pub s_free_blocks_count_lo: U32,
    pub s_free_inodes_count: U32,
    pub s_first_data_block: U32,
    pub s_log_block_size: U32,
    pub s_log_cluster_size: U32,
    pub s_blocks_per_group: U32,
    pub s_clusters_per_group: U32,
    pub s_inodes_per_group: U32,
    pub s_mtime: U32,
    pub s_wtime: U32,
    pub s_mnt_count: U16,
    pub s_max_mnt_count: U16,
    pub s_magic: U16,
    pub s_state: U16,
    pub s_errors: U16,
    pub s_minor_rev_level: U16,
    pub s_lastcheck: U32,
    pub s_checkinterval: U32,
    pub s_creator_os: U32,
    pub s_rev_level: U32,
    pub s_def_resuid: U16,
    pub s_def_resgid: U16,
    pub s_first_ino: U32,
    pub s_inode_size: U16,
    pub s_block_group_nr: U16,
    pub s_feature_compat: U32,
    pub s_feature_incompat: U32,
    pub s_feature_ro_compat: U32,
    pub s_uuid: [u8; 16],
    pub s_volume_name: [u8; 16],
    pub s_last_mounted: [u8; 64],
    pub s_algorithm_usage_bitmap: U32,
    pub s_prealloc_blocks: u8,
    pub s_prealloc_dir_blocks: u8,
    pub s_reserved_gdt_blocks: U16,
    pub s_journal_uuid: [u8; 16],
    pub s_journal_inum: U32,
    pub s_journal_dev: U32,
    pub s_last_orphan: U32,
    pub s_hash_seed: [U32; 4],
    pub s_def_hash_version: u8,
    pub s_jnl_backup_type: u8,
    pub s_desc_size: U16,
    pub s_default_mount_opts: U32,
    pub s_first_meta_bg: U32,
    pub s_mkfs_time: U32,
    pub s_jnl_blocks: [U32; 17],
    pub s_blocks_count_hi: U32,
    pub s_r_blocks_count_hi: U32,
    pub s_free_blocks_count_hi: U32,
    pub s_min_extra_isize: U16,
    pub s_want_extra_isize: U16,
    pub s_flags: U32,
    pub s_raid_stride: U16,
    pub s_mmp_interval: U16,
    pub s_mmp_block: U64,
    pub s_raid_stripe_width: U32,
    pub s_log_groups_per_flex: u8,
    pub s_checksum_type: u8,
    pub s_reserved_pad: U16,
    pub s_kbytes_written: U64,
    pub s_snapshot_inum: U32,
    pub s_snapshot_id: U32,
    pub s_snapshot_r_blocks_count: U64,
    pub s_snapshot_list: U32,
    pub s_error_count: U32,
    pub s_first_error_time: U32,
    pub s_first_error_ino: U32,
    pub s_first_error_block: U64,
    pub s_first_error_func: [u8; 32],
    pub s_first_error_line: U32,
    pub s_last_error_time: U32,
    pub s_last_error_ino: U32,
    pub s_last_error_line: U32,
    pub s_last_error_block: U64,
    pub s_last_error_func: [u8; 32],
    pub s_mount_opts: [u8; 64],
    pub s_usr_quota_inum: U32,
    pub s_grp_quota_inum: U32,
    pub s_overhead_clusters: U32,
    pub s_backup_bgs: [U32; 2],
    pub s_encrypt_algos: [u8; 4],
    pub s_encrypt_pw_salt: [u8; 16],
    pub s_lpf_ino: U32,
    pub s_prj_quota_inum: U32,
    pub s_checksum_seed: U32,
    pub s_wtime_hi: u8,
    pub s_mtime_hi: u8,
    pub s_mkfs_time_hi: u8,
    pub s_lastcheck_hi: u8,
    pub s_first_error_time_hi: u8,
    pub s_last_error_time_hi: u8,
    pub s_first_error_errcode: u8,
    pub s_last_error_errcode: u8,
    pub s_encoding: U16,
    pub s_encoding_flags: U16,
    pub s_orphan_file_inum: U32,
    pub s_reserved: [U32; 94],
    pub s_checksum: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Superblock>() == SIZE);
    assert!(offset_of!(Superblock, s_magic) == 0x38);
    assert!(offset_of!(Superblock, s_uuid) == 0x68);
    assert!(offset_of!(Superblock, s_last_orphan) == LAST_ORPHAN_OFFSET);
    assert!(offset_of!(Superblock, s_desc_size) == 0xfe);
    assert!(offset_of!(Superblock, s_blocks_count_hi) == 0x150);
    assert!(offset_of!(Superblock, s_kbytes_written) == 0x178);
    assert!(offset_of!(Superblock, s_error_count) == 0x194);
    assert!(offset_of!(Superblock, s_overhead_clusters) == 0x248);
    assert!(offset_of!(Superblock, s_checksum_seed) == 0x270);
    assert!(offset_of!(Superblock, s_checksum) == CHECKSUM_OFFSET);
};
