//! A request: bios whose sectors follow one another, on their way to the driver. What the driver then
//! holds is in in_flight.rs, how a device sees the memory in segments.rs.
//!
//! ```text
//!   Bio ──Request::new──▶ Request ──queue──▶ InFlight ──complete──▶ each bio's end_io
//!              ▲ merge      │ joined to a neighbour
//!              └────────────┘
//! ```
//!
//! # Invariants
//! 1. The bios of a request are of one operation, contiguous and in order; only discards may lie
//!    apart, where the device takes several ranges at once.
//! 2. `segments` is at least what [`Request::segments`] yields, and within the queue's limits.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;

use base::{Result, Sector};
use sync::thread::{self, ThreadId};

use crate::bio::{Bio, BioFlags, BioOp, BioVec};
use crate::driver::Limits;
use crate::flush::Stage;
use crate::ioprio::{self, IoPrio};
use crate::segments::{Segment, Segments};
use crate::split::count_segments;

/// What merging looks at, of a bio or of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub op: BioOp,
    pub sector: u64,
    pub sectors: u64,
    pub segments: u32,
}

impl Shape {
    /// A bio as it would be on a queue with these limits.
    pub fn of(bio: &Bio, limits: &Limits) -> Shape {
        let segments = count_segments(bio.vecs(), limits);
        Shape { op: bio.op(), sector: bio.sector().0, sectors: bio.sectors(), segments }
    }

    pub fn end(&self) -> u64 {
        self.sector + self.sectors
    }
}

/// Where a request comes from, for elevators that tell threads apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Who submitted.
    pub thread: ThreadId,
    /// With which priority.
    pub prio: IoPrio,
    /// Whether somebody waits: every read, and what has SYNC, PREFLUSH or FUA.
    pub sync: bool,
}

impl Origin {
    /// Of a bio that this thread submits now.
    pub(crate) fn here(op: BioOp, flags: BioFlags) -> Origin {
        let waits = BioFlags::SYNC | BioFlags::PREFLUSH | BioFlags::FUA;
        let sync = op == BioOp::Read || flags.intersects(waits);
        Origin { thread: thread::current(), prio: ioprio::current(), sync }
    }
}

/// Bios that will reach the device as one transfer. It changes hands often, so most of it is boxed.
pub struct Request {
    body: Box<Body>,
    /// Where it stands among flushes.
    pub(crate) stage: Stage,
    /// When the elevator wants it gone at the latest; the elevator's own.
    pub(crate) expires: u64,
    /// How many flushes the pool had seen when it came.
    pub(crate) epoch: u64,
    /// Which elevator of the queue dispatched it: 0 for none.
    pub(crate) elevator: u64,
    /// Its number among those in flight.
    pub(crate) tag: u32,
    /// Whether the statistics know of it (`queue/iostats`).
    pub(crate) counted: bool,
}

struct Body {
    shape: Shape,
    flags: BioFlags,
    bios: Bios,
    queued: u64,
    origin: Origin,
}

/// Most requests are one bio, which needs no list.
enum Bios {
    One(Bio),
    Many(VecDeque<Bio>),
}

impl Bios {
    fn as_slices(&self) -> (&[Bio], &[Bio]) {
        match self {
            Bios::One(bio) => (core::slice::from_ref(bio), &[]),
            Bios::Many(bios) => bios.as_slices(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Bio> {
        let (front, back) = self.as_slices();
        front.iter().chain(back)
    }

    fn len(&self) -> usize {
        match self {
            Bios::One(_) => 1,
            Bios::Many(bios) => bios.len(),
        }
    }

    /// As a list.
    fn many(&mut self) -> &mut VecDeque<Bio> {
        if let Bios::One(_) = self
            && let Bios::One(bio) = core::mem::replace(self, Bios::Many(VecDeque::with_capacity(8)))
        {
            self.many().push_back(bio);
        }
        match self {
            Bios::Many(bios) => bios,
            Bios::One(_) => unreachable!("it was just made a list"),
        }
    }

    fn append(&mut self, next: Bios) {
        match next {
            Bios::One(bio) => self.many().push_back(bio),
            Bios::Many(mut bios) => self.many().append(&mut bios),
        }
    }
}

impl Request {
    /// A request of one bio, which this thread submits.
    pub(crate) fn new(bio: Bio, shape: Shape, now: u64) -> Request {
        let origin = Origin::here(bio.op(), bio.flags);
        Request::from(bio, shape, origin, now)
    }

    /// A request of one bio that somebody else may have submitted.
    pub(crate) fn from(bio: Bio, shape: Shape, origin: Origin, now: u64) -> Request {
        let (flags, bios) = (bio.flags, Bios::One(bio));
        Request::with(Body { shape, flags, bios, queued: now, origin }, Stage::Plain)
    }

    fn with(body: Body, stage: Stage) -> Request {
        let body = Box::new(body);
        Request { body, stage, expires: 0, epoch: 0, elevator: 0, tag: 0, counted: false }
    }

    /// A flush of the device on behalf of others; carries no bio.
    pub(crate) fn shared_flush(now: u64) -> Request {
        let shape = Shape { op: BioOp::Flush, sector: 0, sectors: 0, segments: 0 };
        // Made wherever a request ends, also in an interrupt, where no thread is asking.
        let origin = Origin { thread: ThreadId(0), prio: IoPrio::NONE, sync: true };
        let body =
            Body { shape, flags: BioFlags::SYNC, bios: Bios::Many(VecDeque::new()), queued: now, origin };
        Request::with(body, Stage::SharedFlush)
    }

    /// What the device shall do.
    pub fn op(&self) -> BioOp {
        self.body.shape.op
    }

    /// The flags of its bios: SYNC or META when any has it, RAHEAD when all have it.
    pub fn flags(&self) -> BioFlags {
        self.body.flags
    }

    /// Its first sector.
    pub fn sector(&self) -> Sector {
        Sector(self.body.shape.sector)
    }

    /// How many sectors it covers.
    pub fn sectors(&self) -> u64 {
        self.body.shape.sectors
    }

    /// The first sector behind it.
    pub fn end(&self) -> Sector {
        Sector(self.body.shape.end())
    }

    /// When it was queued, in nanoseconds of CLOCK_MONOTONIC.
    pub fn queued_ns(&self) -> u64 {
        self.body.queued
    }

    /// A number that no other request in flight in this queue has, below the queue's depth. For a
    /// driver, once it has the request.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Where its first bio came from.
    pub fn origin(&self) -> Origin {
        self.body.origin
    }

    /// How many bios it carries.
    pub fn bios(&self) -> usize {
        self.body.bios.len()
    }

    /// Its pieces of pages, in the order of the sectors.
    pub fn vecs(&self) -> impl Iterator<Item = &BioVec> {
        self.body.bios.iter().flat_map(|bio| bio.vecs())
    }

    /// Its memory as a device sees it: adjacent pieces as one, none longer than `max_size`. Yields no
    /// more than the limits' `max_segments`.
    pub fn segments(&self, max_size: u32) -> impl Iterator<Item = Segment> {
        self.segments_within(max_size, u64::MAX)
    }

    /// The same for a device whose pieces must not cross a boundary
    /// ([`Limits::seg_boundary_mask`]).
    pub fn segments_within(&self, max_size: u32, boundary: u64) -> impl Iterator<Item = Segment> {
        Segments::new(self.vecs(), max_size, boundary)
    }

    /// The runs of sectors it covers, in the order of its bios: one, but for a discard on a device that
    /// takes several at once ([`Limits::max_discard_segments`]).
    pub fn ranges(&self) -> impl Iterator<Item = (Sector, u64)> {
        let mut bios = self.body.bios.iter().map(|bio| (bio.sector(), bio.sectors())).peekable();
        core::iter::from_fn(move || {
            let (first, mut sectors) = bios.next()?;
            while let Some((_, more)) = bios.next_if(|(at, _)| at.0 == first.0 + sectors) {
                sectors += more;
            }
            Some((first, sectors))
        })
    }

    /// At most this many segments.
    pub fn segment_count(&self) -> u32 {
        self.body.shape.segments
    }

    pub(crate) fn shape(&self) -> Shape {
        self.body.shape
    }

    /// Appends a bio that `merge::fits` behind it.
    pub(crate) fn push_back(&mut self, bio: Bio, shape: Shape) {
        self.absorb(shape, bio.flags);
        self.body.bios.many().push_back(bio);
    }

    /// Prepends a bio that it `merge::fits` behind.
    pub(crate) fn push_front(&mut self, bio: Bio, shape: Shape) {
        self.absorb(shape, bio.flags);
        self.body.shape.sector = shape.sector;
        self.body.bios.many().push_front(bio);
    }

    /// Adds a discard that lies anywhere; see `merge::scatters`.
    pub(crate) fn push_discard(&mut self, bio: Bio, shape: Shape) {
        self.absorb(shape, bio.flags);
        self.body.bios.many().push_back(bio);
    }

    /// Appends a whole request that `merge::fits` behind it.
    pub(crate) fn join(&mut self, next: Request) {
        self.absorb(next.body.shape, next.body.flags);
        self.body.queued = self.body.queued.min(next.body.queued);
        self.body.bios.append(next.body.bios);
    }

    fn absorb(&mut self, shape: Shape, flags: BioFlags) {
        let read_ahead = self.body.flags & flags & BioFlags::RAHEAD;
        self.body.flags = ((self.body.flags | flags) - BioFlags::RAHEAD) | read_ahead;
        self.body.shape.sectors += shape.sectors;
        self.body.shape.segments += shape.segments;
    }

    /// Ends every bio.
    pub(crate) fn end_bios(self, result: Result<()>) {
        match self.body.bios {
            Bios::One(bio) => bio.complete(result),
            Bios::Many(bios) => bios.into_iter().for_each(|bio| bio.complete(result)),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.body.shape;
        write!(f, "{:?} {}+{} of {} bios", s.op, s.sector, s.sectors, self.body.bios.len())
    }
}
