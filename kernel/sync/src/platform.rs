//! What the machine lends to threads. `boot` installs it once, with interrupts masked or on.
//!
//! ```ignore
//! sync::platform::install(&PLATFORM);       // from here on threads may be spawned and may sleep
//! // in the timer's interrupt handler:
//! sync::thread::tick(base::time::monotonic_ns());
//! // before the program goes on:
//! if sync::thread::need_resched() { sync::thread::yield_now() }
//! ```

use spin::Once;

/// A kernel stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stack {
    /// Its lowest byte. Below it lies a page that nobody may touch.
    pub bottom: usize,
    /// One past its highest byte, 16-byte aligned.
    pub top: usize,
}

/// The machine, as the scheduler sees it. Called with interrupts masked and the scheduler's lock held,
/// except `alloc_stack` and `idle_wait`: so nothing here may sleep, spawn, or wake.
///
/// # Safety
/// `alloc_stack` gives memory that is writable, 16-byte aligned at its top, and nobody else's, for
/// ever: an ended thread's stack is kept for the next one.
pub unsafe trait Platform: Sync {
    /// A stack for a new thread, with a guard page below. None when memory is full. Called with
    /// interrupts as the caller of `spawn` has them, without locks.
    fn alloc_stack(&self) -> Option<Stack>;

    /// Nothing is ready. Called with interrupts masked: waits for one (`wfi` returns for a masked one
    /// too), lets its handler run (unmask, then mask again), and returns with interrupts masked.
    fn idle_wait(&self);

    /// Raises the timer's interrupt at `deadline_ns` of CLOCK_MONOTONIC, at once when that is past,
    /// replacing what was set; never for None.
    fn set_timer(&self, deadline_ns: Option<u64>);
}

static PLATFORM: Once<&'static dyn Platform> = Once::new();

/// Installs the machine. The first call wins.
pub fn install(platform: &'static dyn Platform) {
    PLATFORM.call_once(|| platform);
}

pub(crate) fn get() -> Option<&'static dyn Platform> {
    PLATFORM.get().copied()
}
