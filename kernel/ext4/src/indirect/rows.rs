//! Which blocks of pointers a block of a file needs.
//!
//! The data blocks below one lowest block of pointers are a *row*; the direct blocks are row 0 and need none.
//!
//! ```text
//!   row        0     | 1      | 2 … n + 1              | from n + 2 on       n: pointers in a block
//!   pointers   none  | its    | its, and one above     | its, and two above
//! ```

use core::ops::RangeInclusive;

use super::DIRECT;

/// The rows of a file system with blocks of a certain size.
#[derive(Clone, Copy)]
pub struct Rows {
    /// log2 of the pointers in a block.
    shift: u32,
}

impl Rows {
    /// For blocks of `1 << block_bits` bytes.
    pub fn new(block_bits: u32) -> Rows {
        Rows { shift: block_bits - 2 }
    }

    /// The row of a block.
    pub fn of(self, block: u64) -> u64 {
        block.checked_sub(DIRECT).map_or(0, |behind| 1 + (behind >> self.shift))
    }

    /// The rows of `len >= 1` blocks.
    pub fn of_run(self, block: u32, len: u32) -> RangeInclusive<u64> {
        self.of(block.into())..=self.of(u64::from(block) + u64::from(len) - 1)
    }

    /// The first block of a row.
    pub fn first(self, row: u64) -> u64 {
        row.checked_sub(1).map_or(0, |before| DIRECT + (before << self.shift))
    }

    /// Blocks of pointers on the way to a row's data.
    pub fn levels(self, row: u64) -> u32 {
        match row {
            0 => 0,
            1 => 1,
            _ if row - 2 < 1 << self.shift => 2,
            _ => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_where_pointers_do() {
        for bits in [10, 11, 12, 16] {
            let (rows, per) = (Rows::new(bits), 1u64 << (bits - 2));
            let borders = [0, DIRECT, DIRECT + per, DIRECT + per + per * per];
            for (levels, border) in (0..).zip(borders) {
                let row = rows.of(border);
                assert_eq!((rows.levels(row), rows.first(row)), (levels, border), "{bits}");
                if border > 0 {
                    assert_eq!(
                        (rows.levels(rows.of(border - 1)), rows.of(border - 1)),
                        (levels - 1, row - 1)
                    );
                }
            }
        }
        assert_eq!(Rows::new(10).of_run(10, 300), 0..=2);
        assert_eq!(Rows::new(10).of_run(12, 256), 1..=1);
        assert_eq!(Rows::new(10).of_run(u32::MAX, 1), Rows::new(10).of_run(u32::MAX - 1, 1));
    }
}
