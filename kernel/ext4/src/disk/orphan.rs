//! A block of the orphan file: numbers of inodes, 0 for a free entry, and a tail.
//!
//! ```text
//!   0      4      8                          1016        1020       1024
//!   | 14   | 0    | 27   | ………………………… 0 |  magic     | checksum |
//! ```
//!
//! The checksum covers the block's own number and its entries, from the seed of the file's inode on.
//!
//! Source: the kernel's ext4 documentation, "Orphan file".

use core::fmt;

use base::FsBlock;

use crate::checksum::crc32c;

/// `ob_magic`.
const MAGIC: u32 = 0x0b10_ca04;
/// Bytes of the tail, and of an entry.
const TAIL: usize = 8;
const ENTRY: usize = 4;

/// Why a block of the orphan file is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OrphanError {
    Magic(u32),
    Checksum(u32, u32),
    /// The file is no regular one, is empty, has half blocks or is larger than any.
    Shape(u64),
    Hole,
}

impl fmt::Display for OrphanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrphanError::Magic(v) => write!(f, "orphan file: bad magic {v:#010x}"),
            OrphanError::Checksum(disk, calc) => {
                write!(f, "orphan file: bad checksum {disk:#010x}, the block gives {calc:#010x}")
            }
            OrphanError::Shape(size) => write!(f, "orphan file: impossible, of {size} bytes"),
            OrphanError::Hole => f.write_str("orphan file: has a hole"),
        }
    }
}

/// How many entries a block has.
pub(crate) fn entries(block_size: usize) -> usize {
    (block_size - TAIL) / ENTRY
}

/// An entry. `at < entries`.
pub(crate) fn get(block: &[u8], at: usize) -> u32 {
    word(block, at * ENTRY)
}

/// Sets an entry and renews the checksum. `seed` is None without metadata_csum.
pub(crate) fn set(block: &mut [u8], number: FsBlock, seed: Option<u32>, at: usize, ino: u32) {
    block[at * ENTRY..(at + 1) * ENTRY].copy_from_slice(&ino.to_le_bytes());
    if let Some(seed) = seed {
        let crc = checksum(block, number, seed);
        let tail = block.len() - ENTRY;
        block[tail..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Checks a block's tail.
pub(crate) fn check(block: &[u8], number: FsBlock, seed: Option<u32>) -> Result<(), OrphanError> {
    let magic = word(block, block.len() - TAIL);
    if magic != MAGIC {
        return Err(OrphanError::Magic(magic));
    }
    let Some(seed) = seed else { return Ok(()) };
    let (disk, calc) = (word(block, block.len() - ENTRY), checksum(block, number, seed));
    if disk == calc { Ok(()) } else { Err(OrphanError::Checksum(disk, calc)) }
}

fn checksum(block: &[u8], number: FsBlock, seed: u32) -> u32 {
    crc32c(crc32c(seed, &number.0.to_le_bytes()), &block[..block.len() - TAIL])
}

fn word(block: &[u8], at: usize) -> u32 {
    block.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_and_damage_has_a_name() {
        let mut block = [0u8; 1024];
        let at = FsBlock(77);
        assert_eq!(entries(1024), 254);
        assert_eq!(check(&block, at, None), Err(OrphanError::Magic(0)));
        block[1016..1020].copy_from_slice(&MAGIC.to_le_bytes());
        set(&mut block, at, Some(5), 253, 14);
        assert_eq!(check(&block, at, Some(5)), Ok(()));
        assert_eq!((get(&block, 253), get(&block, 252)), (14, 0));
        assert!(matches!(check(&block, FsBlock(78), Some(5)), Err(OrphanError::Checksum(..))));
        block[0] = 1;
        assert!(matches!(check(&block, at, Some(5)), Err(OrphanError::Checksum(..))));
    }
}
