//! Kernel threads on real stacks, with a real timer.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Mutex, thread};

use super::ensure;

/// Spawns more threads than fit at once, which sleep, share and end.
pub fn run() -> Result<(), &'static str> {
    let sum = Arc::new(Mutex::new(0u64));
    let running = Arc::new(AtomicU64::new(0));
    let begin = base::time::monotonic_ns();
    for _ in 0..3 {
        let mut threads = alloc::vec::Vec::new();
        for n in 0..8u64 {
            let (sum, running) = (sum.clone(), running.clone());
            let body = move || {
                running.fetch_add(1, Ordering::Relaxed);
                thread::sleep_ns(1_000_000 * (n + 1));
                *sum.lock() += n;
            };
            threads.push(thread::spawn("selftest", body).map_err(|_| "a thread")?);
        }
        threads.iter().for_each(thread::Thread::join);
    }
    let slept = base::time::monotonic_ns() - begin;
    ensure(*sum.lock() == 3 * 28 && running.load(Ordering::Relaxed) == 24, "every thread ran once")?;
    ensure(slept >= 24_000_000, "sleeping takes time")
}
