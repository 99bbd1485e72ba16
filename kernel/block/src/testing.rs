//! What this crate's tests share: requests by letter and sector, and a driver that does as it is told.

use std::boxed::Box;
use std::string::String;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{Errno, Frame, Result, Sector, frame};
use sync::thread::ThreadId;

use crate::bio::{Bio, BioFlags, BioOp};
use crate::driver::{Driver, Limits, TimedOut};
use crate::elevator::Elevator;
use crate::in_flight::InFlight;
use crate::ioprio::IoPrio;
use crate::kblockd::Timer;
use crate::pool::{Pool, RequestId};
use crate::queue::RequestQueue;
use crate::request::{Origin, Request, Shape};
use crate::segments::Segment;
use crate::split::{room, split};

/// Eight sectors of reading ('r') or writing ('w') by this thread; writes are not waited for.
pub fn add(elevator: &mut dyn Elevator, pool: &mut Pool, op: char, sector: u64, now: u64) -> RequestId {
    let origin = Origin { thread: ThreadId(1), prio: IoPrio::NONE, sync: op == 'r' };
    add_from(elevator, pool, op, sector, origin, now)
}

/// The same from anybody.
pub fn add_from(
    elevator: &mut dyn Elevator,
    pool: &mut Pool,
    op: char,
    sector: u64,
    origin: Origin,
    now: u64,
) -> RequestId {
    let op = if op == 'r' { BioOp::Read } else { BioOp::Write };
    let mut bio = Bio::new(op, Sector(sector));
    bio.add(&frame::alloc_zeroed().unwrap(), 0, 4096);
    let shape = Shape::of(&bio, &Limits::default());
    let id = pool.insert(Request::from(bio, shape, origin, now));
    elevator.add(pool, id, now);
    id
}

pub fn pool_with(elevator: &mut dyn Elevator, list: &[(char, u64)], now: u64) -> Pool {
    let mut pool = Pool::default();
    for &(op, sector) in list {
        add(elevator, &mut pool, op, sector, now);
    }
    pool
}

/// Everything, in the order of dispatch.
pub fn drain(elevator: &mut dyn Elevator, pool: &mut Pool, now: u64) -> Vec<(char, u64)> {
    let mut out = Vec::new();
    while let Some(id) = elevator.dispatch(pool, now) {
        let request = pool.remove(id).unwrap();
        out.push((if request.op() == BioOp::Read { 'r' } else { 'w' }, request.sector().0));
    }
    out
}

/// A bio of whole pages, filled with `byte` when it writes.
pub fn page_bio(op: BioOp, sector: u64, pages: usize, byte: u8) -> (Bio, Vec<Frame>) {
    let frames: Vec<Frame> = (0..pages).map(|_| frame::alloc_zeroed().unwrap()).collect();
    let mut bio = Bio::new(op, Sector(sector));
    for f in &frames {
        f.fill(0, 4096, byte);
        bio.add(f, 0, 4096);
    }
    (bio, frames)
}

/// What a disk does with a bio within its bounds.
pub fn submit(queue: &Arc<RequestQueue>, bio: Bio) {
    match split(bio, &queue.limits()) {
        Ok(parts) => parts.into_iter().for_each(|part| queue.submit(part)),
        Err((bio, errno)) => bio.complete(Err(errno)),
    }
}

/// A device that holds every request until the test completes it, in any order and with any result.
/// Only what completes well is done.
pub struct LateDisk {
    pub limits: Limits,
    pub bytes: Mutex<Vec<u8>>,
    held: Mutex<Vec<InFlight>>,
    /// Refuse from this many held requests on.
    pub room: usize,
    pub log: Mutex<Vec<String>>,
    pub commits: Mutex<usize>,
    /// How often it was asked about what takes too long.
    pub asked: Mutex<usize>,
    /// What it holds is done, and it will find that out when it is asked.
    pub interrupt_lost: AtomicBool,
}

impl LateDisk {
    pub fn new(sectors: usize, room: usize, limits: Limits) -> Arc<LateDisk> {
        Arc::new(LateDisk {
            limits,
            bytes: Mutex::new(vec![0; sectors * SECTOR_SIZE]),
            held: Mutex::default(),
            room,
            log: Mutex::default(),
            commits: Mutex::default(),
            asked: Mutex::default(),
            interrupt_lost: AtomicBool::new(false),
        })
    }

    pub fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// The flags of the held request of this number.
    pub fn flags_of(&self, index: usize) -> BioFlags {
        self.held.lock().unwrap()[index].flags()
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// Completes the held request that `pick` falls on, if there is one.
    pub fn complete_one(&self, pick: usize, result: Result<()>) -> bool {
        let request = {
            let mut held = self.held.lock().unwrap();
            if held.is_empty() {
                return false;
            }
            let index = pick % held.len();
            held.remove(index)
        };
        if result.is_ok() {
            self.work(&request);
        }
        request.complete(result);
        true
    }

    pub fn complete_all(&self) {
        while self.complete_one(0, Ok(())) {}
    }

    pub fn lose_one(&self) {
        let lost = self.held.lock().unwrap().pop();
        drop(lost);
    }

    fn work(&self, request: &Request) {
        let mut bytes = self.bytes.lock().unwrap();
        let mut at = request.sector().0 as usize * SECTOR_SIZE;
        if matches!(request.op(), BioOp::Discard | BioOp::WriteZeroes) {
            for (sector, sectors) in request.ranges() {
                let at = sector.0 as usize * SECTOR_SIZE;
                bytes[at..at + sectors as usize * SECTOR_SIZE].fill(0);
            }
        }
        for vec in request.vecs() {
            let (offset, len) = (vec.offset as usize, vec.len as usize);
            match request.op() {
                BioOp::Read => vec.frame.write(offset, &bytes[at..at + len]),
                _ => vec.frame.read(offset, &mut bytes[at..at + len]),
            }
            at += len;
        }
    }

    fn check(&self, request: &Request) {
        let (max_size, boundary) = (self.limits.max_segment_size, self.limits.seg_boundary_mask);
        let whole = |s: &Segment| s.len <= max_size && room(s.phys.0, 0, u32::MAX, boundary) >= s.len;
        assert!(request.segments_within(max_size, boundary).all(|s| whole(&s)));
        let segments = request.segments_within(max_size, boundary).count();
        assert!(segments as u32 <= request.segment_count(), "{request:?}: {segments} segments");
        assert!(request.segment_count() <= self.limits.max_segments);
        if request.op().has_data() {
            assert!(request.sectors() <= u64::from(self.limits.max_sectors));
            let bytes: u64 = request.vecs().map(|v| u64::from(v.len)).sum();
            assert_eq!(bytes, request.sectors() * SECTOR_SIZE as u64);
        }
        if request.op() == BioOp::Discard {
            assert!(request.sectors() <= u64::from(self.limits.max_discard_sectors));
            assert!(request.ranges().count() <= self.limits.max_discard_segments as usize);
        }
    }
}

impl Driver for LateDisk {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        Sector((self.bytes.lock().unwrap().len() / SECTOR_SIZE) as u64)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.check(&request);
        let mut held = self.held.lock().unwrap();
        if held.len() >= self.room {
            return Err(request);
        }
        assert!(held.len() < self.limits.queue_depth as usize);
        let line = std::format!("{:?} {}+{}", request.op(), request.sector(), request.sectors());
        self.log.lock().unwrap().push(line);
        held.push(request);
        Ok(())
    }

    fn commit(&self) {
        *self.commits.lock().unwrap() += 1;
    }

    fn timed_out(&self) -> TimedOut {
        *self.asked.lock().unwrap() += 1;
        if !self.interrupt_lost.swap(false, Ordering::SeqCst) {
            return TimedOut::Waiting;
        }
        let held = self.held();
        self.complete_all();
        TimedOut::Found(held)
    }
}

/// Time that moves when the test says so, and the earliest moment anybody asked to be called at.
#[derive(Default)]
pub struct VirtualTime {
    now: AtomicU64,
    armed: Mutex<Option<u64>>,
}

impl VirtualTime {
    /// It stands at 1 s.
    pub fn new() -> &'static VirtualTime {
        Box::leak(Box::new(VirtualTime { now: AtomicU64::new(1_000_000_000), armed: Mutex::default() }))
    }

    /// `ns` pass; whatever was armed within them happens at its time.
    pub fn pass(&self, ns: u64, queue: &Arc<RequestQueue>) {
        let end = Timer::now(self) + ns;
        while let Some(at) = self.take_armed(end) {
            let now = self.now.fetch_max(at, Ordering::SeqCst).max(at);
            if let Some(next) = queue.timer(now) {
                self.arm(next);
            }
        }
        self.now.store(end, Ordering::SeqCst);
    }

    /// Goes on to the next moment that was armed, if there is one.
    pub fn pass_to_armed(&self, queue: &Arc<RequestQueue>) {
        let armed = *self.armed.lock().unwrap();
        if let Some(at) = armed {
            self.pass(at.saturating_sub(Timer::now(self)), queue);
        }
    }

    fn take_armed(&self, end: u64) -> Option<u64> {
        self.armed.lock().unwrap().take_if(|at| *at <= end)
    }
}

impl Timer for VirtualTime {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn arm(&self, at: u64) -> bool {
        let mut armed = self.armed.lock().unwrap();
        *armed = Some(armed.map_or(at, |before| before.min(at)));
        true
    }
}

/// The error that tests inject.
pub const BAD: Result<()> = Err(Errno::EIO);
