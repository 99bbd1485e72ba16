//! Counters of the whole cache, for thresholds and `/proc`.
//!
//! # Locking
//! Atomics. Each moves together with the tag it counts, under that mapping's tree lock, so that a
//! sum never runs away; readers may see it a moment late.

use core::sync::atomic::{AtomicUsize, Ordering};

use sync::WaitQueue;

use crate::lru::{self, List};

static FILE_PAGES: AtomicUsize = AtomicUsize::new(0);
static DIRTY: AtomicUsize = AtomicUsize::new(0);
static WRITEBACK: AtomicUsize = AtomicUsize::new(0);
static DIRTIED: AtomicUsize = AtomicUsize::new(0);
static WRITTEN: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);
static PROGRESS: WaitQueue = WaitQueue::new();

/// What reclaim does, by the names of `/proc/vmstat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// pgactivate: pages found used again.
    Activate,
    /// pgdeactivate: pages from the end of the active list.
    Deactivate,
    /// pgscan_kswapd: inactive pages that kswapd looked at.
    ScanKswapd,
    /// pgscan_direct: the same of those who allocate.
    ScanDirect,
    /// pgsteal_kswapd: pages that kswapd freed.
    StealKswapd,
    /// pgsteal_direct: the same of those who allocate.
    StealDirect,
    /// slabs_scanned: dentries that kswapd freed.
    SlabsScanned,
    /// allocstall: allocations that found nothing free.
    AllocStall,
    /// pageoutrun: how often kswapd worked.
    KswapdRounds,
    /// workingset_refault_file: pages read in that reclaim had freed not long ago.
    RefaultFile,
    /// workingset_activate_file: those of them that became active at once.
    ActivateFile,
}

static COUNTS: [AtomicUsize; 11] = [const { AtomicUsize::new(0) }; 11];

/// One of reclaim's counters.
pub fn counted(which: Count) -> usize {
    COUNTS[which as usize].load(Ordering::Relaxed)
}

pub(crate) fn count(which: Count, n: usize) {
    COUNTS[which as usize].fetch_add(n, Ordering::Relaxed);
}

/// Pages in the active list.
pub fn nr_active() -> usize {
    lru::len(List::Active)
}

/// Pages in the inactive list.
pub fn nr_inactive() -> usize {
    lru::len(List::Inactive)
}

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

/// Pages whose writing ever failed.
pub fn nr_write_failed() -> usize {
    FAILED.load(Ordering::Relaxed)
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
    let count = if failed { &FAILED } else { &WRITTEN };
    count.fetch_add(1, Ordering::Relaxed);
    PROGRESS.wake_all();
}
