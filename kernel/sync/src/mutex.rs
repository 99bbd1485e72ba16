//! A sleeping lock for one.
//!
//! `state` tells how it stands: free, held, or held with perhaps somebody waiting. Free → held and
//! held → free are one atomic operation each; only `CONTENDED` leads to the queue. A thread that had
//! to wait takes the lock as `CONTENDED`, because others may be waiting behind it: at worst its unlock
//! looks into an empty queue.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::atomic::{AtomicU32, Ordering};
use crate::wait::WaitQueue;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A value behind a sleeping lock. Not for interrupt handlers.
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    queue: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time reaches the value, so it must be Send and need not be Sync.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { state: AtomicU32::new(FREE), queue: WaitQueue::new(), value: UnsafeCell::new(value) }
    }

    /// The value, the lock being owned.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; sleeps while another has it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.queue.wait_until(|| self.state.swap(CONTENDED, Ordering::Acquire) == FREE);
        }
        MutexGuard { lock: self, _thread: PhantomData }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let got = self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        got.ok().map(|_| MutexGuard { lock: self, _thread: PhantomData })
    }

    /// Whether somebody has the lock now.
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != FREE
    }

    /// The value, nobody else having the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[cold]
    fn wake(&self) {
        self.queue.wake_one();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(held)"),
        }
    }
}

/// The lock is held as long as this lives.
#[must_use = "dropped at once, it guards nothing"]
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    /// Who takes it gives it back.
    _thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives only `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the proof that the lock is ours.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is ours, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.lock.state.swap(FREE, Ordering::Release) == CONTENDED {
            self.lock.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread;
    use std::sync::Arc;
    use std::vec::Vec;

    #[test]
    fn counts_are_not_lost() {
        let rounds = if cfg!(miri) { 30 } else { 5_000 };
        let sum = Arc::new(Mutex::new(0usize));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sum = sum.clone();
                thread::spawn("adder", move || {
                    for i in 0..rounds {
                        let mut guard = sum.lock();
                        let seen = *guard;
                        if i % 64 == 0 {
                            thread::yield_now();
                        }
                        *guard = seen + 1;
                    }
                })
                .unwrap()
            })
            .collect();
        threads.iter().for_each(|t| t.join());
        assert_eq!(*sum.lock(), 4 * rounds);
        assert!(!sum.is_locked());
    }

    #[test]
    fn sleepers_are_woken_one_after_the_other() {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let guard = lock.lock();
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let lock = lock.clone();
                thread::spawn("sleeper", move || lock.lock().push(i)).unwrap()
            })
            .collect();
        thread::sleep_ns(3_000_000);
        assert!(lock.try_lock().is_none());
        drop(guard);
        threads.iter().for_each(|t| t.join());
        let mut order = lock.lock().clone();
        order.sort_unstable();
        assert_eq!(order, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn shows_itself() {
        let lock = Mutex::new(3);
        assert_eq!(std::format!("{lock:?}"), "Mutex(3)");
        let _guard = lock.lock();
        assert_eq!(std::format!("{lock:?}"), "Mutex(held)");
    }
}
