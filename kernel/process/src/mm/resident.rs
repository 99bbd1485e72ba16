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

/// What a page that is mapped is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The program's own: zeros at first, or a copy of a file's.
    Anonymous,
    /// The page cache's.
    File,
    /// Of a shared mapping without a file.
    Shmem,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Anonymous, Kind::File, Kind::Shmem];
}

/// A chunk's bits, for each kind.
type Chunk = [[u64; WORDS]; Kind::ALL.len()];

/// A set of pages, counted by kind. A page that is mapped at two addresses counts twice.
#[derive(Default)]
pub struct Resident {
    chunks: Mutex<BTreeMap<u64, Chunk>>,
    counts: [AtomicU64; Kind::ALL.len()],
    peak: AtomicU64,
}

fn place(page: u64) -> (u64, usize, u64) {
    let bit = page & ((1 << CHUNK_SHIFT) - 1);
    (page >> CHUNK_SHIFT, (bit >> 6) as usize, 1 << (bit & 63))
}

impl Resident {
    /// How many pages.
    pub fn pages(&self) -> u64 {
        Kind::ALL.map(|kind| self.pages_of(kind)).iter().sum()
    }

    /// How many of a kind.
    pub fn pages_of(&self, kind: Kind) -> u64 {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }

    /// The most there ever were.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// A page of that kind is mapped at `addr`, whatever was before.
    pub fn add(&self, addr: u64, kind: Kind) {
        let (chunk, word, bit) = place(addr >> PAGE_SHIFT);
        let mut chunks = self.chunks.lock();
        let kinds = chunks.entry(chunk).or_default();
        for (other, words) in Kind::ALL.into_iter().zip(kinds.iter_mut()) {
            let (had, has) = (words[word] & bit != 0, other == kind);
            match (had, has) {
                (false, true) => _ = self.counts[other as usize].fetch_add(1, Ordering::Relaxed),
                (true, false) => _ = self.counts[other as usize].fetch_sub(1, Ordering::Relaxed),
                _ => {}
            }
            words[word] = if has { words[word] | bit } else { words[word] & !bit };
        }
    }

    /// Pages have come that were not there before: perhaps there were never so many.
    pub fn note_peak(&self) {
        self.peak.fetch_max(self.pages(), Ordering::Relaxed);
    }

    /// Nothing is mapped in `span` any more. Returns whether anything was.
    pub fn remove(&self, span: Span) -> bool {
        let mut chunks = self.chunks.lock();
        let mut any = false;
        while let Some(addr) = Self::first_in(&chunks, span) {
            let (chunk, ..) = place(addr >> PAGE_SHIFT);
            let Some(kinds) = chunks.get_mut(&chunk) else { break };
            for (kind, words) in Kind::ALL.into_iter().zip(kinds.iter_mut()) {
                let mut gone = 0;
                for (i, word) in words.iter_mut().enumerate() {
                    let mask = Self::mask(chunk, i, span);
                    gone += u64::from((*word & mask).count_ones());
                    *word &= !mask;
                }
                self.counts[kind as usize].fetch_sub(gone, Ordering::Relaxed);
            }
            if kinds.as_flattened().iter().all(|w| *w == 0) {
                chunks.remove(&chunk);
            }
            any = true;
        }
        any
    }

    /// The first page that is mapped in `span`.
    pub fn first(&self, span: Span) -> Option<u64> {
        Self::first_in(&self.chunks.lock(), span)
    }

    /// Whether a page is mapped at `addr`.
    pub fn contains(&self, addr: u64) -> bool {
        self.kind(addr).is_some()
    }

    /// What is mapped at `addr`.
    pub fn kind(&self, addr: u64) -> Option<Kind> {
        let (chunk, word, bit) = place(addr >> PAGE_SHIFT);
        let chunks = self.chunks.lock();
        let kinds = chunks.get(&chunk)?;
        Kind::ALL.into_iter().find(|&kind| kinds[kind as usize][word] & bit != 0)
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

    fn first_in(chunks: &BTreeMap<u64, Chunk>, span: Span) -> Option<u64> {
        if span.is_empty() {
            return None;
        }
        let shift = PAGE_SHIFT + CHUNK_SHIFT;
        for (&chunk, kinds) in chunks.range(span.start >> shift..=(span.end - 1) >> shift) {
            for i in 0..WORDS {
                let hit = kinds.iter().fold(0, |all, words| all | words[i]) & Self::mask(chunk, i, span);
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
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0usize..6, 0u64..1500, 0u64..700), 1..80)) {
            let (set, mut model) = (Resident::default(), BTreeMap::new());
            for (what, page, len) in steps {
                let span = Span { start: page * PAGE, end: (page + len) * PAGE };
                if let Some(&kind) = Kind::ALL.get(what) {
                    set.add(page * PAGE, kind);
                    model.insert(page, kind);
                } else {
                    let any = model.range(page..page + len).next().is_some();
                    prop_assert_eq!(set.remove(span), any);
                    model.retain(|&p, _| p < page || p >= page + len);
                }
                prop_assert_eq!(set.pages() as usize, model.len());
                for kind in Kind::ALL {
                    let count = model.values().filter(|&&k| k == kind).count();
                    prop_assert_eq!(set.pages_of(kind) as usize, count);
                }
                prop_assert_eq!(set.first(span), model.range(page..page + len).next().map(|(p, _)| p * PAGE));
                prop_assert_eq!(set.kind(page * PAGE), model.get(&page).copied());
            }
        }
    }
}
