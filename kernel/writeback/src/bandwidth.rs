//! How fast a disk writes, and how fast its writers may therefore dirty pages.
//!
//! ```text
//!   pages      0 ---- background ----- freerun ------- setpoint ------- limit
//!   unwritten          the flusher       writers are     where the       nobody dirties
//!                      works             slowed down     number settles  anything
//!   pos_ratio                            2 ............. 1 ............. 0
//! ```
//! freerun lies half way from background to limit, the setpoint half way from freerun to limit.
//!
//! Two figures are kept for each disk. `write` is how many pages a second it takes, averaged over some
//! seconds. `ratelimit` is how many pages a second *each* writer may dirty: it is moved, a part of the way
//! at a time, to where all writers together dirty as much as the disk takes, without counting them:
//!
//! ```text
//!   balanced = ratelimit * pos_ratio * (what the disk takes / what was dirtied)
//! ```
//! Two writers who dirtied 200 pages a second where the disk took 100 are each allowed half as much, so 50
//! and 50. What a writer may do at this moment is `ratelimit * pos_ratio`: less when there is much dirty
//! already, more when there is little.
//!
//! Source: the comments of Linux's mm/page-writeback.c on wb_position_ratio and wb_update_dirty_ratelimit,
//! and "IO-less dirty throttling" (Wu Fengguang, Linux Plumbers 2010), which derive the formulas.
//!
//! # Worked example
//! background 1000, limit 2000: freerun 1500, setpoint 1750. With 1750 pages unwritten the ratio is 1, with
//! 1500 it is 2, with 1875 it is 1 - (1/2)³ = 0.875, with 2000 it is 0.
//!
//! # Locking
//! Data only; [`crate::Bdi`] keeps it behind a SpinLock. The time comes from the caller.

use base::time::NSEC_PER_SEC;

/// 1 in the fixed-point numbers of [`Level::pos_ratio`].
pub(crate) const ONE: u64 = 1 << 10;
/// The estimates are renewed no more often than that.
const INTERVAL_NS: u64 = 200_000_000;
/// After so long without a look what happened in between says nothing.
const STALE_NS: u64 = NSEC_PER_SEC;
/// So long a time `write` is averaged over.
const PERIOD_NS: u64 = 4 * NSEC_PER_SEC;
/// Before anything is known: 100 MiB/s.
const INITIAL: u64 = 25_600;
/// The longest pause.
pub(crate) const MAX_PAUSE_NS: u64 = 200_000_000;
const LEAST_MAX_PAUSE_NS: u64 = 4_000_000;

/// How much is unwritten and how much may be, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Level {
    pub unwritten: usize,
    pub background: usize,
    pub limit: usize,
}

impl Level {
    /// Up to here nobody is held back.
    pub fn freerun(self) -> usize {
        usize::midpoint(self.background, self.limit)
    }

    /// Where the number of unwritten pages shall settle.
    pub fn setpoint(self) -> usize {
        usize::midpoint(self.freerun(), self.limit)
    }

    /// By how much writers shall be faster or slower than the disk, in [`ONE`]s: 0 to 2.
    pub fn pos_ratio(self) -> u64 {
        if self.unwritten >= self.limit {
            return 0;
        }
        // Numbers of pages fit.
        let (setpoint, unwritten) = (self.setpoint() as i64, self.unwritten as i64);
        let (one, half) = (ONE as i64, (self.limit as i64 - setpoint).max(1));
        let x = (setpoint.saturating_sub(unwritten).saturating_mul(one) / half).clamp(-one, one);
        // Between 0 and 2.
        (one + x * x * x / one / one).cast_unsigned()
    }
}

/// What is known of a disk and its writers, in pages a second; see the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bandwidth {
    /// When the estimates were last renewed, and the counters then.
    at: u64,
    written: u64,
    dirtied: u64,
    write: u64,
    /// `write`, smoother still.
    average: u64,
    ratelimit: u64,
    last_balanced: u64,
}

impl Bandwidth {
    pub const fn new() -> Bandwidth {
        Bandwidth {
            at: 0,
            written: 0,
            dirtied: 0,
            write: INITIAL,
            average: INITIAL,
            ratelimit: INITIAL,
            last_balanced: INITIAL,
        }
    }

    /// So many pages the disk takes.
    #[cfg(test)]
    pub fn average(&self) -> u64 {
        self.average
    }

    /// So many a writer may dirty when as much is unwritten as shall be.
    pub fn ratelimit(&self) -> u64 {
        self.ratelimit
    }

    /// So many he may dirty now.
    pub fn task_ratelimit(&self, level: Level) -> u64 {
        scale(self.ratelimit, level.pos_ratio(), ONE)
    }

    /// The longest time a writer may sleep: what is unwritten must keep the disk busy meanwhile, eight times
    /// over.
    pub fn max_pause_ns(&self, level: Level) -> u64 {
        let busy = scale(level.unwritten as u64, NSEC_PER_SEC / 8, self.average);
        busy.clamp(LEAST_MAX_PAUSE_NS, MAX_PAUSE_NS)
    }

    /// A look at the counters of what the disk has written and its writers have dirtied, ever.
    pub fn update(&mut self, now: u64, written: u64, dirtied: u64, level: Level) {
        let elapsed = now.saturating_sub(self.at);
        if elapsed < INTERVAL_NS {
            return;
        }
        if elapsed <= STALE_NS && level.unwritten > level.background {
            let wrote = per_second(written.saturating_sub(self.written), elapsed);
            let made = per_second(dirtied.saturating_sub(self.dirtied), elapsed);
            self.update_ratelimit(wrote, made, level);
            self.update_write(wrote, elapsed);
        }
        (self.at, self.written, self.dirtied) = (now, written, dirtied);
    }

    fn update_write(&mut self, now: u64, elapsed: u64) {
        let old = self.write;
        let part = elapsed.min(PERIOD_NS);
        self.write = scale(now, part, PERIOD_NS) + scale(old, PERIOD_NS - part, PERIOD_NS);
        self.write = self.write.max(1);
        // Towards what lasts, not towards what is over already.
        if self.average > old && old >= self.write {
            self.average -= (self.average - old) >> 3;
        } else if self.average < old && old <= self.write {
            self.average += (old - self.average) >> 3;
        }
        self.average = self.average.max(1);
    }

    fn update_ratelimit(&mut self, wrote: u64, made: u64, level: Level) {
        let task = self.task_ratelimit(level).max(1);
        let balanced = scale(task, self.average, made.max(1)).clamp(1, self.average);
        let old = self.ratelimit;
        let last = core::mem::replace(&mut self.last_balanced, balanced);
        // Only as far as all three agree on the direction; they swing around what is right.
        let step = if level.unwritten < level.setpoint() {
            balanced.min(last).min(task).saturating_sub(old)
        } else {
            old.saturating_sub(balanced.max(last).max(task))
        };
        // Steps that are small beside the rate are noise, and become smaller still.
        let shift = old / (2 * step + 1);
        let step =
            u32::try_from(shift).ok().and_then(|shift| step.checked_shr(shift)).unwrap_or(0).div_ceil(8);
        self.ratelimit = if old < balanced { old + step } else { old.saturating_sub(step) };
        // A disk that has written nothing for a while is not a disk that writes nothing.
        self.ratelimit = self.ratelimit.clamp(1, self.average.max(wrote).max(1));
    }
}

fn per_second(pages: u64, elapsed: u64) -> u64 {
    scale(pages, NSEC_PER_SEC, elapsed)
}

/// `value * times / of`, as far as it fits.
pub(crate) fn scale(value: u64, times: u64, of: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(times) / u128::from(of.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_the_example() {
        let level = |unwritten| Level { unwritten, background: 1000, limit: 2000 };
        assert_eq!((level(0).freerun(), level(0).setpoint()), (1500, 1750));
        let ratios = [1500, 1625, 1750, 1875, 2000, 9000].map(|n| level(n).pos_ratio());
        assert_eq!(ratios, [2 * ONE, ONE + ONE / 8, ONE, ONE - ONE / 8, 0, 0]);
        let narrow = Level { unwritten: 15, background: 8, limit: 16 };
        assert!(narrow.pos_ratio() < ONE);
        assert_eq!(Level { unwritten: 0, background: 0, limit: 0 }.pos_ratio(), 0);
    }

    #[test]
    fn the_estimate_follows_the_disk() {
        let level = Level { unwritten: 1700, background: 1000, limit: 2000 };
        let mut bandwidth = Bandwidth::new();
        bandwidth.update(NSEC_PER_SEC, 0, 0, level);
        for i in 1..300u64 {
            bandwidth.update(NSEC_PER_SEC + i * 250_000_000, i * 250, i * 250, level);
        }
        let write = bandwidth.average();
        assert!((950..1100).contains(&write), "{write} pages a second");
        // Nobody looked for a minute: that says nothing about the disk.
        bandwidth.update(200 * NSEC_PER_SEC, 80_000, 80_000, level);
        assert_eq!(bandwidth.average(), write);
    }
}
