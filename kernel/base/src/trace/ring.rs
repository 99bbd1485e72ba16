//! A ring of records that any number of writers fill, wherever they stand, and any number of readers
//! look at. No lock, no waiting, no `unsafe`: a slot is a row of atomics with a stamp.
//!
//! ```text
//!   ticket       0    1    2    3    4    5 …        the next one is `head`
//!   slot         0    1    2    3    0    1 …        ticket modulo the number of slots
//!   stamp        0 ──▶ 2t+1 ──▶ 2t+2 ──▶ 2(t+n)+1 …
//!              empty  written    whole    overwritten
//! ```
//! A writer takes a ticket, stamps the slot as being written, writes, stamps it as whole. A reader
//! reads the stamp, the words and the stamp again: if both are `2t+2`, what it has is record `t`.
//!
//! A writer that finds its slot still being written (somebody was interrupted there, and the ring has
//! gone round meanwhile) drops its record and counts it.
//!
//! # Invariants
//! 1. A slot's stamp only grows, but from `2t+1` of a writer nobody else moves it.
//!
//! Source: Boehm, "Can seqlocks get along with programming language memory models?", for the order of
//! the accesses.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::errno::{Errno, Result};

/// Words of a record.
pub const WORDS: usize = 14;

/// What a record takes in memory.
pub const RECORD_BYTES: usize = size_of::<Slot>();

struct Slot {
    stamp: AtomicU64,
    words: [AtomicU64; WORDS],
}

pub struct Ring {
    slots: Vec<Slot>,
    head: AtomicU64,
    dropped: AtomicU64,
}

/// What stands at a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// The record.
    Whole([u64; WORDS]),
    /// It is gone: overwritten, or dropped.
    Gone,
    /// It is still being written, or nobody has it yet.
    NotYet,
}

impl Ring {
    /// `count` empty slots, at least two; the first ticket is `first`. ENOMEM.
    pub fn new(count: usize, first: u64) -> Result<Ring> {
        let count = count.max(2);
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        let empty = || Slot { stamp: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] };
        slots.resize_with(count, empty);
        Ok(Ring { slots, head: AtomicU64::new(first), dropped: AtomicU64::new(0) })
    }

    /// How many records it holds.
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// The ticket that nobody has yet.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The first ticket that may still be there.
    pub fn oldest(&self) -> u64 {
        self.head().saturating_sub(self.capacity())
    }

    /// Records that no slot was free for.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn slot(&self, ticket: u64) -> Option<&Slot> {
        let index = ticket.checked_rem(self.capacity())?;
        self.slots.get(index as usize)
    }

    /// Appends a record.
    pub fn push(&self, words: &[u64; WORDS]) {
        let ticket = self.head.fetch_add(1, Ordering::Relaxed);
        let Some(slot) = self.slot(ticket) else { return };
        let (writing, whole) = (2 * ticket + 1, 2 * ticket + 2);
        let seen = slot.stamp.load(Ordering::Relaxed);
        let free = seen.is_multiple_of(2) && seen < writing;
        if !free || slot.stamp.compare_exchange(seen, writing, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A reader that sees one of these words sees the stamp above too.
        fence(Ordering::Release);
        for (to, from) in slot.words.iter().zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
        slot.stamp.store(whole, Ordering::Release);
    }

    /// What stands at a ticket.
    pub fn read(&self, ticket: u64) -> At {
        let head = self.head();
        let Some(slot) = self.slot(ticket) else { return At::Gone };
        if ticket >= head {
            return At::NotYet;
        }
        let whole = 2 * ticket + 2;
        let before = slot.stamp.load(Ordering::Acquire);
        if before != whole {
            // Its writer would have come by now: it was dropped.
            let long_ago = head - ticket > self.capacity() / 2;
            return if before > whole || long_ago { At::Gone } else { At::NotYet };
        }
        let words = core::array::from_fn(|i| slot.words[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if slot.stamp.load(Ordering::Relaxed) == whole { At::Whole(words) } else { At::Gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::vec::Vec;

    fn record(writer: u64, number: u64) -> [u64; WORDS] {
        core::array::from_fn(|i| (writer << 32 | number).wrapping_mul(i as u64 + 1))
    }

    /// Whose it is and its number; None when its words do not belong together.
    fn taken_apart(words: &[u64; WORDS]) -> Option<(u64, u64)> {
        let (writer, number) = (words[0] >> 32, words[0] & 0xffff_ffff);
        (record(writer, number) == *words).then_some((writer, number))
    }

    #[test]
    fn the_oldest_make_room() {
        let ring = Ring::new(4, 10).unwrap();
        assert_eq!(ring.read(10), At::NotYet);
        for number in 0..6 {
            ring.push(&record(1, number));
        }
        assert_eq!((ring.head(), ring.oldest(), ring.dropped()), (16, 12, 0));
        let all: Vec<At> = (10..17).map(|ticket| ring.read(ticket)).collect();
        let there = (2..6).map(|number| At::Whole(record(1, number)));
        let expected: Vec<At> = [At::Gone, At::Gone].into_iter().chain(there).chain([At::NotYet]).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_slot_in_use_is_left_alone_and_the_record_counted() {
        let ring = Ring::new(4, 0).unwrap();
        ring.push(&record(1, 0));
        // Somebody was interrupted while writing ticket 1.
        ring.head.fetch_add(1, Ordering::Relaxed);
        ring.slots[1].stamp.store(3, Ordering::Relaxed);
        assert_eq!(ring.read(1), At::NotYet);
        for number in 2..6 {
            ring.push(&record(1, number));
        }
        assert_eq!((ring.head(), ring.dropped()), (6, 1));
        assert_eq!(ring.read(5), At::NotYet, "its slot still is the other's");
        assert_eq!(ring.read(4), At::Whole(record(1, 4)));
        for number in 6..9 {
            ring.push(&record(1, number));
        }
        assert_eq!(ring.read(5), At::Gone, "half a ring later nobody waits for it");
    }

    #[test]
    fn no_reader_sees_a_mixture_and_each_writer_stays_in_order() {
        let rounds = if cfg!(miri) { 40 } else { 20_000 };
        let ring = Arc::new(Ring::new(64, 0).unwrap());
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4u64)
            .map(|writer| {
                let ring = ring.clone();
                std::thread::spawn(move || (0..rounds).for_each(|n| ring.push(&record(writer, n))))
            })
            .collect();
        let reader = std::thread::spawn({
            let (ring, over) = (ring.clone(), over.clone());
            move || {
                let (mut at, mut last, mut seen) = (0, [None; 4], 0);
                while !over.load(Ordering::Relaxed) || at < ring.head() {
                    match ring.read(at) {
                        At::Whole(words) => {
                            let (writer, number) = taken_apart(&words).expect("a whole record");
                            let last = &mut last[writer as usize];
                            assert!(*last < Some(number), "{writer}: {last:?} before {number}");
                            *last = Some(number);
                            (at, seen) = (at + 1, seen + 1);
                        }
                        At::Gone => at = (at + 1).max(ring.oldest()),
                        At::NotYet if over.load(Ordering::Relaxed) => at += 1,
                        At::NotYet => std::thread::yield_now(),
                    }
                }
                seen
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        over.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
        assert_eq!(ring.head(), 4 * rounds);
    }
}
