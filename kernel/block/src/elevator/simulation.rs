//! A disk with an arm, and threads that use it, in virtual time: what an elevator is worth.
//!
//! ```ignore
//! let mut world = Simulation::new("deadline");
//! world.thread(Load::reader(0).sequential(0));
//! world.thread(Load::reader(2 * MS).random(1, SIZE));
//! let report = world.run(10 * SECOND);
//! assert!(report.threads[0].requests > report.threads[1].requests);
//! ```
//! # The disk
//! It serves one request after the other: [`seek_ns`] for the way of the arm from where the last one
//! ended, then [`SECTOR_NS`] for each sector. A queue deeper than one keeps what it was given in order,
//! as a disk without a mind of its own.
//!
//! # The threads
//! Each submits a page, up to `depth` of them without waiting; when it may go on after one has ended,
//! it first thinks for a while. Bios are merged by `merge.rs`, as the queue does it.
//!
//! # What is checked in every run
//! The elevator's contract: each id comes out once; None while something waits means that `wake_at`
//! tells until when; that time, when it has come, is not told again.

use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::{Frame, Sector, frame};
use sync::thread::ThreadId;

use super::{Elevator, by_name};
use crate::attributes::Merges;
use crate::bio::{Bio, BioOp};
use crate::driver::Limits;
use crate::ioprio::IoPrio;
use crate::merge::{self, Rules};
use crate::pool::Pool;
use crate::request::{Origin, Request, Shape};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MS;
/// Sectors of the disk: 64 GiB.
pub const SIZE: u64 = 1 << 27;
/// Sectors of a bio.
pub const PAGE: u64 = 8;
/// 50 MB/s.
pub const SECTOR_NS: u64 = 10_000;

/// The way from one sector to another: nothing where it stands, else 2 ms for half a turn and up to
/// 10 ms for the arm.
pub fn seek_ns(distance: u64) -> u64 {
    if distance == 0 { 0 } else { 2 * MS + distance.saturating_mul(10 * MS) / SIZE }
}

/// What a thread does.
pub struct Load {
    op: BioOp,
    think_ns: u64,
    depth: usize,
    prio: IoPrio,
    begin: u64,
    pages: u64,
    next: Box<dyn FnMut() -> u64>,
}

impl Load {
    /// Reads page after page from sector 0 and thinks in between.
    pub fn reader(think_ns: u64) -> Load {
        let load = Load {
            op: BioOp::Read,
            think_ns,
            depth: 1,
            prio: IoPrio::NONE,
            begin: 0,
            pages: u64::MAX,
            next: Box::new(|| 0),
        };
        load.sequential(0)
    }

    /// Writes, 32 pages at once, without waiting for each.
    pub fn writer() -> Load {
        Load { op: BioOp::Write, depth: 32, ..Load::reader(0) }
    }

    /// One page behind the other, from `sector` on.
    pub fn sequential(self, sector: u64) -> Load {
        let mut at = sector;
        let next = move || {
            at += PAGE;
            at - PAGE
        };
        Load { next: Box::new(next), ..self }
    }

    /// Anywhere before `end`, the same in every run.
    pub fn random(self, seed: u64, end: u64) -> Load {
        let mut state = seed;
        // Knuth's MMIX generator; its high bits are good.
        let next = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % (end / PAGE) * PAGE
        };
        Load { next: Box::new(next), ..self }
    }

    /// How many may be under way at once.
    pub fn depth(self, depth: usize) -> Load {
        Load { depth, ..self }
    }

    pub fn prio(self, prio: IoPrio) -> Load {
        Load { prio, ..self }
    }

    /// When it begins.
    pub fn from(self, begin: u64) -> Load {
        Load { begin, ..self }
    }

    /// It ends after so many.
    pub fn pages(self, pages: u64) -> Load {
        Load { pages, ..self }
    }
}

/// What a thread got.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Pages that were read or written.
    pub pages: u64,
    pub worst_ns: u64,
    pub total_ns: u64,
}

impl Share {
    pub fn mean_ns(&self) -> u64 {
        self.total_ns / self.pages.max(1)
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One for each thread, in the order they were given.
    pub threads: Vec<Share>,
    /// What the disk was asked for.
    pub requests: u64,
    /// Pages that became part of a request that was there.
    pub merges: u64,
    /// Sectors that the arm passed over.
    pub travelled: u64,
    /// The disk was at work.
    pub busy_ns: u64,
    /// When the last request ended.
    pub end_ns: u64,
}

impl Report {
    pub fn pages(&self) -> u64 {
        self.threads.iter().map(|t| t.pages).sum()
    }

    pub fn worst_ns(&self) -> u64 {
        self.threads.iter().map(|t| t.worst_ns).max().unwrap_or(0)
    }

    pub fn mean_ns(&self) -> u64 {
        self.threads.iter().map(|t| t.total_ns).sum::<u64>() / self.pages().max(1)
    }

    /// Jain's index of the threads' shares: 1 when all got the same, 1/n when one got everything.
    pub fn fairness(&self) -> f64 {
        let (sum, squares) = self.threads.iter().fold((0.0, 0.0), |(sum, squares), t| {
            let pages = t.pages as f64;
            (sum + pages, squares + pages * pages)
        });
        if squares == 0.0 { 1.0 } else { sum * sum / (squares * self.threads.len() as f64) }
    }
}

/// Which thread's page has ended; when it was submitted.
type Ends = Arc<Mutex<Vec<(usize, u64)>>>;

struct Thread {
    load: Load,
    open: usize,
    submitted: u64,
    /// When it may submit the next.
    ready: u64,
}

impl Thread {
    fn wants(&self) -> Option<u64> {
        (self.open < self.load.depth && self.submitted < self.load.pages).then_some(self.ready)
    }
}

/// Threads, an elevator and a disk.
pub struct Simulation {
    elevator: Box<dyn Elevator>,
    pool: Pool,
    limits: Limits,
    threads: Vec<Thread>,
    page: Frame,
    ends: Ends,
    /// What the disk has, in its order; when the first will be done.
    device: VecDeque<Request>,
    done: u64,
    arm: u64,
    now: u64,
    report: Report,
}

impl Simulation {
    /// Under the elevator of that name, with a disk that takes one request at a time.
    pub fn new(elevator: &str) -> Simulation {
        Simulation {
            elevator: by_name(elevator).unwrap(),
            pool: Pool::default(),
            limits: Limits { queue_depth: 1, ..Limits::default() },
            threads: Vec::new(),
            page: frame::alloc_zeroed().unwrap(),
            ends: Ends::default(),
            device: VecDeque::new(),
            done: 0,
            arm: 0,
            now: 0,
            report: Report::default(),
        }
    }

    /// A disk that takes so many requests at once.
    pub fn queue_depth(mut self, depth: u32) -> Simulation {
        self.limits.queue_depth = depth;
        self
    }

    /// To set tunables.
    pub fn elevator(&mut self) -> &mut dyn Elevator {
        self.elevator.as_mut()
    }

    /// One more thread.
    pub fn thread(&mut self, load: Load) {
        let ready = load.begin;
        self.threads.push(Thread { load, open: 0, submitted: 0, ready });
        self.report.threads.push(Share::default());
    }

    /// Until that time, and then until nothing is left.
    pub fn run(mut self, until: u64) -> Report {
        loop {
            if self.now < until {
                self.submit();
            }
            let wake = self.dispatch();
            let next_thread = self.threads.iter().filter_map(Thread::wants).min().filter(|at| *at < until);
            let done = (!self.device.is_empty()).then_some(self.done);
            // Never means: when something has been completed.
            let wake = wake.filter(|at| *at != u64::MAX);
            let Some(at) = [next_thread, done, wake].into_iter().flatten().min() else { break };
            self.now = self.now.max(at);
            if done.is_some_and(|done| done <= self.now) {
                self.complete();
            }
        }
        assert_eq!(self.pool.len(), 0, "{}: requests were forgotten", self.elevator.name());
        assert!(self.threads.iter().all(|t| t.open == 0), "{}: pages never ended", self.elevator.name());
        self.report
    }

    fn submit(&mut self) {
        for index in 0..self.threads.len() {
            while self.threads[index].wants().is_some_and(|ready| ready <= self.now) {
                self.submit_page(index);
            }
        }
    }

    fn submit_page(&mut self, index: usize) {
        let thread = &mut self.threads[index];
        thread.open += 1;
        thread.submitted += 1;
        let op = thread.load.op;
        let origin =
            Origin { thread: ThreadId(index as u64 + 1), prio: thread.load.prio, sync: op == BioOp::Read };
        let (ends, now) = (self.ends.clone(), self.now);
        let mut bio = Bio::new(op, Sector((thread.load.next)()));
        bio.add(&self.page, 0, 4096);
        let bio = bio.end_io(move |_| ends.lock().unwrap().push((index, now)));
        let shape = Shape::of(&bio, &self.limits);
        let rules = Rules { limits: self.limits, merges: Merges::All };
        let merged = merge::merge_bio(&mut self.pool, self.elevator.as_mut(), bio, &shape, &origin, &rules);
        match merged {
            Ok(gone) => self.report.merges += 1 + gone as u64,
            Err(bio) => {
                let id = self.pool.insert(Request::from(bio, shape, origin, now));
                self.elevator.add(&mut self.pool, id, now);
                let gone = merge::join_neighbours(&mut self.pool, self.elevator.as_mut(), id, &self.limits);
                self.report.merges += gone as u64;
            }
        }
    }

    /// Gives the disk what it has room for; Some when the elevator waits.
    fn dispatch(&mut self) -> Option<u64> {
        while self.device.len() < self.limits.queue_depth as usize {
            let Some(id) = self.elevator.dispatch(&self.pool, self.now) else {
                if self.pool.len() == 0 {
                    return None;
                }
                let wake = self.elevator.wake_at();
                let name = self.elevator.name();
                let wake = wake.unwrap_or_else(|| panic!("{name} neither dispatches nor waits"));
                assert!(wake > self.now, "{name} would be asked for ever");
                assert!(wake != u64::MAX || !self.device.is_empty(), "{name} waits for nothing");
                return Some(wake);
            };
            let request = self.pool.remove(id).expect("an id that is in the pool, and came out once");
            self.device.push_back(request);
            if self.device.len() == 1 {
                self.start();
            }
        }
        None
    }

    fn start(&mut self) {
        let Some(request) = self.device.front() else { return };
        let distance = request.sector().0.abs_diff(self.arm);
        let time = seek_ns(distance) + request.sectors() * SECTOR_NS;
        self.arm = request.end().0;
        self.done = self.now + time;
        self.report.requests += 1;
        self.report.travelled += distance;
        self.report.busy_ns += time;
    }

    fn complete(&mut self) {
        let Some(request) = self.device.pop_front() else { return };
        self.elevator.completed(&request, self.now);
        request.end_bios(Ok(()));
        for (index, submitted) in std::mem::take(&mut *self.ends.lock().unwrap()) {
            let (thread, share) = (&mut self.threads[index], &mut self.report.threads[index]);
            thread.open -= 1;
            thread.ready = self.now + thread.load.think_ns;
            share.pages += 1;
            share.total_ns += self.now - submitted;
            share.worst_ns = share.worst_ns.max(self.now - submitted);
        }
        self.report.end_ns = self.now;
        self.start();
    }
}

#[test]
fn a_sequential_reader_has_the_disk_at_full_speed() {
    let mut world = Simulation::new("noop");
    world.thread(Load::reader(0));
    let report = world.run(SECOND);
    // 8 sectors of 10 µs each, one request at a time.
    assert_eq!((report.pages(), report.travelled, report.requests), (12_500, 0, 12_500));
    assert_eq!((report.worst_ns(), report.mean_ns()), (80_000, 80_000));
}

#[test]
fn writes_in_a_row_are_merged() {
    let mut world = Simulation::new("deadline");
    world.thread(Load::writer().pages(64));
    let report = world.run(SECOND);
    assert_eq!((report.pages(), report.requests + report.merges), (64, 64));
    assert!(report.requests <= 3, "{report:?}");
}
