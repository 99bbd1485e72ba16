//! What may be set: Linux's names, units and ranges.

use super::{Cfq, MS};
use crate::elevator::tunable::Tunable;

const US: u64 = 1000;

/// The values, times in nanoseconds. Pairs are async, sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunables {
    pub quantum: u64,
    pub fifo_expire: [u64; 2],
    pub back_seek_max_kib: u64,
    pub back_seek_penalty: u64,
    pub slice: [u64; 2],
    pub slice_async_rq: u64,
    pub slice_idle: u64,
    pub low_latency: bool,
    pub target_latency: u64,
}

impl Default for Tunables {
    fn default() -> Tunables {
        Tunables {
            quantum: 8,
            fifo_expire: [250 * MS, 125 * MS],
            back_seek_max_kib: 16 * 1024,
            back_seek_penalty: 2,
            slice: [40 * MS, 100 * MS],
            slice_async_rq: 2,
            slice_idle: 8 * MS,
            low_latency: true,
            target_latency: 300 * MS,
        }
    }
}

impl Tunables {
    pub fn fifo_expire(&self, sync: bool) -> u64 {
        self.fifo_expire[usize::from(sync)]
    }
}

/// A file that takes `min` to the greatest `unsigned int`.
const fn file(name: &'static str, min: u64, get: fn(&Cfq) -> u64, set: fn(&mut Cfq, u64)) -> Tunable<Cfq> {
    Tunable { name, get, set, min, max: u32::MAX as u64 }
}

/// The files of `iosched/`. No product overflows: a value has 32 bits, a millisecond 20.
pub(super) const TUNABLES: [Tunable<Cfq>; 15] = [
    file("quantum", 1, |c| c.tunables.quantum, |c, v| c.tunables.quantum = v),
    file(
        "fifo_expire_sync",
        1,
        |c| c.tunables.fifo_expire[1] / MS,
        |c, v| c.tunables.fifo_expire[1] = v * MS,
    ),
    file(
        "fifo_expire_async",
        1,
        |c| c.tunables.fifo_expire[0] / MS,
        |c, v| c.tunables.fifo_expire[0] = v * MS,
    ),
    file("back_seek_max", 0, |c| c.tunables.back_seek_max_kib, |c, v| c.tunables.back_seek_max_kib = v),
    file("back_seek_penalty", 1, |c| c.tunables.back_seek_penalty, |c, v| c.tunables.back_seek_penalty = v),
    file("slice_sync", 1, |c| c.tunables.slice[1] / MS, |c, v| c.tunables.slice[1] = v * MS),
    file("slice_sync_us", 1, |c| c.tunables.slice[1] / US, |c, v| c.tunables.slice[1] = v * US),
    file("slice_async", 1, |c| c.tunables.slice[0] / MS, |c, v| c.tunables.slice[0] = v * MS),
    file("slice_async_us", 1, |c| c.tunables.slice[0] / US, |c, v| c.tunables.slice[0] = v * US),
    file("slice_async_rq", 1, |c| c.tunables.slice_async_rq, |c, v| c.tunables.slice_async_rq = v),
    file("slice_idle", 0, |c| c.tunables.slice_idle / MS, |c, v| c.tunables.slice_idle = v * MS),
    file("slice_idle_us", 0, |c| c.tunables.slice_idle / US, |c, v| c.tunables.slice_idle = v * US),
    Tunable {
        name: "low_latency",
        get: |c| c.tunables.low_latency.into(),
        set: |c, v| c.tunables.low_latency = v != 0,
        min: 0,
        max: 1,
    },
    file("target_latency", 1, |c| c.tunables.target_latency / MS, |c, v| c.tunables.target_latency = v * MS),
    file(
        "target_latency_us",
        1,
        |c| c.tunables.target_latency / US,
        |c, v| c.tunables.target_latency = v * US,
    ),
];
