//! Nodes of the extent tree: a header, then entries of 12 bytes, then (in blocks) a checksum.
//!
//! Source: ext4 documentation, "Extent Tree".

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `eh_magic`.
pub const MAGIC: u16 = 0xf30a;
/// The deepest tree: a file has at most 2^32 blocks and a node at least 4 entries.
pub const MAX_DEPTH: u16 = 5;
/// Bytes of the header and of each entry.
pub const ENTRY_SIZE: usize = 12;
/// The longest written extent; a larger `ee_len` says "unwritten", its length less this.
pub const MAX_WRITTEN: u32 = 32768;
/// The longest unwritten extent.
pub const MAX_UNWRITTEN: u32 = 32767;

/// `struct ext4_extent_header`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    pub eh_magic: U16,
    pub eh_entries: U16,
    pub eh_max: U16,
    pub eh_depth: U16,
    pub eh_generation: U32,
}

/// `struct ext4_extent_idx`: an entry of an inner node.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Index {
    pub ei_block: U32,
    pub ei_leaf_lo: U32,
    pub ei_leaf_hi: U16,
    pub ei_unused: U16,
}

/// `struct ext4_extent`: an entry of a leaf.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Extent {
    pub ee_block: U32,
    pub ee_len: U16,
    pub ee_start_hi: U16,
    pub ee_start_lo: U32,
}

const _: () = {
    assert!(size_of::<Header>() == ENTRY_SIZE);
    assert!(size_of::<Index>() == ENTRY_SIZE);
    assert!(size_of::<Extent>() == ENTRY_SIZE);
};
