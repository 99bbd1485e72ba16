//! Wait queues under std threads.

use super::*;
use core::sync::atomic::AtomicU32;
use std::sync::Arc;
use std::vec::Vec;

/// Takes a token if there is one.
fn take(tokens: &AtomicU32) -> bool {
    tokens.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

#[test]
fn every_token_finds_a_taker() {
    // One wake per token: a lost one would leave a consumer asleep for ever.
    let rounds = if cfg!(miri) { 20 } else { 3_000 };
    let shared = Arc::new((WaitQueue::new(), AtomicU32::new(0)));
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn("consumer", move || {
                (0..rounds).for_each(|_| shared.0.wait_until(|| take(&shared.1)));
            })
            .unwrap()
        })
        .collect();
    let producers: Vec<_> = (0..2)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn("producer", move || {
                for _ in 0..2 * rounds {
                    shared.1.fetch_add(1, Ordering::SeqCst);
                    shared.0.wake_one();
                }
            })
            .unwrap()
        })
        .collect();
    producers.iter().chain(&consumers).for_each(|t| t.join());
    assert_eq!(shared.1.load(Ordering::SeqCst), 0);
    assert!(!shared.0.wake_one());
}

#[test]
fn timed_and_untimed_waiters_share_a_queue() {
    let rounds = if cfg!(miri) { 10 } else { 500 };
    let shared = Arc::new((WaitQueue::new(), AtomicU32::new(0)));
    let consumers: Vec<_> = (0..4)
        .map(|n| {
            let shared = shared.clone();
            thread::spawn("consumer", move || {
                for _ in 0..rounds {
                    if n % 2 == 0 {
                        shared.0.wait_until(|| take(&shared.1));
                    } else {
                        while !shared.0.wait_until_timeout(20_000, || take(&shared.1)) {}
                    }
                }
            })
            .unwrap()
        })
        .collect();
    for _ in 0..4 * rounds {
        shared.1.fetch_add(1, Ordering::SeqCst);
        shared.0.wake_one();
    }
    consumers.iter().for_each(|t| t.join());
}

#[test]
fn a_timeout_ends_the_wait() {
    let queue = WaitQueue::new();
    let begin = base::time::monotonic_ns();
    assert!(!queue.wait_until_timeout(2_000_000, || false));
    assert!(base::time::monotonic_ns() - begin >= 2_000_000);
    assert!(queue.wait_until_timeout(0, || true));
    assert!(!queue.wait_until_timeout(0, || false));
    assert!(!queue.wake_one());
}

#[test]
fn wake_all_wakes_all() {
    let shared = Arc::new((WaitQueue::new(), AtomicBool::new(false)));
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn("w", move || shared.0.wait_until(|| shared.1.load(Ordering::SeqCst))).unwrap()
        })
        .collect();
    thread::sleep_ns(2_000_000);
    shared.1.store(true, Ordering::SeqCst);
    shared.0.wake_all();
    threads.iter().for_each(|t| t.join());
}

#[test]
fn a_condition_may_sleep_itself() {
    // The inner sleep must not swallow the outer wake.
    let rounds = if cfg!(miri) { 10 } else { 500 };
    let shared = Arc::new((WaitQueue::new(), crate::Mutex::new(0u32)));
    let consumer = {
        let shared = shared.clone();
        thread::spawn("consumer", move || {
            for _ in 0..rounds {
                shared.0.wait_until(|| {
                    let mut tokens = shared.1.lock();
                    let some = *tokens > 0;
                    *tokens -= u32::from(some);
                    some
                });
            }
        })
        .unwrap()
    };
    for i in 0..rounds {
        let mut tokens = shared.1.lock();
        *tokens += 1;
        if i % 8 == 0 {
            thread::yield_now();
        }
        drop(tokens);
        shared.0.wake_one();
    }
    consumer.join();
}

#[test]
fn a_panic_in_the_condition_leaves_the_queue_whole() {
    let queue = Arc::new(WaitQueue::new());
    let mut calls = 0;
    let wait = || {
        queue.wait_until(|| {
            calls += 1;
            assert!(calls < 2, "second call");
            false
        })
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait)).is_err());
    assert!(!queue.wake_one());
}

#[test]
fn a_signal_ends_an_interruptible_wait_and_no_other() {
    static QUEUE: WaitQueue = WaitQueue::new();
    static READY: AtomicBool = AtomicBool::new(false);
    let (sender, receivers) = std::sync::mpsc::channel();
    let t = thread::spawn("waiter", move || {
        sender.send(thread::receiver()).unwrap();
        assert!(!QUEUE.wait_interruptible(None, || false));
        assert!(thread::signal_pending());
        // It is still there: no sleep at all. But a condition that holds goes first.
        assert!(!QUEUE.wait_interruptible(None, || false));
        assert!(QUEUE.wait_interruptible(None, || true));
        QUEUE.wait_until(|| READY.load(Ordering::Acquire));
        thread::receiver().set_signalled(false);
        assert!(!QUEUE.wait_interruptible(Some(1), || false));
    })
    .unwrap();
    let receiver = receivers.recv().unwrap();
    receiver.set_signalled(true);
    READY.store(true, Ordering::Release);
    QUEUE.wake_all();
    t.join();
}
