//! The clocks, behind one trait, so that the machine, a test and virtual time can each supply them.
//!
//! `boot` (or a test) calls [`set_clock`] once. Until then, on the host, the host's clock answers;
//! on the machine every clock stands at zero.
//!
//! ```
//! let begin = base::time::monotonic_ns();
//! assert!(base::time::monotonic_ns() >= begin);
//! ```

use spin::Once;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// How finely a file's times move: one tick of 4 ms, as Linux with HZ=250. A second write within
/// the same tick leaves the inode clean.
pub const COARSE_NS: u64 = 4_000_000;

/// A moment or a span: seconds and nanoseconds, `0 <= nsec < 10^9`. Seconds may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timespec {
    /// Whole seconds, since 1970 when it is a moment.
    pub sec: i64,
    /// Nanoseconds within the second.
    pub nsec: u32,
}

impl Timespec {
    /// A span of `ns` nanoseconds, or the moment that long after 1970.
    pub const fn from_ns(ns: u64) -> Timespec {
        Timespec { sec: (ns / NSEC_PER_SEC) as i64, nsec: (ns % NSEC_PER_SEC) as u32 }
    }

    /// The span in nanoseconds, saturating; None when it is negative or `nsec` is out of range.
    pub const fn as_ns(self) -> Option<u64> {
        if self.sec < 0 || self.nsec as u64 >= NSEC_PER_SEC {
            return None;
        }
        Some((self.sec as u64).saturating_mul(NSEC_PER_SEC).saturating_add(self.nsec as u64))
    }
}

/// Something that tells the time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since some fixed moment; never goes back (CLOCK_MONOTONIC).
    fn monotonic_ns(&self) -> u64;
    /// Nanoseconds since 1970 (CLOCK_REALTIME).
    fn realtime_ns(&self) -> u64;
    /// The same at the last tick of [`COARSE_NS`] (CLOCK_REALTIME_COARSE): asked by each write.
    fn coarse_ns(&self) -> u64 {
        let ns = self.realtime_ns();
        ns - ns % COARSE_NS
    }
}

static CLOCK: Once<&'static dyn Clock> = Once::new();

/// Installs the clock. The first call wins.
pub fn set_clock(clock: &'static dyn Clock) {
    CLOCK.call_once(|| clock);
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    match CLOCK.get() {
        Some(clock) => clock.monotonic_ns(),
        None => fallback::monotonic_ns(),
    }
}

/// CLOCK_REALTIME.
pub fn now() -> Timespec {
    Timespec::from_ns(realtime_ns())
}

/// CLOCK_REALTIME at the last 4 ms tick: what a file's times are set to (`current_time`).
pub fn coarse_now() -> Timespec {
    Timespec::from_ns(coarse_ns())
}

/// The same as nanoseconds since 1970.
pub fn coarse_ns() -> u64 {
    match CLOCK.get() {
        Some(clock) => clock.coarse_ns(),
        None => {
            let ns = fallback::realtime_ns();
            ns - ns % COARSE_NS
        }
    }
}

fn realtime_ns() -> u64 {
    match CLOCK.get() {
        Some(clock) => clock.realtime_ns(),
        None => fallback::realtime_ns(),
    }
}

#[cfg(not(target_os = "none"))]
mod fallback {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    static START: spin::Once<Instant> = spin::Once::new();

    pub fn monotonic_ns() -> u64 {
        START.call_once(Instant::now).elapsed().as_nanos() as u64
    }

    pub fn realtime_ns() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
    }
}

#[cfg(target_os = "none")]
mod fallback {
    pub fn monotonic_ns() -> u64 {
        0
    }

    pub fn realtime_ns() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_convert() {
        assert_eq!(Timespec::from_ns(1_500_000_000), Timespec { sec: 1, nsec: 500_000_000 });
        assert_eq!(Timespec { sec: 2, nsec: 5 }.as_ns(), Some(2_000_000_005));
        assert_eq!(Timespec { sec: -1, nsec: 0 }.as_ns(), None);
        assert_eq!(Timespec { sec: 0, nsec: 1_000_000_000 }.as_ns(), None);
    }

    #[test]
    fn coarse_time_moves_in_ticks() {
        let t = coarse_now();
        assert_eq!(u64::from(t.nsec) % COARSE_NS, 0);
        assert!(t <= now());
    }
}
