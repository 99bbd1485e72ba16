//! The 12 bytes that every block of the journal but the logged ones begins with, and escaping.
//!
//! ```text
//!   0           4           8           12
//!   | c03b3998  | type      | tid       | …
//! ```
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", block header.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::Tid;

/// `JBD2_MAGIC_NUMBER`.
pub const MAGIC: u32 = 0xc03b_3998;

/// `h_blocktype`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum BlockType {
    /// Says where the blocks behind it belong.
    Descriptor = 1,
    /// The transaction is whole.
    Commit = 2,
    /// The journal's superblock as ext3 had it first.
    SuperblockV1 = 3,
    /// The journal's superblock with features.
    SuperblockV2 = 4,
    /// Blocks that must not be replayed from this transaction and those before it.
    Revoke = 5,
}

impl BlockType {
    fn from_disk(value: u32) -> Option<BlockType> {
        Some(match value {
            1 => BlockType::Descriptor,
            2 => BlockType::Commit,
            3 => BlockType::SuperblockV1,
            4 => BlockType::SuperblockV2,
            5 => BlockType::Revoke,
            _ => return None,
        })
    }
}

/// `journal_header_t`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    pub h_magic: U32,
    pub h_blocktype: U32,
    pub h_sequence: U32,
}

/// A header with the magic number and a type that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the block is.
    pub kind: BlockType,
    /// Of which transaction.
    pub tid: Tid,
}

impl Header {
    /// Bytes.
    pub const SIZE: usize = size_of::<RawHeader>();

    /// None when the block is none of the journal's own, or of a type nobody knows.
    pub fn read(block: &[u8]) -> Option<Header> {
        let (raw, _) = RawHeader::ref_from_prefix(block).ok()?;
        if raw.h_magic.get() != MAGIC {
            return None;
        }
        let kind = BlockType::from_disk(raw.h_blocktype.get())?;
        Some(Header { kind, tid: Tid(raw.h_sequence.get()) })
    }

    /// Puts it at the block's beginning.
    pub fn write(self, block: &mut [u8]) {
        let raw = RawHeader {
            h_magic: MAGIC.into(),
            // The enum's values are the disk's.
            h_blocktype: (self.kind as u32).into(),
            h_sequence: self.tid.0.into(),
        };
        block[..Header::SIZE].copy_from_slice(raw.as_bytes());
    }
}

/// Makes a copy of a file system's block fit for the log; returns whether its tag must say "escaped".
pub fn escape(block: &mut [u8]) -> bool {
    let magic = block.starts_with(&MAGIC.to_be_bytes());
    if magic {
        block[..4].fill(0);
    }
    magic
}

/// The inverse of [`escape`], of a block whose tag says "escaped".
pub fn unescape(block: &mut [u8]) {
    block[..4].copy_from_slice(&MAGIC.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back() {
        let mut block = [7u8; 16];
        let header = Header { kind: BlockType::Commit, tid: Tid(0xfeed) };
        header.write(&mut block);
        assert_eq!(block[..12], [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2, 0, 0, 0xfe, 0xed]);
        assert_eq!(Header::read(&block), Some(header));
        block[7] = 6;
        assert_eq!(Header::read(&block), None);
        assert_eq!(Header::read(&[0; 16]), None);
        assert_eq!(Header::read(&block[..11]), None);
    }

    #[test]
    fn a_block_that_looks_like_the_journals_is_escaped() {
        let mut block = *b"\xc0\x3b\x39\x98 and more";
        let before = block;
        assert!(escape(&mut block));
        assert_eq!(Header::read(&block), None);
        assert!(block.starts_with(b"\0\0\0\0 and"));
        unescape(&mut block);
        assert_eq!(block, before);
        assert!(!escape(&mut b"\xc0\x3b\x39\x97 and more".to_vec()));
    }
}
