//! Pages that come back soon after reclaim took them: a working set that the inactive list is too short for.
//!
//! ```text
//!   the inactive list holds 500 pages, a program goes round and round over 600: each page is gone when its turn
//!   comes. With 500 pages in the active list that nobody uses any more that would go on for ever.
//!
//!   page 7 is freed                              age 1000, remembered
//!   100 more are freed, then page 7 is read      age 1100: 100 slots more and it would have stayed
//!   the active list has 500                      so it is worth as much as those: it becomes active
//! ```
//! The age counts the pages that left the inactive list, freed or activated: between a page's going and its coming
//! back it moves by as many slots as the list was too short (the refault distance). An active page that was there
//! by mistake is pushed out in turn, because the active list is shortened when it is the longer.
//!
//! # Data model
//! Linux keeps a shadow entry where the page was in the file's tree, and has a shrinker for trees of nothing else.
//! Here one table for all files has a word for each page of memory: half of it tells whose, half the age. It is made
//! once, never grows, and what a page needs is in one place; a younger entry may take an older one's place, which was
//! about to be too old anyway. A file that is cut takes a new number, so that nothing of it is remembered.
//!
//! # Locking
//! Atomics. Two who come at one word at once lose an entry at worst.
//!
//! Source: the comment at the head of Linux's mm/workingset.c.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::{Errno, Result};
use sync::Once;

use crate::lru::{self, List};
use crate::stats::{self, Count};

/// Most words: those of 1 GiB. A larger memory remembers that many of the last.
const MOST: usize = 1 << 18;

static TABLE: Once<Box<[AtomicU64]>> = Once::new();
/// `nonresident_age`.
static AGE: AtomicU32 = AtomicU32::new(0);
/// The last number that was given to a file.
static FILES: AtomicU64 = AtomicU64::new(0);

/// Makes room to remember as many pages as memory has. The first call wins. ENOMEM.
pub fn remember_evictions(pages: usize) -> Result<()> {
    let len = pages.clamp(64, MOST).next_power_of_two();
    let mut words = Vec::new();
    words.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    words.extend((0..len).map(|_| AtomicU64::new(0)));
    TABLE.call_once(|| words.into_boxed_slice());
    Ok(())
}

/// A number for a file, never given before.
pub(crate) fn new_file() -> u64 {
    FILES.fetch_add(1, Ordering::Relaxed) + 1
}

/// The word of a page, and what it says for this page but for the age.
fn place(table: &[AtomicU64], file: u64, index: u64) -> (&AtomicU64, u64) {
    // Multiplied by odd numbers: the high bits depend on all.
    let mixed = (file ^ index.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    // The table's length is a power of two; 0 says that nothing is there, so whose is never 0.
    let word = &table[mixed as usize & (table.len() - 1)];
    (word, (mixed | 1 << 63) & !u64::from(u32::MAX))
}

/// A page left the inactive list: was freed, or became active.
pub(crate) fn age() -> u32 {
    AGE.fetch_add(1, Ordering::Relaxed)
}

/// Reclaim has freed a page.
pub(crate) fn evicted(file: u64, index: u64) {
    let age = age();
    if let Some(table) = TABLE.get() {
        let (word, whose) = place(table, file, index);
        word.store(whose | u64::from(age), Ordering::Relaxed);
    }
}

/// A page is read in: the list that it belongs to.
pub(crate) fn list_for(file: u64, index: u64) -> List {
    let Some(table) = TABLE.get() else { return List::Inactive };
    let (word, whose) = place(table, file, index);
    let found = word.load(Ordering::Relaxed);
    if found & !u64::from(u32::MAX) != whose {
        return List::Inactive;
    }
    word.store(0, Ordering::Relaxed);
    stats::count(Count::RefaultFile, 1);
    // The low half; both wrap.
    let distance = AGE.load(Ordering::Relaxed).wrapping_sub(found as u32);
    if distance as usize > lru::len(List::Active) {
        return List::Inactive;
    }
    age();
    stats::count(Count::ActivateFile, 1);
    List::Active
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_once_and_no_other_for_it() {
        remember_evictions(1 << 12).unwrap();
        let (file, other) = (new_file(), new_file());
        (0..100).for_each(|index| evicted(file, index));
        let found = |file, indices: core::ops::Range<u64>| {
            let table = TABLE.get().unwrap();
            let there = |&index: &u64| {
                let (word, whose) = place(table, file, index);
                word.load(Ordering::Relaxed) & !u64::from(u32::MAX) == whose
            };
            indices.filter(there).count()
        };
        assert_eq!((found(other, 0..100), found(file, 100..200)), (0, 0));
        let right = found(file, 0..100);
        // Some may have taken each other's place.
        assert!(right >= 80, "{right}");
        for index in 0..100 {
            list_for(file, index);
        }
        assert_eq!(found(file, 0..100), 0);
    }
}
