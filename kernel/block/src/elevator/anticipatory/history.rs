//! What is known of the threads that read: how long they think between two reads, how far they go,
//! and, of those that have only begun, how many never come back.
//!
//! All means decay: each new sample weighs an eighth, so some ten reads tell another story.
//!
//! ```text
//!   think times of 1, 1, 1, 9 ms      mean 1, 1, 1, then 1 + (9-1)·0.30 = 3.4 ms
//! ```
//!
//! # Memory
//! A thread's part goes when the thread ends, or, if its requests were given to this elevator only
//! afterwards, when there are more than [`MOST`]: then the one that was used the longest time ago.
//! One with requests under way stays; of those there are no more than the queue has requests.

use alloc::collections::BTreeMap;

use sync::thread::ThreadId;

use crate::bio::Direction;
use crate::request::Request;

/// Longer is as good as never.
const MAX_THINK_NS: u64 = 20_000_000;
/// Parts that are kept of threads that may have ended.
const MOST: usize = 256;
/// 1, for the weights and the probabilities.
const ONE: u64 = 256;

/// A mean that forgets.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    /// How much of the story is known, up to almost [`ONE`].
    weight: u64,
    total: u64,
    mean: u64,
}

impl Mean {
    fn add(&mut self, value: u64) {
        self.weight = (7 * self.weight + ONE) / 8;
        self.total = self.total.saturating_mul(7).saturating_add(value.saturating_mul(ONE)) / 8;
        self.mean = (self.total + self.weight / 2) / self.weight;
    }
}

/// Moves an eighth of the way.
fn towards(probability: &mut u64, goal: u64) {
    *probability = (7 * *probability + goal) / 8;
}

#[derive(Debug, Default)]
struct Thread {
    /// Its requests that wait here, and those that the disk has.
    queued: u32,
    in_flight: u32,
    /// When its last read completed.
    last_end: Option<u64>,
    /// Where its last read ends.
    position: Option<u64>,
    think: Mean,
    seek: Mean,
    /// When it was last heard of.
    used: u64,
    ended: bool,
}

impl Thread {
    fn is_idle(&self) -> bool {
        self.queued == 0 && self.in_flight == 0
    }

    /// From its last read to this one: the time it thought, and the way, in sectors.
    fn sample(&self, request: &Request, now: u64) -> Option<(u64, u64)> {
        let way = self.position?.abs_diff(request.sector().0);
        let think = match self.last_end {
            Some(end) if self.is_idle() => now.saturating_sub(end).min(MAX_THINK_NS),
            // It did not wait for the last one.
            _ => 0,
        };
        Some((think, way.min(self.longest_way())))
    }

    /// One odd page must not spoil the mean; early on less is known, so more is believed.
    fn longest_way(&self) -> u64 {
        let more = if self.seek.weight <= 60 { 2 * 1024 * 1024 } else { 128 * 1024 };
        self.seek.mean.saturating_mul(4).saturating_add(more)
    }
}

/// Of all threads.
#[derive(Default)]
pub(super) struct History {
    threads: BTreeMap<ThreadId, Thread>,
    /// Of threads' first two reads; begin at 0, so that a newcomer is trusted.
    newcomers_think: u64,
    newcomers_seek: u64,
    /// Probability, of [`ONE`], that a newcomer is waited for in vain.
    vain: u64,
    /// And that then nobody else comes to read near by.
    alone: u64,
}

impl History {
    /// A request waits here from now on.
    pub fn submitted(&mut self, request: &Request, now: u64) {
        let id = request.origin().thread;
        if !self.threads.contains_key(&id) && self.threads.len() >= MOST {
            self.forget_one();
        }
        self.threads.entry(id).or_default();
        if request.op().direction() == Direction::Read {
            self.learn(id, request, now);
        }
        if let Some(thread) = self.threads.get_mut(&id) {
            thread.queued += 1;
            thread.used = now;
        }
    }

    /// A read close to where that thread is expected; it tells as much as one of its own.
    pub fn neighbour(&mut self, id: ThreadId, request: &Request, now: u64) {
        if let Some(thread) = self.threads.get(&id)
            && thread.ended
        {
            if thread.think.weight == 0 {
                towards(&mut self.vain, ONE);
            }
            towards(&mut self.alone, 0);
        }
        self.learn(id, request, now);
    }

    fn learn(&mut self, id: ThreadId, request: &Request, now: u64) {
        let Some(thread) = self.threads.get_mut(&id) else { return };
        if let Some((think, way)) = thread.sample(request, now) {
            if thread.think.weight == 0 {
                self.newcomers_think = (7 * self.newcomers_think + think) / 8;
                self.newcomers_seek = (7 * self.newcomers_seek + way) / 8;
                towards(&mut self.vain, 0);
            }
            thread.think.add(think);
            thread.seek.add(way);
        }
        thread.position = Some(request.end().0);
    }

    /// A request became part of another one.
    pub fn joined(&mut self, request: &Request) {
        self.change(request, |thread| thread.queued = thread.queued.saturating_sub(1));
    }

    /// A request goes to the disk.
    pub fn taken(&mut self, request: &Request) {
        self.change(request, |thread| {
            thread.queued = thread.queued.saturating_sub(1);
            thread.in_flight += 1;
        });
    }

    pub fn completed(&mut self, request: &Request, now: u64) {
        self.change(request, |thread| {
            thread.in_flight = thread.in_flight.saturating_sub(1);
            if request.op().direction() == Direction::Read {
                thread.last_end = Some(now);
            }
        });
    }

    fn change(&mut self, request: &Request, f: impl FnOnce(&mut Thread)) {
        if let Some(thread) = self.threads.get_mut(&request.origin().thread) {
            f(thread);
        }
    }

    /// The thread was waited for and did not come.
    pub fn in_vain(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(&id) else { return };
        if thread.think.weight == 0 {
            towards(&mut self.vain, ONE);
        }
        if thread.ended {
            towards(&mut self.alone, ONE);
        }
        self.drop_ended();
    }

    /// The thread will submit nothing more.
    pub fn ended(&mut self, id: ThreadId) {
        if let Some(thread) = self.threads.get_mut(&id) {
            thread.ended = true;
        }
        // Those that ended before: this one may be waited for, and that it is in vain is to be learned.
        self.threads.retain(|other, thread| *other == id || !thread.ended || !thread.is_idle());
    }

    fn drop_ended(&mut self) {
        self.threads.retain(|_, thread| !thread.ended || !thread.is_idle());
    }

    fn forget_one(&mut self) {
        let idle = self.threads.iter().filter(|(_, thread)| thread.is_idle());
        if let Some(id) = idle.min_by_key(|(_, thread)| thread.used).map(|(id, _)| *id) {
            self.threads.remove(&id);
        }
    }

    /// Whether more requests of that thread wait.
    pub fn has_more(&self, id: ThreadId) -> bool {
        self.threads.get(&id).is_some_and(|thread| thread.queued > 0)
    }

    /// The way from one read of that thread to the next, in sectors.
    pub fn mean_seek(&self, id: ThreadId) -> u64 {
        match self.threads.get(&id) {
            Some(thread) if thread.seek.weight > 0 => thread.seek.mean,
            _ => self.newcomers_seek,
        }
    }

    /// Whether the thread's next read may be expected within that time.
    pub fn is_promising(&self, id: ThreadId, within: u64) -> bool {
        match self.threads.get(&id) {
            None => false,
            Some(thread) if thread.ended && self.alone > ONE / 2 => false,
            Some(thread) if thread.think.weight > 0 => thread.think.mean <= within,
            Some(_) => self.newcomers_think <= within && self.vain * self.alone <= ONE / 2 * ONE,
        }
    }

    #[cfg(test)]
    pub fn threads(&self) -> usize {
        self.threads.len()
    }
}
