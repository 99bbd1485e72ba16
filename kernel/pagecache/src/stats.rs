//! Counters of the whole cache, for thresholds and `/proc`.
//!
//! # Locking
//! Atomics. Each moves together with the tag it counts, under that mapping's tree lock, so that a
//! sum never runs away; readers may see it a moment late.

use core::sync::atomic::{AtomicUsize, Ordering};

use sync::WaitQueue;

static FILE_PAGES: AtomicUsize = AtomicUsize::new(0);
static DIRTY: AtomicUsize = AtomicUsize::new(0);
static WRITEBACK: AtomicUsize = AtomicUsize::new(0);
static DIRTIED: AtomicUsize = AtomicUsize::new(0);
static WRITTEN: AtomicUsize = AtomicUsize::new(0);
static PROGRESS: WaitQueue = WaitQueue::new();

/// Pages in the cache.
pub fn nr_file_pages() -> usize {
    FILE_PAGES.load(Ordering::Relaxed)
}

/// Pages that are dirty now.
pub fn nr_dirty() -> usize {
    DIRTY.load(Ordering::Relaxed)
}

/// Pages on their way to the disk now.
pub fn nr_writeback() -> usize {
    WRITEBACK.load(Ordering::Relaxed)
}

/// Pages that ever became dirty.
pub fn nr_dirtied() -> usize {
    DIRTIED.load(Ordering::Relaxed)
}

/// Pages that ever reached the disk. On a disk that fails it stands still.
pub fn nr_written() -> usize {
    WRITTEN.load(Ordering::Relaxed)
}

/// Sleeps until `done`, which is asked again whenever the writing of a page ends; at most `ns`.
/// Returns its last answer.
pub fn wait_for_writeback(ns: u64, done: impl FnMut() -> bool) -> bool {
    PROGRESS.wait_until_timeout(ns, done)
}

pub(crate) fn page_added() {
    FILE_PAGES.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn page_removed() {
    FILE_PAGES.fetch_sub(1, Ordering::Relaxed);
}

pub(crate) fn dirtied() {
    DIRTY.fetch_add(1, Ordering::Relaxed);
    DIRTIED.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn cleaned() {
    DIRTY.fetch_sub(1, Ordering::Relaxed);
}

pub(crate) fn writeback_began() {
    WRITEBACK.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn writeback_ended(failed: bool) {
    WRITEBACK.fetch_sub(1, Ordering::Relaxed);
    if !failed {
        WRITTEN.fetch_add(1, Ordering::Relaxed);
    }
    PROGRESS.wake_all();
}
