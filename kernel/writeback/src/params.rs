//! The figures of `/proc/sys/vm`, and the limits they make.
//!
//! ```text
//!   memory 8192 pages (32 MiB), background 10 %, dirty 20 %:
//!     810 pages dirty    the flusher begins
//!    1215                writers begin to wait (half way)
//!    1620                what is never passed for long
//! ```
//! # Locking
//! Atomics; a change is seen by the next who looks.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use base::PAGE_SIZE;

use crate::bdi;

/// Until somebody says how much memory there is: 256 MiB.
static MEMORY: AtomicUsize = AtomicUsize::new(65536);
/// From here on the flusher works.
static BACKGROUND: Bound = Bound::new(10);
/// So much may be dirty.
static LIMIT: Bound = Bound::new(20);
/// Hundredths of a second after which dirty data is old.
static DIRTY_EXPIRE_CENTISECS: AtomicU32 = AtomicU32::new(3000);
/// Hundredths of a second between two rounds of the flusher; 0: none.
static DIRTY_WRITEBACK_CENTISECS: AtomicU32 = AtomicU32::new(500);

const NS_PER_CENTISEC: u64 = 10_000_000;
/// Below so many dirty pages nobody is made to wait.
const LEAST_LIMIT: usize = 16;

/// A part of memory: in percent, or in bytes when they are not 0. Who sets one sets the other to 0, so
/// that both files of `/proc/sys/vm` tell which of them rules.
struct Bound {
    percent: AtomicU32,
    bytes: AtomicU64,
}

impl Bound {
    const fn new(percent: u32) -> Bound {
        Bound { percent: AtomicU32::new(percent), bytes: AtomicU64::new(0) }
    }

    fn set(&self, percent: u32, bytes: u64) {
        self.percent.store(percent.min(100), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn pages(&self) -> usize {
        match self.bytes.load(Ordering::Relaxed) {
            // A ratio is at most 100, so the product fits long before memory does not.
            0 => MEMORY.load(Ordering::Relaxed) / 100 * self.percent.load(Ordering::Relaxed) as usize,
            bytes => usize::try_from(bytes.div_ceil(PAGE_SIZE as u64)).unwrap_or(usize::MAX),
        }
    }
}

/// How many pages of memory the ratios are of.
pub fn set_memory(total_pages: usize) {
    MEMORY.store(total_pages, Ordering::Relaxed);
}

/// `dirty_ratio` and `dirty_bytes`; one of them is 0.
pub fn dirty_limit() -> (u32, u64) {
    (LIMIT.percent.load(Ordering::Relaxed), LIMIT.bytes.load(Ordering::Relaxed))
}

/// Sets `dirty_ratio`, 0 to 100.
pub fn set_dirty_ratio(percent: u32) {
    LIMIT.set(percent, 0);
}

/// Sets `dirty_bytes`.
pub fn set_dirty_bytes(bytes: u64) {
    LIMIT.set(0, bytes);
}

/// `dirty_background_ratio` and `dirty_background_bytes`; one of them is 0.
pub fn dirty_background() -> (u32, u64) {
    (BACKGROUND.percent.load(Ordering::Relaxed), BACKGROUND.bytes.load(Ordering::Relaxed))
}

/// Sets `dirty_background_ratio`, 0 to 100.
pub fn set_dirty_background_ratio(percent: u32) {
    BACKGROUND.set(percent, 0);
}

/// Sets `dirty_background_bytes`.
pub fn set_dirty_background_bytes(bytes: u64) {
    BACKGROUND.set(0, bytes);
}

/// `dirty_expire_centisecs`.
pub fn dirty_expire_centisecs() -> u32 {
    DIRTY_EXPIRE_CENTISECS.load(Ordering::Relaxed)
}

/// Sets it.
pub fn set_dirty_expire_centisecs(centisecs: u32) {
    DIRTY_EXPIRE_CENTISECS.store(centisecs, Ordering::Relaxed);
}

/// `dirty_writeback_centisecs`.
pub fn dirty_writeback_centisecs() -> u32 {
    DIRTY_WRITEBACK_CENTISECS.load(Ordering::Relaxed)
}

/// Sets it; the flushers' clocks start anew. 0 stops them.
pub fn set_dirty_writeback_centisecs(centisecs: u32) {
    DIRTY_WRITEBACK_CENTISECS.store(centisecs, Ordering::Relaxed);
    bdi::restart_clocks();
}

/// Pages dirty from which the flusher works, and pages that may be dirty.
pub fn thresholds() -> (usize, usize) {
    let limit = LIMIT.pages().max(LEAST_LIMIT);
    (BACKGROUND.pages().min(limit / 2), limit)
}

pub(crate) fn expire_ns() -> u64 {
    u64::from(DIRTY_EXPIRE_CENTISECS.load(Ordering::Relaxed)) * NS_PER_CENTISEC
}

/// `u64::MAX`: the flushers have no clock.
pub(crate) fn period_ns() -> u64 {
    match DIRTY_WRITEBACK_CENTISECS.load(Ordering::Relaxed) {
        0 => u64::MAX,
        centisecs => u64::from(centisecs) * NS_PER_CENTISEC,
    }
}

/// Pages that are not on the disk yet.
pub(crate) fn nr_unwritten() -> usize {
    pagecache::stats::nr_dirty() + pagecache::stats::nr_writeback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_example() {
        set_memory(8192);
        assert_eq!(thresholds(), (810, 1620));
        set_dirty_ratio(5);
        assert_eq!(thresholds(), (202, 405));
        set_dirty_bytes(1_000_001);
        assert_eq!((thresholds(), dirty_limit()), ((122, 245), (0, 1_000_001)));
        set_dirty_background_bytes(1);
        assert_eq!((thresholds(), dirty_background()), ((1, 245), (0, 1)));
        set_dirty_background_ratio(10);
        set_dirty_ratio(20);
        assert_eq!((dirty_background(), dirty_limit()), ((10, 0), (20, 0)));
        set_memory(0);
        assert_eq!(thresholds(), (0, 16));
    }
}
