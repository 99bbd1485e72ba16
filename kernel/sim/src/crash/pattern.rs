//! Bytes that say whose they are.
//!
//! Whatever a workload writes into a file is cut into cells of 16 bytes, at multiples of 16 of the file.
//! A cell names the file, the write it comes from and its own place, and a hash ties these together, so
//! that a cell found in another file, at another place or after it was overwritten tells where it came
//! from.
//!
//! ```text
//!   0    2      4       8            10     16
//!   "Qf" file   write   cell number  hash
//! ```

use std::fmt;

/// Bytes of a cell.
pub const CELL: usize = 16;

/// Whose a cell is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The file's number.
    pub file: u32,
    /// Which write.
    pub stamp: u32,
    /// Where in the file, in bytes.
    pub pos: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}, write {}, byte {:#x}", self.file, self.stamp, self.pos)
    }
}

fn hash(bytes: &[u8]) -> [u8; 6] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let all = (hash ^ (hash >> 31)).to_le_bytes();
    [all[0], all[1], all[2], all[3], all[4], all[5]]
}

fn cell(file: u32, stamp: u32, number: u32) -> [u8; CELL] {
    let mut cell = [0; CELL];
    cell[..2].copy_from_slice(b"Qf");
    cell[2..4].copy_from_slice(&(file as u16).to_le_bytes());
    cell[4..8].copy_from_slice(&stamp.to_le_bytes());
    cell[8..10].copy_from_slice(&(number as u16).to_le_bytes());
    let hash = hash(&cell[..10]);
    cell[10..].copy_from_slice(&hash);
    cell
}

/// What a write puts at `pos..pos + len` of a file.
pub fn fill(file: u32, stamp: u32, pos: u64, len: usize) -> Vec<u8> {
    let first = pos / CELL as u64;
    let skip = (pos % CELL as u64) as usize;
    let mut bytes = Vec::with_capacity(len + 2 * CELL);
    let mut number = first;
    while bytes.len() < skip + len {
        bytes.extend_from_slice(&cell(file, stamp, number as u32));
        number += 1;
    }
    bytes.drain(..skip);
    bytes.truncate(len);
    bytes
}

/// Whose the cell is that begins here, if it is a whole one.
pub fn origin(bytes: &[u8]) -> Option<Origin> {
    let cell: &[u8; CELL] = bytes.first_chunk()?;
    if cell[..2] != *b"Qf" || cell[10..] != hash(&cell[..10]) {
        return None;
    }
    let file = u32::from(u16::from_le_bytes([cell[2], cell[3]]));
    let stamp = u32::from_le_bytes([cell[4], cell[5], cell[6], cell[7]]);
    let number = u64::from(u16::from_le_bytes([cell[8], cell[9]]));
    Some(Origin { file, stamp, pos: number * CELL as u64 })
}

/// What a piece of a file is, in words; `at` is its place, a multiple of [`CELL`].
pub fn describe(bytes: &[u8]) -> String {
    if bytes.iter().all(|&byte| byte == 0) {
        return "zeros".into();
    }
    match bytes.chunks(CELL).find_map(origin) {
        Some(origin) => format!("{origin}"),
        None => format!("bytes of no file ({})", bytes[..bytes.len().min(CELL)].escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_tells_whose_it_is() {
        let bytes = fill(7, 3, 5, 100);
        assert_eq!(bytes.len(), 100);
        assert_eq!(origin(&bytes[11..]), Some(Origin { file: 7, stamp: 3, pos: 16 }));
        assert_eq!(origin(&bytes[10..]), None);
        assert_eq!(&fill(7, 3, 0, 105)[5..], &bytes);
        assert_eq!(describe(&[0; 9]), "zeros");
        assert!(describe(&bytes[11..]).starts_with("file 7, write 3"));
        assert!(describe(b"garbage").starts_with("bytes of no file"));
    }
}
