//! Whose turn it is, what goes next, and how a turn ends.

use super::queue::{Key, Queue, Slice};
use super::tree::{WORKLOADS, Workload};
use super::{CLOSE, Cfq, IDLE_GRACE_NS};
use crate::ioprio::IoClass;
use crate::pool::{Pool, RequestId};
use crate::request::Request;

/// What becomes of the active queue.
enum Verdict {
    /// It goes on.
    Serve,
    /// Its next request is waited for.
    Wait,
    /// Its turn is over.
    Expire,
}

/// What a request may do to the turn of another queue.
enum Claim {
    /// Nothing: it waits.
    None,
    /// Go on with it.
    Share,
    /// End it.
    Preempt,
}

impl Cfq {
    /// A request has come to that queue. Ends the wait for it, or another's turn.
    pub(super) fn arrived(&mut self, key: Key, request: &Request, now: u64) {
        if self.active != Some(key) {
            match self.claim(key, request, now) {
                Claim::None => {}
                Claim::Share => self.take_over(key, now),
                Claim::Preempt => self.preempt(key, now),
            }
        } else if self.idle_until.take().is_some()
            && let Some(queue) = self.queues.get_mut(&key)
        {
            queue.must_dispatch = true;
        }
    }

    fn claim(&self, key: Key, request: &Request, now: u64) -> Claim {
        let Some(active) = self.active.and_then(|key| self.queues.get(&key)) else { return Claim::None };
        let Some(queue) = self.queues.get(&key) else { return Claim::None };
        match (queue.class, active.class) {
            (IoClass::Idle, _) | (IoClass::BestEffort, IoClass::RealTime) => return Claim::None,
            (_, IoClass::Idle) | (IoClass::RealTime, IoClass::BestEffort) => return Claim::Preempt,
            _ => {}
        }
        if queue.is_sync() && !active.is_sync() && !active.must_dispatch {
            return Claim::Preempt;
        }
        if !active.is_empty() || !queue.is_sync() || active.slice.is_used(now) {
            return Claim::None;
        }
        let near = self.idle_until.is_some() && self.is_close(request);
        if near || self.are_alone_among_equals(queue) { Claim::Share } else { Claim::None }
    }

    /// Whether the active queue and this one are the only ones of those who are not waited for one by
    /// one: then the wait for the one is for both.
    fn are_alone_among_equals(&self, queue: &Queue) -> bool {
        let equals = (queue.class, Workload::SyncNoIdle);
        self.serving == Some(equals)
            && queue.workload() == Workload::SyncNoIdle
            && self.trees.tree(equals.0, equals.1).len() == 2
    }

    fn is_close(&self, request: &Request) -> bool {
        request.sector().0.abs_diff(self.position) <= CLOSE
    }

    /// What is left of the turn goes over to this queue. It does not begin anew: two that take it from
    /// each other have one turn together.
    fn take_over(&mut self, key: Key, now: u64) {
        let Some(slice) = self.active.and_then(|key| self.queues.get(&key)).map(|active| active.slice) else {
            return;
        };
        self.expire(now, false);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.begin_turn();
            queue.slice = slice;
            self.active = Some(key);
        }
    }

    /// The next turn is this queue's.
    fn preempt(&mut self, key: Key, now: u64) {
        self.expire(now, true);
        self.place_first(key, now);
        let Some(queue) = self.queues.get(&key) else { return };
        if self.serving != Some((queue.class, queue.workload())) {
            self.serving = None;
        }
    }

    /// Ends the active queue's turn. When it is cut short or overrun, the difference is kept.
    pub(super) fn expire(&mut self, now: u64, keep_difference: bool) {
        self.idle_until = None;
        let Some(key) = self.active.take() else { return };
        let left = if keep_difference { self.left_of(key, now) } else { 0 };
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.residue = left;
        if queue.is_empty() {
            self.trees.leave(queue);
        } else {
            self.place(key, now);
        }
    }

    /// The queue that may dispatch now. Something waits.
    pub(super) fn select(&mut self, now: u64) -> Option<Key> {
        if let Some(key) = self.active {
            match self.judge(key, now) {
                Verdict::Serve => return Some(key),
                Verdict::Wait => return None,
                Verdict::Expire => self.expire(now, false),
            }
        }
        self.choose(now)
    }

    fn judge(&mut self, key: Key, now: u64) -> Verdict {
        let Some(queue) = self.queues.get_mut(&key) else { return Verdict::Expire };
        if queue.slice.is_used(now) && !queue.must_dispatch {
            return Verdict::Expire;
        }
        if !queue.is_empty() {
            return Verdict::Serve;
        }
        if self.idle_until.is_none() {
            queue.see_whether_deep_still_pays(now);
        }
        match self.queues.get(&key) {
            Some(queue) if self.should_idle(queue) && (self.idle_until.is_some() || queue.in_flight > 0) => {
                Verdict::Wait
            }
            _ => Verdict::Expire,
        }
    }

    /// Begins the turn of the next queue.
    fn choose(&mut self, now: u64) -> Option<Key> {
        let classes = [IoClass::RealTime, IoClass::BestEffort, IoClass::Idle];
        let class = classes.into_iter().find(|class| self.trees.busy_of(*class) > 0)?;
        let workload = match class {
            IoClass::Idle if !self.idle_class_may_go(now) => return None,
            // The idle class has one tree.
            IoClass::Idle => Workload::Async,
            _ => self.choose_workload(class, now)?,
        };
        self.serving = Some((class, workload));
        let key = self.trees.tree(class, workload).first()?;
        self.queues.get_mut(&key)?.begin_turn();
        self.active = Some(key);
        Some(key)
    }

    fn choose_workload(&mut self, class: IoClass, now: u64) -> Option<Workload> {
        if let Some((serving, workload)) = self.serving
            && serving == class
            && now <= self.serving_until
            && self.trees.tree(class, workload).len() > 0
        {
            return Some(workload);
        }
        let earliest = |w: &Workload| self.trees.tree(class, *w).first_time().map(|time| (time, *w as usize));
        let workload = WORKLOADS.into_iter().filter(|w| earliest(w).is_some()).min_by_key(earliest)?;
        self.serving_until = now.saturating_add(self.tree_slice(class, workload));
        Some(workload)
    }

    /// Nobody else uses the disk, nor has for a while.
    fn idle_class_may_go(&mut self, now: u64) -> bool {
        if self.queues.values().any(|queue| queue.class != IoClass::Idle && queue.in_flight > 0) {
            return false;
        }
        let until = self.last_served.map(|at| at.saturating_add(IDLE_GRACE_NS));
        self.grace_until = until.filter(|until| now < *until);
        self.grace_until.is_none()
    }

    /// The queue's next request, if it may have one more in flight.
    pub(super) fn dispatch_from(&mut self, key: Key, pool: &Pool, now: u64) -> Option<RequestId> {
        let t = &self.tunables;
        let (back_max, penalty) = (t.back_seek_max_kib * 2, t.back_seek_penalty);
        if u64::from(self.queues.get(&key)?.in_flight) >= self.most_in_flight(key, now) {
            return None;
        }
        let queue = self.queues.get_mut(&key)?;
        let id = queue.expired(now).or_else(|| queue.nearest(self.position, back_max, penalty))?;
        let request = pool.get(id)?;
        queue.remove(id, request);
        self.waiting -= 1;
        self.count_dispatch(key, request, now);
        Some(id)
    }

    /// Whether a request may go out at once: it is its queue's turn, and nothing waits.
    pub(super) fn may_pass(&self, key: Key, request: &Request, now: u64) -> bool {
        let Some(queue) = self.queues.get(&key).filter(|_| self.active == Some(key)) else { return false };
        let prio = request.origin().prio;
        self.waiting == 0
            && queue.is_placed()
            && (queue.class, queue.level) == (prio.class(), prio.level())
            && !queue.slice.is_used(now)
            && self.idle_until.is_none_or(|until| now < until)
            && u64::from(queue.in_flight) < self.most_in_flight(key, now)
    }

    /// The request goes to the device.
    pub(super) fn count_dispatch(&mut self, key: Key, request: &Request, now: u64) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.in_flight += 1;
        queue.dispatched += 1;
        queue.must_dispatch = false;
        self.in_flight[usize::from(key.is_sync())] += 1;
        self.position = request.end().0;
        self.end_short_turn(key, now);
    }

    /// An async queue has so many requests a turn, one of the idle class a single one.
    fn end_short_turn(&mut self, key: Key, now: u64) {
        let Some(queue) = self.queues.get(&key) else { return };
        let spent = !queue.is_sync() && queue.dispatched >= self.tunables.async_requests(queue.level);
        if self.trees.busy() > 1 && (spent || queue.class == IoClass::Idle) {
            self.expire(now, false);
        }
    }

    /// How many requests the queue may have in flight; 0: none now, and then others are.
    fn most_in_flight(&self, key: Key, now: u64) -> u64 {
        let Some(queue) = self.queues.get(&key) else { return 0 };
        let blocked = if queue.is_sync() {
            self.in_flight[0] > 0 && self.should_idle(queue)
        } else {
            self.in_flight[1] > 0
        };
        if blocked {
            return 0;
        }
        let most = self.depth_of(queue, now);
        match self.delayed_sync {
            Some(delayed) if !queue.is_sync() && self.tunables.low_latency => {
                // One more for each slice since, and the first at once.
                let ramp = now.saturating_sub(delayed) / self.tunables.slice[1].max(1);
                most.min(ramp.max(u64::from(queue.in_flight == 0)))
            }
            _ => most,
        }
    }

    fn depth_of(&self, queue: &Queue, now: u64) -> u64 {
        if queue.class == IoClass::Idle {
            return 1;
        }
        let half = (self.tunables.quantum / 2).max(1);
        if u64::from(queue.in_flight) < half {
            return half;
        }
        let only_sync = queue.is_sync() && self.trees.busy_sync() == 1;
        if only_sync || self.trees.busy() == 1 {
            return u64::MAX;
        }
        if queue.slice_used_soon(now, self.tunables.slice_idle) { half } else { self.tunables.quantum }
    }

    /// Takes a request that has ended out of the counts, and learns from it.
    pub(super) fn count_completion(&mut self, key: Key, request: &Request, now: u64) {
        self.learn_depth();
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.touched = now;
        queue.in_flight = queue.in_flight.saturating_sub(1);
        let in_flight = &mut self.in_flight[usize::from(key.is_sync())];
        *in_flight = in_flight.saturating_sub(1);
        if queue.class != IoClass::Idle {
            self.last_served = Some(now);
        }
        if key.is_sync() {
            queue.think.ended(now);
            let (class, workload) = queue.tree();
            self.trees.tree_mut(class, workload).think.ended(now);
            if request.queued_ns().saturating_add(self.tunables.fifo_expire(true)) <= now {
                self.delayed_sync = Some(now);
            }
        }
    }

    /// A request of the active queue has ended: its turn goes on, ends, or it is waited for.
    pub(super) fn active_completed(&mut self, key: Key, now: u64) {
        if self.queues.get(&key).is_some_and(|queue| queue.slice == Slice::New) {
            self.begin_slice(key, now);
        }
        let Some(queue) = self.queues.get(&key) else { return };
        if queue.slice.is_used(now) || queue.class == IoClass::Idle {
            self.expire(now, true);
        } else if queue.is_sync() && queue.is_empty() {
            self.begin_idling(key, now);
        }
    }
}

impl Queue {
    /// A queue that seeks and was waited for because it kept the device busy: it does not, if the
    /// device is through with its requests in less than half its turn.
    fn see_whether_deep_still_pays(&mut self, now: u64) {
        let early = match self.slice {
            Slice::New => true,
            Slice::Runs { start, end } => end.saturating_sub(now) > now.saturating_sub(start),
        };
        if early && self.idle_window && self.seeks.is_seeky() {
            self.deep = false;
            self.idle_window = false;
        }
    }
}
