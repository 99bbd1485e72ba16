//! The power goes at any write: what was acknowledged is there, and no operation is half there.

use std::vec;
use std::vec::Vec;

use base::Result;

use crate::disk::Checksums;
use crate::testing::{Bench, Chance, FS_BLOCKS, Shape, quiet, values};
use crate::{Options, Tid};

/// The numbers of all blocks after each operation; and, by event, how many operations were promised.
struct History {
    states: Vec<Vec<u64>>,
    promised: Vec<(usize, usize)>,
}

impl History {
    fn of(bench: &Bench) -> History {
        History { states: vec![values(bench.shape, &bench.ram.bytes())], promised: vec![(0, 0)] }
    }

    /// Random operations by one thread, with a commit now and then, until one fails.
    fn run(&mut self, bench: &Bench, chance: &mut Chance, ops: u64) -> Result<()> {
        (1..=ops).try_for_each(|op| self.step(bench, chance, op))
    }

    fn step(&mut self, bench: &Bench, chance: &mut Chance, op: u64) -> Result<()> {
        let mut state = self.states[self.states.len() - 1].clone();
        let n = 1 + chance.below(5);
        let handle = bench.journal.start(n as u32)?;
        let tid = handle.tid();
        for _ in 0..n {
            // Few blocks, so that transactions share them.
            let among = if chance.one_in(2) { 8 } else { 2 * FS_BLOCKS };
            let block = chance.below(among);
            bench.put(block, op);
            state[block as usize] = op;
        }
        drop(handle);
        self.states.push(state);
        self.sync_sometimes(bench, chance, tid, op as usize)
    }

    fn sync_sometimes(&mut self, bench: &Bench, chance: &mut Chance, tid: Tid, op: usize) -> Result<()> {
        if chance.one_in(4) {
            bench.journal.complete_transaction(tid)?;
            self.promised.push((bench.ram.now(), op));
        }
        if chance.one_in(10) {
            // The flusher comes by. What it could not write it tries again.
            let _ = bench.device.sync();
        }
        if chance.one_in(40) {
            bench.journal.flush()?;
            self.promised.push((bench.ram.now(), op));
        }
        Ok(())
    }
}

fn check(history: &History, cut: usize, found: &[u64], what: &str) {
    let promised = history.promised.iter().take_while(|(at, _)| *at <= cut).last().map_or(0, |p| p.1);
    let last = found.iter().max().copied().unwrap_or(0) as usize;
    assert!(last < history.states.len(), "{what}: an operation that never was");
    // An operation whose every block was written again by a later one leaves no trace.
    let fits = (last.max(promised)..history.states.len()).any(|n| history.states[n] == found);
    assert!(fits, "{what}: {promised} operations were promised, {last} began");
}

fn crashes(seed: u64, shape: Shape, options: &Options, ops: u64, cuts: u64) {
    let mut chance = Chance(seed);
    // Numbers of transactions wrap around on the way.
    let bench = Bench::mount(shape, shape.image(Tid(u32::MAX - 5)), options.clone());
    bench.ram.forget_events();
    let mut history = History::of(&bench);
    history.run(&bench, &mut chance, ops).unwrap();
    let (events, stats) = (bench.ram.now(), bench.journal.stats());
    assert_eq!((stats.stray, stats.overruns), (0, 0));
    for n in 0..cuts {
        let cut = if n == 0 { events } else { chance.below(events as u64 + 1) as usize };
        let what = std::format!("seed {seed}, {shape:?}, cut {cut} of {events}");
        let image = bench.ram.cut(cut, &mut chance);
        let after = Bench::mount(shape, image, options.clone());
        let found = values(shape, &after.ram.bytes());
        check(&history, cut, &found, &what);
        // And the journal goes on.
        {
            let _handle = after.journal.start(1).unwrap();
            after.put(0, 77);
        }
        after.journal.end().unwrap();
        assert_eq!(values(shape, &after.ram.bytes())[1..], found[1..]);
    }
    bench.journal.end().unwrap();
    assert_eq!(&values(shape, &bench.ram.bytes()), history.states.last().unwrap());
}

#[test]
fn at_any_write_with_any_subset() {
    let kinds = [Checksums::None, Checksums::V1, Checksums::V2, Checksums::V3];
    let shapes = [(10, 40), (12, 33), (10, 130), (11, 64)];
    for seed in 0..24 {
        let (block_bits, log_blocks) = shapes[seed as usize % 4];
        let shape = Shape { block_bits, log_blocks };
        let checksums = Some(kinds[seed as usize / 4 % 4]);
        let options = Options { checksums, wide: seed % 3 == 0, ..quiet() };
        crashes(seed, shape, &options, 60, 25);
    }
}

/// The disk fails from its `n`th change on, once or for good.
fn failure(seed: u64, n: usize, times: usize) {
    let shape = Shape { block_bits: 10, log_blocks: 40 };
    let what = std::format!("seed {seed}, {times} failures from change {n} on");
    let (mut chance, bench) = (Chance(seed), Bench::new(shape, quiet()));
    let mut history = History::of(&bench);
    bench.ram.fail(n..n.saturating_add(times));
    let done = history.run(&bench, &mut chance, 60);
    bench.ram.fail(0..0);
    // Whoever gave up has said so, and stays so.
    assert_eq!(done.is_err(), bench.journal.is_aborted(), "{what}");
    if done.is_err() {
        assert!(bench.journal.start(1).is_err() && bench.aborts.lock().unwrap().len() == 1, "{what}");
    }
    assert_eq!(bench.journal.end().is_err(), done.is_err(), "{what}");
    let after = Bench::mount(shape, bench.ram.bytes(), quiet());
    check(&history, usize::MAX, &values(shape, &after.ram.bytes()), &what);
    after.journal.end().unwrap();
}

#[test]
fn with_a_disk_that_fails_at_any_change() {
    for seed in 0..3 {
        for n in (seed as usize..90).step_by(3) {
            failure(seed, n, usize::MAX);
            failure(seed, n, 1);
        }
    }
}
