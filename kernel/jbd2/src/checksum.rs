//! The two checksums of a journal: crc32c (v2 and v3), and the crc32 of v1.
//!
//! crc32c comes from the file system, which has a fast one. It is used raw: the running value goes in and
//! comes out without the inversion that the algorithm's name usually implies.
//!
//! v1 adds up a whole transaction: each descriptor block and the blocks behind it, as they lie in the log,
//! from `!0` on. Its bits run the other way round: the highest of a byte first (Linux `crc32_be`).
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", commit block.

use crc::{CRC_32_MPEG_2, Crc};

/// Continues a raw crc32c with some bytes.
pub type Crc32c = fn(u32, &[u8]) -> u32;

/// `crc32_be` without an inversion at the end.
static CRC32_BE: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);

/// The running checksum of a transaction in a journal with checksums of the first kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionSum(u32);

impl TransactionSum {
    /// Of a transaction without blocks.
    pub const fn new() -> TransactionSum {
        TransactionSum(!0)
    }

    /// Takes in a descriptor block or a block behind it.
    pub fn add(&mut self, block: &[u8]) {
        let mut digest = CRC32_BE.digest_with_initial(self.0);
        digest.update(block);
        self.0 = digest.finalize();
    }

    /// What the commit block says of the transaction.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl Default for TransactionSum {
    fn default() -> TransactionSum {
        TransactionSum::new()
    }
}

/// A crc32c for tests, from the crc crate.
#[cfg(test)]
pub fn test_crc32c(crc: u32, bytes: &[u8]) -> u32 {
    static CRC32C: Crc<u32> = Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let mut digest = CRC32C.digest_with_initial(crc.reverse_bits());
    digest.update(bytes);
    !digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_both() {
        let mut sum = TransactionSum::new();
        sum.add(b"123456789");
        assert_eq!(sum.value(), 0x0376_e6e7);
        assert_eq!(!test_crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn both_continue() {
        let (mut whole, mut parts) = (TransactionSum::new(), TransactionSum::new());
        whole.add(b"hello, world");
        parts.add(b"hello");
        parts.add(b", world");
        assert_eq!(whole, parts);
        assert_eq!(test_crc32c(test_crc32c(7, b"he"), b"llo"), test_crc32c(7, b"hello"));
    }
}
