//! Where a thread waits for a condition.
//!
//! ```
//! use std::sync::atomic::{AtomicBool, Ordering};
//! use sync::{WaitQueue, thread};
//! static READY: AtomicBool = AtomicBool::new(false);
//! static QUEUE: WaitQueue = WaitQueue::new();
//! let t = thread::spawn("waiter", || QUEUE.wait_until(|| READY.load(Ordering::Acquire))).unwrap();
//! READY.store(true, Ordering::Release);   // first make the condition true,
//! QUEUE.wake_all();                       // then wake
//! t.join();
//! ```
//!
//! # The condition
//! It is asked before sleeping and after every wake, with the thread already in the queue, so a
//! wake between the question and the sleep is never missed. It may take effect when it answers true
//! ("take a token if there is one"): after true it is not asked again. It may take any lock, also a
//! sleeping one; it must not wait on the same queue.
//!
//! # Signals
//! A thread in [`WaitQueue::wait_interruptible`] also comes back when a signal waits for it
//! ([`thread::Receiver`]), and at once when one did already. The condition goes first.
//!
//! # Waking
//! [`WaitQueue::wake_one`] and [`WaitQueue::wake_all`] allocate nothing and may be called from an
//! interrupt handler. A wake that reaches a thread that has just found its condition true by itself
//! is passed on to the next one.
//!
//! # Invariants
//! 1. A waiter's links are touched only with the queue's lock held.
//! 2. A waiter is in the list exactly as long as its `woken` is false and its thread has not taken it
//!    out; setting `woken` is the waker's last touch of it.
//! 3. A thread leaves [`WaitQueue::wait_until`] only when its waiter is out of the list.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::ptr;
use core::sync::atomic::fence;

use crate::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::spinlock::SpinLock;
use crate::tcb::Tcb;
use crate::{backend, thread};

/// A queue of threads that wait; see the module.
pub struct WaitQueue {
    list: SpinLock<List>,
    /// How many are in the list, to wake an empty queue without its lock.
    waiting: AtomicUsize,
}

struct Waiter {
    thread: &'static Tcb,
    woken: AtomicBool,
    prev: Cell<*const Waiter>,
    next: Cell<*const Waiter>,
    _pin: PhantomPinned,
}

struct List {
    first: *const Waiter,
    last: *const Waiter,
}

// SAFETY: the pointers lead to waiters that stay in place while listed (2, 3) and whose links only
// the holder of the queue's lock touches (1); their other fields are Sync.
unsafe impl Send for List {}

impl List {
    fn push(&mut self, w: Pin<&Waiter>) {
        let w: *const Waiter = &*w;
        // SAFETY: `w` was just a reference; `last` is listed, so alive (2).
        unsafe {
            (*w).prev.set(self.last);
            (*w).next.set(ptr::null());
            match self.last.as_ref() {
                Some(last) => last.next.set(w),
                None => self.first = w,
            }
        }
        self.last = w;
    }

    /// Takes a listed waiter out.
    ///
    /// # Safety
    /// `w` is in this list.
    unsafe fn unlink(&mut self, w: *const Waiter) {
        // SAFETY: the caller says that `w` is listed, so it and its neighbours are alive (2).
        unsafe {
            let (prev, next) = ((*w).prev.get(), (*w).next.get());
            match prev.as_ref() {
                Some(prev) => prev.next.set(next),
                None => self.first = next,
            }
            match next.as_ref() {
                Some(next) => next.prev.set(prev),
                None => self.last = prev,
            }
        }
    }

    /// Takes the first waiter out, marks it woken, and says whose it was.
    fn pop(&mut self) -> Option<&'static Tcb> {
        let w = self.first;
        // SAFETY: a listed waiter is alive (2).
        let thread = unsafe { w.as_ref() }?.thread;
        // SAFETY: the first is listed.
        unsafe { self.unlink(w) };
        // SAFETY: still alive: its thread leaves only after it has seen this store (3), which is the
        // last touch.
        unsafe { (*w).woken.store(true, Ordering::Release) };
        Some(thread)
    }
}

/// What may end a wait besides its condition and its deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// Nothing.
    Deep,
    /// A signal.
    Interruptible,
}

/// How a wait ended.
#[derive(PartialEq, Eq)]
enum Left {
    /// Taken out of the list by its own thread.
    Unwoken,
    /// Taken out by a waker.
    Woken,
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> WaitQueue {
        let list = List { first: ptr::null(), last: ptr::null() };
        WaitQueue { list: SpinLock::new(list), waiting: AtomicUsize::new(0) }
    }

    /// Sleeps until `condition` answers true.
    #[inline]
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        if !condition() {
            self.wait(&mut condition, None, Sleep::Deep);
        }
    }

    /// Sleeps until `condition` answers true, or a signal waits for this thread
    /// ([`thread::signal_pending`]), or `ns` nanoseconds are over (None: never). Returns the condition's
    /// last answer.
    pub fn wait_interruptible(&self, ns: Option<u64>, mut condition: impl FnMut() -> bool) -> bool {
        if condition() {
            return true;
        }
        let deadline = ns.map(|ns| base::time::monotonic_ns().saturating_add(ns));
        self.wait(&mut condition, deadline, Sleep::Interruptible)
    }

    /// Sleeps until `condition` answers true, at most `ns` nanoseconds. Returns the condition's last
    /// answer.
    pub fn wait_until_timeout(&self, ns: u64, mut condition: impl FnMut() -> bool) -> bool {
        if condition() {
            return true;
        }
        self.wait(&mut condition, Some(base::time::monotonic_ns().saturating_add(ns)), Sleep::Deep)
    }

    /// Wakes the thread that has waited longest. Returns whether there was one.
    #[inline]
    pub fn wake_one(&self) -> bool {
        !self.is_quiet() && self.wake_first()
    }

    // Apart, so that who finds nobody waiting, which is the rule, carries none of this with it.
    #[cold]
    #[inline(never)]
    fn wake_first(&self) -> bool {
        let thread = {
            let mut list = self.list.lock();
            let thread = list.pop();
            if thread.is_some() {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            thread
        };
        thread.map(backend::unpark).is_some()
    }

    /// Wakes every thread that waits now.
    #[inline]
    pub fn wake_all(&self) {
        if !self.is_quiet() {
            self.wake_present();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_present(&self) {
        // Only those here now: a woken thread may be back in the queue before the loop ends.
        let mut left = self.waiting.load(Ordering::Relaxed);
        while left > 0 && self.wake_one() {
            left -= 1;
        }
    }

    /// Whether nobody waits. The fence pairs with the one in `wait`: either the waker sees the
    /// waiter here, or the waiter's condition sees what the waker did before.
    #[inline]
    fn is_quiet(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) == 0
    }

    #[cold]
    fn wait(&self, condition: &mut dyn FnMut() -> bool, deadline: Option<u64>, sleep: Sleep) -> bool {
        let interrupted = || sleep == Sleep::Interruptible && thread::signal_pending();
        let late = || deadline.is_some_and(|d| base::time::monotonic_ns() >= d);
        loop {
            thread::about_to_sleep();
            let waiter = pin!(Waiter::new());
            let waiter = waiter.as_ref();
            let listed = Listed::enter(self, waiter);
            if condition() {
                // A wake that came meanwhile was for a second event: pass it on.
                if listed.leave() == Left::Woken {
                    self.wake_one();
                }
                return true;
            }
            while !waiter.woken.load(Ordering::Acquire) && !late() && !interrupted() {
                backend::park(deadline);
            }
            let left = listed.leave();
            if condition() {
                return true;
            }
            if late() || interrupted() {
                if left == Left::Woken {
                    self.wake_one();
                }
                return false;
            }
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        WaitQueue::new()
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitQueue({} waiting)", self.waiting.load(Ordering::Relaxed))
    }
}

impl Waiter {
    fn new() -> Waiter {
        Waiter {
            thread: backend::current(),
            woken: AtomicBool::new(false),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            _pin: PhantomPinned,
        }
    }
}

/// A waiter in a queue's list. Dropped (also by a panic in the condition) it is out of the list.
struct Listed<'a> {
    queue: &'a WaitQueue,
    waiter: Pin<&'a Waiter>,
}

impl<'a> Listed<'a> {
    fn enter(queue: &'a WaitQueue, waiter: Pin<&'a Waiter>) -> Listed<'a> {
        {
            let mut list = queue.list.lock();
            list.push(waiter);
            queue.waiting.fetch_add(1, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        Listed { queue, waiter }
    }

    /// Out of the list, if a waker has not done it.
    fn leave(self) -> Left {
        let how = self.unlist();
        core::mem::forget(self);
        how
    }

    fn unlist(&self) -> Left {
        if self.waiter.woken.load(Ordering::Acquire) {
            return Left::Woken;
        }
        let mut list = self.queue.list.lock();
        if self.waiter.woken.load(Ordering::Relaxed) {
            return Left::Woken;
        }
        // SAFETY: not woken, under the lock: so still listed (2).
        unsafe { list.unlink(&*self.waiter) };
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
        Left::Unwoken
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        if self.unlist() == Left::Woken {
            self.queue.wake_one();
        }
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
