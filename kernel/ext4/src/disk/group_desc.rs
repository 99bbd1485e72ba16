//! A block group descriptor: 32 bytes, or 64 (and more) with the 64bit feature.
//!
//! Source: ext4 documentation, "Block Group Descriptors".

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a descriptor without the 64bit feature.
pub const SIZE_32: usize = 32;
/// Bytes of a descriptor that holds every field of [`GroupDesc`].
pub const SIZE_64: usize = 64;
/// Where `bg_checksum` lies: it is left out of its own checksum.
pub const CHECKSUM_OFFSET: usize = 0x1e;

/// `bg_flags`: the inode bitmap and table were never written.
pub const INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap was never written.
pub const BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: what was never used of the inode table is zeros.
pub const INODE_ZEROED: u16 = 4;

/// The layout of a 64-byte descriptor; the first half is the 32-byte one.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GroupDesc {
    pub bg_block_bitmap_lo: U32,
    pub bg_inode_bitmap_lo: U32,
    pub bg_inode_table_lo: U32,
    pub bg_free_blocks_count_lo: U16,
    pub bg_free_inodes_count_lo: U16,
    pub bg_used_dirs_count_lo: U16,
    pub bg_flags: U16,
    pub bg_exclude_bitmap_lo: U32,
    pub bg_block_bitmap_csum_lo: U16,
    pub bg_inode_bitmap_csum_lo: U16,
    pub bg_itable_unused_lo: U16,
    pub bg_checksum: U16,
    pub bg_block_bitmap_hi: U32,
    pub bg_inode_bitmap_hi: U32,
    pub bg_inode_table_hi: U32,
    pub bg_free_blocks_count_hi: U16,
    pub bg_free_inodes_count_hi: U16,
    pub bg_used_dirs_count_hi: U16,
    pub bg_itable_unused_hi: U16,
    pub bg_exclude_bitmap_hi: U32,
    pub bg_block_bitmap_csum_hi: U16,
    pub bg_inode_bitmap_csum_hi: U16,
    pub bg_reserved: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<GroupDesc>() == SIZE_64);
    assert!(offset_of!(GroupDesc, bg_checksum) == CHECKSUM_OFFSET);
    assert!(offset_of!(GroupDesc, bg_block_bitmap_hi) == SIZE_32);
    assert!(offset_of!(GroupDesc, bg_block_bitmap_csum_hi) == 0x38);
};
