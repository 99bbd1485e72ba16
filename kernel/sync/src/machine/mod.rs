//! The machine's side: threads with stacks of their own, switched here.
//!
//! # How a switch goes
//! ```text
//!   A: mask interrupts, lock SCHED, put A to sleep in the table, pick B
//!   A: switch: save x19-x30 and sp, load B's               -- SCHED stays locked across it --
//!   B: unlock SCHED, put B's interrupt mask back, go on
//! ```
//! When nobody is ready, the thread that wanted to sleep waits for an interrupt where it stands, on its
//! own stack, with SCHED unlocked. Most waits for the disk end so, without any switch.
//!
//! # Locking
//! SCHED is a SpinLock, taken last: under a queue's lock it may be taken, nothing is taken under it.
//!
//! # Invariants
//! 1. `TCBS[slot]` is the block of the thread in that slot of the table, for ever.
//! 2. A block's `sp` is valid while its thread is in the table and on no CPU.
//! 3. `CURRENT` is the block whose stack this CPU is on.

mod switch;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use base::{Errno, Result};

use crate::irq;
use crate::platform::{self, Stack};
use crate::sched::{Sched, SlotId};
use crate::spinlock::{SpinGuard, SpinLock};
use crate::tcb::Tcb;

/// How long a thread that is ready may wait for one that runs the program.
const SLICE_NS: u64 = 4_000_000;

/// One CPU for now; what differs by CPU takes this number.
const CPU: usize = 0;

/// What the machine keeps of a thread beside the rest of its block.
pub struct Parker {
    slot: AtomicUsize,
    /// Where its registers lie while it is on no CPU (2).
    sp: UnsafeCell<usize>,
    stack: Cell<Option<Stack>>,
    entry: Cell<Option<Box<dyn FnOnce() + Send>>>,
}

// SAFETY: `sp`, `stack` and `entry` are touched only with SCHED held, or by the one thread that
// makes or starts the thread, before or after which SCHED is taken.
unsafe impl Sync for Parker {}

impl Parker {
    const fn new() -> Parker {
        Parker {
            slot: AtomicUsize::new(usize::MAX),
            sp: UnsafeCell::new(0),
            stack: Cell::new(None),
            entry: Cell::new(None),
        }
    }
}

struct State {
    sched: Sched,
    tcbs: Vec<&'static Tcb>,
    /// What the timer is set to.
    timer: Option<u64>,
    idle: bool,
}

static SCHED: SpinLock<State> =
    SpinLock::new(State { sched: Sched::new(), tcbs: Vec::new(), timer: None, idle: false });

/// The thread that boots.
static BOOT: Tcb = Tcb::new(Parker::new());

static CURRENT: AtomicPtr<Tcb> = AtomicPtr::new(ptr::null_mut());

/// Whether nobody runs, to be asked without the lock.
static IDLE: AtomicBool = AtomicBool::new(false);

/// Whether somebody is ready, to be asked without the lock.
static OTHERS: AtomicBool = AtomicBool::new(false);

#[inline]
pub fn current() -> &'static Tcb {
    let tcb = CURRENT.load(Ordering::Relaxed);
    // SAFETY: CURRENT is null or a `&'static Tcb` (3).
    unsafe { tcb.as_ref() }.unwrap_or_else(|| adopt_boot_thread())
}

#[cold]
fn adopt_boot_thread() -> &'static Tcb {
    let mut state = SCHED.lock();
    if CURRENT.load(Ordering::Relaxed).is_null() {
        let slot = state.sched.adopt(CPU);
        state.remember(slot, &BOOT);
        BOOT.assign("boot");
        set_current(&BOOT);
    }
    &BOOT
}

fn set_current(tcb: &'static Tcb) {
    CURRENT.store(ptr::from_ref(tcb).cast_mut(), Ordering::Relaxed);
}

impl State {
    /// Keeps `tcb` as the block of `slot` (1). A slot that is not new has its block already.
    fn remember(&mut self, slot: SlotId, tcb: &'static Tcb) {
        tcb.parker.slot.store(slot, Ordering::Relaxed);
        debug_assert_eq!(slot, self.tcbs.len());
        self.tcbs.push(tcb);
    }

    /// After a change of the table: tells `need_resched`, and sets the timer to the next deadline, or
    /// to the end of the slice when somebody waits for the CPU.
    fn changed(&mut self) {
        let others = self.sched.ready() > 0;
        OTHERS.store(others, Ordering::Relaxed);
        let mut want = self.sched.next_deadline();
        if others && !self.idle {
            // A slice that runs already is not prolonged; a sleeper's far deadline is no slice.
            let end = base::time::monotonic_ns().saturating_add(SLICE_NS);
            let slice = self.timer.map_or(end, |set| set.min(end));
            want = Some(want.map_or(slice, |d| d.min(slice)));
        }
        if want != self.timer
            && let Some(platform) = platform::get()
        {
            platform.set_timer(want);
            self.timer = want;
        }
    }
}

/// Sleeps until [`unpark`], the deadline, or for no reason at all.
pub fn park(deadline: Option<u64>) {
    debug_assert!(irq::enabled(), "a thread sleeps with interrupts masked");
    let me = current();
    let saved = irq::save();
    let mut state = SCHED.lock();
    if state.sched.sleep(me.parker.slot.load(Ordering::Relaxed), deadline) {
        state.changed();
        switch_away(state, me);
    } else {
        drop(state);
    }
    irq::restore(saved);
}

pub fn unpark(tcb: &'static Tcb) {
    let mut state = SCHED.lock();
    if state.sched.wake(tcb.parker.slot.load(Ordering::Relaxed)) {
        state.changed();
    }
}

pub fn yield_now() {
    if !need_resched() {
        return;
    }
    let me = current();
    let saved = irq::save();
    let mut state = SCHED.lock();
    state.sched.requeue(me.parker.slot.load(Ordering::Relaxed));
    switch_away(state, me);
    irq::restore(saved);
}

#[inline]
pub fn need_resched() -> bool {
    OTHERS.load(Ordering::Relaxed)
}

pub fn is_idle() -> bool {
    IDLE.load(Ordering::Relaxed)
}

pub fn tick(now_ns: u64) -> bool {
    let mut state = SCHED.lock();
    state.sched.expire(now_ns);
    // Whether it has fired or not, its handler may have silenced it: `changed` sets it anew.
    state.timer = None;
    state.changed();
    need_resched()
}

/// Runs whoever is next; comes back when `me` is. Interrupts are masked, by the caller, all along.
fn switch_away(mut state: SpinGuard<'static, State>, me: &'static Tcb) {
    let from = me.parker.slot.load(Ordering::Relaxed);
    let next = loop {
        if let Some(next) = state.sched.pick(CPU, from) {
            break next;
        }
        state.idle = true;
        IDLE.store(true, Ordering::Relaxed);
        drop(state);
        match platform::get() {
            Some(platform) => platform.idle_wait(),
            None => core::hint::spin_loop(),
        }
        state = SCHED.lock();
        state.idle = false;
        IDLE.store(false, Ordering::Relaxed);
    };
    state.changed();
    if next == from {
        return;
    }
    let next = state.tcbs[next];
    set_current(next);
    // The lock stays held until `next` runs; it is `next` who frees it.
    mem::forget(state);
    // SAFETY: SCHED is held and interrupts are masked; `next` was picked, so it was on no CPU and its
    // `sp` is valid (2); `me`'s is ours to write.
    unsafe { switch::switch(me.parker.sp.get(), *next.parker.sp.get()) };
    // SAFETY: whoever switched to us forgot the guard, as we did.
    unsafe { SCHED.force_unlock() };
}

/// The first thing a new thread does, on its own stack, SCHED held and interrupts masked.
extern "C" fn begin(tcb: &'static Tcb) -> ! {
    // SAFETY: as after `switch` above.
    unsafe { SCHED.force_unlock() };
    let entry = tcb.parker.entry.take();
    // A new thread runs with interrupts on, whatever the mask of the one before it.
    irq::enable();
    if let Some(entry) = entry {
        entry();
    }
    end(tcb)
}

fn end(tcb: &'static Tcb) -> ! {
    let _saved = irq::save();
    let mut state = SCHED.lock();
    state.sched.exit(tcb.parker.slot.load(Ordering::Relaxed));
    switch_away(state, tcb);
    unreachable!("an ended thread ran again")
}

/// A spawned thread is past its function: its values go before anybody who joins it goes on.
pub fn end_of_thread() {
    // SAFETY: called by the thread itself, outside any `PerThread::with`.
    unsafe { current().reset() };
}

/// Blocks with stacks that were made and then not needed.
static SPARE: SpinLock<Vec<&'static Tcb>> = SpinLock::new(Vec::new());

fn spare_tcb() -> Result<&'static Tcb> {
    if let Some(tcb) = SPARE.lock().pop() {
        return Ok(tcb);
    }
    let stack = platform::get().and_then(|p| p.alloc_stack()).ok_or(Errno::ENOMEM)?;
    let tcb: &'static Tcb = Box::leak(Box::new(Tcb::new(Parker::new())));
    tcb.parker.stack.set(Some(stack));
    Ok(tcb)
}

pub fn spawn(name: &'static str, f: Box<dyn FnOnce() + Send>) -> Result<()> {
    current();
    // Taken before SCHED is; an ended thread's block may turn out to be free.
    let spare = spare_tcb()?;
    let mut state = SCHED.lock();
    let slot = state.sched.add();
    let is_new = slot == state.tcbs.len();
    if is_new {
        state.remember(slot, spare);
    }
    let tcb = state.tcbs[slot];
    // The boot thread alone has no stack of ours, and it does not end.
    if let Some(stack) = tcb.parker.stack.get() {
        tcb.assign(name);
        tcb.parker.entry.set(Some(f));
        // SAFETY: SCHED is held and the thread on no CPU: its stack and its `sp` are ours.
        unsafe { *tcb.parker.sp.get() = switch::first_frame(stack, tcb) };
    }
    state.changed();
    drop(state);
    if !is_new {
        SPARE.lock().push(spare);
    }
    Ok(())
}

/// While a spinning lock is held by another CPU.
pub fn spin_wait() {
    core::hint::spin_loop();
}

/// Never zero and another on each CPU.
#[inline(always)]
pub fn cpu_mark() -> usize {
    CPU + 1
}
