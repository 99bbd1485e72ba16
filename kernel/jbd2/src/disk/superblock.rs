//! The journal's superblock: 1024 bytes at the beginning of the log.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", super block; `s_head` from Linux 6.5.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::RawHeader;

/// Bytes.
pub const SUPERBLOCK_SIZE: usize = 1024;
/// `s_checksum_type`: crc32c.
pub(crate) const CHECKSUM_CRC32C: u8 = 4;
/// Where `s_checksum` lies.
pub(crate) const CHECKSUM_AT: usize = 0xfc;

/// The layout. What is behind `s_errno` is there in version 2 only.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawSuperblock {
    pub s_header: RawHeader,
    pub s_blocksize: U32,
    pub s_maxlen: U32,
    pub s_first: U32,
    pub s_sequence: U32,
    pub s_start: U32,
    pub s_errno: U32,
    pub s_feature_compat: U32,
    pub s_feature_incompat: U32,
    pub s_feature_ro_compat: U32,
    pub s_uuid: [u8; 16],
    pub s_nr_users: U32,
    pub s_dynsuper: U32,
    pub s_max_transaction: U32,
    pub s_max_trans_data: U32,
    pub s_checksum_type: u8,
    pub s_padding2: [u8; 3],
    pub s_num_fc_blocks: U32,
    pub s_head: U32,
    pub s_padding: [U32; 40],
    pub s_checksum: U32,
    pub s_users: [u8; 768],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RawSuperblock>() == SUPERBLOCK_SIZE);
    assert!(offset_of!(RawSuperblock, s_errno) == 0x20);
    assert!(offset_of!(RawSuperblock, s_nr_users) == 0x40);
    assert!(offset_of!(RawSuperblock, s_num_fc_blocks) == 0x54);
    assert!(offset_of!(RawSuperblock, s_checksum) == CHECKSUM_AT);
};
