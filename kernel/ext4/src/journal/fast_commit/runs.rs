//! Sets of blocks of the device, as runs in order.

use alloc::vec::Vec;
use core::ops::Range;

/// Puts runs in order and joins those that touch or overlap.
pub(super) fn normal(mut runs: Vec<Range<u64>>) -> Vec<Range<u64>> {
    runs.retain(|run| !run.is_empty());
    base::sort::by_key(&mut runs, |run| run.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => joined.push(run),
        }
    }
    joined
}

/// What is in the one and not in the other; both in order.
pub(super) fn without(all: &[Range<u64>], not: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    for run in all {
        let mut from = run.start;
        let first = not.partition_point(|n| n.end <= run.start);
        for n in not[first..].iter().take_while(|n| n.start < run.end) {
            if from < n.start {
                left.push(from..n.start);
            }
            from = n.end;
        }
        if from < run.end {
            left.push(from..run.end);
        }
    }
    left
}
