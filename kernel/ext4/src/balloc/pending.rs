//! Blocks that were freed in a transaction which has not committed: free on the disk that is to come, in use
//! on the one that a crash would leave.
//!
//! # What it is
//! A block that is given to another file before that commit could be written over while the disk still says
//! that the first one has it. So the bitmap's bit is cleared and every count on the disk tells the block as free,
//! but the group's summary leaves it out and nobody may claim it ([`super::claim`]); when the transaction has
//! committed both have it back, and with `discard` the disk is told. Who finds no other block forces a commit and tries
//! again ([`crate::fs::Ext4Fs::should_retry`]).
//!
//! # Locking
//! What a group has waiting is under its lock. Which groups a transaction concerns is under a spin lock of
//! its own, the last.
//!
//! # Invariants
//! 1. A waiting block is clear in the bitmap and in no chunk of a summary, whenever that was made.
//! 2. Each transaction that frees a block calls [`release`] exactly once.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use base::Result;
use jbd2::Tid;
use sync::SpinLock;

use super::bits::Run;
use super::trim;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;

/// Freed blocks of one group, and the transaction whose commit they wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    tid: Tid,
    run: Run,
}

impl Waiting {
    /// The blocks.
    pub fn run(&self) -> Run {
        self.run
    }
}

/// What a file system keeps in mind of them.
#[derive(Default)]
pub struct Pending {
    /// Blocks that wait.
    pub blocks: AtomicU64,
    /// The groups in which a transaction has freed any.
    groups: SpinLock<Vec<(Tid, BTreeSet<u32>)>>,
}

/// A run was just freed in the group. True when it waits for a commit, false when it may be given out and is to be
/// counted.
pub fn hold(fs: &Ext4Fs, group: &mut GroupGuard<'_>, run: Run) -> bool {
    let Some(handle) = fs.journal().filter(|j| j.current_handle()).and_then(|j| j.start(0).ok()) else {
        return false;
    };
    let tid = handle.tid();
    match group.waiting.last_mut().filter(|last| last.tid == tid) {
        Some(last) if last.run.start + last.run.len == run.start => last.run.len += run.len,
        Some(last) if run.start + run.len == last.run.start => {
            last.run = Run { start: run.start, len: run.len + last.run.len };
        }
        _ => group.waiting.push(Waiting { tid, run }),
    }
    fs.pending.blocks.fetch_add(u64::from(run.len), Ordering::Relaxed);
    let first = {
        let mut groups = fs.pending.groups.lock();
        match groups.iter_mut().find(|(of, _)| *of == tid) {
            Some((_, all)) => {
                all.insert(group.number);
                false
            }
            None => {
                groups.push((tid, BTreeSet::from([group.number])));
                true
            }
        }
    };
    if first {
        let weak = fs.weak();
        handle.on_commit(Box::new(move |committed| {
            if let Some(fs) = weak.upgrade() {
                release(&fs, tid, committed);
            }
        }));
    }
    true
}

/// The group is given up, and what waits in it; how many blocks that was.
pub fn forget(fs: &Ext4Fs, group: &mut GroupGuard<'_>) -> u32 {
    let lost = group.waiting.drain(..).map(|waiting| waiting.run.len).sum();
    fs.pending.blocks.fetch_sub(u64::from(lost), Ordering::Relaxed);
    lost
}

/// The transaction has committed: its blocks may be given out. When it never will, they stay as they are.
fn release(fs: &Ext4Fs, tid: Tid, committed: Result<()>) {
    let groups = {
        let mut groups = fs.pending.groups.lock();
        let at = groups.iter().position(|(of, _)| *of == tid);
        at.map(|at| groups.swap_remove(at).1).unwrap_or_default()
    };
    if committed.is_err() {
        return;
    }
    let mut freed = Vec::new();
    for number in groups {
        let Some(mut group) = fs.groups.lock(number) else { continue };
        let runs: Vec<Run> = group.waiting.extract_if(.., |w| w.tid == tid).map(|w| w.run).collect();
        for &run in &runs {
            if let Some(summary) = &mut group.summary {
                summary.give(run.start, run.len);
            }
        }
        group.publish_largest();
        // Who sees that nothing waits any more sees that the group has it, and may claim it.
        let released = runs.iter().map(|run| u64::from(run.len)).sum();
        fs.free_blocks.fetch_add(released, Ordering::Relaxed);
        fs.pending.blocks.fetch_sub(released, Ordering::Release);
        freed.extend(runs.into_iter().map(|run| (number, run)));
    }
    if trim::is_wanted(fs) {
        trim::discard_freed(fs, freed);
    }
}
