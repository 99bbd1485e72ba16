//! What is free in one group, by size: a buddy summary of its block bitmap.
//!
//! # What it is
//! Free blocks are kept as aligned chunks of 2^order blocks, each as large as can be: two free chunks
//! that are buddies are one chunk of the next order. Per order there is a bitmap of its chunks and
//! their number; so "is there a run of 64?" is one look at the numbers, and finding it one search for
//! a set bit.
//!
//! ```text
//!   blocks   0 1 2 3 4 5 6 7 8 9          (blocks 0 and 5 in use, the group has 10)
//!   order 0    1     4
//!   order 1      2-3     6-7 8-9
//!   take(2, 3)  splits 2-3 and drops 4;   give(2, 3) joins 2-3 again
//! ```
//! Linux keeps the same (`ext4_buddy`, `bb_counters`). It is built on demand from the bitmap, less the
//! windows that are kept for growing files ([`super::window`]), and can be dropped at any time.
//!
//! # Locking
//! Part of the group's state: under the group's lock.
//!
//! # Invariants
//! 1. A block is in exactly one chunk when it is free in the bitmap and in nobody's window, else in none.
//! 2. No chunk's buddy is a chunk of the same order.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::bits::{self, Run};

/// Orders 0 to 15: a group has at most 32768 blocks.
const ORDERS: usize = 16;
/// Chunks that are looked at for the longest run around them.
const CANDIDATES: usize = 16;

/// The free chunks of one order.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Level {
    /// One bit per possible chunk; set: it is there.
    chunks: Box<[u8]>,
    count: u32,
}

/// See the module's manual.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buddy {
    end: u32,
    levels: Vec<Level>,
}

impl Buddy {
    /// The summary of a bitmap's first `end` bits.
    pub fn build(bitmap: &[u8], end: u32) -> Buddy {
        let mut levels = Vec::with_capacity(ORDERS);
        for order in 0..ORDERS {
            // Rounded up, so that every chunk that begins below `end` has a bit.
            let bytes = (end >> order) as usize / 8 + 1;
            levels.push(Level { chunks: vec![0; bytes].into_boxed_slice(), count: 0 });
        }
        let mut buddy = Buddy { end, levels };
        let mut at = 0;
        while let Some(start) = bits::next_clear(bitmap, at, end) {
            let stop = bits::next_set(bitmap, start, end).unwrap_or(end);
            buddy.add(start, stop);
            at = stop;
        }
        buddy
    }

    /// The order of the largest chunk. None when nothing is free.
    pub fn largest(&self) -> Option<u32> {
        // Below ORDERS.
        self.levels.iter().rposition(|level| level.count > 0).map(|order| order as u32)
    }

    /// Takes out what is free in `start .. start + len`.
    pub fn take(&mut self, start: u32, len: u32) {
        let end = start.saturating_add(len).min(self.end);
        let mut at = start;
        while at < end {
            let Some((first, order)) = self.chunk_of(at) else {
                at += 1;
                continue;
            };
            self.remove(first, order);
            let after = first + (1 << order);
            // What is left of a chunk has no free buddy: that is the part that was taken.
            self.add(first, at);
            if after > end {
                self.add(end, after);
            }
            at = after;
        }
    }

    /// Puts `start .. start + len` back; none of it is free now.
    pub fn give(&mut self, start: u32, len: u32) {
        let end = start.saturating_add(len).min(self.end);
        let mut at = start;
        while at < end {
            let order = fitting(at, end);
            self.join(at, order);
            at += 1 << order;
        }
    }

    /// The free blocks from `at` on, at most `want`.
    pub fn run_at(&self, at: u32, want: u32) -> Option<Run> {
        let stop = at.saturating_add(want).min(self.end);
        let mut end = at;
        while end < stop {
            let Some((first, order)) = self.chunk_of(end) else { break };
            end = first + (1 << order);
        }
        (end > at).then(|| Run { start: at, len: end.min(stop) - at })
    }

    /// `want` blocks out of the smallest chunk that has them, the first such from `near` on. None when
    /// no chunk is large enough: then a run across chunks may still be.
    pub fn best_fit(&self, near: u32, want: u32) -> Option<Run> {
        // More than a group can have finds no level.
        let least = want.checked_next_power_of_two()?.trailing_zeros();
        (least..ORDERS as u32).find_map(|order| {
            let start = self.next_chunk(order, near, self.end).or_else(|| self.next_chunk(order, 0, near))?;
            Some(Run { start, len: want })
        })
    }

    /// The longest run around the largest chunks, cut to `want`. Of the very many chunks that a
    /// shredded group may have, the first few are looked at.
    pub fn longest(&self, near: u32, want: u32) -> Option<Run> {
        let largest = self.largest()?;
        let mut best: Option<Run> = None;
        // The longest run of all may have its largest chunk one order lower.
        for order in (largest.saturating_sub(1)..=largest).rev() {
            let (mut from, mut wrapped) = (near, false);
            for _ in 0..CANDIDATES {
                let chunk = match self.next_chunk(order, from, self.end) {
                    None if !wrapped && near > 0 => {
                        (from, wrapped) = (0, true);
                        continue;
                    }
                    found => found,
                };
                let Some(chunk) = chunk else { break };
                let start = self.run_start(chunk, want);
                let Some(run) = self.run_at(start, want) else { break };
                if best.is_none_or(|b| run.len > b.len) {
                    best = Some(run);
                }
                if run.len >= want {
                    return best;
                }
                from = (run.start + run.len).max(chunk + (1 << order));
            }
        }
        best
    }

    /// The first free run from `from` on.
    pub fn next_run(&self, from: u32) -> Option<Run> {
        let start = (0..ORDERS as u32).filter_map(|order| self.next_chunk(order, from, self.end)).min();
        let inside = self.chunk_of(from).map(|_| from);
        let start = inside.or(start)?;
        self.run_at(start, self.end)
    }

    /// Where the run that `at` lies in begins, not looking back further than `most` blocks.
    fn run_start(&self, at: u32, most: u32) -> u32 {
        let mut start = at;
        while start > 0 && at - start < most {
            match self.chunk_of(start - 1) {
                Some((first, _)) => start = first,
                None => break,
            }
        }
        start
    }

    /// The first chunk of an order that begins in `from..end`.
    fn next_chunk(&self, order: u32, from: u32, end: u32) -> Option<u32> {
        let level = self.levels.get(order as usize).filter(|l| l.count > 0)?;
        let (first, last) = (from.div_ceil(1 << order), end.div_ceil(1 << order));
        let last = last.min(level.chunks.len() as u32 * 8);
        bits::next_set(&level.chunks, first, last).map(|n| n << order)
    }

    /// The chunk that a block lies in: where it begins, and its order.
    fn chunk_of(&self, at: u32) -> Option<(u32, u32)> {
        if at >= self.end {
            return None;
        }
        (0..).zip(&self.levels).find_map(|(order, level)| {
            let there = level.count > 0 && bits::is_set(&level.chunks, at >> order);
            there.then_some(((at >> order) << order, order))
        })
    }

    /// Adds `start..end` as chunks, none of which has a free buddy.
    fn add(&mut self, start: u32, end: u32) {
        let mut at = start;
        while at < end {
            let order = fitting(at, end);
            self.insert(at, order);
            at += 1 << order;
        }
    }

    /// Adds one chunk, joined with its buddy as long as that is free too.
    fn join(&mut self, start: u32, order: u32) {
        let (mut start, mut order) = (start, order);
        while (order as usize) < ORDERS - 1 {
            let buddy = start ^ (1 << order);
            let free =
                self.levels.get(order as usize).is_some_and(|l| bits::is_set(&l.chunks, buddy >> order));
            if buddy >= self.end || !free {
                break;
            }
            self.remove(buddy, order);
            start &= !(1 << order);
            order += 1;
        }
        self.insert(start, order);
    }

    fn insert(&mut self, start: u32, order: u32) {
        self.change(start, order, |bit, mask| bit | mask, 1);
    }

    fn remove(&mut self, start: u32, order: u32) {
        self.change(start, order, |bit, mask| bit & !mask, u32::MAX);
    }

    fn change(&mut self, start: u32, order: u32, how: impl Fn(u8, u8) -> u8, by: u32) {
        let Some(level) = self.levels.get_mut(order as usize) else { return };
        let at = start >> order;
        if let Some(byte) = level.chunks.get_mut(at as usize / 8) {
            *byte = how(*byte, 1 << (at % 8));
            level.count = level.count.wrapping_add(by);
        }
    }
}

/// The order of the largest aligned chunk at `at` that ends at or before `end`.
fn fitting(at: u32, end: u32) -> u32 {
    let aligned = at.trailing_zeros();
    let fits = (end - at).ilog2();
    aligned.min(fits).min(ORDERS as u32 - 1)
}

#[cfg(test)]
#[path = "buddy_tests.rs"]
mod tests;
