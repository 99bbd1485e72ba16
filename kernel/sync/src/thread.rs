//! Kernel threads.
//!
//! ```
//! use sync::thread;
//! let t = thread::spawn("worker", || thread::sleep_ns(1_000)).unwrap();
//! t.join();
//! ```
//! A thread runs until its function returns. It gives up the CPU where it sleeps or calls
//! [`yield_now`], nowhere else. The thread that boots the machine (on the host: any thread of the
//! test) is a thread like the others.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::Result;
use base::trace::{Context, RecordFlags};
use spin::Once;

use crate::atomic::{AtomicBool, Ordering};
use crate::backend;
use crate::tcb::Tcb;
use crate::wait::WaitQueue;

/// Which thread. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ThreadId(pub u64);

/// A thread that was spawned. Dropping it lets the thread go its own way.
#[derive(Debug)]
pub struct Thread {
    name: &'static str,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct End {
    ended: AtomicBool,
    queue: WaitQueue,
}

/// Marks the end also when the thread's function panics (on the host).
struct Ending(Arc<End>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.queue.wake_all();
    }
}

/// Starts a thread. ENOMEM when there is no memory for its stack.
pub fn spawn(name: &'static str, f: impl FnOnce() + Send + 'static) -> Result<Thread> {
    let end = Arc::new(End::default());
    let ending = Ending(end.clone());
    backend::spawn(
        name,
        Box::new(move || {
            let ending = ending;
            f();
            backend::end_of_thread();
            drop(ending);
        }),
    )?;
    Ok(Thread { name, end })
}

impl Thread {
    /// Sleeps until the thread has ended.
    pub fn join(&self) {
        self.end.queue.wait_until(|| self.ended());
    }

    /// Whether the thread has ended.
    pub fn ended(&self) -> bool {
        self.end.ended.load(Ordering::Acquire)
    }

    /// The name it was given.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The thread that asks.
pub fn current() -> ThreadId {
    backend::current().id()
}

/// The name of the thread that asks, for the log and a panic: "boot" (on the host "main") for one that
/// was not spawned.
pub fn current_name() -> &'static str {
    backend::current().name()
}

/// Says that this thread is one of the program's: its number and its name there, at most 15 bytes.
/// For traces.
pub fn set_task(tid: u32, comm: &[u8]) {
    backend::current().set_task(tid, &Context::named(tid, comm).comm);
}

/// A thread that signals are sent to, kept by whoever sends them.
#[derive(Clone, Copy)]
pub struct Receiver(&'static Tcb);

/// The thread that asks, for who is to interrupt it.
pub fn receiver() -> Receiver {
    Receiver(backend::current())
}

impl Receiver {
    /// Says whether a signal waits for the thread. One that does wakes it from an interruptible wait
    /// ([`crate::WaitQueue::wait_interruptible`]). Callable in interrupts; lock order: before the run queue.
    pub fn set_signalled(self, waits: bool) {
        self.0.signalled.store(waits, Ordering::Release);
        if waits {
            backend::unpark(self.0);
        }
    }
}

impl core::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Receiver({})", self.0.id().0)
    }
}

/// Whether a signal waits for this thread (`signal_pending`).
#[inline]
pub fn signal_pending() -> bool {
    backend::current().signalled.load(Ordering::Acquire)
}

/// Whether this thread is one of the program's. Callable with any lock held.
#[inline]
pub fn is_task() -> bool {
    backend::current().is_task()
}

/// Who is at work, for traces. Callable in interrupts and with any lock held.
pub fn context() -> Context {
    let flags = RecordFlags::default()
        .with(RecordFlags::IRQS_OFF, !crate::irq::enabled())
        .with(RecordFlags::NEED_RESCHED, need_resched());
    if backend::is_idle() {
        return Context { flags, ..Context::named(0, b"<idle>") };
    }
    let me = backend::current();
    match me.task() {
        Some((pid, comm)) => Context { pid, comm, flags },
        // Kernel threads are few: the number fits.
        None => Context { flags, ..Context::named(me.id().0 as u32, me.name().as_bytes()) },
    }
}

/// Lets another thread that is ready run first.
#[inline]
pub fn yield_now() {
    backend::yield_now();
}

/// Sleeps for `ns` nanoseconds, or a little longer.
pub fn sleep_ns(ns: u64) {
    let deadline = base::time::monotonic_ns().saturating_add(ns);
    about_to_sleep();
    while base::time::monotonic_ns() < deadline {
        backend::park(Some(deadline));
    }
}

/// To be called by the timer's interrupt handler with CLOCK_MONOTONIC's time: wakes whose time has
/// come, sets the timer anew, and says whether another thread is ready to run.
pub fn tick(now_ns: u64) -> bool {
    backend::tick(now_ns)
}

/// Whether another thread is ready to run: whoever returns to the program should yield first.
#[inline]
pub fn need_resched() -> bool {
    backend::need_resched()
}

static BLOCK_HOOK: Once<fn()> = Once::new();

/// Installs what is to be done whenever a thread is about to sleep: the block layer hands over the
/// bios the thread has plugged, or it would wait for what it holds back itself. The first call wins.
/// The hook may take locks and sleep; it is not called within itself.
pub fn set_block_hook(hook: fn()) {
    BLOCK_HOOK.call_once(|| hook);
}

/// Every sleep begins here, before the thread is in any queue.
pub(crate) fn about_to_sleep() {
    let Some(hook) = BLOCK_HOOK.get() else { return };
    let me = backend::current();
    if !me.in_hook.swap(true, Ordering::Relaxed) {
        hook();
        me.in_hook.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    #[test]
    fn join_sees_what_the_thread_did() {
        static DONE: AtomicUsize = AtomicUsize::new(0);
        let t = spawn("w", || {
            sleep_ns(1_000_000);
            DONE.store(5, Ordering::Relaxed);
        })
        .unwrap();
        t.join();
        assert!(t.ended());
        assert_eq!(DONE.load(Ordering::Relaxed), 5);
        assert_eq!(t.name(), "w");
    }

    #[test]
    fn ids_differ() {
        let here = current();
        assert_eq!(here, current());
        let t = spawn("w", move || {
            assert_ne!(current(), here);
            assert_eq!(current_name(), "w");
        })
        .unwrap();
        t.join();
    }

    #[test]
    fn a_trace_knows_who_is_at_work() {
        let t = spawn("flush-vda", || {
            let before = context();
            assert_eq!((before.comm, before.pid), (Context::named(0, b"flush-vda").comm, current().0 as u32));
            set_task(7, b"a program with a long name");
            assert_eq!((&context().comm, context().pid), (b"a program with \0", 7));
        })
        .unwrap();
        t.join();
        assert!(t.ended());
    }

    #[test]
    fn a_sleep_is_not_too_short() {
        let begin = base::time::monotonic_ns();
        sleep_ns(2_000_000);
        assert!(base::time::monotonic_ns() - begin >= 2_000_000);
    }

    #[test]
    fn the_hook_runs_before_a_sleep_and_not_within_itself() {
        static CALLS: crate::PerThread<core::cell::Cell<u32>> =
            crate::PerThread::new(|| core::cell::Cell::new(0));
        fn hook() {
            CALLS.with(|c| c.set(c.get() + 1));
            sleep_ns(1);
        }
        set_block_hook(hook);
        let before = CALLS.with(core::cell::Cell::get);
        sleep_ns(1);
        assert_eq!(CALLS.with(core::cell::Cell::get), before + 1);
    }
}
