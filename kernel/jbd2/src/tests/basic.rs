//! What a handle, a commit and a checkpoint do, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

use base::Errno;

use crate::testing::{Bench, Event, Shape, quiet, values};

const SHAPE: Shape = Shape { block_bits: 10, log_blocks: 128 };

#[test]
fn what_is_committed_is_in_the_log_and_not_at_home() {
    let bench = Bench::new(SHAPE, quiet());
    let handle = bench.journal.start(3).unwrap();
    let tid = handle.tid();
    bench.put(1, 11);
    bench.put(2, 13);
    bench.put(1, 12);
    assert_eq!(handle.credits_left(), 1);
    drop(handle);
    assert_eq!(bench.ram.now(), 0, "nothing is written before the commit");
    assert_eq!(bench.journal.complete_transaction(tid), Ok(true));
    assert_eq!(values(SHAPE, &bench.ram.bytes())[1..3], [0, 0]);
    // The superblock; descriptor and copies as one; the commit block between its flush and its own.
    let events = bench.ram.events();
    assert!(
        matches!(
            &events[..],
            [
                Event::Write { fua: false, .. },
                Event::Write { fua: false, bytes: log, .. },
                Event::Flush,
                Event::Write { fua: true, .. },
            ] if log.len() == 3 << 10
        ),
        "{} events",
        events.len()
    );
    assert_eq!(bench.journal.complete_transaction(tid), Ok(false), "it is over");
    bench.journal.flush().unwrap();
    assert_eq!(values(SHAPE, &bench.ram.bytes())[1..3], [12, 13]);
    assert!(!bench.journal.needs_recovery());
    bench.journal.end().unwrap();
    let stats = bench.journal.stats();
    assert_eq!((stats.stray, stats.overruns, stats.transactions, stats.blocks), (0, 0, 1, 2));
}

#[test]
fn an_empty_transaction_costs_nothing() {
    let bench = Bench::new(SHAPE, quiet());
    let handle = bench.journal.start(3).unwrap();
    let tid = handle.tid();
    drop(handle);
    assert_eq!(bench.journal.complete_transaction(tid), Ok(false), "no flush was sent");
    assert_eq!(bench.ram.now(), 0);
    // It goes on running.
    let handle = bench.journal.start(3).unwrap();
    assert_eq!(handle.tid(), tid);
    bench.put(1, 1);
    assert_eq!(bench.journal.complete_transaction(tid), Err(Errno::EDEADLK));
    drop(handle);
    bench.journal.force_commit().unwrap();
    assert_eq!(bench.journal.stats().transactions, 1);
    bench.journal.end().unwrap();
}

#[test]
fn handles_nest_and_extend_and_restart() {
    let bench = Bench::new(SHAPE, quiet());
    let outer = bench.journal.start(2).unwrap();
    {
        let inner = bench.journal.start(100).unwrap();
        assert_eq!((inner.tid(), inner.credits_left()), (outer.tid(), 2));
        bench.put(1, 1);
    }
    assert!(bench.journal.current_handle());
    assert_eq!((outer.credits_left(), outer.extend(3), outer.extend(1000)), (1, Ok(true), Ok(false)));
    assert_eq!(outer.credits_left(), 4);
    let before = outer.tid();
    outer.restart(7).unwrap();
    assert_eq!((outer.tid(), outer.credits_left()), (before, 7));
    drop(outer);
    assert!(!bench.journal.current_handle());
    assert_eq!(bench.journal.start(1000).err(), Some(Errno::ENOSPC));
    bench.journal.end().unwrap();
    assert_eq!(bench.journal.start(1).err(), Some(Errno::EROFS));
}

#[test]
fn a_block_outside_a_handle_is_committed_and_counted() {
    let bench = Bench::new(SHAPE, quiet());
    bench.put(3, 9);
    bench.journal.force_commit().unwrap();
    bench.journal.end().unwrap();
    assert_eq!(values(SHAPE, &bench.ram.bytes())[3], 9);
    assert_eq!(bench.journal.stats().stray, 1);
}

#[test]
fn a_block_of_a_committing_transaction_may_change() {
    let bench = Bench::new(SHAPE, quiet());
    let handle = bench.journal.start(1).unwrap();
    bench.put(1, 1);
    // Called after the commit; the next transaction has its block by then.
    let (journal, device) = (bench.journal.clone(), bench.device.clone());
    let block = SHAPE.place(1);
    handle.on_commit(std::boxed::Box::new(move |done| {
        assert_eq!(done, Ok(()));
        let _next = journal.start(1).unwrap();
        crate::testing::fill(&mut device.bread(block).unwrap().write(), 2);
    }));
    drop(handle);
    bench.journal.force_commit().unwrap();
    assert_eq!((bench.get(1), values(SHAPE, &bench.ram.bytes())[1]), (2, 0));
    // The first one's content may go home no more, the second one's not yet.
    bench.device.sync().unwrap();
    assert_eq!(values(SHAPE, &bench.ram.bytes())[1], 0);
    bench.journal.flush().unwrap();
    assert_eq!(values(SHAPE, &bench.ram.bytes())[1], 2);
    bench.journal.end().unwrap();
}

#[test]
fn a_log_that_is_full_makes_room() {
    for log_blocks in [32, 64, 100] {
        let shape = Shape { block_bits: 10, log_blocks };
        let bench = Bench::new(shape, quiet());
        for i in 0..500u64 {
            let _handle = bench.journal.start(4).unwrap();
            (0..4).for_each(|n| bench.put((i * 7 + n * 3) % 96, i + 1));
        }
        bench.journal.end().unwrap();
        let stats = bench.journal.stats();
        assert!(stats.transactions > 10 && stats.checkpoints > 0, "{stats:?}");
        assert_eq!((stats.stray, stats.overruns), (0, 0));
        let seen: Vec<u64> = (0..96).map(|n| bench.get(n)).collect();
        assert_eq!(values(shape, &bench.ram.bytes()), seen);
    }
}

#[test]
fn what_was_freed_stays_away_from_its_next_owner() {
    let bench = Bench::new(SHAPE, quiet());
    let journal = &bench.journal;
    {
        let _handle = journal.start(2).unwrap();
        bench.put(1, 11);
        bench.put(2, 12);
    }
    journal.force_commit().unwrap();
    let freed = Arc::new(AtomicU32::new(0));
    {
        let handle = journal.start(2).unwrap();
        bench.put(1, 21);
        journal.forget(SHAPE.place(1), true);
        assert_eq!(handle.credits_left(), 2, "the credit came back");
        let told = freed.clone();
        handle.on_commit(std::boxed::Box::new(move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        }));
    }
    assert_eq!(freed.load(Ordering::Relaxed), 0);
    bench.device.sync().unwrap();
    assert_eq!(values(SHAPE, &bench.ram.bytes())[1], 0, "not home: a change that does not count is in it");
    journal.force_commit().unwrap();
    assert_eq!((freed.load(Ordering::Relaxed), journal.stats().revoked), (1, 1));
    bench.device.sync().unwrap();
    assert_eq!(values(SHAPE, &bench.ram.bytes())[1..3], [0, 12]);
    // The power goes: the replay passes the block over.
    let image = bench.ram.cut(bench.ram.now(), &mut crate::testing::Chance(1));
    let after = Bench::mount(SHAPE, image, quiet());
    assert_eq!((after.get(1), after.get(2)), (0, 12));
    after.journal.end().unwrap();
    journal.end().unwrap();
}

#[test]
fn a_block_freed_and_taken_again_is_not_revoked() {
    let bench = Bench::new(SHAPE, quiet());
    let journal = &bench.journal;
    for value in [1, 3] {
        let _handle = journal.start(2).unwrap();
        bench.put(1, value);
        journal.forget(SHAPE.place(1), true);
        bench.put(1, value + 1);
    }
    journal.force_commit().unwrap();
    assert_eq!(journal.stats().revoked, 0);
    let image = bench.ram.cut(bench.ram.now(), &mut crate::testing::Chance(1));
    assert_eq!(Bench::mount(SHAPE, image, quiet()).get(1), 4);
    journal.end().unwrap();
}

#[test]
fn a_failed_log_gives_the_journal_up() {
    // The superblock, the log, the flush, the commit block.
    for n in 0..4 {
        let bench = Bench::new(SHAPE, quiet());
        {
            let handle = bench.journal.start(1).unwrap();
            handle.on_commit(std::boxed::Box::new(|done| assert_eq!(done, Err(Errno::EIO))));
            bench.put(1, 1);
        }
        bench.ram.fail(n..usize::MAX);
        assert_eq!(bench.journal.force_commit(), Err(Errno::EIO), "at {n}");
        assert_eq!(*bench.aborts.lock().unwrap(), [Errno::EIO]);
        assert_eq!(bench.journal.start(1).err(), Some(Errno::EROFS));
        // What was changed stays in memory only, before and after.
        bench.put(2, 2);
        bench.ram.fail(0..0);
        bench.device.sync().unwrap();
        assert_eq!(bench.journal.end(), Err(Errno::EIO));
        assert_eq!(values(SHAPE, &bench.ram.bytes())[1..3], [0, 0]);
        assert_eq!(bench.get(1), 0, "and the cache holds nothing of it");
    }
}

#[test]
fn the_error_is_in_the_superblock() {
    let bench = Bench::new(SHAPE, quiet());
    bench.journal.abort(Errno::EUCLEAN);
    assert_eq!(bench.journal.end(), Err(Errno::EIO));
    let after = Bench::load(SHAPE, crate::testing::CacheDisk::new(bench.ram.bytes(), true), quiet());
    assert_eq!(after.journal.recorded_errno(), -i32::from(Errno::EUCLEAN.number()));
    after.journal.clear_errno().unwrap();
    assert_eq!(after.journal.recorded_errno(), 0);
    let bench = Bench::new(SHAPE, quiet());
    bench.journal.abort(Errno::ESHUTDOWN);
    assert_eq!((bench.journal.recorded_errno(), bench.ram.now()), (0, 0));
}
