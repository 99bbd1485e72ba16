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
//! # Who runs the queue
//! Whoever adds something or completes something calls `RequestQueue::run`. One caller at a time
//! really dispatches; another one, also an interrupt that arrives in the middle, leaves a note
//! (`again`) and goes. So the driver's `commit` is called once for a whole batch, and a RAM disk that
//! completes there does not recurse.
//!
//! # A full driver
//! No more than `queue_depth` requests are given out, and a driver may refuse before that. What has no
//! room stays in the elevator, where it is still merged with, until a completion calls `run`. Nobody
//! spins. Each direction holds at most [`MAX_REQUESTS`] requests; then `submit` sleeps.
//!
//! # Locking
//! `state` is a `SpinLock`, held while requests are sorted, never while a driver, an `end_io` or a
//! sleep runs. Order: a thread's plug list is left before `state` is taken.
//!
//! # Invariants
//! 1. `reserved` counts the requests of a direction that exist, plugged, waiting or in flight.
//! 2. `in_flight` counts what the driver has; it is at most `queue_depth`.
//! 3. While something waits, either something is in flight, or somebody is in `run`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use base::{Errno, RateLimit, Result};
use sync::{SpinLock, WaitQueue};

use crate::bio::{Bio, BioFlags, BioOp, Direction};
use crate::driver::{Driver, Limits};
use crate::elevator::{self, Elevator};
use crate::flush::{FlushMachine, Flushed, Stage, first_stage};
use crate::merge;
use crate::plug;
use crate::pool::Pool;
use crate::request::{InFlight, Origin, Request, Shape};
use crate::stats::{Counters, DiskStats};

/// A failing disk has much to say.
static FAILED: RateLimit = RateLimit::new();

/// Most requests of one direction in a queue, as Linux's `nr_requests` with an elevator.
pub const MAX_REQUESTS: usize = 256;

/// The queue of one disk.
pub struct RequestQueue {
    /// The disk's, for the log.
    name: String,
    driver: Arc<dyn Driver>,
    limits: Limits,
    state: SpinLock<State>,
    /// Who waits until there are fewer than [`MAX_REQUESTS`] reads, or writes.
    room: [WaitQueue; 2],
}

struct State {
    pool: Pool,
    elevator: Box<dyn Elevator>,
    /// Counts the elevators there were, from 1.
    elevator_number: u64,
    /// What goes out before anything of the elevator: data between flushes, and what the driver gave
    /// back.
    bypass: VecDeque<Request>,
    flush: FlushMachine,
    in_flight: u32,
    reserved: [usize; 2],
    /// Somebody is in `run`.
    running: bool,
    /// Something changed meanwhile.
    again: bool,
    counters: Counters,
}

/// Why a round of dispatching ended.
#[derive(PartialEq, Eq)]
enum Round {
    /// The driver took a request.
    Sent,
    /// Nothing waits, or the driver is full.
    Over,
}

impl RequestQueue {
    /// The queue of the disk of that name, in front of a driver. EINVAL when there is no such elevator, or the driver's limits
    /// are impossible.
    pub fn new(name: &str, driver: Arc<dyn Driver>, elevator: &str) -> Result<Arc<RequestQueue>> {
        let limits = driver.limits();
        limits.check()?;
        let state = State {
            pool: Pool::default(),
            elevator: elevator::by_name(elevator).ok_or(Errno::EINVAL)?,
            elevator_number: 1,
            bypass: VecDeque::new(),
            flush: FlushMachine::default(),
            in_flight: 0,
            reserved: [0; 2],
            running: false,
            again: false,
            counters: Counters::default(),
        };
        let room = [WaitQueue::new(), WaitQueue::new()];
        Ok(Arc::new(RequestQueue {
            name: name.to_string(),
            driver,
            limits,
            state: SpinLock::new(state),
            room,
        }))
    }

    /// What the device takes in one request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The driver.
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.driver
    }

    /// The elevator's name.
    pub fn elevator(&self) -> &'static str {
        self.state.lock().elevator.name()
    }

    /// Puts another elevator in place; what waits goes over to it, oldest first. EINVAL when there is
    /// none of that name.
    pub fn switch_elevator(&self, name: &str) -> Result<()> {
        let mut fresh = elevator::by_name(name).ok_or(Errno::EINVAL)?;
        let now = base::time::monotonic_ns();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        for id in state.pool.ids() {
            fresh.add(&mut state.pool, id, now);
        }
        let old = core::mem::replace(&mut state.elevator, fresh);
        state.elevator_number += 1;
        drop(guard);
        drop(old);
        Ok(())
    }

    /// The counters until now.
    pub fn stats(&self) -> DiskStats {
        self.state.lock().counters.snapshot(base::time::monotonic_ns())
    }

    /// How many requests wait for the driver.
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.pool.len() + state.bypass.len()
    }

    /// Takes a bio that is well formed, inside the disk and within the limits.
    pub(crate) fn submit(self: &Arc<Self>, bio: Bio) {
        if bio.op() == BioOp::Flush || bio.flags.intersects(BioFlags::PREFLUSH | BioFlags::FUA) {
            // What this thread wrote before comes before.
            plug::flush_current();
            return self.submit_flush(bio);
        }
        let shape = Shape::of(&bio, &self.limits);
        let Some(bio) = plug::offer(self, bio, &shape) else { return };
        let origin = Origin::here(bio.op(), bio.flags);
        let Some(bio) = self.merge(bio, &shape, &origin) else { return };
        self.reserve(bio.op().direction());
        self.add_all([Request::from(bio, shape, origin, base::time::monotonic_ns())]);
    }

    /// Tries to make the bio part of a request that waits. Gives it back when there is none.
    fn merge(&self, bio: Bio, shape: &Shape, origin: &Origin) -> Option<Bio> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let op = bio.op();
        let merged =
            merge::merge_bio(&mut state.pool, state.elevator.as_mut(), bio, shape, origin, &self.limits);
        match merged {
            Ok(gone) => {
                (0..=gone).for_each(|_| state.counters.merged(op));
                state.release(op.direction(), gone);
                drop(guard);
                self.wake_room(op.direction(), gone);
                None
            }
            Err(bio) => Some(bio),
        }
    }

    /// Counts one bio that was merged in a plug list.
    pub(crate) fn count_plug_merge(&self, op: BioOp) {
        self.state.lock().counters.merged(op);
    }

    fn submit_flush(self: &Arc<Self>, bio: Bio) {
        let Some(stage) = first_stage(bio.op(), bio.flags, !bio.is_empty(), &self.limits) else {
            // No cache, no data: what was completed is durable.
            return bio.complete(Ok(()));
        };
        let shape = Shape::of(&bio, &self.limits);
        self.reserve(bio.op().direction());
        let mut request = Request::new(bio, shape, base::time::monotonic_ns());
        request.stage = stage;
        let mut state = self.state.lock();
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
            let mut state = self.state.lock();
            let free = state.reserved[index] < MAX_REQUESTS;
            state.reserved[index] += usize::from(free);
            free
        };
        self.room[index].wait_until(try_reserve);
    }

    /// Takes requests that were reserved, and sends out what can go.
    pub(crate) fn add_all(self: &Arc<Self>, requests: impl IntoIterator<Item = Request>) {
        let mut freed = [0; 2];
        {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            for request in requests {
                let op = request.op();
                let gone = state.add(request, &self.limits);
                (0..gone).for_each(|_| state.counters.merged(op));
                state.release(op.direction(), gone);
                freed[op.direction() as usize] += gone;
            }
        }
        self.wake_room(Direction::Read, freed[0]);
        self.wake_room(Direction::Write, freed[1]);
        self.run();
    }

    /// Sends out what waits, as far as the driver has room. Callable from an interrupt.
    pub(crate) fn run(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.running {
                state.again = true;
                return;
            }
            state.running = true;
        }
        loop {
            let mut sent = false;
            while self.send_one() == Round::Sent {
                sent = true;
            }
            if sent {
                self.driver.commit();
            }
            let mut state = self.state.lock();
            if !core::mem::take(&mut state.again) {
                state.running = false;
                return;
            }
        }
    }

    /// Gives the driver the next request.
    fn send_one(self: &Arc<Self>) -> Round {
        let Some(request) = self.state.lock().next(&self.limits) else { return Round::Over };
        let Err(back) = self.driver.queue_request(InFlight::new(request, self.clone())) else {
            return Round::Sent;
        };
        let Some(request) = back.take_back() else { return Round::Over };
        let mut state = self.state.lock();
        state.give_back(request);
        if state.in_flight > 0 || state.again {
            return Round::Over;
        }
        // Nothing is in flight, so no completion would ever ask again (driver.rs, the contract).
        let refused = state.next(&self.limits);
        drop(state);
        if let Some(request) = refused {
            log::error!("{}: an idle driver refuses a request, {request:?}", self.name);
            self.finished(request, Err(Errno::EIO));
        }
        Round::Sent
    }

    /// The driver is done with a request. Takes it to its next step, or ends it. Does not run the
    /// queue.
    pub(crate) fn finished(&self, request: Request, result: Result<()>) {
        // That a device lacks an operation is no trouble.
        if let Err(errno) = result
            && errno != Errno::EOPNOTSUPP
            && let Some(missed) = FAILED.admit()
        {
            log::warn!("{}: I/O error {}, {request:?}{missed}", self.name, errno.name());
        }
        let mut state = self.state.lock();
        state.in_flight -= 1;
        let now = base::time::monotonic_ns();
        state.counters.finished(request.op(), request.sectors(), request.queued_ns(), now, result.is_ok());
        if request.elevator == state.elevator_number {
            state.elevator.completed(&request, now);
        }
        match request.stage {
            Stage::SharedFlush => {
                let Flushed { go_on, over } = state.flush.ended(result);
                state.bypass.extend(go_on);
                drop(state);
                over.into_iter().for_each(|request| self.end(request, result));
            }
            Stage::Data { post: true } if result.is_ok() => {
                let mut request = request;
                request.stage = Stage::NeedsPost;
                state.flush.wait(request);
            }
            _ => {
                drop(state);
                self.end(request, result);
            }
        }
    }

    /// The request is over: its place is free, its bios end.
    fn end(&self, request: Request, result: Result<()>) {
        let direction = request.op().direction();
        self.state.lock().release(direction, 1);
        request.end_bios(result);
        self.wake_room(direction, 1);
    }

    fn wake_room(&self, direction: Direction, freed: usize) {
        for _ in 0..freed {
            self.room[direction as usize].wake_one();
        }
    }
}

impl State {
    /// Into pool and elevator, joined with its neighbours; returns how many requests that took away.
    fn add(&mut self, request: Request, limits: &Limits) -> usize {
        let mergeable = merge::mergeable(request.op(), request.flags());
        let now = request.queued_ns();
        let id = self.pool.insert(request);
        self.elevator.add(&mut self.pool, id, now);
        if !mergeable {
            return 0;
        }
        merge::join_neighbours(&mut self.pool, self.elevator.as_mut(), id, limits)
    }

    fn release(&mut self, direction: Direction, requests: usize) {
        self.reserved[direction as usize] -= requests;
    }

    /// The next request for the driver, counted as in flight.
    fn next(&mut self, limits: &Limits) -> Option<Request> {
        if self.in_flight >= limits.queue_depth {
            return None;
        }
        let now = base::time::monotonic_ns();
        let request = self.choose(now)?;
        self.in_flight += 1;
        self.counters.started(now);
        Some(request)
    }

    fn choose(&mut self, now: u64) -> Option<Request> {
        if self.flush.begin() {
            return Some(Request::shared_flush(now));
        }
        if let Some(request) = self.bypass.pop_front() {
            return Some(request);
        }
        let id = self.elevator.dispatch(&self.pool, now)?;
        let mut request = self.pool.remove(id)?;
        request.elevator = self.elevator_number;
        Some(request)
    }

    /// The driver refused it: it is the next one to go.
    fn give_back(&mut self, request: Request) {
        self.in_flight -= 1;
        self.counters.given_back(base::time::monotonic_ns());
        self.bypass.push_front(request);
    }
}
