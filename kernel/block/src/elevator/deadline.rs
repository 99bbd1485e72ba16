//! deadline: sweeps over the disk in sector order, but lets no request wait too long.
//!
//! A disk does most per second when the head moves one way. Pure sweeping starves: a stream of writes
//! ahead of the head keeps a read behind it waiting for ever. So each request is in two orders:
//!
//! ```text
//!   sorted, per direction   r: 16 400 900      w: 8 80 81 500        by first sector
//!   fifo,   per direction   r: 900 16 400      w: 81 8 500 80        by deadline
//! ```
//!
//! # How the next request is chosen
//! 1. While a batch runs (fewer than `fifo_batch` requests since its choice) and the same direction
//!    has a request ahead of the last one: that one.
//! 2. Otherwise a new batch. Reads go first, for somebody waits for them, unless writes have been
//!    passed over `writes_starved` times already.
//! 3. The batch begins at the head of that direction's fifo if its deadline has passed, or if
//!    nothing is ahead of where the direction's last batch ended; else it goes on from there.
//!
//! # Tunables
//! | name           | default | meaning                                                        |
//! |----------------|---------|----------------------------------------------------------------|
//! | read_expire    | 500 ms  | after that a read begins the next batch of reads               |
//! | write_expire   | 5 s     | the same of writes, discards and write-zeroes                  |
//! | fifo_batch     | 16      | requests in sector order before deadlines are looked at again  |
//! | writes_starved | 2       | how often reads may be preferred while writes wait             |
//! | front_merges   | true    | whether a bio may go in front of a request                     |
//!
//! Deadlines are goals, not promises: an expired read may still wait for the batch that runs and,
//! after two batches of reads, one of writes.
//!
//! Source: Documentation/block/deadline-iosched.rst.

use alloc::vec::Vec;

use base::Result;

use super::Elevator;
use super::lane::Lanes;
use super::tunable::{self, Tunable};
use crate::bio::Direction;
use crate::pool::{Pool, RequestId};
use crate::request::Request;

const MS: u64 = 1_000_000;

/// What may be set.
#[derive(Clone, Copy, Debug)]
struct Tunables {
    read_expire_ns: u64,
    write_expire_ns: u64,
    fifo_batch: u32,
    writes_starved: u32,
    front_merges: bool,
}

impl Default for Tunables {
    fn default() -> Tunables {
        Tunables {
            read_expire_ns: 500 * MS,
            write_expire_ns: 5000 * MS,
            fifo_batch: 16,
            writes_starved: 2,
            front_merges: true,
        }
    }
}

/// The elevator.
pub(super) struct Deadline {
    tunables: Tunables,
    lanes: Lanes,
    /// The direction of the batch that runs.
    batch_direction: Direction,
    /// Requests of it that have gone.
    batch: u32,
    /// How often reads were chosen while writes waited.
    starved: u32,
}

impl Default for Deadline {
    fn default() -> Deadline {
        let tunables = Tunables::default();
        Deadline {
            tunables,
            lanes: Lanes::default(),
            batch_direction: Direction::Read,
            // No batch runs.
            batch: tunables.fifo_batch,
            starved: 0,
        }
    }
}

/// The files of `iosched/`.
const TUNABLES: [Tunable<Deadline>; 5] = [
    Tunable {
        name: "read_expire",
        get: |d| d.tunables.read_expire_ns / MS,
        set: |d, v| d.tunables.read_expire_ns = v * MS,
        min: 0,
        max: i32::MAX as u64,
    },
    Tunable {
        name: "write_expire",
        get: |d| d.tunables.write_expire_ns / MS,
        set: |d, v| d.tunables.write_expire_ns = v * MS,
        min: 0,
        max: i32::MAX as u64,
    },
    Tunable {
        name: "writes_starved",
        get: |d| d.tunables.writes_starved.into(),
        // At most `max`.
        set: |d, v| d.tunables.writes_starved = v as u32,
        min: 0,
        max: i32::MAX as u64,
    },
    Tunable {
        name: "front_merges",
        get: |d| d.tunables.front_merges.into(),
        set: |d, v| d.tunables.front_merges = v != 0,
        min: 0,
        max: 1,
    },
    Tunable {
        name: "fifo_batch",
        get: |d| d.tunables.fifo_batch.into(),
        // At most `max`.
        set: |d, v| d.tunables.fifo_batch = v as u32,
        min: 1,
        max: i32::MAX as u64,
    },
];

impl Elevator for Deadline {
    fn name(&self) -> &'static str {
        "deadline"
    }

    fn add(&mut self, pool: &mut Pool, id: RequestId, now: u64) {
        let Some(direction) = pool.get(id).map(|r| r.op().direction()) else { return };
        let expire = match direction {
            Direction::Read => self.tunables.read_expire_ns,
            Direction::Write => self.tunables.write_expire_ns,
        };
        self.lanes.add(pool, id, now.saturating_add(expire));
    }

    fn joining(&mut self, pool: &mut Pool, kept: RequestId, gone: RequestId) {
        self.lanes.joining(pool, kept, gone);
    }

    fn dispatch(&mut self, pool: &Pool, now: u64) -> Option<RequestId> {
        let id = match self.next_of_batch(pool) {
            Some(id) => id,
            None => self.begin_batch(pool, now)?,
        };
        self.batch = self.batch.saturating_add(1);
        self.lanes.take(pool, id);
        Some(id)
    }

    /// One request alone is in order whatever the order is: a batch of its own, or the next of its
    /// direction's.
    fn pass(&mut self, request: &Request, _now: u64) -> bool {
        let direction = request.op().direction();
        if direction != self.batch_direction || self.batch >= self.tunables.fifo_batch {
            self.batch_direction = direction;
            self.batch = 0;
        }
        self.batch += 1;
        self.starved = 0;
        self.lanes.passed(request);
        true
    }

    fn front_merges(&self) -> bool {
        self.tunables.front_merges
    }

    fn tunables(&self) -> Vec<&'static str> {
        TUNABLES.iter().map(|t| t.name).collect()
    }

    fn tunable(&self, name: &str) -> Option<u64> {
        tunable::get(&TUNABLES, self, name)
    }

    fn set_tunable(&mut self, name: &str, value: u64) -> Result<()> {
        tunable::set(&TUNABLES, self, name, value)
    }
}

impl Deadline {
    fn next_of_batch(&self, pool: &Pool) -> Option<RequestId> {
        if self.batch >= self.tunables.fifo_batch {
            return None;
        }
        self.lanes.ahead(pool, self.batch_direction)
    }

    fn begin_batch(&mut self, pool: &Pool, now: u64) -> Option<RequestId> {
        let direction = self.choose_direction()?;
        let (expires, oldest) = self.lanes.of(direction).oldest()?;
        let id = match self.lanes.ahead(pool, direction) {
            Some(ahead) if expires > now => ahead,
            _ => oldest,
        };
        self.batch_direction = direction;
        self.batch = 0;
        Some(id)
    }

    fn choose_direction(&mut self) -> Option<Direction> {
        let (reads, writes) = (!self.lanes.reads.is_empty(), !self.lanes.writes.is_empty());
        if reads && (!writes || self.starved < self.tunables.writes_starved) {
            self.starved += u32::from(writes);
            return Some(Direction::Read);
        }
        self.starved = 0;
        writes.then_some(Direction::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{add, drain, pool_with};

    #[test]
    fn a_batch_goes_in_sector_order() {
        let mut d = Deadline::default();
        let mut pool = pool_with(&mut d, &[('w', 80), ('w', 8), ('w', 500), ('w', 40)], 0);
        // Nothing was dispatched yet, so everything is ahead of the head at 0.
        assert_eq!(drain(&mut d, &mut pool, 0), [('w', 8), ('w', 40), ('w', 80), ('w', 500)]);
    }

    #[test]
    fn the_sweep_goes_on_from_the_head_and_comes_back_to_the_oldest() {
        let mut d = Deadline::default();
        let mut pool = pool_with(&mut d, &[('r', 100)], 0);
        assert_eq!(drain(&mut d, &mut pool, 0), [('r', 100)]);
        add(&mut d, &mut pool, 'r', 50, 0);
        add(&mut d, &mut pool, 'r', 20, 0);
        add(&mut d, &mut pool, 'r', 200, 0);
        assert_eq!(drain(&mut d, &mut pool, 0), [('r', 200), ('r', 50), ('r', 20)]);
    }

    #[test]
    fn reads_go_first_but_starve_writes_only_twice() {
        let mut d =
            Deadline { tunables: Tunables { fifo_batch: 1, ..Tunables::default() }, ..Deadline::default() };
        let list = [('w', 8), ('w', 16), ('r', 100), ('r', 200), ('r', 300), ('r', 400), ('r', 500)];
        let mut pool = pool_with(&mut d, &list, 0);
        let order: std::string::String = drain(&mut d, &mut pool, 0).iter().map(|(op, _)| *op).collect();
        assert_eq!(order, "rrwrrwr");
    }

    /// Asks for requests, one each `step`, with a fresh competitor added before each, until `wanted`
    /// comes out; returns when.
    fn served_at(wanted: (char, u64), rival: char, step: u64) -> u64 {
        let mut d = Deadline::default();
        let mut pool = pool_with(&mut d, &[('w', 1_000_000), ('r', 1_000_000)], 0);
        assert_eq!(drain(&mut d, &mut pool, 0).len(), 2, "the head is now behind what is wanted");
        add(&mut d, &mut pool, wanted.0, wanted.1, 0);
        for i in 0..100_000 {
            let now = i * step;
            add(&mut d, &mut pool, rival, 2_000_000 + i * 16, now);
            let id = d.dispatch(&pool, now).unwrap();
            if pool.remove(id).unwrap().sector().0 == wanted.1 {
                return now;
            }
        }
        panic!("never served");
    }

    #[test]
    fn a_read_behind_the_head_is_served_within_its_deadline_and_a_batch() {
        let at = served_at(('r', 8), 'r', MS);
        assert!((500 * MS..=(500 + 16) * MS).contains(&at), "{at}");
    }

    #[test]
    fn a_write_behind_the_head_is_served_within_its_deadline_and_a_batch() {
        let at = served_at(('w', 8), 'w', 10 * MS);
        assert!((5000 * MS..=5160 * MS).contains(&at), "{at}");
    }

    #[test]
    fn a_write_under_a_stream_of_reads_is_served() {
        // Two batches of reads, then writes: 32 steps, far below the 5 s.
        let at = served_at(('w', 8), 'r', MS);
        assert!(at <= 33 * MS, "{at}");
    }

    #[test]
    fn tunables_are_in_milliseconds_and_kept_in_range() {
        let mut d = Deadline::default();
        assert_eq!(d.tunable("read_expire"), Some(500));
        assert_eq!(d.set_tunable("write_expire", 700), Ok(()));
        assert_eq!((d.tunables.write_expire_ns, d.tunable("write_expire")), (700 * MS, Some(700)));
        assert_eq!(d.set_tunable("fifo_batch", 0), Ok(()));
        assert_eq!(d.tunable("fifo_batch"), Some(1));
        assert_eq!(d.set_tunable("slice_idle", 1), Err(base::Errno::ENOENT));
        assert_eq!(d.tunables().len(), 5);
    }

    #[test]
    fn a_joined_request_keeps_the_earlier_deadline() {
        let mut d = Deadline::default();
        let mut pool = Pool::default();
        let late = add(&mut d, &mut pool, 'w', 8, 1000);
        let early = add(&mut d, &mut pool, 'w', 16, 10);
        d.joining(&mut pool, late, early);
        pool.join(late, early);
        assert_eq!(pool.get(late).unwrap().expires, 10 + 5000 * MS);
        assert_eq!(drain(&mut d, &mut pool, 0), [('w', 8)]);
        assert!(d.lanes.writes.is_empty());
    }
}
