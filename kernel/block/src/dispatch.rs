//! From the queue to the driver, and back: what goes next, who runs the queue, what a completion does.
//!
//! # Who runs the queue
//! Whoever adds something or completes something calls [`RequestQueue::run`]. One caller at a time
//! really dispatches; another one, also an interrupt that arrives in the middle, leaves a note
//! (`again`) and goes. So the driver's `commit` is called once for a whole batch, and a RAM disk that
//! completes there does not recurse.
//!
//! # When the elevator waits
//! It may keep what it has for a while, hoping for something better, and says until when
//! ([`crate::elevator::Elevator::wake_at`]). The queue hands that moment to its timer, which runs it
//! again then. Without a timer, and with nothing in flight whose completion would run the queue, the
//! elevator is told at once that the moment has come.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, RateLimit, Result};

use crate::bio::Direction;
use crate::driver::TimedOut;
use crate::flush::{Flushed, Stage};
use crate::in_flight::InFlight;
use crate::pool::RequestId;
use crate::queue::{RequestQueue, State};
use crate::request::Request;
use crate::tags::Overdue;
use crate::trace;

/// A failing disk has much to say.
static FAILED: RateLimit = RateLimit::new();
/// So has one that stands still.
static LATE: RateLimit = RateLimit::new();

/// How soon the timer looks again after an elevator that is being asked.
const SOON_NS: u64 = 1_000_000;

/// Why a round of dispatching ended.
#[derive(PartialEq, Eq)]
enum Round {
    /// The driver took a request.
    Sent,
    /// Nothing waits, or the driver is full.
    Over,
}

impl RequestQueue {
    /// Sends out what waits, as far as the driver has room. Callable from an interrupt.
    pub(crate) fn run(self: &Arc<Self>) {
        {
            let mut state = self.lock();
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
                self.driver().commit();
            }
            if self.stop_running() {
                return;
            }
        }
    }

    /// Ends [`RequestQueue::run`], unless something changed meanwhile.
    fn stop_running(&self) -> bool {
        let mut state = self.lock();
        let (wake_at, timeout) = (state.wake_at, state.timeout_wanted());
        if !state.again && (wake_at.is_some() || timeout) {
            drop(state);
            let armed = self.arm(wake_at, timeout);
            state = self.lock();
            state.timeout_armed |= armed && timeout;
            if !armed && state.in_flight == 0 && state.skip_to(wake_at) {
                return false;
            }
        }
        if core::mem::take(&mut state.again) {
            return false;
        }
        state.running = false;
        true
    }

    /// Has the timer come at `wake_at`, and when what is in flight now is overdue.
    fn arm(&self, wake_at: Option<u64>, timeout: bool) -> bool {
        let timeout_at = timeout.then(|| self.now().saturating_add(self.timeout_ns()));
        wake_at.into_iter().chain(timeout_at).min().is_some_and(|at| self.timer.arm(at))
    }

    /// Gives the driver the next request.
    fn send_one(self: &Arc<Self>) -> Round {
        let Some(request) = self.next() else { return Round::Over };
        trace::rq_issue(self.dev(), &request);
        let Err(back) = self.driver().queue_request(InFlight::new(request, self.clone())) else {
            return Round::Sent;
        };
        let Some(request) = back.take_back() else { return Round::Over };
        trace::rq_requeue(self.dev(), &request);
        let mut state = self.lock();
        state.give_back(request, self.now());
        if state.in_flight > 0 || state.again {
            return Round::Over;
        }
        drop(state);
        // Nothing is in flight, so no completion would ever ask again (driver.rs, the contract).
        if let Some(request) = self.next() {
            log::error!("{}: an idle driver refuses a request, {request:?}", self.name());
            self.finished(request, Err(Errno::EIO));
        }
        Round::Sent
    }

    fn next(&self) -> Option<Request> {
        let mut state = self.lock();
        if state.nothing_waits() || state.in_flight >= self.hardware().queue_depth {
            state.wake_at = None;
            return None;
        }
        state.next(self.now(), self.iostats())
    }

    /// The driver is done with a request. Takes it to its next step, or ends it. Does not run the
    /// queue.
    pub(crate) fn finished(&self, request: Request, result: Result<()>) {
        self.report(&request, result);
        trace::rq_complete(self.dev(), &request, result);
        let now = self.now();
        let mut state = self.lock();
        state.take_from_driver(&request, now, result);
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
                state.release(request.op().direction(), 1);
                drop(state);
                self.end_released(request, result);
            }
        }
    }

    /// That a device lacks an operation is no trouble; all else is in the log.
    fn report(&self, request: &Request, result: Result<()>) {
        if let Err(errno) = result
            && errno != Errno::EOPNOTSUPP
            && let Some(missed) = FAILED.admit()
        {
            log::warn!("{}: I/O error {}, {request:?}{missed}", self.name(), errno.name());
        }
    }

    /// The request is over: its place is free, its bios end.
    fn end(&self, request: Request, result: Result<()>) {
        trace::rq_complete(self.dev(), &request, result);
        self.lock().release(request.op().direction(), 1);
        self.end_released(request, result);
    }

    fn end_released(&self, request: Request, result: Result<()>) {
        let direction = request.op().direction();
        request.end_bios(result);
        self.wake_room(direction, 1);
    }

    /// The timer function: it is `now`. Asks an elevator that has waited long enough, and tells of
    /// requests that the driver has had for too long. When it wants to be called again, if at all.
    pub(crate) fn timer(self: &Arc<Self>, now: u64) -> Option<u64> {
        // Where the driver is full, `run` does not come to ask; then the next completion does.
        let ask = self.lock().wake_at.take_if(|at| *at <= now).is_some();
        for overdue in self.overdue(now) {
            if let Some(missed) = LATE.admit() {
                log::warn!("{}: {overdue}{missed}", self.name());
            }
        }
        if ask {
            self.run();
        }
        let mut state = self.lock();
        let due = state.tags.due(self.timeout_ns());
        state.timeout_armed = due.is_some();
        // What is past by now, another CPU is about to look at.
        let wake_at = state.wake_at.map(|at| if at <= now { now.saturating_add(SOON_NS) } else { at });
        due.into_iter().chain(wake_at).min()
    }

    /// The requests that the driver has had for too long, and still has when it was asked to look; those
    /// that the log shall hear of.
    pub(crate) fn overdue(&self, now: u64) -> Vec<Overdue> {
        let timeout = self.timeout_ns();
        if !self.lock().tags.any_overdue(now, timeout) {
            return Vec::new();
        }
        if let TimedOut::Found(requests) = self.driver().timed_out()
            && requests > 0
            && let Some(missed) = LATE.admit()
        {
            log::debug!("{}: {requests} requests were done, but nobody was told{missed}", self.name());
        }
        self.lock().tags.overdue(now, timeout)
    }

    /// `io_timeout` has changed: the notes are looked at anew.
    pub(crate) fn look_at_timeouts_now(&self) {
        self.timer.arm(self.now());
    }

    fn timeout_ns(&self) -> u64 {
        self.attributes.timeout_ns()
    }
}

impl State {
    /// The next request for the driver, counted as in flight.
    fn next(&mut self, now: u64, counted: bool) -> Option<Request> {
        let mut request = self.choose(now)?;
        self.in_flight += 1;
        request.tag = self.tags.take(&request, now);
        request.counted = counted;
        if counted {
            self.counters.started(request.op(), request.sector(), now);
        }
        Some(request)
    }

    fn nothing_waits(&self) -> bool {
        self.pool.len() == 0 && self.bypass.is_empty() && self.flush.is_quiet()
    }

    fn choose(&mut self, now: u64) -> Option<Request> {
        if self.flush.begin() {
            return Some(Request::shared_flush(now));
        }
        if let Some(request) = self.bypass.pop_front() {
            return Some(request);
        }
        let id = self.ask_elevator(now)?;
        let mut request = self.pool.remove(id)?;
        request.elevator = self.elevator_number;
        Some(request)
    }

    /// What the elevator wants to go. None with `wake_at` set: it waits on purpose.
    fn ask_elevator(&mut self, now: u64) -> Option<RequestId> {
        self.wake_at = None;
        let now = self.advance(now);
        let id = self.elevator.dispatch(&self.pool, now);
        if id.is_none() {
            // The end of time stands for a completion, which runs the queue anyway.
            self.wake_at = self.elevator.wake_at().filter(|at| *at != u64::MAX);
        }
        id
    }

    /// The time that the elevator is told: it never goes back, also when it was skipped ahead.
    pub(crate) fn advance(&mut self, now: u64) -> u64 {
        self.now = self.now.max(now);
        self.now
    }

    /// Pretends that what the elevator waits for has come. False when it waits for nothing, or for
    /// what is past.
    fn skip_to(&mut self, wake_at: Option<u64>) -> bool {
        match wake_at {
            Some(at) if at > self.now => {
                self.now = at;
                true
            }
            _ => false,
        }
    }

    fn timeout_wanted(&self) -> bool {
        self.in_flight > 0 && !self.timeout_armed
    }

    /// The driver no longer has the request.
    fn take_from_driver(&mut self, request: &Request, now: u64, result: Result<()>) {
        self.in_flight -= 1;
        self.tags.release(request.tag);
        if request.counted {
            self.counters.finished(request, now, result.is_ok());
        }
        if request.elevator == self.elevator_number {
            let now = self.advance(now);
            self.elevator.completed(request, now);
        }
    }

    /// The driver refused it: it is the next one to go.
    fn give_back(&mut self, request: Request, now: u64) {
        // A completion will ask the elevator again.
        self.wake_at = None;
        self.in_flight -= 1;
        self.tags.release(request.tag);
        if request.counted {
            self.counters.given_back(request.op(), request.sector(), now);
        }
        self.bypass.push_front(request);
    }

    pub(crate) fn release(&mut self, direction: Direction, requests: usize) {
        self.reserved[direction as usize] -= requests;
    }

    /// Everything that waits goes over to another elevator, oldest first.
    pub(crate) fn hand_over(&mut self, fresh: &mut dyn crate::elevator::Elevator, now: u64) {
        let now = self.advance(now);
        let ids: Vec<RequestId> = self.pool.ids();
        for id in ids {
            fresh.add(&mut self.pool, id, now);
        }
    }
}
