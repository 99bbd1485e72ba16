//! Writers and a disk in virtual time: how much becomes dirty, who sleeps, and for how long.
use std::vec::Vec;

use super::*;

const MS: u64 = 1_000_000;

/// Dirties a page at a time: so long after the last one, or after its pause.
struct Writer {
    think: u64,
    account: Account,
    next: u64,
    pages: u64,
    paused: u64,
}

impl Writer {
    fn new(think: u64) -> Writer {
        Writer { think, account: Account::new(), next: 0, pages: 0, paused: 0 }
    }
}

struct World {
    /// Pages a second.
    speed: u64,
    level: Level,
    bandwidth: Bandwidth,
    writers: Vec<Writer>,
    most: usize,
    /// Time during which the disk had nothing to do, once the writers had been held back.
    idle: u64,
    written: u64,
}

impl World {
    fn new(speed: u64, limit: usize, thinks: &[u64]) -> World {
        let level = Level { unwritten: 0, background: limit / 2, limit };
        let writers = thinks.iter().map(|&think| Writer::new(think)).collect();
        World { speed, level, bandwidth: Bandwidth::new(), writers, most: 0, idle: 0, written: 0 }
    }

    /// Lets so many milliseconds go by, from `from` on.
    fn run(&mut self, from: u64, ms: u64) {
        let mut owed = 0;
        for now in (from..from + ms * MS).step_by(MS as usize) {
            owed += self.speed;
            let pages = ((owed / 1000) as usize).min(self.level.unwritten);
            owed %= 1000;
            self.idle += u64::from(self.level.unwritten == 0);
            self.level.unwritten -= pages;
            self.written += pages as u64;
            for i in 0..self.writers.len() {
                self.write(i, now);
            }
            self.most = self.most.max(self.level.unwritten);
        }
    }

    fn write(&mut self, i: usize, now: u64) {
        while self.writers[i].next < now + MS {
            let at = self.writers[i].next.max(now);
            let dirtied: u64 = self.writers.iter().map(|w| w.pages).sum();
            let writer = &mut self.writers[i];
            let due = writer.account.add(1);
            (writer.next, writer.pages) = (at + writer.think, writer.pages + 1);
            self.level.unwritten += 1;
            if !due {
                continue;
            }
            self.bandwidth.update(at, self.written, dirtied, self.level);
            if let Verdict::Pause(ns) | Verdict::Stop(ns) =
                writer.account.look(at, self.level, &self.bandwidth)
            {
                writer.paused += ns;
                writer.next = at + ns;
            }
        }
    }

    fn rates(&self, before: &[u64], ms: u64) -> Vec<u64> {
        self.writers.iter().zip(before).map(|(w, b)| (w.pages - b) * 1000 / ms).collect()
    }

    fn pages(&self) -> Vec<u64> {
        self.writers.iter().map(|w| w.pages).collect()
    }
}

/// A page in a microsecond: faster than any disk here.
const FAST: u64 = 1000;

#[test]
fn a_fast_writer_is_held_to_the_speed_of_the_disk() {
    for speed in [200, 3_000, 50_000] {
        let mut world = World::new(speed, 4000, &[FAST]);
        world.run(0, 20_000);
        let before = world.pages();
        (world.most, world.idle) = (0, 0);
        world.run(20_000 * MS, 20_000);
        let rate = world.rates(&before, 20_000)[0];
        assert!(rate.abs_diff(speed) <= speed / 8, "{rate} pages a second on a disk of {speed}");
        assert!(world.most <= 4000 + RATELIMIT, "{speed}: {} pages", world.most);
        assert_eq!(world.idle, 0, "{speed}: the disk waited for the writer");
    }
}

#[test]
fn equal_writers_get_equal_parts() {
    let mut world = World::new(4_000, 4000, &[FAST; 4]);
    world.run(0, 30_000);
    let before = world.pages();
    world.run(30_000 * MS, 30_000);
    let rates = world.rates(&before, 30_000);
    assert!(rates.iter().all(|rate| rate.abs_diff(1000) < 250), "{rates:?}");
}

#[test]
fn a_small_writer_is_not_stalled_behind_a_large_one() {
    // 20 pages a second, where its part of the disk would be 500.
    let mut world = World::new(1_000, 2000, &[FAST, 50 * MS]);
    world.run(0, 20_000);
    let before = world.pages();
    world.writers[1].paused = 0;
    world.run(20_000 * MS, 30_000);
    let rates = world.rates(&before, 30_000);
    assert!(rates[0] > 850 && rates[1] >= 19, "{rates:?}");
    assert!(world.writers[1].paused <= 300 * MS, "{} ms asleep of 30 s", world.writers[1].paused / MS);
}

#[test]
fn nobody_sleeps_below_half_way_to_the_limit() {
    let mut world = World::new(50_000, 8000, &[100_000]);
    world.run(0, 5_000);
    assert_eq!(world.writers[0].paused, 0);
    assert!(world.most < 6000);
}

#[test]
fn a_disk_that_takes_nothing_stops_everybody_at_the_limit() {
    let mut world = World::new(0, 1000, &[FAST, FAST]);
    world.run(0, 30_000);
    // Each who is stopped had dirtied a few pages before he looked.
    assert!(world.level.unwritten <= 1000 + 30 * 10 * 2 * RATELIMIT);
    let level = Level { unwritten: 1000, ..world.level };
    assert!(matches!(Account::new().look(0, level, &world.bandwidth), Verdict::Stop(_)));
}
