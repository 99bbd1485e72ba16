//! What a journal's features mean for the shape of its blocks.
//!
//! | checksums | a tag, 32-bit numbers | a tag, 64-bit numbers | tail of descriptor and revoke blocks |
//! |---|---|---|---|
//! | none, v1 | 8 | 12 | – |
//! | v2 | 10 | 14 | 4 |
//! | v3 | 16 | 16 | 4 |
//!
//! The two odd bytes of v2 are nobody's: a mistake of its first writer that became the format. A tag is
//! followed by 16 bytes of UUID unless it says that it has the same as the one before; writers let only
//! the first of a block have one.
//!
//! v2 and v3 begin each checksum from that of the journal's UUID, so that blocks of another journal that
//! once lay in the same place do not pass.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", descriptor block.

use core::fmt;

use crate::checksum::Crc32c;
use crate::disk::header::Header;
use crate::units::Tid;

/// Bytes of the tail with a checksum.
const TAIL: usize = 4;
/// Bytes of a UUID behind a tag.
pub(crate) const UUID: usize = 16;
/// Bytes of a revoke block before its records: header and count.
pub(crate) const REVOKE_HEAD: usize = Header::SIZE + 4;

/// Which kind of checksums a journal has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksums {
    /// None.
    None,
    /// Of whole transactions, in the commit block.
    V1,
    /// Of each block; tags keep 16 bits of theirs.
    V2,
    /// Of each block.
    V3,
}

impl Checksums {
    /// Whether each block has one.
    pub const fn per_block(self) -> bool {
        matches!(self, Checksums::V2 | Checksums::V3)
    }
}

/// The shape of a journal's blocks.
#[derive(Clone, Copy)]
pub struct Format {
    /// Bytes of a block, at least 1024.
    pub block_size: usize,
    /// Which checksums.
    pub checksums: Checksums,
    /// Whether block numbers have 64 bits.
    pub wide: bool,
    /// Written behind each block's first tag. Linux writes its own, and nobody reads it.
    pub uuid: [u8; 16],
    /// The checksum that v2's and v3's begin from.
    seed: u32,
    crc32c: Crc32c,
}

impl Format {
    /// Of a journal with this UUID.
    pub fn new(
        block_size: usize,
        checksums: Checksums,
        wide: bool,
        uuid: [u8; 16],
        crc32c: Crc32c,
    ) -> Format {
        Format { block_size, checksums, wide, uuid, seed: crc32c(!0, &uuid), crc32c }
    }

    /// Bytes of a tag, without a UUID.
    pub const fn tag_size(&self) -> usize {
        let high = if self.wide { 4 } else { 0 };
        match self.checksums {
            Checksums::None | Checksums::V1 => 8 + high,
            Checksums::V2 => 10 + high,
            Checksums::V3 => 16,
        }
    }

    /// Bytes of a block number in a revoke block.
    pub const fn record_size(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// The first byte behind what a descriptor or revoke block may use.
    pub const fn usable(&self) -> usize {
        if self.checksums.per_block() { self.block_size - TAIL } else { self.block_size }
    }

    /// Tags that a descriptor block takes.
    pub const fn tags_per_block(&self) -> usize {
        (self.usable() - Header::SIZE - UUID) / self.tag_size()
    }

    /// Block numbers that a revoke block takes.
    pub const fn revokes_per_block(&self) -> usize {
        (self.usable() - REVOKE_HEAD) / self.record_size()
    }

    /// What a tag says of a block as it lies in the log; 0 in a journal whose tags say nothing.
    pub fn tag_checksum(&self, tid: Tid, logged: &[u8]) -> u32 {
        match self.checksums {
            Checksums::None | Checksums::V1 => 0,
            Checksums::V2 => self.data_checksum(tid, logged) & 0xffff,
            Checksums::V3 => self.data_checksum(tid, logged),
        }
    }

    fn data_checksum(&self, tid: Tid, logged: &[u8]) -> u32 {
        (self.crc32c)((self.crc32c)(self.seed, &tid.0.to_be_bytes()), logged)
    }

    /// Renews the tail of a descriptor or revoke block, if it has one.
    pub(crate) fn seal(&self, block: &mut [u8]) {
        if self.checksums.per_block() {
            let at = self.block_size - TAIL;
            let sum = self.checksum_without(block, at);
            block[at..].copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Whether the tail of a descriptor or revoke block fits it, or there is none.
    pub fn tail_fits(&self, block: &[u8]) -> bool {
        let at = self.block_size - TAIL;
        !self.checksums.per_block() || block[at..] == self.checksum_without(block, at).to_be_bytes()
    }

    /// The checksum of a block, four of whose bytes count as zeros.
    pub(crate) fn checksum_without(&self, block: &[u8], at: usize) -> u32 {
        let before = (self.crc32c)(self.seed, &block[..at]);
        (self.crc32c)((self.crc32c)(before, &[0; 4]), &block[at + 4..])
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.wide { 64 } else { 32 };
        write!(f, "blocks of {}, {bits}-bit numbers, checksums {:?}", self.block_size, self.checksums)
    }
}
