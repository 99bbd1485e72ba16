//! Threads that are held up at random, so that programs that run at once meet in more ways than they would.
//!
//! Each operation of [`sync::atomic`], and so each lock, asks [`sync::explore`] whether somebody decides who runs. Here
//! nobody does; but who asks while a crowd is at work may have to sleep first, for up to a millisecond. What comes of
//! it is another thing each time.
//!
//! # Locking
//! None. A thread may be held up with a spin lock held: those who want it yield.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use sync::explore::{self, Scheduler};

/// One operation in so many is held up.
static EVERY: AtomicU64 = AtomicU64::new(1);
/// Crowds at work.
static CROWDS: AtomicUsize = AtomicUsize::new(0);

thread_local!(static LOT: Cell<u64> = const { Cell::new(0) });

struct Shaker;

/// From now on one operation in so many is held up, where programs run at once.
pub fn install(every: u64) {
    EVERY.store(every.max(1), Ordering::Relaxed);
    explore::install(&Shaker);
}

/// A crowd is at work as long as it lives.
pub(super) struct Crowd;

impl Crowd {
    pub fn begin() -> Crowd {
        CROWDS.fetch_add(1, Ordering::Relaxed);
        Crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        CROWDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A random number, of the thread's own row (xorshift).
fn draw() -> u64 {
    LOT.with(|lot| {
        let mut x = if lot.get() == 0 { first(lot) } else { lot.get() };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        lot.set(x);
        x
    })
}

/// Where a thread's row begins; not 0.
fn first(lot: &Cell<u64>) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let here = std::ptr::from_ref(lot).addr() as u64;
    u64::from(now.subsec_nanos()) ^ here.rotate_left(32) | 1
}

/// Lets the others go first, or sleeps, mostly for less than a tenth of a millisecond.
fn hold_up(lot: u64) {
    let most = match lot % 4 {
        0 => return thread::yield_now(),
        1 => 10,
        2 => 100,
        _ => 1000,
    };
    thread::sleep(Duration::from_micros(1 + (lot >> 8) % most));
}

impl Scheduler for Shaker {
    /// None: nobody's thread is ours.
    fn current(&self) -> Option<u64> {
        if CROWDS.load(Ordering::Relaxed) > 0 {
            let lot = draw();
            if lot.is_multiple_of(EVERY.load(Ordering::Relaxed)) {
                hold_up(lot >> 32);
            }
        }
        None
    }

    fn point(&self) {}
    fn yield_now(&self) {}
    fn park(&self, _deadline: Option<u64>) {}
    fn unpark(&self, _thread: u64) {}
    fn spawn(&self, _f: Box<dyn FnOnce() + Send>) {}
}
