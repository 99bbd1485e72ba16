//! Locks, wait queues and kernel threads: the only crate that knows whether it runs on the machine
//! or on a host.
//!
//! * [`SpinLock`]: short, interrupts off while held; the only lock an interrupt handler may take.
//! * [`Mutex`], [`RwLock`]: sleeping locks. Uncontended they are one atomic operation each way.
//! * [`WaitQueue`]: where a thread waits for a condition. All sleeping of the kernel happens here.
//! * [`ByteLock`]: the bytes of one block of a [`base::Frame`], as a slice, behind a sleeping lock.
//! * [`thread`]: spawn, join, sleep, yield; [`PerThread`]: a value for each thread.
//! * [`WorkQueue`]: a thread for what interrupts leave to do.
//! * [`atomic`]: `core`'s atomic words, which on a host an explorer of thread orders may watch.
//! * [`Once`], [`Lazy`]: set once, read often. A thread that finds one half-made spins, so the maker
//!   must not sleep.
//!
//! ```
//! use sync::{Mutex, thread};
//! static SUM: Mutex<u64> = Mutex::new(0);
//! let t = thread::spawn("adder", || *SUM.lock() += 2).unwrap();
//! t.join();
//! assert_eq!(*SUM.lock(), 2);
//! ```
//!
//! # How it is built
//! ```text
//!   Mutex  RwLock  ByteLock  join          the same code on both sides
//!        \    |    /        /
//!          WaitQueue  (SpinLock + a list of waiters on their own stacks)
//!               |
//!     park / unpark of one thread
//!        /            \
//!   host: condvar    machine: run queue (sched.rs), context switch, idle, timer
//! ```
//! `sched.rs` decides who runs; it is data only and is tested on the host.
//!
//! # Locking
//! The kernel is not preempted: a thread gives up the CPU only where it sleeps or yields. Interrupts
//! are on except under a [`SpinLock`]. Never sleep with a `SpinLock` held. Inside this crate the
//! order is: a queue's lock, then the scheduler's lock; the second is never held while the first is
//! taken.
#![no_std]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod atomic;
mod byte_lock;
#[cfg(not(target_os = "none"))]
pub mod explore;
pub mod irq;
mod local;
mod mutex;
mod rwlock;
#[cfg(any(test, target_os = "none"))]
mod sched;
mod spinlock;
mod tcb;
pub mod thread;
mod wait;
mod work;

#[cfg(not(target_os = "none"))]
#[path = "host.rs"]
mod backend;
#[cfg(target_os = "none")]
#[path = "machine/mod.rs"]
mod backend;
#[cfg(target_os = "none")]
pub mod platform;

pub use byte_lock::{ByteLock, ByteLocks, ByteReadGuard, ByteWriteGuard};
pub use local::PerThread;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use spin::{LazyLock as Lazy, Once};
pub use spinlock::{SpinGuard, SpinLock};
pub use wait::WaitQueue;
pub use work::{Work, WorkQueue};
