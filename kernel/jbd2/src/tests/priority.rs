//! With which I/O priority the log is written.

use std::vec::Vec;

use block::ioprio::{self, IoClass, IoPrio};

use crate::testing::{Bench, Shape, quiet};
use crate::{Tuning, priority};

const SHAPE: Shape = Shape { block_bits: 10, log_blocks: 64 };

/// Commits a change; the priorities of what the disk was asked to do for it.
fn committed(bench: &Bench, n: u64) -> Vec<IoPrio> {
    let handle = bench.journal.start(1).unwrap();
    bench.put(n, n);
    drop(handle);
    bench.ram.take_priorities();
    bench.journal.force_commit().unwrap();
    bench.ram.take_priorities()
}

#[test]
fn a_commit_has_the_journals_priority_and_who_ran_it_his_own_again() {
    let bench = Bench::new(SHAPE, quiet());
    let own = IoPrio::new(IoClass::Idle, 0);
    ioprio::set_current(own);
    let asked = committed(&bench, 1);
    assert!(asked.len() > 1 && asked.iter().all(|&prio| prio == priority::DEFAULT), "{asked:?}");
    let other = IoPrio::new(IoClass::BestEffort, 6);
    bench.journal.tune(Tuning { ioprio: other, ..bench.journal.tuning() });
    let asked = committed(&bench, 2);
    assert!(asked.len() > 1 && asked.iter().all(|&prio| prio == other), "{asked:?}");
    assert_eq!(ioprio::current_set(), own);
    ioprio::set_current(IoPrio::NONE);
    bench.journal.end().unwrap();
}
