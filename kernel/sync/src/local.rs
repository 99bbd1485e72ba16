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

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;

use crate::{backend, irq};

/// A slot that every thread has for itself. Only as a `static`.
pub struct PerThread<T: 'static> {
    make: fn() -> T,
}

/// One thread's values, found by the address of their [`PerThread`].
pub(crate) struct Locals(Vec<(usize, Box<dyn Any>)>);

impl Locals {
    pub const fn new() -> Locals {
        Locals(Vec::new())
    }

    fn find<T: 'static>(&self, key: usize) -> Option<*const T> {
        let (_, value) = self.0.iter().find(|(k, _)| *k == key)?;
        value.downcast_ref::<T>().map(|v| v as *const T)
    }
}

impl<T: 'static> PerThread<T> {
    /// A slot whose values start as `make` makes them.
    pub const fn new(make: fn() -> T) -> PerThread<T> {
        PerThread { make }
    }

    /// Calls `f` with this thread's value. May be nested.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        debug_assert!(irq::enabled(), "a thread's value is asked for where there is no thread");
        let thread = backend::current();
        let key = self as *const Self as usize;
        // SAFETY: `thread` is the caller itself; the table is not borrowed across `make` or `f`.
        let found = unsafe { (*thread.locals()).find::<T>(key) };
        let value = found.unwrap_or_else(|| {
            let made = Box::new((self.make)());
            let value: *const T = &*made;
            // SAFETY: as above. The box may move within the table, what it points at does not.
            unsafe { (*thread.locals()).0.push((key, made)) };
            value
        });
        // SAFETY: the value is in its box until the thread ends, which it does not within `f`; only
        // this thread reaches it, and only by shared reference.
        f(unsafe { &*value })
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
