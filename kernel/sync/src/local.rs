//! A value for each thread.
//!
//! ```
//! use core::cell::Cell;
//! static DEPTH: sync::PerThread<Cell<u32>> = sync::PerThread::new(|| Cell::new(0));
//! DEPTH.with(|d| d.set(d.get() + 1));
//! assert_eq!(DEPTH.with(Cell::get), 1);
//! ```
//! The value is made when its thread first asks and dropped when the thread ends. Not for interrupt
//! handlers, which have no thread of their own: a debug build panics.
//!
//! # How it is found
//! Each slot draws a number when it is first used; a thread keeps its values in a table by these numbers.
//! So a look costs a few loads: the journal takes one at each step of a system call.
//!
//! # Invariants
//! 1. A number is drawn by one slot only, so what a table holds under it is of that slot's type.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{backend, irq};

/// A slot that every thread has for itself. Only as a `static`.
pub struct PerThread<T: 'static> {
    make: fn() -> T,
    /// Its number, counted from 1; 0 as long as nobody has asked.
    number: AtomicUsize,
}

/// The last number that was drawn.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// One thread's values by the numbers of their [`PerThread`]s.
pub(crate) struct Locals(Vec<Option<Box<dyn Any>>>);

impl Locals {
    pub const fn new() -> Locals {
        Locals(Vec::new())
    }

    /// What is kept under a number; the number is that of a slot of type `T` (1).
    #[inline]
    fn find<T: 'static>(&self, number: usize) -> Option<*const T> {
        let value = self.0.get(number)?.as_ref()?;
        Some(ptr::from_ref(&**value).cast::<T>())
    }

    fn keep(&mut self, number: usize, value: Box<dyn Any>) {
        if self.0.len() <= number {
            self.0.resize_with(number + 1, || None);
        }
        self.0[number] = Some(value);
    }
}

impl<T: 'static> PerThread<T> {
    /// A slot whose values start as `make` makes them.
    pub const fn new(make: fn() -> T) -> PerThread<T> {
        PerThread { make, number: AtomicUsize::new(0) }
    }

    /// Calls `f` with this thread's value. May be nested.
    #[inline]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        debug_assert!(irq::enabled(), "a thread's value is asked for where there is no thread");
        let thread = backend::current();
        // SAFETY: `thread` is the caller itself; the table is not borrowed across `make` or `f`.
        let found = unsafe { (*thread.locals()).find::<T>(self.number.load(Ordering::Relaxed)) };
        let value = found.unwrap_or_else(|| self.first_use());
        // SAFETY: the value is in its box until the thread ends, which it does not within `f`; only
        // this thread reaches it, and only by shared reference. It is a `T` (1).
        f(unsafe { &*value })
    }

    /// Makes this thread's value.
    #[cold]
    fn first_use(&'static self) -> *const T {
        let number = self.number();
        let made = Box::new((self.make)());
        let value: *const T = &*made;
        // SAFETY: the thread is the caller itself, and the table is not borrowed. The box may move within
        // the table, what it points at does not.
        unsafe { (*backend::current().locals()).keep(number, made) };
        value
    }

    /// Its number, drawn now if nobody did before.
    fn number(&'static self) -> usize {
        let fresh = DRAWN.fetch_add(1, Ordering::Relaxed) + 1;
        match self.number.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            // Another thread's draw, or an earlier one; ours is never used (1).
            Err(drawn) => drawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread;
    use core::cell::{Cell, RefCell};
    use core::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn each_thread_has_its_own() {
        static N: PerThread<Cell<u32>> = PerThread::new(|| Cell::new(7));
        static LIST: PerThread<RefCell<Vec<u32>>> = PerThread::new(|| RefCell::new(Vec::new()));
        N.with(|n| n.set(8));
        LIST.with(|l| l.borrow_mut().push(1));
        thread::spawn("other", || {
            assert_eq!(N.with(Cell::get), 7);
            assert!(LIST.with(|l| l.borrow().is_empty()));
        })
        .unwrap()
        .join();
        assert_eq!(N.with(Cell::get), 8);
        LIST.with(|l| N.with(|n| assert_eq!((l.borrow().len(), n.get()), (1, 8))));
    }

    #[test]
    fn dropped_when_the_thread_ends() {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        struct D;
        impl Drop for D {
            fn drop(&mut self) {
                DROPS.fetch_add(1, Ordering::SeqCst);
            }
        }
        static SLOT: PerThread<D> = PerThread::new(|| D);
        thread::spawn("dropper", || SLOT.with(|_| ())).unwrap().join();
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
    }
}
