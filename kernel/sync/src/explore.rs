//! Host only: threads whose order somebody else decides, to find what goes wrong in one order of many.
//!
//! A [`Scheduler`] that is [`install`]ed runs one of its threads at a time, and is asked who goes on at each
//! operation of [`crate::atomic`] and wherever a thread sleeps, wakes another or begins one. All of this crate's
//! locks come by there. Threads that are not its own go on as ever. The crate `explore` has the one
//! that there is.
//!
//! Time is what [`base::time`] says; the scheduler decides when a deadline has come, so it had better have
//! installed that clock too.
//!
//! # Invariants
//! 1. A scheduler's threads take turns on one thread of the host, so what is kept for that thread is theirs.
//! 2. They are woken by their own kind alone.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::cell::RefCell;
use core::sync::atomic::Ordering;
use std::thread_local;

use spin::Once;

use crate::backend;
use crate::tcb::Tcb;

/// Who decides.
pub trait Scheduler: Sync {
    /// The number of the thread that asks, never 0 and never used twice; None: not one of the scheduler's.
    fn current(&self) -> Option<u64>;
    /// Another thread may run.
    fn point(&self);
    /// Another thread must run, if one can: this one waits for what it does.
    fn yield_now(&self);
    /// Sleeps until [`Scheduler::unpark`], which may have come before, or that time of [`base::time`].
    fn park(&self, deadline: Option<u64>);
    /// Wakes a thread.
    fn unpark(&self, thread: u64);
    /// Begins a thread.
    fn spawn(&self, f: Box<dyn FnOnce() + Send>);
}

static SCHEDULER: Once<&'static dyn Scheduler> = Once::new();

thread_local! {
    /// The blocks of the threads that take turns here.
    static BLOCKS: RefCell<BTreeMap<u64, &'static Tcb>> = const { RefCell::new(BTreeMap::new()) };
}

/// Installs the scheduler. The first call wins.
pub fn install(scheduler: &'static dyn Scheduler) {
    SCHEDULER.call_once(|| scheduler);
}

/// Another thread may run here.
#[inline]
pub fn point() {
    if let Some(scheduler) = SCHEDULER.get() {
        at_point(*scheduler);
    }
}

#[cold]
fn at_point(scheduler: &dyn Scheduler) {
    if scheduler.current().is_some() {
        scheduler.point();
    }
}

/// The scheduler of the thread that asks, and that thread's number.
pub(crate) fn mine() -> Option<(&'static dyn Scheduler, u64)> {
    let scheduler = *SCHEDULER.get()?;
    Some((scheduler, scheduler.current()?))
}

/// The block of a scheduler's thread that asks; made with this name if there is none yet.
pub(crate) fn block(number: u64, name: &'static str) -> &'static Tcb {
    BLOCKS.with_borrow_mut(|blocks| {
        *blocks.entry(number).or_insert_with(|| {
            let tcb = backend::fresh(name);
            tcb.parker.explored.store(number, Ordering::Relaxed);
            tcb
        })
    })
}

/// Who wakes a thread with this block, if a scheduler does.
pub(crate) fn unpark(tcb: &Tcb) -> bool {
    let number = tcb.parker.explored.load(Ordering::Relaxed);
    if number == 0 {
        return false;
    }
    // (2): the scheduler is there.
    if let Some((scheduler, _)) = mine() {
        scheduler.unpark(number);
    }
    true
}

/// To be called by a scheduler's thread that was not spawned by [`crate::thread::spawn`], as its last step.
pub fn end_of_thread() {
    let Some((_, number)) = mine() else { return };
    if let Some(tcb) = BLOCKS.with_borrow(|blocks| blocks.get(&number).copied()) {
        backend::end_of_thread();
        BLOCKS.with_borrow_mut(|blocks| blocks.remove(&number));
        backend::give_back(tcb);
    }
}
