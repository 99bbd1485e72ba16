//! The bytes of an ext4 disk, as raw little-endian structs and nothing more.
//!
//! Every struct here is a layout: `zerocopy` makes it from any bytes of the right length, so no value
//! in it can be trusted. What checks a struct and turns it into a trusted type is *one door* per
//! struct: [`crate::mount::check`] for the superblock, [`crate::group`] for descriptors,
//! [`crate::inode::decode`] for inodes, [`crate::extent::node`] for extent nodes, `crate::dir` for
//! directory blocks. On-disk names (`s_`, `bg_`, `i_`, `eh_`) stay inside the crate's doors.
//!
//! Source: kernel.org, Documentation/filesystems/ext4 ("Data Structures and Algorithms"), one section
//! per file here.

pub(crate) mod dir;
pub(crate) mod dir_view;
pub(crate) mod dx;
pub mod extent;
pub(crate) mod fast_commit;
pub mod feature;
pub mod group_desc;
pub mod inode;
pub(crate) mod orphan;
pub mod superblock;
pub mod xattr;

use zerocopy::byteorder::little_endian::{U16, U32};

/// Joins the low and high half of a 32-bit value that the disk keeps apart.
pub fn join16(lo: U16, hi: U16) -> u32 {
    u32::from(lo.get()) | (u32::from(hi.get()) << 16)
}

/// Joins the low and high half of a 64-bit value that the disk keeps apart.
pub fn join32(lo: U32, hi: U32) -> u64 {
    u64::from(lo.get()) | (u64::from(hi.get()) << 32)
}

/// The low 16 bits of a value, for the disk's `_lo` half.
pub fn lo16(value: u32) -> U16 {
    let [a, b, ..] = value.to_le_bytes();
    U16::from_bytes([a, b])
}

/// The bits 16 to 31 of a value, for the disk's `_hi` half.
pub fn hi16(value: u32) -> U16 {
    lo16(value >> 16)
}

/// The low 32 bits of a value, for the disk's `_lo` half.
pub fn lo32(value: u64) -> U32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    U32::from_bytes([a, b, c, d])
}

/// The bits 32 to 63 of a value, for the disk's `_hi` half.
pub fn hi32(value: u64) -> U32 {
    lo32(value >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_apart_and_together() {
        let v = 0x1122_3344_5566_7788;
        assert_eq!(join32(lo32(v), hi32(v)), v);
        assert_eq!(join16(lo16(0xaabb_ccdd), hi16(0xaabb_ccdd)), 0xaabb_ccdd);
    }
}
