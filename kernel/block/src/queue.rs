//! The request queue of one disk: where bios become requests, wait in an elevator, and go out as far
//! as the driver has room.
//!
//! ```text
//!   submit ─┬─ plug of the thread ──unplug──┐
//!           ├─ merged into the pool         ├──▶ pool + elevator ─┐
//!           └─ a request of its own ────────┘                     ├─▶ run ──▶ driver
//!              flush or FUA ──▶ FlushMachine ──▶ bypass ──────────┘    ▲
//!                                    ▲                                 │
//!                                    └────────── finished ◀────────────┘ completion
//! ```
//!
//! # A full driver
//! No more than `queue_depth` requests are given out, and a driver may refuse before that. What has no
//! room stays in the elevator, where it is still merged with, until a completion calls `run`. Nobody
//! spins. Each direction holds at most `nr_requests` requests; then `submit` sleeps.
//!
//! How what waits gets to the driver and back is in dispatch.rs; what may be set meanwhile in attributes.rs.
//!
//! # Locking
//! `state` is a `SpinLock`, held while requests are sorted, never while a driver, an `end_io` or a
//! sleep runs. Order: a thread's plug list is left before `state` is taken.
//!
//! # Invariants
//! 1. `reserved` counts the requests of a direction that exist, plugged, waiting or in flight.
//! 2. `in_flight` counts what the driver has; it is at most `queue_depth`.
//! 3. While something waits, either something is in flight, or somebody is in `run`, or the elevator
//!    waits on purpose and the timer is armed.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::ops::Range;

use base::{DevId, Errno, Result, Sector};
use sync::thread::ThreadId;
use sync::{SpinGuard, SpinLock, WaitQueue};

use crate::attributes::{Attributes, Merges};
use crate::bio::{Bio, BioFlags, BioOp, Direction};
use crate::driver::{Driver, Limits};
use crate::elevator::{self, Elevator};
use crate::flush::{FlushMachine, Stage, first_stage};
use crate::kblockd::{KBLOCKD, Timer};
use crate::merge::{self, Rules};
use crate::plug;
use crate::pool::Pool;
use crate::request::{Origin, Request, Shape};
use crate::stats::{Counters, DiskStats};
use crate::tags::Tags;
use crate::trace;

/// The queue of one disk.
pub struct RequestQueue {
    /// The disk's, for the log.
    name: String,
    /// The disk's, for traces.
    dev: DevId,
    driver: Arc<dyn Driver>,
    /// As the driver told them.
    hardware: Limits,
    pub(crate) attributes: Attributes,
    pub(crate) timer: &'static dyn Timer,
    state: SpinLock<State>,
    /// Who waits until there are fewer than `nr_requests` reads, or writes.
    room: [WaitQueue; 2],
}

pub(crate) struct State {
    pub pool: Pool,
    pub elevator: Box<dyn Elevator>,
    /// Counts the elevators there were, from 1.
    pub elevator_number: u64,
    /// What the elevator was told the time is.
    pub now: u64,
    /// Until when the elevator waits on purpose.
    pub wake_at: Option<u64>,
    /// What goes out before anything of the elevator: data between flushes, and what the driver gave
    /// back.
    pub bypass: VecDeque<Request>,
    pub flush: FlushMachine,
    pub in_flight: u32,
    pub tags: Tags,
    /// The timer will look at `tags`.
    pub timeout_armed: bool,
    pub reserved: [usize; 2],
    /// Somebody is in `run`.
    pub running: bool,
    /// Something changed meanwhile.
    pub again: bool,
    pub counters: Counters,
}

impl RequestQueue {
    /// The queue of the disk of that name, in front of a driver. EINVAL when there is no such elevator, or the driver's limits
    /// are impossible.
    pub fn new(name: &str, dev: DevId, driver: Arc<dyn Driver>, elevator: &str) -> Result<Arc<RequestQueue>> {
        let queue = RequestQueue::with_timer(name, dev, driver, elevator, &KBLOCKD)?;
        KBLOCKD.register(&queue);
        Ok(queue)
    }

    /// The same, whose time another one tells.
    pub(crate) fn with_timer(
        name: &str,
        dev: DevId,
        driver: Arc<dyn Driver>,
        elevator: &str,
        timer: &'static dyn Timer,
    ) -> Result<Arc<RequestQueue>> {
        let hardware = driver.limits();
        hardware.check()?;
        let attributes = Attributes::new(&hardware);
        let mut elevator = elevator::by_name(elevator).ok_or(Errno::EINVAL)?;
        elevator.set_rotational(hardware.rotational);
        let state = SpinLock::new(State::new(dev, elevator));
        let room = [WaitQueue::new(), WaitQueue::new()];
        let name = name.to_string();
        Ok(Arc::new(RequestQueue { name, dev, driver, hardware, attributes, timer, state, room }))
    }

    /// The disk's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The disk's number.
    pub(crate) fn dev(&self) -> DevId {
        self.dev
    }

    pub(crate) fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    /// What the queue believes the time is.
    pub(crate) fn now(&self) -> u64 {
        self.timer.now()
    }

    /// What the driver told of its device.
    pub fn hardware(&self) -> &Limits {
        &self.hardware
    }

    /// What the device takes in one request, and what was set since (attributes.rs).
    #[inline]
    pub fn limits(&self) -> Limits {
        self.attributes.apply(&self.hardware)
    }

    /// The driver.
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.driver
    }

    /// The elevator's name.
    pub fn elevator(&self) -> &'static str {
        self.lock().elevator.name()
    }

    /// Puts another elevator in place; what waits goes over to it, oldest first, and what is in flight
    /// ends without either being asked. EINVAL when there is none of that name. The present one by its
    /// name stays, as it is.
    pub fn switch_elevator(self: &Arc<Self>, name: &str) -> Result<()> {
        let mut fresh = elevator::by_name(name).ok_or(Errno::EINVAL)?;
        let mut state = self.lock();
        if state.elevator.name() == name {
            return Ok(());
        }
        fresh.set_rotational(self.rotational());
        state.hand_over(fresh.as_mut(), self.now());
        let old = core::mem::replace(&mut state.elevator, fresh);
        state.elevator_number += 1;
        drop(state);
        drop(old);
        self.run();
        Ok(())
    }

    /// The thread has ended: its elevator need not remember it.
    pub(crate) fn thread_ended(&self, thread: ThreadId) {
        self.lock().elevator.thread_ended(thread);
    }

    /// The counters until now.
    pub fn stats(&self) -> DiskStats {
        self.lock().counters.snapshot(self.now())
    }

    /// The counters of the partition at this place.
    pub(crate) fn partition_stats(&self, place: &Range<u64>) -> DiskStats {
        self.lock().counters.partition_snapshot(place, self.now())
    }

    /// Which partitions are counted apart.
    pub(crate) fn count_partitions(&self, places: &[Range<u64>]) {
        self.lock().counters.set_partitions(places);
    }

    /// How many requests wait for the driver.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        state.pool.len() + state.bypass.len()
    }

    /// Takes a bio that is well formed, inside the disk and within the limits.
    pub(crate) fn submit(self: &Arc<Self>, bio: Bio) {
        if bio.op() == BioOp::Flush || bio.flags.intersects(BioFlags::PREFLUSH | BioFlags::FUA) {
            // What this thread wrote before comes before.
            plug::flush_current();
            return self.submit_flush(bio);
        }
        let shape = Shape::of(&bio, &self.hardware);
        let Some(bio) = plug::offer(self, bio, &shape) else { return };
        let origin = Origin::here(bio.op(), bio.flags);
        let Some(bio) = self.merge(bio, &shape, &origin) else { return };
        self.reserve(bio.op().direction());
        trace::getrq(self.dev, &bio);
        self.add_one(Request::from(bio, shape, origin, self.now()));
    }

    /// Tries to make the bio part of a request that waits. Gives it back when there is none.
    fn merge(&self, bio: Bio, shape: &Shape, origin: &Origin) -> Option<Bio> {
        let rules = self.merge_rules();
        let (op, sector) = (bio.op(), bio.sector());
        let mut guard = self.lock();
        let state = &mut *guard;
        match merge::merge_bio(&mut state.pool, state.elevator.as_mut(), bio, shape, origin, &rules) {
            Ok(gone) => {
                state.count_merges(op, sector, 1 + gone, self.iostats());
                state.release(op.direction(), gone);
                drop(guard);
                self.wake_room(op.direction(), gone);
                None
            }
            Err(bio) => Some(bio),
        }
    }

    pub(crate) fn merge_rules(&self) -> Rules {
        Rules { limits: self.limits(), merges: self.merges() }
    }

    /// Counts one bio that was merged in a plug list.
    pub(crate) fn count_plug_merge(&self, op: BioOp, sector: Sector) {
        self.lock().count_merges(op, sector, 1, self.iostats());
    }

    fn submit_flush(self: &Arc<Self>, bio: Bio) {
        let Some(stage) = first_stage(bio.op(), bio.flags, !bio.is_empty(), &self.limits()) else {
            // No cache, no data: what was completed is durable.
            return bio.complete(Ok(()));
        };
        let shape = Shape::of(&bio, &self.hardware);
        self.reserve(bio.op().direction());
        trace::getrq(self.dev, &bio);
        let mut request = Request::new(bio, shape, self.now());
        request.stage = stage;
        let mut state = self.lock();
        state.pool.seal();
        match stage {
            Stage::NeedsPre { .. } => state.flush.wait(request),
            _ => state.bypass.push_back(request),
        }
        drop(state);
        self.run();
    }

    /// Waits until one more request of that direction may exist, and counts it. The thread's plug
    /// list goes out before it sleeps.
    pub(crate) fn reserve(&self, direction: Direction) {
        let index = direction as usize;
        let try_reserve = || {
            let mut state = self.lock();
            let free = state.reserved[index] < self.nr_requests();
            state.reserved[index] += usize::from(free);
            free
        };
        self.room[index].wait_until(try_reserve);
    }

    /// Takes a request that was reserved, and sends out what can go.
    pub(crate) fn add_one(self: &Arc<Self>, request: Request) {
        self.add_all(request, []);
    }

    /// The same of several. Those that follow one another become one on the way.
    pub(crate) fn add_all(self: &Arc<Self>, first: Request, more: impl IntoIterator<Item = Request>) {
        let mut freed = [0; 2];
        let (rules, now, counted) = (self.merge_rules(), self.now(), self.iostats());
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            let mut count = |state: &mut State, op: BioOp, sector: Sector, gone: usize| {
                state.count_merges(op, sector, gone, counted);
                state.release(op.direction(), gone);
                freed[op.direction() as usize] += gone;
            };
            let mut request = first;
            for next in more {
                if merge::follows(&request, &next, &rules) {
                    trace::rq_merge(self.dev, &next);
                    count(state, next.op(), next.sector(), 1);
                    request.join(next);
                    continue;
                }
                let ready = core::mem::replace(&mut request, next);
                let (op, sector) = (ready.op(), ready.sector());
                let gone = state.add(ready, now, &rules);
                count(state, op, sector, gone);
            }
            let (op, sector) = (request.op(), request.sector());
            let gone = state.add(request, now, &rules);
            count(state, op, sector, gone);
        }
        self.wake_room(Direction::Read, freed[0]);
        self.wake_room(Direction::Write, freed[1]);
        self.run();
    }

    pub(crate) fn wake_room(&self, direction: Direction, freed: usize) {
        for _ in 0..freed {
            self.room[direction as usize].wake_one();
        }
    }

    pub(crate) fn wake_all_for_room(&self) {
        self.room.iter().for_each(WaitQueue::wake_all);
    }
}

impl State {
    fn new(dev: DevId, elevator: Box<dyn Elevator>) -> State {
        State {
            pool: Pool::new(dev),
            elevator,
            elevator_number: 1,
            now: 0,
            wake_at: None,
            bypass: VecDeque::new(),
            flush: FlushMachine::default(),
            in_flight: 0,
            tags: Tags::default(),
            timeout_armed: false,
            reserved: [0; 2],
            running: false,
            again: false,
            counters: Counters::default(),
        }
    }

    /// Past the pool and the elevator, where nothing waits, the driver has room and the elevator has
    /// no objection; else gives the request back.
    fn pass(&mut self, mut request: Request, now: u64, depth: u32) -> Option<Request> {
        let busy = self.in_flight as usize + self.bypass.len();
        let idle = self.pool.len() == 0 && busy < depth as usize;
        if !idle || !self.elevator.pass(&request, now) {
            return Some(request);
        }
        request.elevator = self.elevator_number;
        self.bypass.push_back(request);
        None
    }

    /// Into pool and elevator, joined with its neighbours, or past them; returns how many requests that
    /// took away.
    fn add(&mut self, request: Request, now: u64, rules: &Rules) -> usize {
        let now = self.advance(now);
        let Some(request) = self.pass(request, now, rules.limits.queue_depth) else { return 0 };
        let mergeable = merge::mergeable(request.op(), request.flags());
        let id = self.pool.insert(request);
        self.elevator.add(&mut self.pool, id, now);
        if !mergeable || rules.merges != Merges::All {
            return 0;
        }
        merge::join_neighbours(&mut self.pool, self.elevator.as_mut(), id, &rules.limits)
    }

    fn count_merges(&mut self, op: BioOp, sector: Sector, merges: usize, counted: bool) {
        if counted {
            (0..merges).for_each(|_| self.counters.merged(op, sector));
        }
    }
}
