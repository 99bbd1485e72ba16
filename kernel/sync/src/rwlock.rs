//! A sleeping lock for many readers or one writer.
//!
//! # State
//! ```text
//!   bit 31 WRITER   a writer has it
//!   bit 30 WAITING  somebody sleeps; the next unlock must look into the queues
//!   bits 0..30      how many readers have it
//! ```
//! Free locks change hands by one compare-and-exchange. `WAITING` sends everybody else the slow way,
//! so that a stream of readers does not starve a writer: a newcomer lets waiting writers go first. A
//! reader that has already slept once does not, so that a stream of writers does not starve it either.
//!
//! # Why no wake is lost
//! 1. Who goes to sleep has, in one atomic step, seen the lock held and `WAITING` set.
//! 2. The unlock that frees the lock clears `WAITING` and wakes all readers and one writer.
//! 3. A writer that comes through the queue takes the lock with `WAITING` set again, on behalf of the
//!    writers that were not woken.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::atomic::{AtomicU32, Ordering};
use crate::wait::WaitQueue;

const WRITER: u32 = 1 << 31;
const WAITING: u32 = 1 << 30;
const READERS: u32 = WAITING - 1;

/// A value behind a sleeping readers-writer lock. Not for interrupt handlers.
pub struct RwLock<T: ?Sized> {
    state: AtomicU32,
    /// Writers between their first try and their success.
    writers: AtomicU32,
    read_queue: WaitQueue,
    write_queue: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: as for the value itself.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers share the value (Sync), writers take it in turn (Send).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            state: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            read_queue: WaitQueue::new(),
            write_queue: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, the lock being owned.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock with other readers; sleeps while a writer has it or waits for it.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        // Most often nobody has it; then the value that is there need not be loaded first.
        let alone = self.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        if alone.is_err() && !self.add_reader(WRITER | WAITING) {
            self.read_slow();
        }
        ReadGuard { lock: self, _thread: PhantomData }
    }

    /// Takes the lock alone; sleeps while anybody has it.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.write_slow();
        }
        WriteGuard { lock: self, _thread: PhantomData }
    }

    /// Takes the lock with other readers if no writer has it.
    #[inline]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        self.add_reader(WRITER).then(|| ReadGuard { lock: self, _thread: PhantomData })
    }

    /// Takes the lock alone if nobody has it.
    #[inline]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let taken = |s: u32| (s & (WRITER | READERS) == 0).then_some(s | WRITER);
        let got = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, taken);
        got.ok().map(|_| WriteGuard { lock: self, _thread: PhantomData })
    }

    /// The value, nobody else having the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// One reader more, unless a bit of `forbidden` is set.
    #[inline(always)]
    fn add_reader(&self, forbidden: u32) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        // The count cannot overflow: there are far fewer threads than 2^30.
        while s & forbidden == 0 {
            match self.state.compare_exchange_weak(s, s + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => s = now,
            }
        }
        false
    }

    #[cold]
    fn read_slow(&self) {
        let mut tries = 0u32;
        self.read_queue.wait_until(|| {
            // The first two tries come before the first sleep (see `WaitQueue`).
            tries = tries.saturating_add(1);
            let polite = tries <= 2 && self.writers.load(Ordering::SeqCst) > 0;
            self.take_or_mark(|s| if polite || s & WRITER != 0 { None } else { Some(s + 1) })
        });
    }

    #[cold]
    fn write_slow(&self) {
        self.writers.fetch_add(1, Ordering::SeqCst);
        self.write_queue.wait_until(|| {
            self.take_or_mark(|s| if s & (WRITER | READERS) != 0 { None } else { Some(WRITER | WAITING) })
        });
        self.writers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Changes the state as `take` says, or, where it says None, sees to it that `WAITING` is set.
    fn take_or_mark(&self, take: impl Fn(u32) -> Option<u32>) -> bool {
        let mut s = self.state.load(Ordering::Relaxed);
        loop {
            let taken = take(s);
            let new = taken.unwrap_or(s | WAITING);
            match self.state.compare_exchange_weak(s, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return taken.is_some(),
                Err(now) => s = now,
            }
        }
    }

    #[cold]
    fn wake(&self) {
        self.read_queue.wake_all();
        self.write_queue.wake_one();
    }

    #[cold]
    fn last_reader_left(&self) {
        // Somebody may have come in since: then their unlock will find WAITING and do this.
        let got = self.state.compare_exchange(WAITING, 0, Ordering::Relaxed, Ordering::Relaxed);
        if got.is_ok() {
            self.wake();
        }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_tuple("RwLock").field(&&*guard).finish(),
            None => f.write_str("RwLock(held)"),
        }
    }
}

/// The lock is held with other readers as long as this lives.
#[must_use = "dropped at once, it guards nothing"]
pub struct ReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    _thread: PhantomData<*const ()>,
}

/// The lock is held alone as long as this lives.
#[must_use = "dropped at once, it guards nothing"]
pub struct WriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    _thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives only `&T`.
unsafe impl<T: ?Sized + Sync> Sync for ReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for WriteGuard<'_, T> {}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: counted as a reader: no writer is in.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the proof that the lock is ours alone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is ours alone, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.lock.state.fetch_sub(1, Ordering::Release) == WAITING | 1 {
            self.lock.last_reader_left();
        }
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.lock.state.swap(0, Ordering::Release) & WAITING != 0 {
            self.lock.wake();
        }
    }
}

#[cfg(test)]
#[path = "rwlock_tests.rs"]
mod tests;
