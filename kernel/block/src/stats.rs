//! What a disk has done, counted as Linux's `/proc/diskstats` and `/sys/block/*/stat` show it.
//!
//! Source: Documentation/admin-guide/iostats.rst, Documentation/block/stat.rst.

use crate::bio::{BioOp, Direction};

/// One direction's counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirectionStats {
    /// Requests completed.
    pub ios: u64,
    /// Bios that became part of a request that was there already.
    pub merges: u64,
    /// Sectors moved.
    pub sectors: u64,
    /// Nanoseconds that requests took, from queueing to completion, added up.
    pub ns: u64,
}

/// A disk's counters at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskStats {
    /// Reads.
    pub read: DirectionStats,
    /// Writes and write-zeroes.
    pub write: DirectionStats,
    /// Discards.
    pub discard: DirectionStats,
    /// Flushes that the device was asked for; `sectors` and `merges` stay 0.
    pub flush: DirectionStats,
    /// Requests that the driver has now.
    pub in_flight: u64,
    /// Nanoseconds during which the driver had at least one request.
    pub busy_ns: u64,
    /// `in_flight` integrated over time, in nanoseconds.
    pub queue_ns: u64,
    /// Requests that failed.
    pub errors: u64,
}

/// The counters as the queue keeps them.
#[derive(Default)]
pub(crate) struct Counters {
    stats: DiskStats,
    /// Until when `busy_ns` and `queue_ns` are reckoned.
    stamp: u64,
}

impl Counters {
    /// A request goes to the driver.
    pub(crate) fn started(&mut self, now: u64) {
        self.advance(now);
        self.stats.in_flight += 1;
    }

    /// The driver gave a request back unbegun.
    pub(crate) fn given_back(&mut self, now: u64) {
        self.advance(now);
        self.stats.in_flight -= 1;
    }

    /// The driver is done with a request that was queued at `queued`.
    pub(crate) fn finished(&mut self, op: BioOp, sectors: u64, queued: u64, now: u64, ok: bool) {
        self.given_back(now);
        let of = self.of(op);
        of.ios += 1;
        of.sectors += sectors;
        of.ns += now.saturating_sub(queued);
        self.stats.errors += u64::from(!ok);
    }

    /// A bio, or a whole request, went into another request.
    pub(crate) fn merged(&mut self, op: BioOp) {
        self.of(op).merges += 1;
    }

    /// The counters, reckoned until `now`.
    pub(crate) fn snapshot(&mut self, now: u64) -> DiskStats {
        self.advance(now);
        self.stats
    }

    fn of(&mut self, op: BioOp) -> &mut DirectionStats {
        match op {
            BioOp::Read => &mut self.stats.read,
            BioOp::Write | BioOp::WriteZeroes => &mut self.stats.write,
            BioOp::Discard => &mut self.stats.discard,
            BioOp::Flush => &mut self.stats.flush,
        }
    }

    fn advance(&mut self, now: u64) {
        let passed = now.saturating_sub(self.stamp);
        self.stamp = self.stamp.max(now);
        if self.stats.in_flight > 0 {
            self.stats.busy_ns += passed;
            self.stats.queue_ns += passed.saturating_mul(self.stats.in_flight);
        }
    }
}

impl DiskStats {
    /// Reads and writes together, by direction.
    pub fn direction(&self, direction: Direction) -> &DirectionStats {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        let mut c = Counters::default();
        c.started(100);
        c.started(150);
        c.finished(BioOp::Read, 8, 90, 200, true);
        c.finished(BioOp::Write, 16, 140, 300, false);
        let s = c.snapshot(1000);
        assert_eq!(s.read, DirectionStats { ios: 1, merges: 0, sectors: 8, ns: 110 });
        assert_eq!(s.write, DirectionStats { ios: 1, merges: 0, sectors: 16, ns: 160 });
        assert_eq!((s.in_flight, s.busy_ns, s.queue_ns, s.errors), (0, 200, 250, 1));
    }
}
