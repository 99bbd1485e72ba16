//! cfq, completely fair queueing: every thread gets the disk for a time of its own, and the same time
//! moves as much as the thread's pattern allows. The default, as in the sources.
//!
//! An elevator that counts requests is unfair: a thread that asks for 1 MiB at a time gets 256 times
//! what one gets that asks for pages, and one that seeks pays with everybody's time. cfq shares out the
//! disk's *time*.
//!
//! ```text
//!   thread 7, reads   ┐ sorted │ fifo       RT  ├ sync idle   ├ sync noidle ├ async
//!   thread 9, fsync   ┤ sorted │ fifo  ───▶ BE  ├ 7           ├ 9           ├ async BE 4
//!   writeback, BE 4   ┘ sorted │ fifo      IDLE ├ …
//!     a queue each (queue.rs)               service trees (tree.rs), by when the turn comes
//! ```
//!
//! # Queues
//! What somebody waits for goes into the queue of the thread that asked. Everything else goes into
//! shared queues, one for each class and level, for writeback asks on behalf of whoever wrote. Within
//! a queue the request nearest to the last position goes next; one behind it may win if it lies
//! within `back_seek_max` and is nearer than half the way (`back_seek_penalty`) to the next one
//! ahead. Once per slice the queue's oldest request goes first if its fifo time has passed.
//!
//! # Turns
//! 1. The class: real time before best effort; idle only when neither waits, nothing of theirs is in
//!    flight, and none of it ended within [`IDLE_GRACE_NS`].
//! 2. The tree of the class. They take turns, each for its part of `target_latency`; a tree is passed
//!    over to by the earliest turn among its queues. Queues that are waited for (below) are apart from
//!    those that are not, so that seeking threads share one wait among them.
//! 3. The first queue of the tree, for a slice (slice.rs) that begins when its first request ends.
//!    `slice_sync` or `slice_async` at level 4, a fifth more for each level before it, and less when
//!    the queues are so many that the last would wait longer than `target_latency` (`low_latency`).
//!
//! What a slice was cut short by is given back as an earlier turn; what it overran by, taken.
//!
//! # Idling
//! A thread that reads one piece after another has no request waiting between two of them. Going
//! elsewhere then costs two seeks, so the disk stands still for up to `slice_idle` (`wake_at`) when a
//! sync queue runs empty within its slice and its next request is likely to come and to be near:
//! idle.rs keeps the statistics. Nobody is waited for who has more requests in flight, thinks longer
//! than `slice_idle` or than what is left of the slice, has ended, seeks, writes (it waits for a journal next),
//! is of the idle class, or on a device without seeks that takes several requests at once. The last
//! of the queues that are not waited for is waited for all the same, as long as they as a whole think
//! fast: their tree would otherwise lose its time to the sequential readers.
//!
//! # How much is in flight
//! A queue may have `quantum` requests in flight, half of them once its slice nears its end, any
//! number when it is alone; the idle class one. Async requests wait until no sync one is in flight, and
//! the other way round before a queue that will be waited for. After a sync request that took longer
//! than `fifo_expire_sync` async queues begin with one and get one more per `slice_sync`.
//!
//! # Preemption
//! A request of a better class takes the disk from a queue of a worse one, and a sync request from an
//! async queue. The preempted queue keeps what was left of its slice. A near sync request, and that
//! of the only other one of those who are waited for together, goes on with the slice of a queue
//! that has run empty.
//!
//! # Tunables
//! | name                  | default       | meaning                                               |
//! |-----------------------|---------------|-------------------------------------------------------|
//! | quantum               | 8             | requests of a queue in flight                         |
//! | fifo_expire_sync      | 125 ms        | after that a sync request goes first                  |
//! | fifo_expire_async     | 250 ms        | the same of an async one                              |
//! | back_seek_max         | 16384 KiB     | how far back a request may be preferred               |
//! | back_seek_penalty     | 2             | how much farther a way back counts                    |
//! | slice_sync            | 100 ms        | a turn of a sync queue of level 4                     |
//! | slice_async           | 40 ms         | a turn of an async queue of level 4                   |
//! | slice_async_rq        | 2             | requests of an async turn: twice this × (8 − level)   |
//! | slice_idle            | 8 ms          | how long the next request is waited for; 0: never     |
//! | low_latency           | 1             | whether many queues make slices shorter               |
//! | target_latency        | 300 ms        | in which all queues have had a turn                   |
//!
//! `slice_sync_us`, `slice_async_us`, `slice_idle_us` and `target_latency_us` are the same values in
//! microseconds.
//!
//! # Not here
//! There are no cgroups, so no `group_idle`. Threads that read one file in turns keep queues of their
//! own (Linux merges them after a while), and metadata has no precedence.
//!
//! # Invariants
//! 1. A queue is in the service tree exactly while it has requests, or is the active one and has had.
//! 2. `waiting` is the sum of the queues' requests, `in_flight` of those they have at the device.
//! 3. While something waits and `dispatch` answers None, `idle_until` or `grace_until` says when to ask,
//!    or something is in flight.
//! 4. A queue of a thread that is quiet for [`RETIRE_NS`] is dropped when another one is made, the
//!    quietest one also earlier when there are more than [`MOST_QUEUES`].
//!
//! Source: Documentation/block/cfq-iosched.txt and ioprio.rst of Linux 4.x.

mod dispatch;
mod idle;
mod queue;
mod slice;
mod tree;
mod tunables;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use base::Result;
use sync::thread::ThreadId;

use super::Elevator;
use super::tunable;
use crate::ioprio::IoClass;
use crate::pool::{Pool, RequestId};
use crate::request::{Origin, Request};
use idle::DeviceDepth;
use queue::{Key, Queue};
use tree::{Trees, Workload};
use tunables::{TUNABLES, Tunables};

const MS: u64 = 1_000_000;

/// How long nobody else may have used the disk before the idle class does.
const IDLE_GRACE_NS: u64 = 100 * MS;
/// After that long without a request a thread's statistics are worth nothing.
const RETIRE_NS: u64 = 10_000 * MS;
/// So many queues may be without requests at most.
const MOST_QUEUES: usize = 512;
/// Requests so near to each other may be of one stream, in sectors (4 MiB).
const CLOSE: u64 = 8 * 1024;

/// The elevator.
pub(super) struct Cfq {
    tunables: Tunables,
    queues: BTreeMap<Key, Queue>,
    trees: Trees,
    /// Whose turn it is.
    active: Option<Key>,
    /// Until when the active queue's next request is waited for.
    idle_until: Option<u64>,
    /// Until when the idle class has to wait, when it is all there is.
    grace_until: Option<u64>,
    /// Which tree is served, and until when.
    serving: Option<(IoClass, Workload)>,
    serving_until: u64,
    /// Running means of how many queues of real time and of best effort are busy.
    busy_average: [u32; 2],
    /// Requests that have been added and not dispatched.
    waiting: usize,
    /// Requests that have been dispatched and not completed: async, sync.
    in_flight: [u32; 2],
    /// Where the last dispatched request ended.
    position: u64,
    /// When a sync request ended last that had taken too long.
    delayed_sync: Option<u64>,
    /// When a request ended last that was not of the idle class.
    last_served: Option<u64>,
    depth: DeviceDepth,
    /// Whether seeks cost something.
    rotational: bool,
}

impl Default for Cfq {
    fn default() -> Cfq {
        Cfq {
            tunables: Tunables::default(),
            queues: BTreeMap::new(),
            trees: Trees::default(),
            active: None,
            idle_until: None,
            grace_until: None,
            serving: None,
            serving_until: 0,
            busy_average: [0; 2],
            waiting: 0,
            in_flight: [0; 2],
            position: 0,
            delayed_sync: None,
            last_served: None,
            depth: DeviceDepth::default(),
            rotational: true,
        }
    }
}

impl Elevator for Cfq {
    fn name(&self) -> &'static str {
        "cfq"
    }

    fn add(&mut self, pool: &mut Pool, id: RequestId, now: u64) {
        let Some(request) = pool.get_mut(id) else { return };
        self.end_idling(now);
        let origin = request.origin();
        let key = Key::of(&origin);
        self.ensure_queue(key, &origin, now);
        request.expires = now.saturating_add(self.tunables.fifo_expire(key.is_sync()));
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.insert(id, request);
        self.waiting += 1;
        let placed = queue.is_placed();
        self.learn(key, request, now);
        if !placed {
            self.place(key, now);
        }
        self.arrived(key, request, now);
    }

    /// The whole inherits the earlier fifo time.
    fn joining(&mut self, pool: &mut Pool, kept: RequestId, gone: RequestId) {
        let Some(lost) = pool.get(gone) else { return };
        let (lost_key, lost_expires) = (Key::of(&lost.origin()), lost.expires);
        if let Some(queue) = self.queues.get_mut(&lost_key)
            && queue.remove(gone, lost)
        {
            self.waiting -= 1;
        }
        if let Some(request) = pool.get_mut(kept)
            && let Some(queue) = self.queues.get_mut(&Key::of(&request.origin()))
        {
            queue.hasten(kept, request, lost_expires);
        }
        self.leave_if_empty(lost_key);
    }

    fn front_merged(&mut self, pool: &Pool, id: RequestId, was: u64) {
        if let Some(request) = pool.get(id)
            && let Some(queue) = self.queues.get_mut(&Key::of(&request.origin()))
        {
            queue.move_to(id, was, request.sector().0);
        }
    }

    fn dispatch(&mut self, pool: &Pool, now: u64) -> Option<RequestId> {
        self.end_idling(now);
        self.grace_until = None;
        if self.waiting == 0 {
            return None;
        }
        let key = self.select(now)?;
        self.dispatch_from(key, pool, now)
    }

    fn wake_at(&self) -> Option<u64> {
        let until = if self.active.is_some() { self.idle_until } else { self.grace_until };
        // Without a time it is a request in flight that is waited for (invariant 3).
        (self.waiting > 0).then_some(until.unwrap_or(u64::MAX))
    }

    fn completed(&mut self, request: &Request, now: u64) {
        let key = Key::of(&request.origin());
        self.count_completion(key, request, now);
        if self.active == Some(key) {
            self.active_completed(key, now);
        }
    }

    fn set_rotational(&mut self, rotational: bool) {
        self.rotational = rotational;
    }

    /// What the active queue was waited for.
    fn pass(&mut self, request: &Request, now: u64) -> bool {
        let key = Key::of(&request.origin());
        if !self.may_pass(key, request, now) {
            return false;
        }
        self.idle_until = None;
        self.learn(key, request, now);
        self.count_dispatch(key, request, now);
        true
    }

    /// Only with what waits in the same queue.
    fn may_merge(&self, request: &Request, origin: &Origin) -> bool {
        Key::of(&request.origin()) == Key::of(origin)
    }

    /// It is not waited for any more.
    fn thread_ended(&mut self, thread: ThreadId) {
        let key = Key::Thread(thread.0);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.over = true;
            if queue.is_quiet() && self.active != Some(key) {
                self.queues.remove(&key);
            }
        }
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

impl Cfq {
    /// There is a queue for that, of the priority that its thread has now.
    fn ensure_queue(&mut self, key: Key, origin: &Origin, now: u64) {
        if !self.queues.contains_key(&key) {
            self.retire(now);
            self.queues.insert(key, Queue::new(key, origin.prio, now));
        }
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.touched = now;
        if queue.set_prio(origin.prio) && queue.is_placed() {
            self.place(key, now);
        }
    }

    /// Drops queues that have long had nothing to do.
    fn retire(&mut self, now: u64) {
        let active = self.active;
        let quiet = |key: &Key, queue: &Queue| queue.is_quiet() && Some(*key) != active;
        self.queues.retain(|key, queue| {
            !quiet(key, queue) || (!queue.over && now.saturating_sub(queue.touched) < RETIRE_NS)
        });
        if self.queues.len() >= MOST_QUEUES {
            let quietest = self.queues.iter().filter(|(k, q)| quiet(k, q)).min_by_key(|(_, q)| q.touched);
            if let Some(key) = quietest.map(|(key, _)| *key) {
                self.queues.remove(&key);
            }
        }
    }

    /// A queue whose requests were all joined to others has no turn to wait for.
    fn leave_if_empty(&mut self, key: Key) {
        if self.active != Some(key)
            && let Some(queue) = self.queues.get_mut(&key)
            && queue.is_empty()
        {
            self.trees.leave(queue);
        }
    }
}
