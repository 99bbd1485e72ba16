//! Blocks of pointers that the delayed blocks of a block-mapped file may need: they are reserved too.
//!
//! # What it is
//! A block that is written to in a hole may need up to three blocks of pointers beside itself, and a disk
//! without extents keeps nothing aside for them. So the first delayed block of a row ([`Rows`]) reserves those on
//! its way, whether they are there or not; when the row has no delayed block any more, what was not used is given
//! back. Rows that share the higher ones count them each: it is never too little.
//!
//! Only what has a place is counted in `i_blocks`, and statfs calls these blocks free: after writeback most of
//! them are.
//!
//! # Locking
//! The lock of [`super::Delayed`].
//!
//! # Invariants
//! 1. `required` is the sum over the rows with a delayed block. 2. `held <= required`. They differ after a run of
//!    a row got its pointers while others of it wait: those find them there. If a punch has taken the pointers
//!    away again in between, theirs are anybody's blocks.
//!
//! Who finds no room for a write or a new name gives the files that hold any their places first
//! ([`Ext4Fs::settle_pointers`]): what they turn out not to need is room.
//!
//! Linux has reserved no blocks of pointers since 3.13, and relies on the distance that it keeps from a full disk.

use core::sync::atomic::Ordering;

use base::{Errno, Result};

use super::State;
use super::ranges::{Ranges, Run};
use crate::balloc::claim::{self, Claimant};
use crate::disk::inode::InodeFlags;
use crate::fs::Ext4Fs;
use crate::indirect::rows::Rows;
use crate::inode::Node;

/// See the module. Both are 0 for a file with extents.
#[derive(Clone, Copy, Default)]
pub(super) struct Pointers {
    required: u32,
    held: u32,
}

/// Blocks of pointers for the rows of a run that has no delayed block in `ranges` yet.
fn added(rows: Rows, ranges: &Ranges, run: &Run) -> u32 {
    let without = |row: &u64| !has_delayed(rows, ranges, *row);
    rows.of_run(run.block, run.len).filter(without).map(|row| rows.levels(row)).sum()
}

/// Blocks of pointers for all rows of a run. Not in the way of files with extents.
#[cold]
#[inline(never)]
fn most(rows: Rows, block: u32, len: u32) -> u32 {
    rows.of_run(block, len.max(1)).map(|row| rows.levels(row)).sum()
}

/// Those for the rows of runs, ascending, that were the last ones there.
fn removed(rows: Rows, ranges: &Ranges, taken: &[Run]) -> u32 {
    let mut next = 0;
    let mut sum = 0;
    for run in taken {
        let (first, last) = rows.of_run(run.block, run.len).into_inner();
        let gone = (first.max(next)..=last).filter(|&row| !has_delayed(rows, ranges, row));
        sum += gone.map(|row| rows.levels(row)).sum::<u32>();
        next = last + 1;
    }
    sum
}

fn has_delayed(rows: Rows, ranges: &Ranges, row: u64) -> bool {
    // A row of a block begins at a block.
    let first = u32::try_from(rows.first(row)).ok();
    let next = first.and_then(|first| ranges.next_from(first));
    next.is_some_and(|run| u64::from(run.block) < rows.first(row + 1))
}

impl Ext4Fs {
    /// A write or a new name has found no room: where blocks are held for pointers, what is delayed gets its
    /// place. True when there were any; `tried` keeps it from being done again for the same call. With no
    /// handle and no page locked.
    #[cold]
    pub(crate) fn settle_pointers(&self, tried: &mut bool) -> bool {
        let before = core::mem::replace(tried, true);
        if before || self.in_handle() || self.reserved_pointers.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // What it finds is told to who syncs; here it only matters whether there is room now.
        let _ = self.bdi().sync_data(true);
        true
    }
}

impl Node {
    #[inline]
    fn rows(&self) -> Rows {
        Rows::new(self.fs().geometry().block_bits)
    }

    /// The most blocks of pointers that a run may need; 0 with extents.
    #[inline]
    pub(super) fn pointers_at_most(&self, block: u32, len: u32) -> u32 {
        if self.flags().contains(InodeFlags::EXTENTS) {
            return 0;
        }
        most(self.rows(), block, len)
    }

    /// Reserves up to `len` blocks and `spare` beside them; how many of the `len`, at least 1. ENOSPC.
    #[inline]
    pub(super) fn reserve_beside(&self, len: u32, spare: u32) -> Result<u32> {
        let got = claim::reserve(self.fs(), len.saturating_add(spare))?;
        if got > spare {
            return Ok(got - spare);
        }
        claim::unreserve(self.fs(), got);
        Err(Errno::ENOSPC)
    }

    /// A run is about to be delayed, for which `spare` blocks are reserved beside its own: what its pointers do not
    /// need of them goes back.
    #[cold]
    #[inline(never)]
    pub(super) fn require_pointers(&self, state: &mut State, run: &Run, spare: u32) {
        let need = if run.len == 0 { 0 } else { added(self.rows(), &state.ranges, run).min(spare) };
        state.pointers.required += need;
        state.pointers.held += need;
        self.fs().reserved_pointers.fetch_add(need.into(), Ordering::Relaxed);
        claim::unreserve(self.fs(), spare - need);
    }

    /// Runs were taken out: what is held for their pointers and not needed any more goes back.
    #[inline]
    pub(super) fn release_pointers(&self, state: &mut State, taken: &[Run]) {
        if state.pointers.required > 0 {
            self.release_required(state, taken);
        }
    }

    #[cold]
    #[inline(never)]
    fn release_required(&self, state: &mut State, taken: &[Run]) {
        let gone = removed(self.rows(), &state.ranges, taken);
        state.pointers.required = state.pointers.required.saturating_sub(gone);
        let surplus = state.pointers.held.saturating_sub(state.pointers.required);
        state.pointers.held -= surplus;
        self.fs().reserved_pointers.fetch_sub(surplus.into(), Ordering::Relaxed);
        claim::unreserve(self.fs(), surplus);
    }

    /// Whether nothing is held, as it must be where nothing is delayed.
    pub(super) fn holds_no_pointers(&self) -> bool {
        let pointers = self.delayed.state.lock().pointers;
        pointers.required == 0 && pointers.held == 0
    }

    /// For whom `count` blocks of pointers are allocated on the way to blocks that are `who`'s. `data_sem` is held
    /// alone, so what is held stays until [`Node::pointers_are_used`].
    pub(crate) fn pointers_claimant(&self, count: u32, who: Claimant) -> Claimant {
        match who {
            Claimant::Reserved if self.delayed.state.lock().pointers.held < count => Claimant::Metadata,
            who => who,
        }
    }

    /// So many blocks of pointers that were held are the file's now.
    pub(crate) fn pointers_are_used(&self, count: u32) {
        if count == 0 {
            return;
        }
        let mut state = self.delayed.state.lock();
        state.pointers.held = state.pointers.held.saturating_sub(count);
        drop(state);
        self.fs().reserved_pointers.fetch_sub(count.into(), Ordering::Relaxed);
        claim::use_reserved(self.fs(), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// By looking at each block.
    fn required(rows: Rows, ranges: &Ranges) -> u32 {
        let delayed = (0..2000u32).filter(|&block| ranges.find(block).is_some());
        let mut all: Vec<u64> = delayed.map(|block| rows.of(block.into())).collect();
        all.dedup();
        all.into_iter().map(|row| rows.levels(row)).sum()
    }

    proptest! {
        #[test]
        fn what_comes_and_goes_is_what_is_there(
            ops in prop::collection::vec((0u32..1500, 1u32..400, any::<bool>()), 1..60)
        ) {
            let rows = Rows::new(10);
            let mut ranges = Ranges::default();
            let mut sum = 0;
            for (block, len, put) in ops {
                let free = |ranges: &Ranges| {
                    let next = ranges.next_from(block).map_or(u64::MAX, |run| run.block.into());
                    next.saturating_sub(block.into()).min(len.into()) as u32
                };
                let fresh = free(&ranges);
                if put && fresh > 0 {
                    let run = Run { block, len: fresh, reserved: true };
                    sum += added(rows, &ranges, &run);
                    ranges.put(run);
                } else {
                    let taken = ranges.take(block.into(), u64::from(block) + u64::from(len));
                    sum -= removed(rows, &ranges, &taken);
                }
                prop_assert_eq!(sum, required(rows, &ranges));
            }
        }
    }
}
