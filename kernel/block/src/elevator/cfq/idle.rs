//! Whom to wait for: what is known of how long a thread thinks and how far it goes, and of how much
//! the device takes at once.

use super::Cfq;
use super::queue::{Key, Queue, Slice};
use crate::bio::Direction;
use crate::ioprio::IoClass;
use crate::request::Request;

/// The fixed point of the means.
const ONE: u64 = 256;
/// The weight of samples above which a mean is believed: it tends to [`ONE`].
const BELIEVED: u64 = 80;
/// A seek is farther than this, in sectors.
const SEEK: u64 = 8 * 100;
/// Without seeks a small request counts as one, in sectors.
const SMALL: u64 = 2 * 32;
/// More seeks than these among the last 32 requests: it seeks.
const SEEKY: u32 = 32 / 8;

/// How long it takes from the end of one request to the next: a mean that forgets an eighth each time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThinkTime {
    /// When a request ended last.
    ended: Option<u64>,
    samples: u64,
    total: u64,
}

impl ThinkTime {
    pub fn new(now: u64) -> ThinkTime {
        ThinkTime { ended: Some(now), ..ThinkTime::default() }
    }

    pub fn ended(&mut self, now: u64) {
        self.ended = Some(now);
    }

    /// The next request has come. What exceeds twice the wait counts as that.
    fn asked(&mut self, now: u64, slice_idle: u64) {
        let thought = self.ended.map_or(0, |ended| now.saturating_sub(ended)).min(2 * slice_idle);
        self.samples = (7 * self.samples + ONE) / 8;
        self.total = (7 * self.total + ONE * thought) / 8;
    }

    /// The mean, once there are samples enough.
    pub fn mean(&self) -> Option<u64> {
        (self.samples > BELIEVED).then(|| (self.total + ONE / 2) / self.samples)
    }

    fn is_longer_than(&self, wait: u64) -> bool {
        self.mean().is_some_and(|mean| mean > wait)
    }
}

/// Which of the last 32 requests were far from the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeekHistory {
    seeks: u32,
    /// Where the last one ended.
    end: Option<u64>,
}

impl SeekHistory {
    fn note(&mut self, request: &Request, rotational: bool) {
        let sector = request.sector().0;
        let distance = self.end.map_or(0, |end| sector.abs_diff(end));
        let seek = if rotational { distance > SEEK } else { request.sectors() < SMALL };
        self.seeks = self.seeks << 1 | u32::from(seek);
        self.end = Some(request.end().0);
    }

    pub fn is_seeky(&self) -> bool {
        self.seeks.count_ones() > SEEKY
    }
}

/// Whether the device takes several requests at once: until the contrary shows, yes.
pub(super) struct DeviceDepth {
    pub queues: bool,
    most: u32,
    samples: u32,
}

impl Default for DeviceDepth {
    fn default() -> DeviceDepth {
        DeviceDepth { queues: true, most: 0, samples: 0 }
    }
}

impl DeviceDepth {
    /// A device that has so many in flight queues.
    const DEEP: u32 = 5;
    const SAMPLES: u32 = 50;

    /// There was work enough for a deep queue, and `in_flight` were at the device.
    fn note(&mut self, in_flight: u32, enough_work: bool) {
        self.most = self.most.max(in_flight);
        if enough_work {
            self.samples = self.samples.saturating_add(1);
            if self.samples >= Self::SAMPLES {
                self.queues = self.most >= Self::DEEP;
            }
        }
    }
}

impl Cfq {
    /// What the request says about the thread.
    pub(super) fn learn(&mut self, key: Key, request: &Request, now: u64) {
        let (slice_idle, rotational) = (self.tunables.slice_idle, self.rotational);
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if queue.is_sync() {
            queue.think.asked(now, slice_idle);
            let (class, workload) = queue.tree();
            self.trees.tree_mut(class, workload).think.asked(now, slice_idle);
        }
        queue.seeks.note(request, rotational);
        queue.update_idle_window(request, slice_idle);
    }

    /// Whether the queue would be waited for, if it ran empty.
    pub(super) fn should_idle(&self, queue: &Queue) -> bool {
        if self.tunables.slice_idle == 0 || queue.class == IoClass::Idle || queue.over {
            return false;
        }
        if queue.idle_window && (self.rotational || !self.depth.queues) {
            return true;
        }
        // The last of its tree is waited for on behalf of all of them.
        let (class, workload) = queue.tree();
        let tree = self.trees.tree(class, workload);
        queue.is_sync() && tree.len() == 1 && !tree.think.is_longer_than(self.tunables.slice_idle)
    }

    /// The active queue is sync and has run empty: waits for its next request, if that pays.
    pub(super) fn begin_idling(&mut self, queue_key: Key, now: u64) {
        let Some(queue) = self.queues.get(&queue_key) else { return };
        let Slice::Runs { end, .. } = queue.slice else { return };
        let thinks_too_long = queue.think.mean().is_some_and(|mean| end.saturating_sub(now) < mean);
        let never = !self.rotational && self.depth.queues;
        if !never && self.should_idle(queue) && queue.in_flight == 0 && !thinks_too_long {
            self.idle_until = Some(now.saturating_add(self.tunables.slice_idle));
        }
    }

    /// If the time to wait is over, it was in vain: the turn ends.
    pub(super) fn end_idling(&mut self, now: u64) {
        if self.idle_until.is_none_or(|until| now < until) {
            return;
        }
        self.idle_until = None;
        let Some(queue) = self.active.and_then(|key| self.queues.get_mut(&key)) else { return };
        if queue.is_empty() {
            queue.deep = false;
            self.expire(now, false);
        }
    }

    /// A request has ended: what that says about the device.
    pub(super) fn learn_depth(&mut self) {
        let in_flight = self.in_flight.iter().sum::<u32>();
        let held_back = self.active.and_then(|key| self.queues.get(&key)).is_some_and(|queue| {
            let own = queue.len() + queue.in_flight as usize;
            queue.idle_window && own < DeviceDepth::DEEP as usize && in_flight < DeviceDepth::DEEP
        });
        let busy = self.waiting > DeviceDepth::DEEP as usize || in_flight > DeviceDepth::DEEP;
        self.depth.note(in_flight, busy && !held_back);
    }
}

impl Queue {
    fn update_idle_window(&mut self, newest: &Request, slice_idle: u64) {
        if !self.is_sync() || self.class == IoClass::Idle {
            return;
        }
        let deep = self.is_deep();
        let seeks = self.seeks.is_seeky() && !deep;
        let writes = newest.op().direction() == Direction::Write;
        if slice_idle == 0 || seeks || writes {
            self.idle_window = false;
        } else if let Some(mean) = self.think.mean() {
            self.idle_window = mean <= slice_idle;
        }
    }
}
