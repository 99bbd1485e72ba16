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

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Until somebody says how much memory there is: 256 MiB.
static MEMORY: AtomicUsize = AtomicUsize::new(65536);
/// Percent of memory from which the flusher works.
pub static DIRTY_BACKGROUND_RATIO: AtomicU32 = AtomicU32::new(10);
/// Percent of memory that may be dirty.
pub static DIRTY_RATIO: AtomicU32 = AtomicU32::new(20);
/// Hundredths of a second after which dirty data is old.
pub static DIRTY_EXPIRE_CENTISECS: AtomicU32 = AtomicU32::new(3000);
/// Hundredths of a second between two rounds of the flusher.
pub static DIRTY_WRITEBACK_CENTISECS: AtomicU32 = AtomicU32::new(500);

const NS_PER_CENTISEC: u64 = 10_000_000;

/// How many pages of memory the ratios are of.
pub fn set_memory(total_pages: usize) {
    MEMORY.store(total_pages, Ordering::Relaxed);
}

fn percent(ratio: &AtomicU32) -> usize {
    // A ratio is at most 100, so the product fits long before memory does not.
    MEMORY.load(Ordering::Relaxed) / 100 * ratio.load(Ordering::Relaxed).min(100) as usize
}

/// Pages dirty from which the flusher works, and pages that may be dirty.
pub(crate) fn thresholds() -> (usize, usize) {
    let limit = percent(&DIRTY_RATIO).max(16);
    (percent(&DIRTY_BACKGROUND_RATIO).min(limit / 2), limit)
}

pub(crate) fn expire_ns() -> u64 {
    u64::from(DIRTY_EXPIRE_CENTISECS.load(Ordering::Relaxed)) * NS_PER_CENTISEC
}

pub(crate) fn period_ns() -> u64 {
    u64::from(DIRTY_WRITEBACK_CENTISECS.load(Ordering::Relaxed)) * NS_PER_CENTISEC
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
        DIRTY_RATIO.store(5, Ordering::Relaxed);
        assert_eq!(thresholds(), (202, 405));
        DIRTY_RATIO.store(20, Ordering::Relaxed);
        set_memory(0);
        assert_eq!(thresholds(), (0, 16));
    }
}
