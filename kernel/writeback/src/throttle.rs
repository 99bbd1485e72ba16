//! Who dirties pages faster than the disk takes them waits here.
//!
//! Each write call counts the pages it dirtied; every few dozen the counters of the whole cache are
//! looked at. Above the background threshold the flusher is woken; half way from there to the limit
//! the writer sleeps until enough has been written. So the limit holds without a lock, and a writer
//! who dirties little never stops. When nothing at all gets written (the disk fails), a writer is let
//! go after a while, nobody waits any more, and [`Bdi::check_alive`] turns writers away, until the
//! flusher's next try succeeds.
//!
//! # Locking
//! No page lock and no lists' lock is held by who waits; the inode's own lock (`i_rwsem`) is, so
//! writeback must not need it.

use core::sync::atomic::Ordering;

use pagecache::stats;

use crate::bdi::Bdi;
use crate::{params, trace};

/// Pages a disk's writers may dirty between two looks.
const RATELIMIT: usize = 32;
const PAUSE_NS: u64 = 100_000_000;
/// Pauses without any progress after which a writer is let go.
const VAIN_PAUSES: usize = 20;

/// Whether more is dirty than the flusher leaves alone.
pub(crate) fn above_background() -> bool {
    // What is on its way already needs no flusher.
    stats::nr_dirty() > params::thresholds().0
}

/// A writer dirtied `pages` pages. Sleeps while too much is dirty.
#[inline]
pub fn balance_dirty_pages_ratelimited(bdi: &Bdi, pages: usize) {
    if bdi.dirtied.fetch_add(pages, Ordering::Relaxed) + pages >= RATELIMIT {
        balance_dirty_pages(bdi);
    }
}

#[cold]
fn balance_dirty_pages(bdi: &Bdi) {
    bdi.dirtied.store(0, Ordering::Relaxed);
    let (background, limit) = params::thresholds();
    let setpoint = usize::midpoint(background, limit);
    trace::global_dirty_state(background, limit);
    let mut vain = 0;
    while params::nr_unwritten() > background && vain < VAIN_PAUSES {
        bdi.wake_for_background();
        if params::nr_unwritten() <= setpoint {
            return;
        }
        if bdi.has_given_up() {
            return;
        }
        let before = stats::nr_written();
        trace::balance_dirty_pages(bdi, limit, setpoint, PAUSE_NS);
        if stats::wait_for_writeback(PAUSE_NS, || params::nr_unwritten() <= setpoint) {
            return;
        }
        vain = if stats::nr_written() == before { vain + 1 } else { 0 };
    }
    if vain == VAIN_PAUSES {
        bdi.give_up();
    }
}
