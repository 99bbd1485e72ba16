//! From an interrupt line to the driver's function.
//!
//! ```ignore
//! irq::register(interrupt, Box::new(move || device.handle()))?;
//! ```
//! Several drivers may share a line (PCI INTx): each is called, and must bear that it was another's.
//! A handler runs with interrupts masked, on the stack of whoever was interrupted: it takes only
//! `SpinLock`s, wakes, drops. Handlers stay for ever.
//!
//! # Locking
//! None: the lists only grow, at their heads, by one atomic store each.

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use base::{Errno, Result};

use crate::devicetree::{Interrupt, Irq};
use crate::gic;

const LINES: usize = 1020;

/// What a driver registers.
pub type Handler = Box<dyn Fn() + Send + Sync>;

struct Node {
    handler: Handler,
    next: *mut Node,
}

static LISTS: [AtomicPtr<Node>; LINES] = [const { AtomicPtr::new(ptr::null_mut()) }; LINES];

/// A handler is at work.
static HANDLING: AtomicBool = AtomicBool::new(false);

/// Interrupts taken since boot, of any line.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Calls `handler` at each interrupt of the line from now on. EINVAL for a line the GIC can't have.
pub fn register(interrupt: Interrupt, handler: Handler) -> Result<()> {
    let list = LISTS.get(interrupt.irq.0 as usize).ok_or(Errno::EINVAL)?;
    let node = Box::leak(Box::new(Node { handler, next: ptr::null_mut() }));
    let mut head = list.load(Ordering::Acquire);
    loop {
        node.next = head;
        match list.compare_exchange(head, node, Ordering::Release, Ordering::Acquire) {
            Ok(_) => break,
            Err(now) => head = now,
        }
    }
    gic::enable(interrupt);
    Ok(())
}

/// Interrupts taken since boot.
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Whether a handler is at work.
pub fn handling() -> bool {
    HANDLING.load(Ordering::Relaxed)
}

/// Handles everything that is pending. Called by the vectors, interrupts masked.
pub fn dispatch() {
    HANDLING.store(true, Ordering::Relaxed);
    while let Some(irq) = gic::acknowledge() {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        call(irq);
        gic::end(irq);
    }
    HANDLING.store(false, Ordering::Relaxed);
}

fn call(irq: Irq) {
    let mut at = LISTS.get(irq.0 as usize).map_or(ptr::null_mut(), |list| list.load(Ordering::Acquire));
    // SAFETY: every node was leaked by `register`, complete before it was linked, and never changes.
    while let Some(node) = unsafe { at.as_ref() } {
        (node.handler)();
        at = node.next;
    }
}
