//! Memory: where every page of the cache comes from, and who gives one back when it runs short.
//!
//! [`alloc_page`] is the door for anybody who may sleep. What happens as the free frames become fewer:
//!
//! ```text
//!   1024 frames free    kswapd is woken: it frees pages, dentries and inodes until 1536 are free, and has the
//!                       flusher write when it finds little that is clean
//!    512                who allocates frees some pages himself, 32 at a time
//!      0                who allocates waits for kswapd and for writeback; after that ENOMEM
//! ```
//! Which pages go is told in `lru.rs`. Only kswapd calls the shrinkers ([`set_shrinker`]), because only it
//! holds no lock: the last handle of an inode may write to the disk.
//!
//! # Locking
//! None of its own. A mapping whose page is looked at is held by a handle. The waits are bounded, because
//! the caller may hold page locks that the flusher or kswapd wants.

use alloc::sync::Arc;

use base::{Frame, PageIndex, Result, frame};
use sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sync::{Once, WaitQueue, thread};

use crate::lru::{self, List};
use crate::mapping::AddressSpace;
use crate::page::{self, Page};
use crate::stats::{self, Count};
use crate::workingset;

/// Below so many free frames (2 MiB) who allocates works himself.
const MIN: usize = 512;
/// Below so many kswapd works, until there are `HIGH`.
const LOW: usize = 2 * MIN;
const HIGH: usize = 3 * MIN;
/// Pages looked at at once (`SWAP_CLUSTER_MAX`).
const CLUSTER: usize = 32;
/// After a vain round, so many allocations go by before the next one.
const BACKOFF: usize = 64;
/// How often an allocation waits before it gives up: 3 s without any progress.
const TRIES: usize = 30;
const WAIT_NS: u64 = 100_000_000;
/// Other objects that kswapd asks for between two looks at the pages, and when there is no page.
const SHRINK: usize = 16;
const SHRINK_MORE: usize = 256;

static SKIP: AtomicUsize = AtomicUsize::new(0);
static SKIP_KSWAPD: AtomicUsize = AtomicUsize::new(0);
static FLUSHER: Once<fn()> = Once::new();
static SHRINKER: Once<fn(usize) -> usize> = Once::new();

/// Whether kswapd runs, and whether it has been woken.
static RUNS: AtomicBool = AtomicBool::new(false);
static WOKEN: AtomicBool = AtomicBool::new(false);
static WORK: WaitQueue = WaitQueue::new();
/// Rounds that kswapd has ended, and who waits for one.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);
static ROUND: WaitQueue = WaitQueue::new();

/// Installs what starts writeback of dirty pages when memory runs short. The first call wins.
pub fn set_pressure_hook(wake_flusher: fn()) {
    FLUSHER.call_once(|| wake_flusher);
}

/// Installs what frees up to so many other objects that can be had again, as names and inodes, and says how
/// many it freed. It may sleep and write to disks. The first call wins.
pub fn set_shrinker(shrink: fn(usize) -> usize) {
    SHRINKER.call_once(|| shrink);
}

/// A frame with unspecified contents, for anybody who may sleep. ENOMEM when nothing can be freed.
pub fn alloc_page() -> Result<Frame> {
    if frame::free_frames() < LOW {
        relieve();
    }
    frame::alloc().or_else(|_| alloc_slow())
}

/// Keeps the number of free frames up, but not at any price.
#[cold]
fn relieve() {
    if is_due(&SKIP_KSWAPD) {
        wake_kswapd();
    }
    if frame::free_frames() < MIN && is_due(&SKIP) && reclaim(CLUSTER) == 0 {
        SKIP.store(BACKOFF, Ordering::Relaxed);
    }
}

/// Counts down after a vain round.
fn is_due(skip: &AtomicUsize) -> bool {
    let left = skip.load(Ordering::Relaxed);
    skip.store(left.saturating_sub(1), Ordering::Relaxed);
    left == 0
}

#[cold]
fn alloc_slow() -> Result<Frame> {
    stats::count(Count::AllocStall, 1);
    for _ in 0..TRIES {
        let freed = reclaim(CLUSTER);
        if let Ok(frame) = frame::alloc() {
            return Ok(frame);
        }
        if freed == 0 && !wait_for_kswapd() && !wait_for_writeback() {
            break;
        }
    }
    frame::alloc()
}

/// Lets the flusher work; false when there is nothing for it to do.
fn wait_for_writeback() -> bool {
    if stats::nr_dirty() + stats::nr_writeback() == 0 {
        return false;
    }
    wake_flusher();
    let before = stats::nr_written();
    stats::wait_for_writeback(WAIT_NS, || stats::nr_written() != before);
    true
}

fn wake_flusher() {
    if let Some(wake) = FLUSHER.get() {
        wake();
    }
}

// ---- kswapd

/// Starts kswapd, which keeps some memory free. ENOMEM.
pub fn start_kswapd() -> Result<()> {
    if !RUNS.swap(true, Ordering::AcqRel) {
        // It never ends, so nobody waits for that.
        thread::spawn("kswapd0", kswapd).inspect_err(|_| RUNS.store(false, Ordering::Release))?;
    }
    Ok(())
}

/// Ends its work, before file systems are unmounted: nobody holds what it looked at when this returns.
pub fn stop_kswapd() {
    if !RUNS.swap(false, Ordering::AcqRel) {
        return;
    }
    ROUND.wait_until(|| !WOKEN.load(Ordering::Acquire));
}

fn wake_kswapd() {
    if !WOKEN.swap(true, Ordering::AcqRel) {
        WORK.wake_all();
    }
}

/// A round of kswapd; false when it freed nothing.
fn wait_for_kswapd() -> bool {
    if !RUNS.load(Ordering::Acquire) {
        return false;
    }
    let before = ROUNDS.load(Ordering::Acquire);
    let free = frame::free_frames();
    wake_kswapd();
    ROUND.wait_until_timeout(WAIT_NS, || ROUNDS.load(Ordering::Acquire) != before);
    frame::free_frames() > free
}

fn kswapd() {
    loop {
        WORK.wait_until(|| WOKEN.load(Ordering::Acquire));
        if RUNS.load(Ordering::Acquire) {
            stats::count(Count::KswapdRounds, 1);
            balance();
        }
        WOKEN.store(false, Ordering::Release);
        ROUNDS.fetch_add(1, Ordering::AcqRel);
        ROUND.wake_all();
    }
}

/// Frees until enough is free or nothing more can be.
fn balance() {
    while frame::free_frames() < HIGH && RUNS.load(Ordering::Acquire) {
        let pages = shrink_lists(CLUSTER, Who::Kswapd);
        let wanted = if pages > 0 { SHRINK } else { SHRINK_MORE };
        let others = SHRINKER.get().map_or(0, |shrink| shrink(wanted));
        stats::count(Count::SlabsScanned, others);
        if pages < CLUSTER && stats::nr_dirty() > 0 {
            wake_flusher();
        }
        if pages + others == 0 {
            SKIP_KSWAPD.store(BACKOFF, Ordering::Relaxed);
            return;
        }
    }
}

// ---- pages

/// Who frees, for the counters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Direct,
    Kswapd,
}

/// Frees up to `n` clean pages, as far as nobody uses them; returns how many.
pub fn reclaim(n: usize) -> usize {
    shrink_lists(n, Who::Direct)
}

/// Looks at each page about twice at most: once to take it from the active list, once to free it.
fn shrink_lists(n: usize, who: Who) -> usize {
    let mut left = 2 * (lru::len(List::Active) + lru::len(List::Inactive)) + CLUSTER;
    let mut freed = 0;
    while freed < n && left > 0 {
        let mut seen = 0;
        // As long as memory is below a GiB Linux, too, wants both lists of one length.
        if lru::len(List::Inactive) <= lru::len(List::Active) {
            seen += deactivate();
        }
        let batch = lru::isolate(List::Inactive, CLUSTER);
        seen += batch.len();
        if seen == 0 {
            break;
        }
        left = left.saturating_sub(seen);
        let scanned = if who == Who::Direct { Count::ScanDirect } else { Count::ScanKswapd };
        stats::count(scanned, batch.len());
        let gone = batch.iter().filter(|page| shrink_page(page)).count();
        let stolen = if who == Who::Direct { Count::StealDirect } else { Count::StealKswapd };
        stats::count(stolen, gone);
        freed += gone;
    }
    freed
}

/// Pages from the end of the active list become inactive. A use that is remembered counts there as the first.
fn deactivate() -> usize {
    let batch = lru::isolate(List::Active, CLUSTER);
    for page in &batch {
        page.state().fetch_and(!page::USED_AGAIN, Ordering::Relaxed);
        lru::add(page, List::Inactive);
    }
    stats::count(Count::Deactivate, batch.len());
    batch.len()
}

/// A page that was taken out of the inactive list: freed, or put back where it belongs. Whether it was freed.
///
/// A page table does not tell whether a page was used. So one that a program has mapped is taken out of the
/// page table and stays in the list: if it is used, a fault says so before its turn comes again.
fn shrink_page(page: &Arc<Page>) -> bool {
    let state = page.state().load(Ordering::Acquire);
    if state & page::USED_AGAIN == 0 && page.mapping().is_some_and(|mapping| mapping.try_unmap(page)) {
        lru::add(page, List::Inactive);
        return false;
    }
    if state & page::USED_AGAIN != 0 || is_shared(page) {
        page.state().fetch_and(!(page::USED_AGAIN | page::REFERENCED), Ordering::Relaxed);
        stats::count(Count::Activate, 1);
        workingset::age();
        lru::add(page, List::Active);
        return false;
    }
    if state & (page::DIRTY | page::WRITEBACK) != 0 {
        page.state().fetch_or(page::RECLAIM, Ordering::AcqRel);
    } else if page.mapping().is_some_and(|mapping| mapping.evict(page)) {
        return true;
    }
    lru::add(page, List::Inactive);
    false
}

/// Whether somebody outside the cache has a handle to the bytes, as a page table.
fn is_shared(page: &Page) -> bool {
    page.frame().handles() > page.own_handles()
}

/// madvise(MADV_COLD): a page that is active becomes inactive, as if it had not been used for long.
pub fn deactivate_page(mapping: &AddressSpace, index: PageIndex) {
    let Some(page) = mapping.find_get_page(index).filter(|page| page.has(page::ACTIVE)) else { return };
    page.state().fetch_and(!(page::USED_AGAIN | page::REFERENCED), Ordering::Relaxed);
    lru::remove(&page);
    lru::add(&page, List::Inactive);
    stats::count(Count::Deactivate, 1);
}

/// madvise(MADV_PAGEOUT): a page goes, however often it was used, if it is clean and nobody but programs has it. One
/// that is dirty leaves the page tables, and goes when it has been written: that it is nobody sees to, as in Linux.
pub fn pageout(mapping: &AddressSpace, index: PageIndex) {
    let Some(page) = mapping.find_get_page(index) else { return };
    mapping.try_unmap(&page);
    page.state().fetch_and(!(page::USED_AGAIN | page::REFERENCED), Ordering::Relaxed);
    if page.has(page::DIRTY) || page.has(page::WRITEBACK) {
        page.state().fetch_or(page::RECLAIM, Ordering::AcqRel);
    } else {
        mapping.evict(&page);
    }
}

/// Drops every clean page that nobody uses (`drop_caches`), however often it was used. Returns how many.
pub fn drop_caches() -> usize {
    let mut freed = 0;
    for list in [List::Active, List::Inactive] {
        // What is put back comes to the head, so each page is seen once.
        let mut left = lru::len(list);
        while left > 0 {
            let batch = lru::isolate(list, CLUSTER.min(left));
            if batch.is_empty() {
                break;
            }
            left -= batch.len();
            for page in &batch {
                if page.mapping().is_some_and(|mapping| mapping.remove_unused(page)) {
                    freed += 1;
                } else {
                    lru::add(page, list);
                }
            }
        }
    }
    freed
}
