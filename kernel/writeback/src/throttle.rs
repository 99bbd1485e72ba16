//! Who dirties pages faster than the disk takes them waits here.
//!
//! Each thread counts the pages it dirties, and after some of them ([`Account::allowance`]) looks at how
//! much is unwritten. Up to half way from the background threshold to the limit nothing happens but that
//! the flusher is woken. From there on the thread sleeps as long as its pages were worth at its rate
//! (`bandwidth.rs`), less the time since it last slept: so a thread that dirties little does not sleep,
//! however much another one dirties. At the limit everybody sleeps until something has been written.
//!
//! ```text
//!   pages dirtied since the last pause / rate = period;  period - time since then = pause
//! ```
//! Who writes to a disk of which hardly anything is unwritten ([`FEW`]) never sleeps: another disk, a slow one, has filled
//! the memory, and one page more keeps this one busy. Such disks are few, so what is unwritten may pass the limit
//! by that.
//!
//! When writes fail and none succeeds (a disk that is merely slow does neither for a while), a writer is let go
//! after some time, nobody waits any more, and [`Bdi::check_alive`] turns writers away, until the flusher's next try succeeds.
//!
//! # Locking
//! No page lock and no lists' lock is held by who waits; the inode's own lock (`i_rwsem`) is, so
//! writeback must not need it.

use core::cell::Cell;
use core::sync::atomic::Ordering;

use base::time::{self, NSEC_PER_SEC};
use pagecache::stats;
use sync::{PerThread, thread};

use crate::bandwidth::{Bandwidth, Level, scale};
use crate::bdi::Bdi;
use crate::{params, trace};

/// Pages dirtied between two looks when nothing is known.
const RATELIMIT: usize = 32;
/// Sleeping for less is not worth it: the pages count towards the next pause.
const MIN_PAUSE_NS: u64 = 4_000_000;
/// So few pages of one disk do not matter; of a small memory, an eighth of the limit.
const FEW: usize = 64;
/// What a pause shall come to where the rate allows it.
const TARGET_NS: u64 = 10_000_000;
/// Pauses in which writes failed and none succeeded after which a writer is let go.
const VAIN_PAUSES: usize = 20;
const VAIN_NS: u64 = 100_000_000;

static ACCOUNT: PerThread<Cell<Account>> = PerThread::new(|| Cell::new(Account::new()));

/// Whether more is dirty than the flusher leaves alone.
pub(crate) fn above_background() -> bool {
    // What is on its way already needs no flusher.
    stats::nr_dirty() > params::thresholds().0
}

fn level() -> Level {
    let (background, limit) = params::thresholds();
    Level { unwritten: params::nr_unwritten(), background, limit }
}

/// What a thread has dirtied since it last paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    dirtied: usize,
    /// So many pages until the next look.
    allowance: usize,
    /// When the last pause ended, or would have.
    paused_at: u64,
}

/// What a look said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Go on.
    Go,
    /// Sleep, then go on.
    Pause(u64),
    /// Sleep until something was written, at most so long, and look again.
    Stop(u64),
}

impl Account {
    pub const fn new() -> Account {
        Account { dirtied: 0, allowance: RATELIMIT, paused_at: 0 }
    }

    /// More was dirtied; whether it is time to look.
    pub fn add(&mut self, pages: usize) -> bool {
        self.dirtied = self.dirtied.saturating_add(pages);
        self.dirtied >= self.allowance
    }

    /// A new count begins.
    fn restart(&mut self, at: u64, allowance: usize) {
        *self = Account { dirtied: 0, allowance: allowance.max(1), paused_at: at };
    }

    /// A look.
    pub fn look(&mut self, now: u64, level: Level, bandwidth: &Bandwidth) -> Verdict {
        if level.unwritten <= level.freerun() {
            let room = level.freerun() - level.unwritten;
            // The nearer, the more often; several threads may be as far.
            self.restart(now, room.isqrt().max(1));
            return Verdict::Go;
        }
        let most = bandwidth.max_pause_ns(level);
        if level.unwritten >= level.limit {
            return Verdict::Stop(most);
        }
        // Short of the limit there is room, so nobody waits for more of it: he pauses.
        let rate = bandwidth.task_ratelimit(level).max(1);
        let period = scale(self.dirtied as u64, NSEC_PER_SEC, rate);
        let away = now.saturating_sub(self.paused_at);
        let allowance = allowance(rate, most).min((level.limit / 32).max(1));
        match period.checked_sub(away) {
            // It was away for longer than its pages are worth: that is no credit for later.
            None => {
                self.restart(now, allowance);
                Verdict::Go
            }
            Some(pause) if pause < MIN_PAUSE_NS => {
                self.allowance = self.dirtied.saturating_add(allowance);
                Verdict::Go
            }
            Some(pause) => {
                let pause = pause.min(most);
                self.restart(now + pause, allowance);
                Verdict::Pause(pause)
            }
        }
    }
}

/// How many pages at that rate make a pause of a good length.
fn allowance(rate: u64, most: u64) -> usize {
    let pages = |ns| usize::try_from(scale(rate, ns, NSEC_PER_SEC)).unwrap_or(usize::MAX);
    let good = pages(TARGET_NS);
    if good >= RATELIMIT { good } else { pages(most / 2).clamp(1, RATELIMIT) }
}

/// This thread dirtied `pages` pages. Sleeps while too much is dirty.
#[inline]
pub fn balance_dirty_pages_ratelimited(bdi: &Bdi, pages: usize) {
    bdi.dirtied.fetch_add(pages as u64, Ordering::Relaxed);
    let due = ACCOUNT.with(|cell| {
        let mut account = cell.get();
        let due = account.add(pages);
        cell.set(account);
        due
    });
    if due {
        balance_dirty_pages(bdi);
    }
}

#[cold]
fn balance_dirty_pages(bdi: &Bdi) {
    let mut vain_ns = 0;
    while vain_ns < VAIN_NS * VAIN_PAUSES as u64 {
        let level = level();
        trace::global_dirty_state(level.background, level.limit);
        if level.unwritten > level.background {
            bdi.wake_for_background();
        }
        if bdi.has_given_up() {
            return;
        }
        let bandwidth = bdi.update_bandwidth(level);
        let (verdict, dirtied) = ACCOUNT.with(|cell| {
            let mut account = cell.get();
            let dirtied = account.dirtied;
            let verdict = account.look(time::monotonic_ns(), level, &bandwidth);
            cell.set(account);
            (verdict, dirtied)
        });
        let verdict = if verdict == Verdict::Go { verdict } else { held_back(bdi, level, verdict) };
        match verdict {
            Verdict::Go => return,
            Verdict::Pause(ns) => {
                trace::balance_dirty_pages(bdi, level, &bandwidth, dirtied, ns);
                thread::sleep_ns(ns);
                return;
            }
            Verdict::Stop(ns) => {
                trace::balance_dirty_pages(bdi, level, &bandwidth, dirtied, ns);
                let (written, failed) = (stats::nr_written(), stats::nr_write_failed());
                stats::wait_for_writeback(ns, || params::nr_unwritten() < level.limit);
                if stats::nr_written() != written {
                    vain_ns = 0;
                } else if stats::nr_write_failed() != failed {
                    vain_ns += ns;
                }
            }
        }
    }
    bdi.give_up();
}

/// Before a writer sleeps: his own disk shall have work, and if hardly anything of it is unwritten he need not.
fn held_back(bdi: &Bdi, level: Level, verdict: Verdict) -> Verdict {
    bdi.wake_if_idle();
    if bdi.holds_few(FEW.min(level.limit / 8)) { Verdict::Go } else { verdict }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
