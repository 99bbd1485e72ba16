//! What a disk has done, counted as Linux's `/proc/diskstats` and `/sys/block/*/stat` show it.
//!
//! Source: Documentation/admin-guide/iostats.rst, Documentation/block/stat.rst.

use alloc::vec::Vec;
use core::ops::Range;

use base::Sector;

use crate::bio::{BioOp, Direction};
use crate::request::Request;

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
    /// Those of them that are no reads.
    pub in_flight_writes: u64,
    /// Nanoseconds during which the driver had at least one request.
    pub busy_ns: u64,
    /// `in_flight` integrated over time, in nanoseconds.
    pub queue_ns: u64,
    /// Requests that failed.
    pub errors: u64,
}

/// The counters as the queue keeps them: of the whole disk, and of each partition.
///
/// A request counts for the partition that its first sector lies in; flushes have no sector and count
/// for the disk alone.
#[derive(Default)]
pub(crate) struct Counters {
    disk: Tally,
    partitions: Vec<Share>,
}

/// A partition's part of the disk.
struct Share {
    sectors: Range<u64>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    stats: DiskStats,
    /// Until when `busy_ns` and `queue_ns` are reckoned.
    stamp: u64,
}

impl Counters {
    /// Counts for these partitions from now on. One of the same place as before goes on counting.
    pub(crate) fn set_partitions(&mut self, places: &[Range<u64>]) {
        let mut old = core::mem::take(&mut self.partitions);
        self.partitions.extend(places.iter().map(|place| {
            let same = old.iter().position(|share| share.sectors == *place);
            let tally = same.map(|i| old.swap_remove(i).tally).unwrap_or_default();
            Share { sectors: place.clone(), tally }
        }));
    }

    /// A request goes to the driver.
    pub(crate) fn started(&mut self, op: BioOp, sector: Sector, now: u64) {
        self.each(op, sector, |tally| tally.started(op, now));
    }

    /// The driver gave a request back unbegun.
    pub(crate) fn given_back(&mut self, op: BioOp, sector: Sector, now: u64) {
        self.each(op, sector, |tally| tally.given_back(op, now));
    }

    /// The driver is done with a request.
    pub(crate) fn finished(&mut self, request: &Request, now: u64, ok: bool) {
        let (op, sectors, queued) = (request.op(), request.sectors(), request.queued_ns());
        self.each(op, request.sector(), |tally| tally.finished(op, sectors, queued, now, ok));
    }

    /// A bio, or a whole request, went into another request.
    pub(crate) fn merged(&mut self, op: BioOp, sector: Sector) {
        self.each(op, sector, |tally| tally.of(op).merges += 1);
    }

    /// The disk's counters, reckoned until `now`.
    pub(crate) fn snapshot(&mut self, now: u64) -> DiskStats {
        self.disk.snapshot(now)
    }

    /// Those of the partition at this place; zeros when there is none.
    pub(crate) fn partition_snapshot(&mut self, place: &Range<u64>, now: u64) -> DiskStats {
        let share = self.partitions.iter_mut().find(|share| share.sectors == *place);
        share.map(|share| share.tally.snapshot(now)).unwrap_or_default()
    }

    #[inline]
    fn each(&mut self, op: BioOp, sector: Sector, mut count: impl FnMut(&mut Tally)) {
        count(&mut self.disk);
        if self.partitions.is_empty() || op == BioOp::Flush {
            return;
        }
        if let Some(share) = self.partitions.iter_mut().find(|share| share.sectors.contains(&sector.0)) {
            count(&mut share.tally);
        }
    }
}

impl Tally {
    fn started(&mut self, op: BioOp, now: u64) {
        self.advance(now);
        self.stats.in_flight += 1;
        self.stats.in_flight_writes += u64::from(op != BioOp::Read);
    }

    fn given_back(&mut self, op: BioOp, now: u64) {
        self.advance(now);
        // A table read anew may have begun to count in the middle of a request.
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        let write = u64::from(op != BioOp::Read);
        self.stats.in_flight_writes = self.stats.in_flight_writes.saturating_sub(write);
    }

    fn finished(&mut self, op: BioOp, sectors: u64, queued: u64, now: u64, ok: bool) {
        self.given_back(op, now);
        let of = self.of(op);
        of.ios += 1;
        of.sectors += sectors;
        of.ns += now.saturating_sub(queued);
        self.stats.errors += u64::from(!ok);
    }

    fn snapshot(&mut self, now: u64) -> DiskStats {
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
        let mut c = Tally::default();
        c.started(BioOp::Read, 100);
        c.started(BioOp::Write, 150);
        c.finished(BioOp::Read, 8, 90, 200, true);
        c.finished(BioOp::Write, 16, 140, 300, false);
        let s = c.snapshot(1000);
        assert_eq!(s.read, DirectionStats { ios: 1, merges: 0, sectors: 8, ns: 110 });
        assert_eq!(s.write, DirectionStats { ios: 1, merges: 0, sectors: 16, ns: 160 });
        assert_eq!((s.in_flight, s.busy_ns, s.queue_ns, s.errors), (0, 200, 250, 1));
    }

    #[test]
    fn a_request_counts_for_the_disk_and_for_its_partition() {
        let mut c = Counters::default();
        let (first, second) = (8..16, 16..32);
        c.set_partitions(&[first.clone(), second.clone()]);
        c.merged(BioOp::Read, Sector(15));
        c.merged(BioOp::Read, Sector(16));
        c.merged(BioOp::Read, Sector(0));
        c.started(BioOp::Flush, Sector(0), 0);
        assert_eq!(c.partition_snapshot(&first, 0).read.merges, 1);
        assert_eq!((c.snapshot(0).read.merges, c.snapshot(0).in_flight), (3, 1));
        // The first stays where it was, and keeps its counters.
        c.set_partitions(&[16..24, first.clone()]);
        assert_eq!(c.partition_snapshot(&first, 0).read.merges, 1);
        assert_eq!(c.partition_snapshot(&second, 0), DiskStats::default());
    }
}
