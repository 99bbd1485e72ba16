//! Many threads at once: each finds its own operations whole and in order, and they share commits.

use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::{Errno, Result};
use core::ops::Range;
use sync::thread;

use crate::testing::{Bench, Chance, Shape, fill, quiet, values};
use crate::{Journal, Options, OrderedInode, Tid};

const THREADS: u64 = 4;
/// Blocks of each thread.
const OWN: u64 = 16;
/// Blocks that all threads write, after those.
const SHARED: u64 = 8;

/// One thread's promises: from this event on, this operation is durable.
type Promises = Vec<(usize, u64)>;

fn work(bench: &Bench, n: u64, ops: u64, chance: &mut Chance) -> Promises {
    let mut promises = Vec::new();
    for op in 1..=ops {
        let handle = bench.journal.start(4).unwrap();
        // The thread's first block tells the operation; another one, which it says, goes along.
        bench.put(n * OWN, op);
        bench.put(n * OWN + 1 + op % (OWN - 1), op);
        let shared = THREADS * OWN + chance.below(SHARED);
        bench.put(shared, n << 32 | op);
        if chance.one_in(5) {
            thread::yield_now();
        }
        let tid = handle.tid();
        drop(handle);
        if chance.one_in(6) {
            bench.journal.complete_transaction(tid).unwrap();
            promises.push((bench.ram.now(), op));
        }
        if n == 0 && chance.one_in(20) {
            bench.device.sync().unwrap();
        }
    }
    promises
}

/// After the cut the thread's first block has an operation that is not older than promised, and the blocks of
/// the last ones fit to it.
fn check(n: u64, promises: &Promises, cut: usize, found: &[u64]) {
    let at = (n * OWN) as usize;
    let last = found[at];
    let promised = promises.iter().take_while(|(event, _)| *event <= cut).last().map_or(0, |p| p.1);
    assert!(last >= promised, "thread {n}: {promised} was promised, there is {last}");
    for back in 0..(OWN - 1).min(last) {
        let op = last - back;
        assert_eq!(found[at + 1 + (op % (OWN - 1)) as usize], op, "thread {n}: half of an operation");
    }
}

fn threads(seed: u64, options: Options) {
    let shape = Shape { block_bits: 10, log_blocks: 128 };
    let bench = Arc::new(Bench::new(shape, options.clone()));
    bench.ram.forget_events();
    let promises: Arc<Mutex<Vec<(u64, Promises)>>> = Arc::default();
    let running: Vec<_> = (0..THREADS)
        .map(|n| {
            let (bench, promises) = (bench.clone(), promises.clone());
            thread::spawn("writer", move || {
                let made = work(&bench, n, 300, &mut Chance(seed << 8 | n));
                promises.lock().unwrap().push((n, made));
            })
            .unwrap()
        })
        .collect();
    running.iter().for_each(|t| t.join());
    let mut chance = Chance(seed);
    let events = bench.ram.now();
    for _ in 0..30 {
        let cut = chance.below(events as u64 + 1) as usize;
        let after = Bench::mount(shape, bench.ram.cut(cut, &mut chance), quiet());
        let found = values(shape, &after.ram.bytes());
        promises.lock().unwrap().iter().for_each(|(n, p)| check(*n, p, cut, &found));
        after.journal.end().unwrap();
    }
    let stats = bench.journal.stats();
    assert_eq!((stats.stray, stats.overruns), (0, 0));
    bench.journal.end().unwrap();
}

#[test]
fn each_thread_is_whole() {
    for seed in 0..4 {
        let commit_interval_ns = 2_000_000;
        threads(seed, Options { thread: seed % 2 == 0, commit_interval_ns, ..Options::default() });
    }
}

/// Whoever commits: the thread that slept for an hour, told to commit each millisecond.
#[test]
fn a_shorter_interval_wakes_the_thread() {
    let shape = Shape { block_bits: 10, log_blocks: 128 };
    let hour = Options { commit_interval_ns: 3_600_000_000_000, ..Options::default() };
    let bench = Bench::new(shape, hour);
    let change = |value| {
        let handle = bench.journal.start(1).unwrap();
        bench.put(0, value);
        handle.tid()
    };
    change(1);
    bench.journal.tune(crate::Tuning { commit_interval_ns: 1_000_000, ..bench.journal.tuning() });
    bench.journal.force_commit().unwrap();
    let tid = change(2);
    while !bench.journal.is_committed(tid) {
        thread::yield_now();
    }
    bench.journal.end().unwrap();
}

#[test]
fn sixteen_threads_share_their_commits() {
    let shape = Shape { block_bits: 12, log_blocks: 1024 };
    let bench = Arc::new(Bench::new(shape, Options::default()));
    bench.ram.flush_ns.store(2_000_000, std::sync::atomic::Ordering::Relaxed);
    let running: Vec<_> = (0..16)
        .map(|n| {
            let bench = bench.clone();
            thread::spawn("syncer", move || {
                for op in 1..=8 {
                    let handle = bench.journal.start(2).unwrap();
                    bench.put(n, op);
                    bench.put(20, op);
                    let tid = handle.tid();
                    drop(handle);
                    bench.journal.complete_transaction(tid).unwrap();
                }
            })
            .unwrap()
        })
        .collect();
    running.iter().for_each(|t| t.join());
    let stats = bench.journal.stats();
    assert!(stats.transactions <= 16 * 8 / 4, "{} commits for 128 fsyncs", stats.transactions);
    bench.journal.end().unwrap();
}

/// A file whose data are written while the commit stands between the switch and the log.
struct Between(Arc<Journal>, Arc<pagecache::BlockDevice>, Mutex<Vec<&'static str>>, base::FsBlock);

impl OrderedInode for Between {
    fn submit_ordered(&self, range: Range<u64>) -> Result<()> {
        assert_eq!(range, 10..90);
        self.2.lock().unwrap().push("submit");
        let next = self.0.start(1)?;
        fill(&mut self.1.bread(self.3)?.write(), 2);
        assert_eq!(next.tid(), Tid(2));
        Ok(())
    }

    fn wait_ordered(&self, _: Range<u64>) -> Result<()> {
        self.2.lock().unwrap().push("wait");
        Ok(())
    }
}

#[test]
fn the_commit_writes_what_was_there_at_the_switch() {
    let shape = Shape { block_bits: 10, log_blocks: 128 };
    let bench = Bench::new(shape, quiet());
    let (journal, device) = (bench.journal.clone(), bench.device.clone());
    let file = Arc::new(Between(journal, device, Mutex::default(), shape.place(1)));
    {
        let handle = bench.journal.start(1).unwrap();
        bench.put(1, 5);
        handle.add_ordered(file.clone(), 50..90);
        handle.add_ordered(file.clone(), 10..20);
    }
    bench.journal.force_commit().unwrap();
    assert_eq!(*file.2.lock().unwrap(), ["submit", "wait"]);
    assert_eq!((bench.get(1), bench.journal.stats().frozen), (2, 1));
    let cut = bench.ram.cut(bench.ram.now(), &mut Chance(1));
    assert_eq!(values(shape, &Bench::mount(shape, cut, quiet()).ram.bytes())[1], 5);
    bench.journal.end().unwrap();
    assert_eq!(values(shape, &bench.ram.bytes())[1], 2);
}

/// A file that gives the journal up as its data are asked for, and goes on with the operation it is in.
struct GivesUp(Between);

impl OrderedInode for GivesUp {
    fn submit_ordered(&self, _: Range<u64>) -> Result<()> {
        let _operation = self.0.0.start(1)?;
        self.0.0.abort(Errno::EIO);
        fill(&mut self.0.1.bread(self.0.3)?.write(), 2);
        Ok(())
    }

    fn wait_ordered(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_changed_after_an_abort_is_in_no_transaction() {
    let shape = Shape { block_bits: 10, log_blocks: 128 };
    let bench = Bench::new(shape, quiet());
    let (journal, device) = (bench.journal.clone(), bench.device.clone());
    let file = Arc::new(GivesUp(Between(journal, device, Mutex::default(), shape.place(1))));
    {
        let handle = bench.journal.start(1).unwrap();
        bench.put(1, 5);
        handle.add_ordered(file.clone(), 0..1);
    }
    bench.journal.force_commit().unwrap_err();
    let cut = bench.ram.bytes();
    assert_eq!(values(shape, &Bench::mount(shape, cut, quiet()).ram.bytes())[1], 0);
    bench.journal.end().unwrap_err();
}
