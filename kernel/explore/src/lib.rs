//! Host only: the kernel's threads in many orders, each of which can be had again.
//!
//! [`check`] runs a piece of code over and over. It and the threads it spawns ([`sync::thread::spawn`])
//! take turns; who goes on is decided anew at each step that another thread can see: an operation of
//! [`sync::atomic`], so every lock and wait queue too. Half of the runs choose at random, half give threads
//! priorities that change a few times (PCT), which finds what needs one particular thread to be slow. A thread
//! that nobody wakes ends the run with "deadlock".
//!
//! ```
//! use sync::{Mutex, thread};
//! explore::check(20, || {
//!     let sum = std::sync::Arc::new(Mutex::new(0));
//!     let threads: Vec<_> = (0..3)
//!         .map(|_| {
//!             let sum = sum.clone();
//!             thread::spawn("adder", move || *sum.lock() += 1).unwrap()
//!         })
//!         .collect();
//!     threads.iter().for_each(|t| t.join());
//!     assert_eq!(*sum.lock(), 3);
//! });
//! ```
//! [`in_virtual_time`] runs it once, in one order: threads take turns where they sleep or yield, as on the machine,
//! and an hour of sleep takes no longer than it takes to say so. Time stands still while anybody can run
//! (`time.rs`).
//!
//! A failure prints the order as a line of hexadecimal digits; `EXPLORE_REPLAY=<that> cargo test <the test>`
//! runs it again. `EXPLORE_TIMES=100` makes every [`check`] a hundred times as long.
//!
//! # What the code must not do
//! Block in anything that is not `sync`'s, as a lock of `std`; wait for a thread of the host, or be woken by one
//! (a disk completes its requests within `submit`, or in a thread that was spawned here); depend on addresses
//! or an unordered map; leave statics other than it found them. Tests that explore live in a test binary
//! of their own: in another's, its threads would wake at the same queues.
//!
//! # What it does not find
//! A memory ordering that is too weak: operations happen one after the other. Rests on the crate `shuttle`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, RoundRobinScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner, thread};

mod time;

use time::{Others, TimeLast};

/// Bytes of stack: unoptimized code is lavish.
const STACK: usize = 1 << 20;
/// So many steps are taken for a thread that spins for ever.
const STEPS: usize = 200_000;
/// The same of a run whose threads only take turns where they sleep.
const VIRTUAL_STEPS: usize = 5_000_000;
/// Changes of priority in a run.
const CHANGES: usize = 3;

struct Shuttle;

thread_local! {
    /// Whether threads take turns here.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The threads of the run, and their numbers.
    static THREADS: RefCell<Threads> = const { RefCell::new(Threads { next: 1, numbers: Vec::new(), handles: BTreeMap::new() }) };
}

struct Threads {
    next: u64,
    numbers: Vec<(thread::ThreadId, u64)>,
    handles: BTreeMap<u64, thread::Thread>,
}

impl Threads {
    fn number(&mut self, who: thread::Thread) -> u64 {
        let id = who.id();
        if let Some(&(_, number)) = self.numbers.iter().find(|(known, _)| *known == id) {
            return number;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.push((id, number));
        self.handles.insert(number, who);
        number
    }
}

impl sync::explore::Scheduler for Shuttle {
    fn current(&self) -> Option<u64> {
        INSIDE.get().then(|| THREADS.with_borrow_mut(|threads| threads.number(thread::current())))
    }

    fn point(&self) {
        if time::turns_at_sleeps() {
            return;
        }
        // It sleeps for no time at all: a switch and nothing else.
        thread::sleep(Duration::ZERO);
    }

    fn yield_now(&self) {
        // Who waits for what happens at a certain time need not wait for ever.
        time::pass(time::YIELD_NS);
        thread::yield_now();
    }

    fn park(&self, deadline: Option<u64>) {
        let number = THREADS.with_borrow_mut(|threads| threads.number(thread::current()));
        let _sleeper = deadline.map(|deadline| time::Sleeper::until(deadline, number));
        thread::park();
    }

    fn unpark(&self, number: u64) {
        unpark(number);
    }

    fn spawn(&self, f: Box<dyn FnOnce() + Send>) {
        thread::spawn(f);
    }
}

fn unpark(number: u64) {
    // One that has ended is not there any more.
    let handle = THREADS.with_borrow(|threads| threads.handles.get(&number).cloned());
    if let Some(handle) = handle {
        handle.unpark();
    }
}

/// Runs `f` in so many orders; panics when it panics in one of them or its threads all wait.
pub fn check(times: usize, f: impl Fn() + Send + Sync + 'static) {
    let f = Arc::new(f);
    let _alone = alone();
    if let Ok(schedule) = env::var("EXPLORE_REPLAY") {
        return run(ReplayScheduler::new_from_encoded(&schedule), Others::Woken, &f);
    }
    let longer = env::var("EXPLORE_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let half = (times.div_ceil(2)).saturating_mul(longer);
    run(RandomScheduler::new(half), Others::Woken, &f);
    run(PctScheduler::new(CHANGES, half), Others::Woken, &f);
}

/// Runs `f` once, its threads taking turns where they sleep; panics when it does or its threads all wait and none
/// has a deadline.
pub fn in_virtual_time(f: impl Fn() + Send + Sync + 'static) {
    let _alone = alone();
    run(RoundRobinScheduler::new(1), Others::Ready, &Arc::new(f));
}

/// Statics are everybody's.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    sync::explore::install(&Shuttle);
    time::install();
    alone
}

fn run(scheduler: impl Scheduler + 'static, others: Others, f: &Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(if others == Others::Ready { VIRTUAL_STEPS } else { STEPS });
    config.silence_warnings = true;
    let f = f.clone();
    let _inside = Inside::enter();
    Runner::new(TimeLast { scheduler, others }, config).run(move || {
        THREADS.with_borrow_mut(|threads| {
            threads.numbers.clear();
            threads.handles.clear();
        });
        time::begin(others);
        f();
        sync::explore::end_of_thread();
    });
}

struct Inside;

impl Inside {
    fn enter() -> Inside {
        INSIDE.set(true);
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}
