//! The hashes and the checksum of attributes.
//!
//! `e_hash` covers a name and its value, `h_hash` all entries of a block; they let Linux find equal
//! blocks. `h_checksum` covers the block and its number, with metadata_csum.
//!
//! Characters of a name are taken as unsigned, as Linux does since 6.2 and on arm64 always did;
//! readers accept both, since no disk says which it has.
//!
//! Source: ext4 documentation, "Extended Attributes".

use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::U32;

use crate::checksum::crc32c;
use crate::disk::xattr::{BLOCK_HEADER, ENTRY, PAD, RawEntry};

const CHECKSUM_AT: usize = 16;

fn name(name: &[u8], widen: fn(u8) -> u32) -> u32 {
    name.iter().fold(0u32, |hash, &c| hash.rotate_left(5) ^ widen(c))
}

fn words(hash: u32, value: &[u8]) -> u32 {
    let (words, _) = value.as_chunks::<PAD>();
    words.iter().fold(hash, |hash, word| hash.rotate_left(16) ^ u32::from_le_bytes(*word))
}

/// `e_hash` of a name and its value, padded with zeros to whole words.
pub fn entry(entry_name: &[u8], value: &[u8]) -> u32 {
    words(name(entry_name, u32::from), value)
}

/// Whether `e_hash` of an entry whose value is in an inode with this hash is right, whichever kind
/// of character its writer had.
pub fn entry_matches(entry_name: &[u8], value_hash: u32, e_hash: u32) -> bool {
    let signed = |c: u8| i32::from(c.cast_signed()).cast_unsigned();
    [u32::from, signed]
        .iter()
        .any(|widen| words(name(entry_name, *widen), &value_hash.to_le_bytes()) == e_hash)
}

/// `h_hash` of a block whose entries were checked: 0 when one of them has none.
pub fn block(bytes: &[u8]) -> u32 {
    let (mut at, mut hash) = (BLOCK_HEADER, 0u32);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= PAD && rest[..PAD] != [0; PAD]) {
        let Ok((raw, _)) = RawEntry::read_from_prefix(rest) else { return 0 };
        if raw.e_hash == U32::ZERO {
            return 0;
        }
        hash = hash.rotate_left(16) ^ raw.e_hash.get();
        at += ENTRY + usize::from(raw.e_name_len).next_multiple_of(PAD);
    }
    hash
}

/// `h_checksum`: the block's number, then its bytes with the checksum's own as zeros.
pub fn checksum(seed: u32, number: u64, bytes: &[u8]) -> u32 {
    let crc = crc32c(crc32c(seed, &number.to_le_bytes()), &bytes[..CHECKSUM_AT]);
    crc32c(crc32c(crc, &[0; 4]), &bytes[CHECKSUM_AT + 4..])
}
