//! Readers and writers under std threads.

use super::*;
use crate::thread;
use core::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::vec::Vec;

#[test]
fn readers_share_a_writer_does_not() {
    let lock = RwLock::new(1);
    let (a, b) = (lock.read(), lock.read());
    assert_eq!(*a + *b, 2);
    assert!(lock.try_write().is_none());
    drop((a, b));
    let mut w = lock.try_write().unwrap();
    *w = 5;
    assert!(lock.try_read().is_none());
    assert!(lock.try_write().is_none());
    drop(w);
    assert_eq!(*lock.read(), 5);
    assert_eq!(lock.state.load(Ordering::Relaxed), 0);
}

#[test]
fn a_pair_is_never_seen_torn() {
    let rounds = if cfg!(miri) { 20u64 } else { 3_000 };
    let lock = Arc::new(RwLock::new((0u64, 0u64)));
    let threads: Vec<_> = (0..5)
        .map(|n| {
            let lock = lock.clone();
            thread::spawn("rw", move || {
                for i in 0..rounds {
                    if (i + n) % 3 == 0 {
                        let mut pair = lock.write();
                        pair.0 += 1;
                        if i % 16 == 0 {
                            thread::yield_now();
                        }
                        pair.1 += 1;
                    } else {
                        let pair = lock.read();
                        assert_eq!(pair.0, pair.1);
                        if i % 32 == 0 {
                            thread::yield_now();
                        }
                    }
                }
            })
            .unwrap()
        })
        .collect();
    threads.iter().for_each(|t| t.join());
    assert_eq!(lock.read().0, lock.read().1);
    assert_eq!(lock.writers.load(Ordering::Relaxed), 0);
}

#[test]
fn a_stream_of_readers_does_not_starve_a_writer() {
    let lock = Arc::new(RwLock::new(false));
    let begun = Arc::new(AtomicBool::new(false));
    // Each reader takes the lock anew before the other lets go, until the writer has been in.
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (lock, begun) = (lock.clone(), begun.clone());
            thread::spawn("reader", move || {
                loop {
                    let seen = lock.read();
                    begun.store(true, Ordering::SeqCst);
                    if *seen {
                        return;
                    }
                    thread::sleep_ns(200_000);
                }
            })
            .unwrap()
        })
        .collect();
    while !begun.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    *lock.write() = true;
    readers.iter().for_each(|t| t.join());
}

#[test]
fn a_stream_of_writers_does_not_starve_a_reader() {
    let lock = Arc::new(RwLock::new(0u64));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (lock, stop) = (lock.clone(), stop.clone());
            thread::spawn("writer", move || {
                while !stop.load(Ordering::SeqCst) {
                    *lock.write() += 1;
                }
            })
            .unwrap()
        })
        .collect();
    let rounds = if cfg!(miri) { 3 } else { 50 };
    for _ in 0..rounds {
        let _seen = lock.read();
        thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    writers.iter().for_each(|t| t.join());
}

#[test]
fn a_try_that_fails_changes_nothing() {
    let lock = RwLock::new(());
    let writer = lock.write();
    assert!(lock.try_read().is_none());
    assert!(lock.try_write().is_none());
    drop(writer);
    let reader = lock.read();
    assert!(lock.try_write().is_none());
    drop(reader);
    assert!(lock.try_write().is_some());
}
