//! Extended attributes: in the inode behind the extra fields, and in a block of their own.
//!
//! ```text
//!   inode   128 + i_extra_isize: magic | entry entry … 0 0 0 0 |   free   | … value value
//!   block   header (32 bytes)          | entry entry … 0 0 0 0 |   free   | … value value
//! ```
//! In the inode offsets of values count from the first entry, in a block from its start.
//!
//! Source: ext4 documentation, "Extended Attributes".

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `h_magic`, of both.
pub const MAGIC: u32 = 0xea02_0000;
/// The most inodes that may share a block (`EXT4_XATTR_REFCOUNT_MAX`).
pub const REFCOUNT_MAX: u32 = 1024;
/// Bytes of the magic in front of the entries in an inode.
pub const BODY_HEADER: usize = 4;
/// Bytes of [`BlockHeader`].
pub const BLOCK_HEADER: usize = size_of::<BlockHeader>();
/// Bytes of [`RawEntry`].
pub const ENTRY: usize = size_of::<RawEntry>();
/// Names and values begin at multiples of this.
pub const PAD: usize = 4;
/// The largest value (`EXT4_XATTR_SIZE_MAX`).
pub const SIZE_MAX: u32 = 1 << 24;

/// The head of a block of attributes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockHeader {
    pub h_magic: U32,
    pub h_refcount: U32,
    pub h_blocks: U32,
    pub h_hash: U32,
    pub h_checksum: U32,
    pub h_reserved: [U32; 3],
}

/// An attribute; its name follows.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawEntry {
    pub e_name_len: u8,
    pub e_name_index: u8,
    pub e_value_offs: U16,
    pub e_value_inum: U32,
    pub e_value_size: U32,
    pub e_hash: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(BLOCK_HEADER == 32 && ENTRY == 16);
    assert!(offset_of!(BlockHeader, h_checksum) == 16);
    assert!(offset_of!(RawEntry, e_hash) == 12);
};
