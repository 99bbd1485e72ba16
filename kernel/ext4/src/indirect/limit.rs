//! How long a block-mapped file can be (`s_bitmap_maxbytes`).
//!
//! Two things limit it: what three levels of pointers reach, and that `i_blocks` must be able to count
//! the file and its blocks of pointers if it had no hole: 2^32 - 1 sectors, or with huge_file 2^48 - 1
//! blocks.
//!
//! ```text
//!   1 KiB blocks   17,247,252,480 bytes: the pointers end
//!   4 KiB blocks   4,402,345,721,856 with huge_file; without, about 2 TiB: the counter ends
//! ```
//! Source: `ext4_max_bitmap_size`.

use super::DIRECT;

/// The largest size in bytes, for blocks of `1 << bits` bytes.
pub const fn max_bytes(bits: u32, huge_file: bool) -> u64 {
    let row = 1u64 << (bits - 2);
    let reached = DIRECT + row + row * row + row * row * row;
    let counted = if huge_file { (1 << 48) - 1 } else { 0xffff_ffff >> (bits - 9) };
    let pointers = 1 + (1 + row) + (1 + row + row * row);
    if reached + pointers <= counted {
        return reached << bits;
    }
    (counted - pointers_for(counted - DIRECT, row)) << bits
}

/// Blocks of pointers that a file needs whose blocks behind the direct ones are this many.
const fn pointers_for(blocks: u64, row: u64) -> u64 {
    let blocks = blocks - row;
    if blocks < row * row {
        return 1 + 1 + blocks.div_ceil(row);
    }
    let blocks = blocks - row * row;
    1 + (1 + row) + 1 + blocks.div_ceil(row) + blocks.div_ceil(row * row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says() {
        assert_eq!(max_bytes(10, true), 17_247_252_480);
        assert_eq!(max_bytes(10, false), 17_247_252_480);
        assert_eq!(max_bytes(12, true), 4_402_345_721_856);
        assert_eq!(max_bytes(11, false), 275_415_851_008);
        assert!(max_bytes(12, false) < 1 << 41);
        assert!(max_bytes(12, false) > (1 << 41) - (1 << 32));
    }
}
