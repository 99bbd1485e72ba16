//! A gate that lets many in, until it is closed: then it waits for those inside.
//!
//! A mount has two, one behind the other: for writes and changes, and for stores to mapped files. A write
//! call may store to a mapped file (its source or target is one), so who is inside the first may want to go
//! through the second: the first is closed, and empty, before the second closes (Linux's SB_FREEZE_WRITE and
//! SB_FREEZE_PAGEFAULT).
//!
//! A write that nobody waits for (AIO) is inside until its end, which may come in an interrupt.
//!
//! # Locking
//! One atomic each way while it is open.

use alloc::sync::Arc;

use sync::WaitQueue;
use sync::atomic::{AtomicU32, Ordering};

use crate::mount::Mount;

const CLOSED: u32 = 1 << 31;

/// The gate.
pub(crate) struct Gate {
    /// How many are inside, and [`CLOSED`].
    inside: AtomicU32,
    queue: WaitQueue,
}

impl Gate {
    pub const fn new() -> Gate {
        Gate { inside: AtomicU32::new(0), queue: WaitQueue::new() }
    }

    /// Goes in, until the guard goes. Waits while it is closed.
    #[inline]
    pub fn enter(&self) -> WriteAccess<'_> {
        if self.inside.fetch_add(1, Ordering::Acquire) & CLOSED != 0 {
            self.wait_open();
        }
        WriteAccess(self)
    }

    #[cold]
    fn wait_open(&self) {
        loop {
            self.leave();
            self.queue.wait_until(|| self.inside.load(Ordering::Relaxed) & CLOSED == 0);
            if self.inside.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
                return;
            }
        }
    }

    #[inline]
    fn leave(&self) {
        if self.inside.fetch_sub(1, Ordering::Release) == CLOSED + 1 {
            self.queue.wake_all();
        }
    }

    /// Lets nobody in any more and waits until nobody is inside.
    pub fn close(&self) {
        self.inside.fetch_or(CLOSED, Ordering::AcqRel);
        self.queue.wait_until(|| self.inside.load(Ordering::Acquire) == CLOSED);
    }

    /// Lets them in again.
    pub fn open(&self) {
        self.inside.fetch_and(!CLOSED, Ordering::AcqRel);
        self.queue.wake_all();
    }
}

/// Counts as a write under way on its mount while it lives, wherever it goes.
pub(crate) struct AsyncWrite(Arc<Mount>);

impl AsyncWrite {
    /// Waits while the mount is frozen.
    pub fn begin(mount: &Arc<Mount>) -> AsyncWrite {
        // Left again when this is dropped.
        core::mem::forget(mount.start_write());
        AsyncWrite(mount.clone())
    }
}

impl Drop for AsyncWrite {
    fn drop(&mut self) {
        self.0.writes().leave();
    }
}

/// Counts as a write under way while it lives.
pub struct WriteAccess<'a>(&'a Gate);

impl Drop for WriteAccess<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}
