//! The host's side: std threads, each with a flag and a condition variable to sleep on.
//!
//! Time is [`base::time`]'s, which a test may have replaced; so a timed sleep looks at the clock
//! again every few milliseconds.

use alloc::boxed::Box;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread_local;
use std::time::Duration;
use std::vec::Vec;

use base::{Errno, Result};

use crate::explore;
use crate::tcb::Tcb;

/// A wake that has come (true), and where its thread waits for it.
pub struct Parker {
    token: Mutex<bool>,
    wake: Condvar,
    /// The number of a scheduler's thread ([`explore`]), or 0.
    pub explored: AtomicU64,
}

const LOOK_AT_CLOCK: Duration = Duration::from_millis(5);

static UNUSED: Mutex<Vec<&'static Tcb>> = Mutex::new(Vec::new());

fn unused() -> MutexGuard<'static, Vec<&'static Tcb>> {
    UNUSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's own block, handed back when the thread ends.
struct Mine(Cell<Option<&'static Tcb>>);

thread_local! {
    static MINE: Mine = const { Mine(Cell::new(None)) };
}

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(tcb) = self.0.take() {
            // SAFETY: the block stands for this thread, which is past its last line.
            unsafe { tcb.reset() };
            give_back(tcb);
        }
    }
}

impl Parker {
    const fn new() -> Parker {
        Parker { token: Mutex::new(false), wake: Condvar::new(), explored: AtomicU64::new(0) }
    }
}

/// The block's thread is no more.
pub fn give_back(tcb: &'static Tcb) {
    tcb.parker.explored.store(0, Ordering::Relaxed);
    unused().push(tcb);
}

/// A block for a new thread.
pub fn fresh(name: &'static str) -> &'static Tcb {
    let kept = unused().pop();
    let tcb = kept.unwrap_or_else(|| Box::leak(Box::new(Tcb::new(Parker::new()))));
    tcb.assign(name);
    tcb
}

pub fn current() -> &'static Tcb {
    named("main")
}

/// The thread's block; if it has none yet, one with this name.
fn named(name: &'static str) -> &'static Tcb {
    if let Some((_, number)) = explore::mine() {
        return explore::block(number, name);
    }
    MINE.try_with(|mine| {
        mine.0.get().unwrap_or_else(|| {
            let tcb = fresh(name);
            mine.0.set(Some(tcb));
            tcb
        })
    })
    // A destructor of another thread-local value after ours: it gets a block of its own.
    .unwrap_or_else(|_| fresh(name))
}

/// Sleeps until [`unpark`], the deadline, or for no reason at all.
pub fn park(deadline: Option<u64>) {
    if let Some((scheduler, _)) = explore::mine() {
        return scheduler.park(deadline);
    }
    let parker = &current().parker;
    let mut token = parker.token.lock().unwrap_or_else(PoisonError::into_inner);
    while !*token {
        token = match deadline {
            None => parker.wake.wait(token).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = Duration::from_nanos(deadline.saturating_sub(base::time::monotonic_ns()));
                if left.is_zero() {
                    return;
                }
                let wait = parker.wake.wait_timeout(token, left.min(LOOK_AT_CLOCK));
                wait.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
    *token = false;
}

pub fn unpark(thread: &'static Tcb) {
    if explore::unpark(thread) {
        return;
    }
    *thread.parker.token.lock().unwrap_or_else(PoisonError::into_inner) = true;
    thread.parker.wake.notify_one();
}

pub fn spawn(name: &'static str, f: Box<dyn FnOnce() + Send>) -> Result<()> {
    let begin = move || {
        named(name);
        f();
        explore::end_of_thread();
    };
    if let Some((scheduler, _)) = explore::mine() {
        scheduler.spawn(Box::new(begin));
        return Ok(());
    }
    let thread = std::thread::Builder::new().name(name.into()).spawn(begin);
    thread.map(drop).map_err(|_| Errno::ENOMEM)
}

/// A spawned thread is past its function: its values go before anybody who joins it goes on.
pub fn end_of_thread() {
    // SAFETY: called by the thread itself, outside any `PerThread::with`.
    unsafe { current().reset() };
}

pub fn yield_now() {
    match explore::mine() {
        Some((scheduler, _)) => scheduler.yield_now(),
        None => std::thread::yield_now(),
    }
}

pub fn tick(_now_ns: u64) -> bool {
    false
}

pub fn need_resched() -> bool {
    false
}

pub fn is_idle() -> bool {
    false
}

/// While a spinning lock is held by another: its holder may need our CPU.
pub fn spin_wait() {
    yield_now();
}

/// Something that is never zero and another on each thread.
pub fn cpu_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    match explore::mine() {
        // Numbers are small; addresses are not.
        Some((_, number)) => number as usize,
        None => MARK.with(|mark| mark as *const u8 as usize),
    }
}
