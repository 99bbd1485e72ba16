//! Time for threads that take turns: it stands still while one of them can run, and then goes on to the next
//! deadline. A yield takes a microsecond, so who yields until something has happened does not keep it up.
//!
//! ```text
//!   flusher   park(5 s) ------------------------------.         now = 5 s: goes on
//!   writer    park(20 ms) --.  now = 20 ms: goes on    |
//!   the clock's thread      '- nobody can run: 20 ms   '- nobody can run: 5 s
//! ```
//! So a wake-up that got lost is one that took until the deadline: the clock tells.
//!
//! A thread of its own moves the clock, and the scheduler is asked to let it run when no other can
//! ([`TimeLast`]). It ends when nobody has a deadline: then all wait for ever, which is found out as ever.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Once;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base::time::{Clock, NSEC_PER_SEC};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::thread;

use crate::{INSIDE, unpark};

/// How long a yield takes.
pub const YIELD_NS: u64 = 1_000;

/// CLOCK_MONOTONIC at the begin of each run.
const BEGIN: u64 = NSEC_PER_SEC;
/// CLOCK_REALTIME at CLOCK_MONOTONIC's zero: some day in 2026.
const EPOCH: u64 = 1_790_000_000 * NSEC_PER_SEC;
/// The number of the clock's thread: the first that a run begins; its own thread is 0.
const CLOCK_TASK: usize = 1;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(BEGIN) };
    static AT_SLEEPS: Cell<bool> = const { Cell::new(false) };
    /// Who sleeps until when.
    static SLEEPERS: RefCell<BTreeSet<(u64, u64)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Which threads the scheduler may choose from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Those that can go on, at each of their steps, and those that sleep, which may be woken for nothing.
    Woken,
    /// Those that can go on, whenever one of them sleeps.
    Ready,
}

/// Virtual time for the threads of a run, the host's for all others.
struct TestClock(Instant);

impl Clock for TestClock {
    fn monotonic_ns(&self) -> u64 {
        if INSIDE.get() { NOW.get() } else { self.0.elapsed().as_nanos() as u64 }
    }

    fn realtime_ns(&self) -> u64 {
        if INSIDE.get() {
            return EPOCH + NOW.get();
        }
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_nanos() as u64)
    }
}

/// Makes it the time of this process.
pub fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| base::time::set_clock(Box::leak(Box::new(TestClock(Instant::now())))));
}

/// A run begins.
pub fn begin(others: Others) {
    NOW.set(BEGIN);
    AT_SLEEPS.set(others == Others::Ready);
    SLEEPERS.with_borrow_mut(BTreeSet::clear);
    thread::spawn(move_clock);
}

/// Whether threads take turns only where they sleep or yield.
pub fn turns_at_sleeps() -> bool {
    AT_SLEEPS.get()
}

/// So much time goes by.
pub fn pass(ns: u64) {
    NOW.set(NOW.get().saturating_add(ns));
    wake_due();
}

fn move_clock() {
    while let Some((next, _)) = SLEEPERS.with_borrow(|sleepers| sleepers.first().copied()) {
        pass(next.saturating_sub(NOW.get()));
        thread::yield_now();
    }
}

/// Wakes whose time has come.
fn wake_due() {
    let due = (NOW.get().saturating_add(1), 0);
    let woken = SLEEPERS.with_borrow_mut(|sleepers| {
        let later = sleepers.split_off(&due);
        std::mem::replace(sleepers, later)
    });
    woken.iter().for_each(|&(_, number)| unpark(number));
}

/// A thread that sleeps, until it is dropped.
pub struct Sleeper(u64, u64);

impl Sleeper {
    pub fn until(deadline: u64, number: u64) -> Sleeper {
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.insert((deadline, number)));
        Sleeper(deadline, number)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.remove(&(self.0, self.1)));
    }
}

/// A scheduler that lets the clock's thread run when no other can.
pub struct TimeLast<S> {
    pub scheduler: S,
    pub others: Others,
}

impl<S: Scheduler> Scheduler for TimeLast<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.scheduler.new_execution()
    }

    fn next_task(&mut self, tasks: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let clock = TaskId::from(CLOCK_TASK);
        let is_chosen =
            |task: &&&Task| task.id() != clock && (self.others == Others::Woken || task.runnable());
        let can_run = tasks.iter().any(|task| task.id() != clock && task.runnable());
        let chosen: Vec<&Task> = if can_run {
            tasks.iter().filter(is_chosen).copied().collect()
        } else {
            tasks.iter().filter(|task| task.id() == clock).copied().collect()
        };
        self.scheduler.next_task(&chosen, current, is_yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.scheduler.next_u64()
    }
}
