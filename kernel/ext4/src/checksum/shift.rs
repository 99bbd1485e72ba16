//! The checksum of a block of which a few bytes changed, without summing the block again.
//!
//! # What it is
//! A raw crc is linear: the sums of two blocks that differ in one place differ by the sum of the
//! difference, moved on past the bytes behind that place. Moving on past `n` zero bytes multiplies by
//! x^(8n) modulo the polynomial, and those factors are in a table.
//!
//! ```text
//!   block      | same | old | same: n bytes |      sum
//!   changed    | same | new | same: n bytes |      sum ^ past(crc(0, old) ^ crc(0, new), n)
//! ```
//! So a bit in a bitmap of 4 KiB costs some 150 instructions where the sum of all of it costs 1,100.
//! Only for bytes whose sum is known to be right: a wrong one stays as wrong as it was.
//!
//! # How to use it
//! [`delta`] makes a change and says by what the sum over `bytes` changed by it; xor that in.
//!
//! # Worked example: the product
//! In a reflected crc the highest bit stands for x^0. The product of x^3 (0x1000_0000) and x^5
//! (0x0400_0000) is x^8 (0x0080_0000): as integers the carry-less product has bit 28 + 26 = 54, one
//! place further up is bit 55, and its upper half is bit 23. What is in the lower half is x^32 and up,
//! which four steps of the byte-wise crc reduce.

use core::ops::Range;

use super::{TABLES, crc32c};

/// `POWERS[n]` is x^(32 n): past `n` words of zeros. Enough for a block of 4 KiB.
static POWERS: [u32; WORDS] = powers();
const WORDS: usize = 1024;

/// Lets `change` work on `range` of `bytes`, and tells by what the raw crc32c over `bytes` changed.
/// None, and nothing done, when the range does not lie in the bytes.
pub fn delta<R>(
    bytes: &mut [u8],
    range: Range<usize>,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Option<(R, u32)> {
    let behind = bytes.len().checked_sub(range.end)?;
    let part = bytes.get_mut(range)?;
    let before = crc32c(0, part);
    let result = change(part);
    let difference = before ^ crc32c(0, part);
    Some((result, past(difference, behind)))
}

/// The crc register moved on past `zeros` bytes of zero.
fn past(crc: u32, zeros: usize) -> u32 {
    let (mut crc, mut words) = (crc, zeros / 4);
    while words > 0 {
        let step = words.min(WORDS - 1);
        crc = product(crc, POWERS[step]);
        words -= step;
    }
    (0..zeros % 4).fold(crc, |crc, _| (crc >> 8) ^ TABLES[0][(crc & 0xff) as usize])
}

/// The product of two polynomials modulo crc32c's.
fn product(a: u32, b: u32) -> u32 {
    let wide = carryless(a, b) << 1;
    let [p, q, r, s, ..] = wide.to_le_bytes();
    let low = TABLES[3][usize::from(p)]
        ^ TABLES[2][usize::from(q)]
        ^ TABLES[1][usize::from(r)]
        ^ TABLES[0][usize::from(s)];
    (wide >> 32) as u32 ^ low
}

/// The product without carries. Each factor is taken apart into four with a bit in every fourth place:
/// a sum of at most eight such bits carries no further than the three free places beside it.
fn carryless(a: u32, b: u32) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let part = |v: u32, n: u32| u64::from(v) & (EVERY_FOURTH << n);
    let (a0, a1, a2, a3) = (part(a, 0), part(a, 1), part(a, 2), part(a, 3));
    let (b0, b1, b2, b3) = (part(b, 0), part(b, 1), part(b, 2), part(b, 3));
    // Below 2^64: both factors are below 2^32.
    let mul = u64::wrapping_mul;
    let z0 = mul(a0, b0) ^ mul(a1, b3) ^ mul(a2, b2) ^ mul(a3, b1);
    let z1 = mul(a0, b1) ^ mul(a1, b0) ^ mul(a2, b3) ^ mul(a3, b2);
    let z2 = mul(a0, b2) ^ mul(a1, b1) ^ mul(a2, b0) ^ mul(a3, b3);
    let z3 = mul(a0, b3) ^ mul(a1, b2) ^ mul(a2, b1) ^ mul(a3, b0);
    (z0 & EVERY_FOURTH) | (z1 & (EVERY_FOURTH << 1)) | (z2 & (EVERY_FOURTH << 2)) | (z3 & (EVERY_FOURTH << 3))
}

const fn powers() -> [u32; WORDS] {
    let mut powers = [0; WORDS];
    // x^0.
    let mut power = 1u32 << 31;
    let mut n = 0;
    while n < WORDS {
        powers[n] = power;
        let mut bit = 0;
        while bit < 32 {
            power = if power & 1 == 1 { (power >> 1) ^ super::POLYNOMIAL } else { power >> 1 };
            bit += 1;
        }
        n += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[test]
    fn the_worked_example() {
        assert_eq!(product(0x1000_0000, 0x0400_0000), 0x0080_0000);
        assert_eq!(past(0x8000_0000, 4), POWERS[1]);
    }

    #[test]
    fn past_zeros_is_the_sum_of_zeros() {
        for n in (0..20).chain([63, 64, 1023, 4084, 4092, 4095, 4096, 9001, 65_536]) {
            assert_eq!(past(0x1234_5678, n), crc32c(0x1234_5678, &vec![0; n]), "{n}");
        }
    }

    #[test]
    fn a_range_outside_changes_nothing() {
        let mut bytes = [7; 10];
        assert_eq!(delta(&mut bytes, 8..11, |part| part.fill(0)), None);
        assert_eq!(bytes, [7; 10]);
    }

    proptest! {
        #[test]
        fn it_is_the_difference_of_the_sums(
            old in prop::collection::vec(any::<u8>(), 1..5000),
            new in prop::collection::vec(any::<u8>(), 1..300),
            seed: u32,
            at: prop::sample::Index,
        ) {
            let mut bytes = old.clone();
            let start = at.index(bytes.len());
            let end = bytes.len().min(start + new.len());
            let (_, delta) = delta(&mut bytes, start..end, |part| {
                part.copy_from_slice(&new[..part.len()]);
            }).unwrap();
            prop_assert_eq!(&bytes[start..end], &new[..end - start]);
            prop_assert_eq!(crc32c(seed, &bytes), crc32c(seed, &old) ^ delta);
        }
    }
}
