//! Damage: what a fuzzer does to bytes, in the widths and at the places where numbers lie.

use std::ops::Range;

use crate::random::Rng;

/// One to four changes within these places.
pub(super) fn damage(bytes: &mut [u8], places: &[Range<usize>], rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let place = rng.pick(places).clone();
        let len = (place.end - place.start) as u64;
        // The first bytes of a block are headers more often than not.
        let offset = if rng.one_in(2) { rng.below(len.min(64)) } else { rng.below(len) } as usize;
        let width = 1 << rng.below(4);
        let at = place.start + (offset & !(width - 1));
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 | 2 => put(bytes, at, width, interesting(rng)),
            3 => add(bytes, at, width, rng),
            4 => put(bytes, at, width, rng.bits() >> rng.below(64)),
            _ => copy(bytes, at, &place, rng.pick(places).clone(), rng),
        }
    }
}

/// Numbers at which programs stumble.
fn interesting(rng: &mut Rng) -> u64 {
    let edge = 1u64 << rng.below(64);
    *rng.pick(&[0, 1, 2, edge, edge - 1, edge + 1, !0, !edge, 1023, 1024, 2047, 2048])
}

fn put(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

/// A number a little larger or smaller.
fn add(bytes: &mut [u8], at: usize, width: usize, rng: &mut Rng) {
    let mut word = [0; 8];
    word[..width].copy_from_slice(&bytes[at..at + width]);
    let by = rng.below(16).wrapping_sub(8);
    put(bytes, at, width, u64::from_le_bytes(word).wrapping_add(by));
}

/// Bytes of one structure in another.
fn copy(bytes: &mut [u8], at: usize, to: &Range<usize>, from: Range<usize>, rng: &mut Rng) {
    let len = (to.end - at).min(from.len()).min(1 << rng.below(11));
    let begin = from.start + rng.below((from.len() - len + 1) as u64) as usize;
    bytes.copy_within(begin..begin + len, at);
}
