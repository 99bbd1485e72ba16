//! anticipatory: deadline's sweeps, in batches by time, and after a read a short wait for the next
//! read of the same thread.
//!
//! A thread that reads a file page by page asks for the next page only when it has the last one. For
//! that half millisecond its queue is empty, and an elevator that never idles sends the arm to
//! somebody else's request, far away; then back, and away again. Two such readers spend their time in
//! seeks. So after a read this elevator keeps the arm where it is for up to `antic_expire`, if what it
//! knows of the thread says that the next read will come soon and near.
//!
//! ```text
//!   two readers, 0.1 ms to read a page, 0.5 ms to think, 7 ms from the one file to the other:
//!   without the wait   read A, go 7 ms, read B, go 7 ms, …                  1 page in  7.1 ms
//!   with it            read A, wait 0.5 ms, read A, … for 125 ms, then B     1 page in  0.6 ms
//! ```
//!
//! # The states of the wait
//! ```text
//!             ┌────────────────── take: any request goes to the disk ◀───────────────────┐
//!             ▼                                                                          │
//!    ┌──────────────┐ dispatch: worth waiting,     ┌──────────┐ add: a request     ┌─────┴──────┐
//!    │     OFF      │ the read is still at the ───▶│ WAIT_REQ │ that breaks it ───▶│  FINISHED  │
//!    │ nobody waits │ disk                         │          │                    │ the next   │
//!    └──────┬───────┘                              └────┬─────┘                    │ request    │
//!           │ the same, but the read                    │ completed: now time runs │ goes for   │
//!           │ has completed                             ▼                          │ sure       │
//!           │                                      ┌───────────┐ add: as above,    └────────────┘
//!           └─────────────────────────────────────▶│ WAIT_NEXT │ or antic_expire ──────▲
//!                                                  └───────────┘ is over
//! ```
//! Reads thus go to the disk one at a time, unless the next one is of the same thread or close.
//!
//! # What breaks a wait, and what prevents it (`Anticipatory::breaks`)
//! 1. A request of the thread that is waited for, also a write: it is doing something else now.
//! 2. That thread has more requests here anyway.
//! 3. A read of somebody else that is close: at most 8192 sectors ahead or 4096 behind, twice as
//!    many after each millisecond of waiting; or nearer than that thread's mean seek.
//! 4. The thread's mean think time is longer than `antic_expire`; of a thread that has just begun,
//!    that of those who begin. Or too many of them were waited for in vain.
//! 5. The wait is over, or a read is past its deadline.
//!
//! So a reader that jumps about loses nothing: its mean seek is a third of the disk, and whatever
//! waits is nearer than that (3).
//!
//! # How the next request is chosen
//! * Within a batch: the nearest ahead of the head; or behind it, at most [`MAX_BACK`] sectors, when
//!   that is less than half as far.
//! * Once in `read_expire` the reads' fifo is looked at, and one that is past its deadline goes
//!   first; the same of writes. Not more often: a disk that cannot keep up would only seek.
//! * A batch of reads ends after `read_batch_expire`, reckoned from its first completion, but only
//!   while writes wait; one of writes after `write_batch_expire` or when it has sent its count. The
//!   next batch begins at the other direction's oldest, when all of the last one has completed.
//! * The count of a write batch is learned (`batch.rs`), for a disk may hold writes in a cache.
//!
//! # Tunables
//! | name              | default | meaning                                            |
//! |-------------------|---------|----------------------------------------------------|
//! | read_expire       | 125 ms  | after that a read goes before the sweep            |
//! | write_expire      | 250 ms  | the same of a write, within a batch of writes      |
//! | read_batch_expire | 500 ms  | how long reads go on while writes wait             |
//! | write_batch_expire| 125 ms  | how long writes go on while reads wait             |
//! | antic_expire      | 6 ms    | the longest wait; 0: no waiting                    |
//!
//! Linux's read-only `est_time`, a text, is not among them.
//!
//! # Memory
//! What is known of threads is bounded (`history.rs`): a thread's part goes when it ends.
//!
//! Source: Documentation/block/as-iosched.txt of Linux 2.6; Iyer and Druschel, "Anticipatory
//! scheduling", SOSP 2001.

mod batch;
mod history;
#[cfg(test)]
mod tests;
mod wait;

use alloc::vec::Vec;

use base::Result;
use sync::thread::ThreadId;

use self::batch::Batch;
use self::history::History;
use self::wait::{State, Wait};
use super::Elevator;
use super::lane::Lanes;
use super::tunable::{self, Tunable};
use crate::bio::Direction;
use crate::pool::{Pool, RequestId};
use crate::request::{Origin, Request};

const MS: u64 = 1_000_000;

/// The farthest way back that the sweep goes, in sectors: 512 MiB.
const MAX_BACK: u64 = 1024 * 1024;
/// So much farther a way back is than the same way ahead.
const BACK_PENALTY: u64 = 2;

/// What may be set.
#[derive(Clone, Copy, Debug)]
struct Tunables {
    read_expire_ns: u64,
    write_expire_ns: u64,
    read_batch_expire_ns: u64,
    write_batch_expire_ns: u64,
    antic_expire_ns: u64,
}

impl Default for Tunables {
    fn default() -> Tunables {
        Tunables {
            read_expire_ns: 125 * MS,
            write_expire_ns: 250 * MS,
            read_batch_expire_ns: 500 * MS,
            write_batch_expire_ns: 125 * MS,
            antic_expire_ns: 6 * MS,
        }
    }
}

impl Tunables {
    fn expire_ns(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Read => self.read_expire_ns,
            Direction::Write => self.write_expire_ns,
        }
    }
}

/// A file of `iosched/`, in milliseconds.
macro_rules! milliseconds {
    ($name:literal, $field:ident) => {
        Tunable {
            name: $name,
            get: |a: &Anticipatory| a.tunables.$field / MS,
            set: |a, v| a.tunables.$field = v * MS,
            min: 0,
            max: i32::MAX as u64,
        }
    };
}

/// The files of `iosched/`.
const TUNABLES: [Tunable<Anticipatory>; 5] = [
    milliseconds!("read_expire", read_expire_ns),
    milliseconds!("write_expire", write_expire_ns),
    milliseconds!("antic_expire", antic_expire_ns),
    milliseconds!("read_batch_expire", read_batch_expire_ns),
    milliseconds!("write_batch_expire", write_batch_expire_ns),
];

/// The elevator.
#[derive(Default)]
pub(super) struct Anticipatory {
    tunables: Tunables,
    lanes: Lanes,
    /// When the fifo of reads, and that of writes, was last looked at.
    looked_at: [u64; 2],
    batch: Batch,
    wait: Wait,
    history: History,
    /// Dispatched and not completed.
    in_flight: u32,
}

impl Elevator for Anticipatory {
    fn name(&self) -> &'static str {
        "anticipatory"
    }

    fn add(&mut self, pool: &mut Pool, id: RequestId, now: u64) {
        let Some(direction) = pool.get(id).map(|r| r.op().direction()) else { return };
        self.lanes.add(pool, id, now.saturating_add(self.tunables.expire_ns(direction)));
        let Some(request) = pool.get(id) else { return };
        self.history.submitted(request, now);
        if self.wait.is_on() && self.breaks(Some(request), now) {
            self.wait.finish();
        }
    }

    fn joining(&mut self, pool: &mut Pool, kept: RequestId, gone: RequestId) {
        if let Some(gone) = pool.get(gone) {
            self.history.joined(gone);
        }
        self.lanes.joining(pool, kept, gone);
    }

    fn dispatch(&mut self, pool: &Pool, now: u64) -> Option<RequestId> {
        if let Some(thread) = self.wait.expire(now, self.tunables.antic_expire_ns) {
            self.history.in_vain(thread);
        }
        let id = self.choose(pool, now)?;
        self.take(pool, id);
        Some(id)
    }

    fn wake_at(&self) -> Option<u64> {
        let completion = self.batch.turning.then_some(u64::MAX);
        self.wait.until(self.tunables.antic_expire_ns).or(completion)
    }

    fn completed(&mut self, request: &Request, now: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if request.op().direction() == Direction::Read {
            self.batch.read_completed(now, self.tunables.write_batch_expire_ns);
            self.wait.read_completed(request.origin().thread, now);
        }
        self.history.completed(request, now);
    }

    /// A bio of the thread that is waited for comes as a request of its own, so that it is noticed.
    fn may_merge(&self, request: &Request, origin: &Origin) -> bool {
        !self.wait.is_on()
            || self.wait.thread != Some(origin.thread)
            || request.origin().thread == origin.thread
    }

    fn thread_ended(&mut self, thread: ThreadId) {
        self.history.ended(thread);
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

impl Anticipatory {
    fn choose(&mut self, pool: &Pool, now: u64) -> Option<RequestId> {
        let (reads, writes) = (!self.lanes.reads.is_empty(), !self.lanes.writes.is_empty());
        self.batch.note_idle(reads, writes);
        if !(reads || writes) || self.wait.is_on() {
            return None;
        }
        if self.batch.turning {
            return self.begin_batch(now);
        }
        let contended = reads && writes;
        if !(contended && self.batch.is_over(now, &self.tunables)) {
            let direction = self.batch.direction;
            if let Some(expired) = self.expired(direction, now) {
                return Some(expired);
            }
            let next = self.next(pool, direction);
            if direction == Direction::Read && self.is_worth_waiting(pool, next, now) {
                self.wait.begin();
                return None;
            }
            if next.is_some() {
                if direction == Direction::Read && !writes {
                    // Nobody is kept waiting yet: the batch begins only now.
                    self.batch.began = now;
                }
                return next;
            }
        }
        self.batch.turn();
        self.begin_batch(now)
    }

    /// The first of the other direction, when the disk has done all of this one.
    fn begin_batch(&mut self, now: u64) -> Option<RequestId> {
        if self.in_flight > 0 {
            return None;
        }
        self.batch.begin(now);
        let direction = self.batch.direction;
        self.looked_at[direction as usize] = now;
        // What made the batches turn is still there, or part of a request that is.
        self.lanes.of(direction).oldest().map(|(_, id)| id)
    }

    /// A request past its deadline, if it is time to look for one.
    fn expired(&mut self, direction: Direction, now: u64) -> Option<RequestId> {
        let looked_at = &mut self.looked_at[direction as usize];
        if now.saturating_sub(*looked_at) < self.tunables.expire_ns(direction) {
            return None;
        }
        *looked_at = now;
        let (expires, id) = self.lanes.of(direction).oldest()?;
        (expires < now).then_some(id)
    }

    /// The next of the sweep.
    fn next(&self, pool: &Pool, direction: Direction) -> Option<RequestId> {
        let head = self.lanes.of(direction).head;
        let ahead = pool.first_from(direction, head);
        let Some(behind) = pool.last_before(direction, head) else { return ahead };
        let way = |id| pool.get(id).map_or(u64::MAX, |r| r.sector().0.abs_diff(head));
        let way_back = way(behind);
        match ahead {
            _ if way_back > MAX_BACK => ahead.or_else(|| pool.first_from(direction, 0)),
            Some(ahead) if way(ahead) <= way_back * BACK_PENALTY => Some(ahead),
            _ => Some(behind),
        }
    }

    /// Whether it is better to do nothing than to send that one.
    fn is_worth_waiting(&mut self, pool: &Pool, next: Option<RequestId>, now: u64) -> bool {
        self.tunables.antic_expire_ns > 0
            && self.wait.thread.is_some()
            && self.wait.state != State::Finished
            && !self.breaks(next.and_then(|id| pool.get(id)), now)
    }

    /// Whether this request, or what is known of the thread, speaks against waiting for its next one.
    fn breaks(&mut self, request: Option<&Request>, now: u64) -> bool {
        let Some(thread) = self.wait.thread else { return true };
        if request.is_some_and(|r| r.origin().thread == thread) {
            return true;
        }
        if self.wait.is_over(now, self.tunables.antic_expire_ns) || self.history.has_more(thread) {
            return true;
        }
        if let Some(request) = request
            && request.op().direction() == Direction::Read
            && self.is_close(thread, request, now)
        {
            self.history.neighbour(thread, request, now);
            return true;
        }
        !self.history.is_promising(thread, self.tunables.antic_expire_ns)
    }

    /// The longer the wait, the farther away is still close.
    fn is_close(&self, thread: ThreadId, request: &Request, now: u64) -> bool {
        let (head, sector) = (self.lanes.reads.head, request.sector().0);
        let reach = self.wait.reach(now);
        let near = head <= sector.saturating_add(reach / 2) && sector <= head.saturating_add(reach);
        near || self.history.mean_seek(thread) > sector.abs_diff(head)
    }

    fn take(&mut self, pool: &Pool, id: RequestId) {
        let Some(request) = pool.get(id) else { return };
        self.lanes.take(pool, id);
        self.history.taken(request);
        self.in_flight += 1;
        match request.op().direction() {
            Direction::Read => self.wait.read_sent(request.origin().thread),
            Direction::Write => {
                self.wait.write_sent();
                self.batch.write_sent();
            }
        }
    }
}
