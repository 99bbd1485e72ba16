//! Runs of bits in a bitmap: bit `i` is bit `i % 8` of byte `i / 8`; set means in use.
//!
//! ```text
//!   bits 0b0000_0111 0b0000_0001   next_clear(bits, 0, 16) → 3   next_set(bits, 3, 16) → 8
//! ```
//! Bits past the slice count as in use. Eight bytes are looked at in one step, with one load where the
//! bitmap lies at a multiple of 8, as those of blocks do.

use zerocopy::FromBytes;

/// Free bits in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first.
    pub start: u32,
    /// How many, at least 1.
    pub len: u32,
}

/// Whether a bit is set.
pub fn is_set(bits: &[u8], at: u32) -> bool {
    bits.get(at as usize / 8).is_none_or(|byte| byte & (1 << (at % 8)) != 0)
}

/// The first clear bit in `from..end`.
pub fn next_clear(bits: &[u8], from: u32, end: u32) -> Option<u32> {
    next(bits, from, end, u64::MAX)
}

/// The first set bit in `from..end`.
pub fn next_set(bits: &[u8], from: u32, end: u32) -> Option<u32> {
    next(bits, from, end, 0)
}

/// The first bit in `from..end` that is set in `word ^ flip`.
fn next(bits: &[u8], from: u32, end: u32, flip: u64) -> Option<u32> {
    if from >= end {
        return None;
    }
    let words = Words::of(bits);
    let mut base = from & !63;
    let mut word = (words.at(base) ^ flip) & (u64::MAX << (from - base));
    while word == 0 {
        base = base.checked_add(64).filter(|&base| base < end)?;
        word = words.at(base) ^ flip;
    }
    let hit = base + word.trailing_zeros();
    (hit < end).then_some(hit)
}

/// A bitmap, 64 bits at a time.
struct Words<'a> {
    bits: &'a [u8],
    /// The whole words of it, if they are aligned.
    whole: &'a [u64],
}

impl<'a> Words<'a> {
    fn of(bits: &'a [u8]) -> Words<'a> {
        let whole = <[u64]>::ref_from_prefix_with_elems(bits, bits.len() / 8);
        Words { bits, whole: whole.map_or(&[], |(words, _)| words) }
    }

    /// The 64 bits from `base` on, a multiple of 64; what lies past the slice is set.
    #[inline(always)]
    fn at(&self, base: u32) -> u64 {
        match self.whole.get(base as usize / 64) {
            Some(word) => u64::from_le(*word),
            None => self.slowly(base),
        }
    }

    /// The same where the bitmap is not aligned, or ends.
    fn slowly(&self, base: u32) -> u64 {
        let mut word = [0xff; 8];
        let tail = self.bits.get(base as usize / 8..).unwrap_or(&[]);
        let n = tail.len().min(8);
        word[..n].copy_from_slice(&tail[..n]);
        u64::from_le_bytes(word)
    }
}

/// Clear bits in `0..end`.
pub fn count_clear(bits: &[u8], end: u32) -> u32 {
    let words = Words::of(bits);
    let mut free = 0;
    let mut base = 0;
    while base < end {
        let mut word = words.at(base);
        if end - base < 64 {
            word |= u64::MAX << (end - base);
        }
        free += word.count_zeros();
        base += 64;
    }
    free
}

/// Sets `len` bits from `start` on. Returns the first that was set already; then nothing changed.
pub fn set(bits: &mut [u8], start: u32, len: u32) -> Result<(), u32> {
    let end = start.saturating_add(len);
    if let Some(taken) = next_set(bits, start, end) {
        return Err(taken);
    }
    each_byte(bits, start, end, |byte, mask| *byte |= mask);
    Ok(())
}

/// Clears `len` bits from `start` on. Returns the first that was clear already; then nothing changed.
pub fn clear(bits: &mut [u8], start: u32, len: u32) -> Result<(), u32> {
    let end = start.saturating_add(len);
    if let Some(free) = next_clear(bits, start, end) {
        return Err(free);
    }
    if end as usize > bits.len().saturating_mul(8) {
        return Err(start);
    }
    each_byte(bits, start, end, |byte, mask| *byte &= !mask);
    Ok(())
}

/// Sets bits whatever they were: for bitmaps that are made up.
pub fn force_set(bits: &mut [u8], start: u32, len: u32) {
    each_byte(bits, start, start.saturating_add(len), |byte, mask| *byte |= mask);
}

fn each_byte(bits: &mut [u8], start: u32, end: u32, change: impl Fn(&mut u8, u8)) {
    let mut at = start;
    while at < end {
        let stop = ((at & !7) + 8).min(end);
        let mask = ((1u16 << (stop - (at & !7))) - 1) as u8 & (0xffu8 << (at % 8));
        match bits.get_mut(at as usize / 8) {
            Some(byte) => change(byte, mask),
            None => return,
        }
        at = stop;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn nothing_is_free_past_the_end() {
        assert_eq!(next_clear(&[0xff], 0, 100), None);
        assert!(is_set(&[0], 8));
        assert_eq!(clear(&mut [0xff], 4, 10), Err(4));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_vector_of_bools(bytes in prop::collection::vec(any::<u8>(), 1..40), a in 0u32..320, n in 1u32..70) {
            let end = bytes.len() as u32 * 8;
            let naive: Vec<bool> = (0..end).map(|i| bytes[i as usize / 8] >> (i % 8) & 1 == 1).collect();
            let clear_at = (a..end).find(|&i| !naive[i as usize]);
            prop_assert_eq!(next_clear(&bytes, a, end), clear_at);
            prop_assert_eq!(next_set(&bytes, a, end), (a..end).find(|&i| naive[i as usize]));
            prop_assert_eq!(count_clear(&bytes, end.min(a)), naive[..end.min(a) as usize].iter().filter(|b| !**b).count() as u32);
            let mut changed = bytes.clone();
            let all_clear = (a..a + n).all(|i| i < end && !naive[i as usize]);
            prop_assert_eq!(set(&mut changed, a, n).is_ok(), all_clear);
            if all_clear {
                prop_assert!((0..end).all(|i| is_set(&changed, i) == (naive[i as usize] || (a..a + n).contains(&i))));
                prop_assert_eq!(clear(&mut changed, a, n), Ok(()));
                prop_assert_eq!(&changed, &bytes);
            }
        }
    }
}
