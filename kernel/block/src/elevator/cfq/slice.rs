//! How long a turn is, and when the next one comes.

use super::queue::{Key, Queue, Slice};
use super::tree::Workload;
use super::tunables::Tunables;
use super::{Cfq, MS};
use crate::ioprio::IoClass;

/// A level is worth the fifth part of a slice.
const SCALE: u64 = 5;
/// The shortest turn of a tree.
const LEAST_NS: u64 = 2 * MS;
/// How far apart the turns of idle queues are placed.
const IDLE_DELAY_NS: i64 = 200 * MS as i64;
/// In front of all others.
const FRONT_NS: i64 = 1000 * MS as i64;

/// `value × part ÷ whole`, whatever their size.
fn share(value: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(value) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// A time as a place in a tree.
fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

impl Tunables {
    /// A turn of that level: at 4 the base, at 0 nine fifths of it, at 7 two fifths.
    pub fn prio_slice(&self, sync: bool, level: u8) -> u64 {
        let base = self.slice[usize::from(sync)];
        let step = base / SCALE;
        base - step * SCALE + step * (SCALE + 4).saturating_sub(level.into())
    }

    /// How many requests an async queue sends in one turn.
    pub fn async_requests(&self, level: u8) -> u64 {
        2 * self.slice_async_rq * 8u64.saturating_sub(level.into())
    }
}

impl Cfq {
    /// Into the tree where it belongs, behind those whose turn comes earlier.
    pub(super) fn place(&mut self, key: Key, now: u64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let residue = core::mem::take(&mut queue.residue);
        let time = if queue.class == IoClass::Idle {
            self.trees.leave(queue);
            let last = self.trees.tree(IoClass::Idle, Workload::Async).last_time();
            last.unwrap_or(signed(now)).saturating_add(IDLE_DELAY_NS)
        } else {
            // The shorter its turns, the later they come.
            let others = self.trees.busy_of(IoClass::RealTime) + self.trees.busy_of(IoClass::BestEffort);
            let others = others.saturating_sub(usize::from(queue.is_placed())) as u64;
            let longest = self.tunables.prio_slice(true, 0);
            let own = self.tunables.prio_slice(queue.is_sync(), queue.level);
            let offset = others.saturating_mul(longest.saturating_sub(own));
            signed(now.saturating_add(offset)).saturating_sub(residue)
        };
        self.trees.enter(queue, time);
    }

    /// Into the tree where it belongs, before all others.
    pub(super) fn place_first(&mut self, key: Key, now: u64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        self.trees.leave(queue);
        let first = self.trees.tree(queue.class, queue.workload()).first_time();
        self.trees.enter(queue, first.unwrap_or(signed(now)).saturating_sub(FRONT_NS));
    }

    /// The turn that the queue gets now.
    pub(super) fn slice_of(&mut self, key: Key) -> u64 {
        let Some(queue) = self.queues.get(&key) else { return 0 };
        let (sync, level, class) = (queue.is_sync(), queue.level, queue.class);
        let slice = self.tunables.prio_slice(sync, level);
        if !self.tunables.low_latency {
            return slice;
        }
        let base = self.tunables.slice[1];
        let all = base.saturating_mul(self.average_busy(class).into());
        let target = self.tunables.target_latency;
        if all <= target {
            return slice;
        }
        // Scaled to fit all of them into the target, but not below two waits.
        let least = slice.min(share(2 * self.tunables.slice_idle, slice, base));
        share(slice, target, all).max(least)
    }

    /// The first request of the turn has ended: the clock runs.
    pub(super) fn begin_slice(&mut self, key: Key, now: u64) {
        let slice = self.slice_of(key);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.slice = Slice::Runs { start: now, end: now.saturating_add(slice) };
        }
    }

    /// A running mean of the queues of a class that are busy; it follows up at once and down slowly.
    fn average_busy(&mut self, class: IoClass) -> u32 {
        let busy = self.trees.busy_of(class) as u32;
        let index = match class {
            IoClass::RealTime => 0,
            IoClass::BestEffort => 1,
            IoClass::Idle => return busy,
        };
        let mean = &mut self.busy_average[index];
        let (less, more) = (busy.min(*mean), busy.max(*mean));
        *mean = (3 * more + less + 2) / 4;
        *mean
    }

    /// How long the queues of a tree are served before another tree is: their part of the target.
    pub(super) fn tree_slice(&self, class: IoClass, workload: Workload) -> u64 {
        let t = &self.tunables;
        let count = self.trees.tree(class, workload).len() as u64;
        let mean = match class {
            IoClass::RealTime => self.busy_average[0],
            _ => self.busy_average[1],
        };
        let all = self.trees.busy_of(class).max(mean as usize) as u64;
        let part = share(t.target_latency, count, all);
        let slice = if workload == Workload::Async {
            let of_all =
                share(t.target_latency, self.trees.busy_async_of(class) as u64, self.trees.busy() as u64);
            share(part.min(of_all), t.slice[0], t.slice[1])
        } else {
            part.max(2 * t.slice_idle)
        };
        slice.max(LEAST_NS)
    }

    /// What is left of a queue's turn; negative when it was overrun.
    pub(super) fn left_of(&mut self, key: Key, now: u64) -> i64 {
        match self.queues.get(&key).map(|queue| queue.slice) {
            Some(Slice::Runs { end, .. }) => signed(end).saturating_sub(signed(now)),
            Some(Slice::New) => signed(self.slice_of(key)),
            None => 0,
        }
    }
}

impl Queue {
    /// Whether the turn ends before what it has in flight could, if each took a wait's time.
    pub(super) fn slice_used_soon(&self, now: u64, slice_idle: u64) -> bool {
        match self.slice {
            Slice::New => true,
            Slice::Runs { end, .. } => {
                now.saturating_add(slice_idle.saturating_mul(self.in_flight.into())) > end
            }
        }
    }
}
