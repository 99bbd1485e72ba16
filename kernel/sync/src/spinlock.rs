//! A lock for short critical sections, usable in interrupt handlers.
//!
//! While the guard lives, interrupts are off on this CPU (the guard carries the mask as it was), so a
//! handler never finds the lock held by the code it interrupted. Guards are dropped in the reverse
//! order of their making, or the mask goes wrong.
//!
//! Not to be done under it: sleep, allocate much, copy user memory, call unknown code.
//!
//! In a debug build the lock word names its holder, and a CPU (on the host: a thread) that takes a
//! lock it already holds panics instead of standing still.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::atomic::{AtomicUsize, Ordering};
use crate::{backend, irq};

const FREE: usize = 0;

/// A value behind a spinning lock; see the module.
pub struct SpinLock<T: ?Sized> {
    /// [`FREE`], or who holds it.
    word: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives one thread at a time access to the value, so it moves between threads
// (`T: Send`) but is never shared by two.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> SpinLock<T> {
        SpinLock { word: AtomicUsize::new(FREE), value: UnsafeCell::new(value) }
    }

    /// The value, the lock being owned.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Masks interrupts, then takes the lock, spinning until it is free.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let saved = irq::save();
        if self.word.compare_exchange_weak(FREE, me(), Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        SpinGuard { lock: self, saved, _thread: PhantomData }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let saved = irq::save();
        if self.word.compare_exchange(FREE, me(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return Some(SpinGuard { lock: self, saved, _thread: PhantomData });
        }
        irq::restore(saved);
        None
    }

    /// The value, nobody else having the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[cold]
    fn lock_contended(&self) {
        loop {
            match self.word.compare_exchange_weak(FREE, me(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return,
                Err(holder) => {
                    assert!(
                        !cfg!(debug_assertions) || holder != me(),
                        "a SpinLock is taken twice by the same CPU"
                    );
                    backend::spin_wait();
                }
            }
        }
    }

    /// Frees the lock without a guard, leaving the interrupt mask alone.
    ///
    /// # Safety
    /// The lock is held by this CPU, and its guard was forgotten.
    #[cfg(target_os = "none")]
    pub(crate) unsafe fn force_unlock(&self) {
        self.word.store(FREE, Ordering::Release);
    }
}

#[inline(always)]
fn me() -> usize {
    if cfg!(debug_assertions) { backend::cpu_mark() } else { 1 }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        SpinLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("SpinLock").field(&&*guard).finish(),
            None => f.write_str("SpinLock(held)"),
        }
    }
}

/// The lock is held and interrupts are off as long as this lives.
#[must_use = "dropped at once, it guards nothing"]
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    saved: irq::Saved,
    /// The mask is this CPU's: the guard stays on its thread.
    _thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives only `&T`.
unsafe impl<T: ?Sized + Sync> Sync for SpinGuard<'_, T> {}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the proof that the lock is ours.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is ours, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.word.store(FREE, Ordering::Release);
        irq::restore(self.saved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::vec::Vec;

    #[test]
    fn counts_are_not_lost() {
        let rounds = if cfg!(miri) { 50 } else { 10_000 };
        let sum = Arc::new(SpinLock::new(0usize));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sum = sum.clone();
                std::thread::spawn(move || (0..rounds).for_each(|_| *sum.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*sum.lock(), 4 * rounds);
    }

    #[test]
    fn try_lock_fails_while_held() {
        let lock = SpinLock::new(5);
        let guard = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert_eq!(lock.try_lock().map(|g| *g), Some(5));
        assert_eq!(lock.into_inner(), 5);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "taken twice")]
    fn recursion_is_caught() {
        let lock = SpinLock::new(());
        let _first = lock.lock();
        let _second = lock.lock();
    }
}
