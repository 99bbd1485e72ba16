//! Which pages of the address space the page table holds.
//!
//! The page table can say of one address whether a page is there, but not how many there are, nor skip
//! the holes of a range. This can: a bit for each page, 512 to a chunk, only where there are some.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU64, Ordering};

use base::PAGE_SHIFT;
use sync::Mutex;

use super::layout::Span;

const CHUNK_SHIFT: u32 = 9;
const WORDS: usize = 1 << (CHUNK_SHIFT - 6);

/// A set of pages, counted.
#[derive(Default)]
pub struct Resident {
    chunks: Mutex<BTreeMap<u64, [u64; WORDS]>>,
    count: AtomicU64,
    peak: AtomicU64,
}

fn place(page: u64) -> (u64, usize, u64) {
    let bit = page & ((1 << CHUNK_SHIFT) - 1);
    (page >> CHUNK_SHIFT, (bit >> 6) as usize, 1 << (bit & 63))
}

impl Resident {
    /// How many pages.
    pub fn pages(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The most there ever were.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// A page is mapped at `addr`.
    pub fn add(&self, addr: u64) {
        let (chunk, word, bit) = place(addr >> PAGE_SHIFT);
        let mut chunks = self.chunks.lock();
        let words = chunks.entry(chunk).or_default();
        if words[word] & bit == 0 {
            words[word] |= bit;
            let now = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Nothing is mapped in `span` any more. Returns whether anything was.
    pub fn remove(&self, span: Span) -> bool {
        let mut chunks = self.chunks.lock();
        let mut gone = 0;
        while let Some(addr) = Self::first_in(&chunks, span) {
            let (chunk, ..) = place(addr >> PAGE_SHIFT);
            let Some(words) = chunks.get_mut(&chunk) else { break };
            for (i, word) in words.iter_mut().enumerate() {
                let mask = Self::mask(chunk, i, span);
                gone += u64::from((*word & mask).count_ones());
                *word &= !mask;
            }
            if words.iter().all(|w| *w == 0) {
                chunks.remove(&chunk);
            }
        }
        self.count.fetch_sub(gone, Ordering::Relaxed);
        gone > 0
    }

    /// The first page that is mapped in `span`.
    pub fn first(&self, span: Span) -> Option<u64> {
        Self::first_in(&self.chunks.lock(), span)
    }

    /// Whether a page is mapped at `addr`.
    pub fn contains(&self, addr: u64) -> bool {
        let (chunk, word, bit) = place(addr >> PAGE_SHIFT);
        self.chunks.lock().get(&chunk).is_some_and(|words| words[word] & bit != 0)
    }

    /// The bits of word `i` of a chunk that lie in `span`.
    fn mask(chunk: u64, i: usize, span: Span) -> u64 {
        let first = (chunk << CHUNK_SHIFT) + i as u64 * 64;
        let (from, to) = (span.start >> PAGE_SHIFT, span.end >> PAGE_SHIFT);
        let below = |page: u64| match page.saturating_sub(first) {
            n @ 0..64 => (1u64 << n) - 1,
            _ => u64::MAX,
        };
        below(to) & !below(from)
    }

    fn first_in(chunks: &BTreeMap<u64, [u64; WORDS]>, span: Span) -> Option<u64> {
        if span.is_empty() {
            return None;
        }
        let shift = PAGE_SHIFT + CHUNK_SHIFT;
        for (&chunk, words) in chunks.range(span.start >> shift..=(span.end - 1) >> shift) {
            for (i, word) in words.iter().enumerate() {
                let hit = word & Self::mask(chunk, i, span);
                if hit != 0 {
                    let page = (chunk << CHUNK_SHIFT) + i as u64 * 64 + u64::from(hit.trailing_zeros());
                    return Some(page << PAGE_SHIFT);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::layout::PAGE;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..1500, 0u64..700), 1..80)) {
            let (set, mut model) = (Resident::default(), BTreeSet::new());
            for (add, page, len) in steps {
                let span = Span { start: page * PAGE, end: (page + len) * PAGE };
                if add {
                    set.add(page * PAGE);
                    model.insert(page);
                } else {
                    let any = model.range(page..page + len).next().is_some();
                    prop_assert_eq!(set.remove(span), any);
                    model.retain(|&p| p < page || p >= page + len);
                }
                prop_assert_eq!(set.pages() as usize, model.len());
                prop_assert_eq!(set.first(span), model.range(page..page + len).next().map(|p| p * PAGE));
                prop_assert_eq!(set.contains(page * PAGE), model.contains(&page));
            }
        }
    }
}
