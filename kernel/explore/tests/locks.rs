//! The locks of `sync` themselves, and that a mistake is found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sync::{Mutex, RwLock, SpinLock, WaitQueue, thread};

/// `f` in `n` threads, and the end of all of them.
fn together(n: usize, f: impl Fn(usize) + Send + Sync + 'static) {
    let f = Arc::new(f);
    let begin = |i| {
        let f = f.clone();
        thread::spawn("one", move || f(i)).unwrap()
    };
    let threads: Vec<_> = (0..n).map(begin).collect();
    threads.iter().for_each(|t| t.join());
}

#[test]
fn a_read_and_a_write_that_are_not_one_step_are_found_out() {
    let lost = || {
        let word = Arc::new(AtomicU32::new(0));
        let same = word.clone();
        together(2, move |_| {
            let seen = same.load(Ordering::SeqCst);
            same.store(seen + 1, Ordering::SeqCst);
        });
        assert_eq!(word.load(Ordering::SeqCst), 2);
    };
    assert!(catch_unwind(AssertUnwindSafe(|| explore::check(200, lost))).is_err());
}

#[test]
fn a_wake_before_the_condition_is_true_is_found_out() {
    let lost = || {
        let both = Arc::new((AtomicBool::new(false), WaitQueue::new()));
        let same = both.clone();
        let waiter =
            thread::spawn("waiter", move || same.1.wait_until(|| same.0.load(Ordering::SeqCst))).unwrap();
        both.1.wake_all();
        both.0.store(true, Ordering::SeqCst);
        waiter.join();
    };
    assert!(catch_unwind(AssertUnwindSafe(|| explore::check(200, lost))).is_err());
}

#[test]
fn each_lock_keeps_the_others_out() {
    explore::check(300, || {
        let mutex = Arc::new(Mutex::new(0));
        let same = mutex.clone();
        together(3, move |_| *same.lock() += 1);
        assert_eq!(*mutex.lock(), 3);

        let spin = Arc::new(SpinLock::new(0));
        let same = spin.clone();
        together(3, move |_| *same.lock() += 1);
        assert_eq!(*spin.lock(), 3);
    });
}

#[test]
fn readers_share_and_writers_are_alone() {
    explore::check(300, || {
        let lock = Arc::new(RwLock::new([0u32; 2]));
        let same = lock.clone();
        together(4, move |i| {
            if i < 2 {
                let pair = same.read();
                let first = pair[0];
                thread::yield_now();
                assert_eq!(pair[1], first);
            } else {
                let mut pair = same.write();
                pair[0] += 1;
                thread::yield_now();
                pair[1] += 1;
            }
        });
        assert_eq!(*lock.read(), [2, 2]);
    });
}

#[test]
fn tokens_wake_as_many_as_they_are() {
    explore::check(300, || {
        let both = Arc::new((AtomicU32::new(0), WaitQueue::new()));
        let same = both.clone();
        together(4, move |i| {
            let (tokens, queue) = &*same;
            if i < 2 {
                let take = |n: u32| n.checked_sub(1);
                queue.wait_until(|| tokens.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok());
            } else {
                tokens.fetch_add(1, Ordering::SeqCst);
                queue.wake_one();
            }
        });
        assert_eq!(both.0.load(Ordering::SeqCst), 0);
    });
}
