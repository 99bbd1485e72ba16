//! Lines that a failing disk could write by the thousand: ten in five seconds, and how many more
//! there would have been (`printk_ratelimited`).
//!
//! ```
//! static LIMIT: base::RateLimit = base::RateLimit::new();
//! if let Some(missed) = LIMIT.admit() {
//!     println!("vda: I/O error{missed}");      // "vda: I/O error (and 320 more before)"
//! }
//! ```
//! # Locking
//! Atomics. Two that come at the same moment may both be let through: it is a log.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::time;

const SPAN_NS: u64 = 5 * time::NSEC_PER_SEC;
const BURST: u32 = 10;

/// One place in the code that may have much to say.
#[derive(Debug, Default)]
pub struct RateLimit {
    /// When the span began.
    begun: AtomicU64,
    /// Messages of this span, those not shown too.
    count: AtomicU32,
}

/// How many messages were left out since the last that was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missed(pub u32);

impl RateLimit {
    /// One that has said nothing yet.
    pub const fn new() -> RateLimit {
        RateLimit { begun: AtomicU64::new(0), count: AtomicU32::new(0) }
    }

    /// Whether a message may be shown now, with what it should say of those that were not.
    pub fn admit(&self) -> Option<Missed> {
        self.admit_at(time::monotonic_ns())
    }

    fn admit_at(&self, now: u64) -> Option<Missed> {
        let mut missed = 0;
        if now.saturating_sub(self.begun.load(Ordering::Relaxed)) >= SPAN_NS {
            self.begun.store(now, Ordering::Relaxed);
            missed = self.count.swap(0, Ordering::Relaxed).saturating_sub(BURST);
        }
        let earlier = self.count.fetch_add(1, Ordering::Relaxed);
        (earlier < BURST).then_some(Missed(missed))
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(f, " (and {n} more before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn ten_in_a_span_and_the_next_tells_of_the_rest() {
        let limit = RateLimit::new();
        let shown = (0..30).filter(|n| limit.admit_at(SPAN_NS + n).is_some()).count();
        assert_eq!(shown, 10);
        let next = limit.admit_at(2 * SPAN_NS + 7);
        assert_eq!(next, Some(Missed(20)));
        assert_eq!(next.map(|m| m.to_string()).as_deref(), Some(" (and 20 more before)"));
        assert_eq!(limit.admit_at(2 * SPAN_NS + 8), Some(Missed(0)));
        assert_eq!(Missed(0).to_string(), "");
    }
}
