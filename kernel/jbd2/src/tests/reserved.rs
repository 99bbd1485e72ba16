//! Reserved credits: who has them gets in where others wait, and leaves them room.

use std::sync::Arc;
use std::vec::Vec;

use sync::thread;

use crate::state::Phase;
use crate::testing::{Bench, Shape, quiet};
use crate::{Options, Reserved};

const SHAPE: Shape = Shape { block_bits: 10, log_blocks: 128 };

fn bench() -> Arc<Bench> {
    Arc::new(Bench::new(SHAPE, quiet()))
}

fn phase(bench: &Bench) -> Option<Phase> {
    bench.journal.state().lock().running.as_ref().map(|running| running.phase)
}

fn wait_until(so: impl Fn() -> bool) {
    while !so() {
        thread::yield_now();
    }
}

fn spawn(bench: &Arc<Bench>, work: impl FnOnce(&Bench) + Send + 'static) -> thread::Thread {
    let bench = bench.clone();
    thread::spawn("other", move || work(&bench)).unwrap()
}

#[test]
fn it_joins_the_transaction_that_a_commit_waits_for() {
    let bench = bench();
    let reserved = bench.journal.reserve(1).unwrap();
    let handle = bench.journal.start(1).unwrap();
    bench.put(0, 1);
    let tid = handle.tid();
    let commit = spawn(&bench, move |bench| {
        bench.journal.complete_transaction(tid).unwrap();
    });
    wait_until(|| phase(&bench) == Some(Phase::Locked));
    // What a page's end of writeback does, while this thread is within a handle that waits for the page.
    let convert = spawn(&bench, move |bench| {
        let handle = reserved.start().unwrap();
        assert_eq!(handle.tid(), tid);
        bench.put(1, 2);
    });
    convert.join();
    assert_eq!(phase(&bench), Some(Phase::Locked));
    drop(handle);
    commit.join();
    let after = Bench::mount(SHAPE, bench.ram.bytes(), quiet());
    assert_eq!((after.get(0), after.get(1)), (1, 2));
    after.journal.end().unwrap();
    bench.journal.end().unwrap();
}

#[test]
fn handles_that_leave_it_no_room_wait() {
    let bench = bench();
    let most = bench.journal.limits().max_credits;
    let mut reserved = Vec::new();
    while let Some(more) = bench.journal.reserve(1) {
        reserved.push(more);
    }
    assert_eq!(reserved.len() as u32, most / 4);
    let handle = bench.journal.start(most - most / 4).unwrap();
    assert!(!handle.extend(1).unwrap());
    drop(handle);
    let large = spawn(&bench, move |bench| {
        let handle = bench.journal.start(most).unwrap();
        bench.put(3, 3);
        // It leaves none for others.
        assert!(bench.journal.reserve(1).is_none());
        drop(handle);
    });
    // One is used, the others are given back.
    let used: Option<Reserved> = reserved.pop();
    let handle = used.unwrap().start().unwrap();
    bench.put(2, 2);
    drop(handle);
    drop(reserved);
    large.join();
    assert_eq!(bench.journal.state().lock().reserved, 0);
    bench.journal.end().unwrap();
    assert_eq!(bench.journal.stats().overruns, 0);
}

#[test]
fn a_barrier_waits_for_what_is_reserved() {
    let bench = bench();
    let reserved = bench.journal.reserve(1).unwrap();
    let waits = spawn(&bench, |bench| {
        let _none_starts = bench.journal.lock_updates();
        assert_eq!(bench.get(0), 7);
    });
    wait_until(|| bench.journal.state().lock().barriers == 1);
    assert!(bench.journal.reserve(1).is_none());
    let handle = reserved.start().unwrap();
    bench.put(0, 7);
    drop(handle);
    waits.join();
    bench.journal.end().unwrap();
}

#[test]
fn it_waits_for_a_fast_commits_look() {
    let bench = bench();
    let reserved = bench.journal.reserve(1).unwrap();
    let look = bench.journal.hold_updates();
    let convert = spawn(&bench, move |bench| {
        let _handle = reserved.start().unwrap();
        bench.put(0, 7);
    });
    for _ in 0..10 {
        thread::yield_now();
    }
    assert_eq!(bench.get(0), 0);
    drop(look);
    convert.join();
    assert_eq!(bench.get(0), 7);
    bench.journal.end().unwrap();
}

#[test]
fn an_abort_ends_the_wait() {
    let bench = Arc::new(Bench::new(SHAPE, Options { thread: true, ..quiet() }));
    let reserved = bench.journal.reserve(1).unwrap();
    let look = bench.journal.hold_updates();
    let convert = spawn(&bench, move |_| assert!(reserved.start().is_err()));
    bench.journal.abort(base::Errno::EIO);
    convert.join();
    drop(look);
    assert_eq!(bench.journal.state().lock().reserved, 0);
    assert!(bench.journal.reserve(1).is_none());
    assert!(bench.journal.end().is_err());
}

#[test]
fn what_is_reserved_finds_room_in_the_log() {
    let bench = bench();
    let write = |blocks: core::ops::Range<u64>, value| {
        let handle = bench.journal.start(blocks.end as u32 - blocks.start as u32).unwrap();
        blocks.for_each(|n| bench.put(n, value));
        drop(handle);
        bench.journal.force_commit().unwrap();
    };
    let room = bench.journal.limits().room;
    let most = u64::from(bench.journal.limits().max_credits);
    // The oldest in the log has what is changed again at the end.
    write(0..8, 1);
    // As full as it may be for one transaction more.
    loop {
        let left = u64::from(bench.journal.state().lock().room() - room);
        if left < 3 {
            break;
        }
        write(8..8 + (left - 2).min(most), 2);
    }
    let handle = bench.journal.start(most as u32 - 7).unwrap();
    (40..40 + most - 7).for_each(|n| bench.put(n, 3));
    let reserved: Vec<Reserved> = (0..7).map_while(|_| bench.journal.reserve(1)).collect();
    drop(handle);
    bench.journal.force_commit().unwrap();
    for (n, reserved) in (0..).zip(reserved) {
        let _handle = reserved.start().unwrap();
        bench.put(n, 4);
    }
    bench.journal.force_commit().unwrap();
    assert!(bench.aborts.lock().unwrap().is_empty());
    bench.journal.end().unwrap();
}

#[test]
fn a_handle_that_waits_for_what_is_reserved_sees_it_end() {
    let bench = bench();
    let most = bench.journal.limits().max_credits;
    let reserved = bench.journal.reserve(most / 4).unwrap();
    let large = spawn(&bench, move |bench| {
        let handle = bench.journal.start(most).unwrap();
        bench.put(3, 3);
        drop(handle);
    });
    // It waits already.
    (0..100).for_each(|_| thread::yield_now());
    let handle = reserved.start().unwrap();
    bench.put(2, 2);
    (0..100).for_each(|_| thread::yield_now());
    drop(handle);
    large.join();
    bench.journal.end().unwrap();
}
