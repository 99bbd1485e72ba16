//! Ranges of a file's blocks, each of one kind: what [`super::Delayed`] keeps under its lock.
//!
//! A file that grows puts one block after the other, so the run that was put last is kept apart
//! (`hot`) and grows in place; it joins the others when a write goes elsewhere, or somebody takes.
//!
//! ```text
//!   put(10) put(11) put(12)     hot 10..13
//!   put(40)                     rest 10..13      hot 40..41
//!   take(11..12)                rest 10..11 12..13 40..41
//! ```
//! # Invariants
//! 1. No block is in two runs. 2. Runs in `rest` that touch and are of one kind are one.

use alloc::collections::BTreeMap;

use smallvec::SmallVec;

/// Blocks in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first.
    pub block: u32,
    /// How many, at least 1.
    pub len: u32,
    /// Space is reserved for them; else they lie in unwritten blocks of the map.
    pub reserved: bool,
}

impl Run {
    /// The block behind the last.
    pub fn end(&self) -> u64 {
        u64::from(self.block) + u64::from(self.len)
    }

    fn holds(&self, block: u32) -> bool {
        self.block <= block && u64::from(block) < self.end()
    }

    /// Both as one, if `next` goes on where this ends.
    fn join(&self, next: &Run) -> Option<Run> {
        let joined = self.len.checked_add(next.len)?;
        let fits = self.end() == u64::from(next.block) && self.reserved == next.reserved;
        fits.then_some(Run { len: joined, ..*self })
    }

    /// The part in `from..end`; None when there is none.
    fn part(&self, from: u64, end: u64) -> Option<Run> {
        let (from, end) = (from.max(self.block.into()), end.min(self.end()));
        // Both lie within the run: they fit.
        (from < end).then(|| Run { block: from as u32, len: (end - from) as u32, ..*self })
    }
}

/// Runs that were taken out.
pub type Taken = SmallVec<[Run; 2]>;

/// See the module.
#[derive(Default)]
pub struct Ranges {
    hot: Option<Run>,
    rest: BTreeMap<u32, Run>,
}

impl Ranges {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hot.is_none() && self.rest.is_empty()
    }

    /// The run that holds a block.
    #[inline]
    pub fn find(&self, block: u32) -> Option<Run> {
        match self.hot.filter(|run| run.holds(block)) {
            None if self.rest.is_empty() => None,
            None => self.rest.range(..=block).next_back().map(|(_, run)| *run).filter(|run| run.holds(block)),
            hot => hot,
        }
    }

    /// The first run that ends behind a block: the one that holds it, or the next.
    pub fn next_from(&self, block: u32) -> Option<Run> {
        let next = || self.rest.range(block..).next().map(|(_, run)| *run);
        let rest = self.rest.range(..=block).next_back().map(|(_, run)| *run).filter(|run| run.holds(block));
        let hot = self.hot.filter(|run| run.end() > u64::from(block));
        [rest.or_else(next), hot].into_iter().flatten().min_by_key(|run| run.block)
    }

    /// Adds blocks that are in no run.
    #[inline]
    pub fn put(&mut self, run: Run) {
        match self.hot.and_then(|hot| hot.join(&run)) {
            Some(longer) => self.hot = Some(longer),
            None => {
                self.cool();
                self.hot = Some(run);
            }
        }
    }

    /// Takes the blocks `from..end` out.
    pub fn take(&mut self, from: u64, end: u64) -> Taken {
        self.cool();
        let mut taken = Taken::new();
        // No block is behind u32::MAX.
        let Ok(first) = u32::try_from(from) else { return taken };
        while let Some(run) = self.next_from(first).filter(|run| u64::from(run.block) < end) {
            self.rest.remove(&run.block);
            for kept in [run.part(0, from), run.part(end, u64::MAX)].into_iter().flatten() {
                self.rest.insert(kept.block, kept);
            }
            taken.extend(run.part(from, end));
        }
        taken
    }

    /// The hot run joins the others.
    fn cool(&mut self) {
        let Some(mut run) = self.hot.take() else { return };
        if let Some((&key, before)) = self.rest.range(..run.block).next_back()
            && let Some(joined) = before.join(&run)
        {
            self.rest.remove(&key);
            run = joined;
        }
        // A run may end at the last block there is; then nothing follows.
        if let Ok(end) = u32::try_from(run.end())
            && let Some(joined) = self.rest.get(&end).and_then(|after| run.join(after))
        {
            self.rest.remove(&end);
            run = joined;
        }
        self.rest.insert(run.block, run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(block: u32, len: u32) -> Run {
        Run { block, len, reserved: true }
    }

    fn all(ranges: &mut Ranges) -> alloc::vec::Vec<Run> {
        ranges.cool();
        ranges.rest.values().copied().collect()
    }

    #[test]
    fn a_growing_file_is_one_run() {
        let mut ranges = Ranges::default();
        (10..20).for_each(|block| ranges.put(run(block, 1)));
        assert!(ranges.rest.is_empty());
        ranges.put(run(40, 1));
        (20..22).for_each(|block| ranges.put(run(block, 1)));
        assert_eq!(all(&mut ranges), [run(10, 12), run(40, 1)]);
        assert_eq!(ranges.take(11, 13).to_vec(), [run(11, 2)]);
        assert_eq!(all(&mut ranges), [run(10, 1), run(13, 9), run(40, 1)]);
        assert_eq!(ranges.next_from(11), Some(run(13, 9)));
        assert_eq!(ranges.next_from(41), None);
    }

    #[test]
    fn kinds_do_not_mix_and_the_last_block_is_no_special_case() {
        let mut ranges = Ranges::default();
        ranges.put(run(u32::MAX, 1));
        ranges.put(Run { block: u32::MAX - 1, len: 1, reserved: false });
        assert_eq!(all(&mut ranges).len(), 2);
        assert!(ranges.find(u32::MAX).is_some_and(|run| run.reserved));
        assert_eq!(ranges.take(0, u64::MAX).len(), 2);
        assert!(ranges.is_empty());
    }

    proptest! {
        #[test]
        fn as_a_map_of_blocks(ops in prop::collection::vec((0u32..64, 1u32..9, any::<bool>(), any::<bool>()), 1..80)) {
            let mut ranges = Ranges::default();
            let mut model = [None; 80];
            for (block, len, put, reserved) in ops {
                let span = block as usize..(block + len) as usize;
                if put && model[span.clone()].iter().all(Option::is_none) {
                    ranges.put(Run { block, len, reserved });
                    model[span].fill(Some(reserved));
                } else {
                    let taken = ranges.take(block.into(), (block + len).into());
                    let count = |kind| model[span.clone()].iter().filter(|b| **b == Some(kind)).count();
                    for kind in [true, false] {
                        let got: u32 = taken.iter().filter(|r| r.reserved == kind).map(|r| r.len).sum();
                        prop_assert_eq!(got as usize, count(kind));
                    }
                    model[span].fill(None);
                }
                for block in 0..80u32 {
                    prop_assert_eq!(ranges.find(block).map(|r| r.reserved), model[block as usize]);
                    let next = (block..80).find(|b| model[*b as usize].is_some());
                    prop_assert_eq!(ranges.next_from(block).map(|r| r.block.max(block)), next);
                }
            }
        }
    }
}
