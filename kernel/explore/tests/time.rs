//! Virtual time: who sleeps, for how long, and in which order they go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::time::{NSEC_PER_SEC, monotonic_ns};
use sync::atomic::{AtomicBool, Ordering};
use sync::{Mutex, WaitQueue, thread};

const HOUR: u64 = 3600 * NSEC_PER_SEC;

#[test]
fn a_day_of_sleep_takes_no_time() {
    let host = Instant::now();
    explore::in_virtual_time(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let begin = monotonic_ns();
        let threads: Vec<_> = [3, 1, 2]
            .map(|n| {
                let log = log.clone();
                let work = move || {
                    for _ in 0..8 {
                        thread::sleep_ns(n * HOUR);
                        log.lock().push(((monotonic_ns() - begin) / HOUR, n));
                    }
                };
                thread::spawn("sleeper", work).unwrap()
            })
            .into();
        threads.iter().for_each(|t| t.join());
        assert_eq!(monotonic_ns() - begin, 24 * HOUR);
        let log = log.lock();
        assert_eq!(log.len(), 24);
        assert!(log.is_sorted_by_key(|entry| entry.0) && log.iter().all(|(at, n)| at % n == 0));
    });
    assert!(host.elapsed() < Duration::from_secs(HOUR / NSEC_PER_SEC));
}

#[test]
fn a_wake_ends_a_wait_before_its_deadline_and_nothing_else_does() {
    let waits = || {
        let both = Arc::new((AtomicBool::new(false), WaitQueue::new()));
        let same = both.clone();
        let begin = monotonic_ns();
        let waker = thread::spawn("waker", move || {
            thread::sleep_ns(HOUR);
            same.0.store(true, Ordering::SeqCst);
            same.1.wake_all();
        })
        .unwrap();
        assert!(!both.1.wait_until_timeout(HOUR / 2, || both.0.load(Ordering::SeqCst)));
        assert!(monotonic_ns() - begin >= HOUR / 2);
        assert!(both.1.wait_until_timeout(HOUR, || both.0.load(Ordering::SeqCst)));
        assert!((HOUR..HOUR + HOUR / 2).contains(&(monotonic_ns() - begin)));
        waker.join();
    };
    explore::in_virtual_time(waits);
    explore::check(100, waits);
}

#[test]
fn a_lost_wake_shows_as_time() {
    let lost = || {
        let both = Arc::new((AtomicBool::new(false), WaitQueue::new()));
        let same = both.clone();
        let begin = monotonic_ns();
        let waiter = thread::spawn("waiter", move || {
            same.1.wait_until_timeout(HOUR, || same.0.load(Ordering::SeqCst));
        })
        .unwrap();
        both.1.wake_all();
        both.0.store(true, Ordering::SeqCst);
        waiter.join();
        assert!(monotonic_ns() - begin < HOUR);
    };
    assert!(catch_unwind(AssertUnwindSafe(|| explore::check(200, lost))).is_err());
}

#[test]
fn who_yields_until_somebody_has_slept_gets_there() {
    let yields = || {
        let woke = Arc::new(AtomicBool::new(false));
        let same = woke.clone();
        let sleeper = thread::spawn("sleeper", move || {
            thread::sleep_ns(100_000);
            same.store(true, Ordering::SeqCst);
        })
        .unwrap();
        while !woke.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        sleeper.join();
    };
    explore::in_virtual_time(yields);
    explore::check(50, yields);
}

#[test]
fn threads_that_wait_for_ever_are_found_out() {
    let stuck = || WaitQueue::new().wait_until(|| false);
    assert!(catch_unwind(AssertUnwindSafe(|| explore::in_virtual_time(stuck))).is_err());
}
