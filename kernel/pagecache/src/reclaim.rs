//! Memory: where every page of the cache comes from, and who gives one back when it runs short.
//!
//! [`alloc_page`] is the door for anybody who may sleep. Below a watermark it first lets the clock go
//! round: a hand that visits the mappings one after the other, and in each the pages from where it
//! last stopped; a page used since the last visit gets a second chance. When there is nothing clean
//! it wakes the flusher and waits for writeback; only after that ENOMEM.
//!
//! # Locking
//! LIST is a leaf: a mapping's tree lock is never taken under it. A mapping that is visited is held
//! by a handle of its own. The waits are bounded, because the caller may hold page locks that the
//! flusher wants.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::{Frame, Result, frame};
use sync::{Once, SpinLock};

use crate::mapping::AddressSpace;
use crate::stats;

/// Below so many free frames (2 MiB) the clock begins to run.
const WATERMARK: usize = 512;
/// Pages the clock is asked for at once.
const CLUSTER: usize = 32;
/// After a vain round, so many allocations go by before the next one.
const BACKOFF: usize = 64;
/// How often an allocation waits for writeback before it gives up: 3 s without any progress.
const TRIES: usize = 30;
const WAIT_NS: u64 = 100_000_000;
/// Rounds of the clock in one call: the first may only take second chances away.
const ROUNDS: usize = 3;

static LIST: SpinLock<BTreeMap<u64, Weak<AddressSpace>>> = SpinLock::new(BTreeMap::new());
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);
/// The mapping the hand is at.
static HAND: AtomicU64 = AtomicU64::new(0);
static SKIP: AtomicUsize = AtomicUsize::new(0);
static FLUSHER: Once<fn()> = Once::new();

/// Installs what starts writeback of dirty pages when memory runs short. The first call wins.
pub fn set_pressure_hook(wake_flusher: fn()) {
    FLUSHER.call_once(|| wake_flusher);
}

/// A frame with unspecified contents, for anybody who may sleep. ENOMEM when nothing can be freed.
pub fn alloc_page() -> Result<Frame> {
    if frame::free_frames() < WATERMARK {
        relieve();
    }
    frame::alloc().or_else(|_| alloc_slow())
}

/// Keeps the number of free frames up, but not at any price.
fn relieve() {
    let skip = SKIP.load(Ordering::Relaxed);
    if skip > 0 {
        SKIP.store(skip - 1, Ordering::Relaxed);
    } else if reclaim(CLUSTER) == 0 {
        SKIP.store(BACKOFF, Ordering::Relaxed);
    }
}

#[cold]
fn alloc_slow() -> Result<Frame> {
    for _ in 0..TRIES {
        let freed = reclaim(CLUSTER);
        if let Ok(frame) = frame::alloc() {
            return Ok(frame);
        }
        if freed == 0 && !wait_for_writeback() {
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
    if let Some(wake) = FLUSHER.get() {
        wake();
    }
    let before = stats::nr_written();
    stats::wait_for_writeback(WAIT_NS, || stats::nr_written() != before);
    true
}

/// Frees up to `n` clean pages that nobody uses; returns how many.
pub fn reclaim(n: usize) -> usize {
    let mut freed = 0;
    let mut rounds = 0;
    while freed < n && rounds < ROUNDS {
        let Some((key, mapping)) = mapping_from(HAND.load(Ordering::Relaxed)) else {
            HAND.store(0, Ordering::Relaxed);
            rounds += 1;
            continue;
        };
        let (some, wrapped) = mapping.shrink(n - freed);
        freed += some;
        HAND.store(if wrapped { key + 1 } else { key }, Ordering::Relaxed);
    }
    freed
}

/// The first living mapping at or after `key`.
fn mapping_from(key: u64) -> Option<(u64, Arc<AddressSpace>)> {
    let list = LIST.lock();
    list.range(key..).find_map(|(key, weak)| Some((*key, weak.upgrade()?)))
}

/// The mapping is about to have pages: the clock shall come by.
pub(crate) fn list(mapping: &AddressSpace, weak: &Weak<AddressSpace>) {
    if !mapping.listed.load(Ordering::Relaxed) && !mapping.listed.swap(true, Ordering::AcqRel) {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        mapping.reclaim_key.store(key, Ordering::Release);
        LIST.lock().insert(key, weak.clone());
    }
}

/// The mapping is dropped.
pub(crate) fn unlist(mapping: &AddressSpace) {
    let key = mapping.reclaim_key.load(Ordering::Acquire);
    if key != 0 {
        LIST.lock().remove(&key);
    }
}

/// Drops every clean page that nobody uses (`drop_caches`).
pub fn drop_caches() -> usize {
    reclaim(usize::MAX)
}
