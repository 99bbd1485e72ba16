//! What the kernel keeps of a thread, on both sides.
//!
//! A block is made once and lives for ever: when its thread ends it is kept for the next one. So a
//! `&'static Tcb` in a wait queue is never dangling, and a wake that comes too late at worst wakes a
//! stranger, who looks at its condition and sleeps on.
//!
//! # Invariants
//! 1. `locals` and `name` are touched by the thread that the block stands for, and nobody else; before it
//!    begins, by its maker.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::backend::Parker;
use crate::local::Locals;
use crate::thread::ThreadId;

/// A thread's control block.
pub(crate) struct Tcb {
    id: AtomicU64,
    /// Set while the block hook runs, which may itself sleep.
    pub in_hook: AtomicBool,
    locals: UnsafeCell<Locals>,
    name: Cell<&'static str>,
    /// Whom the thread works for, where it is not itself: the program's thread number and name.
    task: AtomicU32,
    comm: [AtomicU64; 2],
    /// Whoever it works for has a signal: it is not to sleep where it may be interrupted.
    pub signalled: AtomicBool,
    pub parker: Parker,
}

// SAFETY: everything is Sync by itself but `locals` and `name`, which only one thread touches (1).
unsafe impl Sync for Tcb {}
// SAFETY: `Locals` holds values that need not be Send. A block comes to another thread only after
// `reset` has dropped them on their own.
unsafe impl Send for Tcb {}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Tcb {
    /// A block that stands for no thread yet.
    pub const fn new(parker: Parker) -> Tcb {
        Tcb {
            id: AtomicU64::new(0),
            in_hook: AtomicBool::new(false),
            locals: UnsafeCell::new(Locals::new()),
            name: Cell::new("main"),
            task: AtomicU32::new(0),
            comm: [const { AtomicU64::new(0) }; 2],
            signalled: AtomicBool::new(false),
            parker,
        }
    }

    /// Makes the block stand for a new thread.
    pub fn assign(&self, name: &'static str) {
        self.name.set(name);
        self.id.store(NEXT_ID.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.in_hook.store(false, Ordering::Relaxed);
        self.task.store(0, Ordering::Relaxed);
        self.signalled.store(false, Ordering::Relaxed);
    }

    /// The thread is a thread of the program: its number and its name there.
    pub fn set_task(&self, tid: u32, comm: &[u8; 16]) {
        let words = u128::from_le_bytes(*comm);
        self.comm[0].store(words as u64, Ordering::Relaxed);
        self.comm[1].store((words >> 64) as u64, Ordering::Relaxed);
        self.task.store(tid, Ordering::Relaxed);
    }

    /// Whether [`Tcb::set_task`] gave it a number.
    #[inline]
    pub fn is_task(&self) -> bool {
        self.task.load(Ordering::Relaxed) != 0
    }

    /// What [`Tcb::set_task`] said, if it did.
    pub fn task(&self) -> Option<(u32, [u8; 16])> {
        let tid = self.task.load(Ordering::Relaxed);
        let [low, high] = [0, 1].map(|i| u128::from(self.comm[i].load(Ordering::Relaxed)));
        (tid != 0).then_some((tid, (low | high << 64).to_le_bytes()))
    }

    /// The name of the thread, to be asked by itself.
    pub fn name(&self) -> &'static str {
        self.name.get()
    }

    pub fn id(&self) -> ThreadId {
        ThreadId(self.id.load(Ordering::Relaxed))
    }

    /// The thread's values.
    ///
    /// # Safety
    /// Called by the thread the block stands for; the pointer is not kept past the next call.
    pub unsafe fn locals(&self) -> *mut Locals {
        self.locals.get()
    }

    /// The thread ends: drops its values, on it.
    ///
    /// # Safety
    /// Called by the thread the block stands for, with no borrow of its values alive.
    pub unsafe fn reset(&self) {
        // SAFETY: the caller's promise (1). The old values are dropped after they left the cell, so a
        // drop that asks for a value finds an empty table.
        let old = unsafe { core::mem::replace(&mut *self.locals.get(), Locals::new()) };
        drop(old);
        // SAFETY: as above; what such a drop made anew goes too, once.
        let again = unsafe { core::mem::replace(&mut *self.locals.get(), Locals::new()) };
        drop(again);
    }
}
