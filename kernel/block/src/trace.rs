//! The trace points of the block layer, with Linux's names and fields. What each means and the order
//! in which they come: docs/tracing.md.
//!
//! `RWBS` is how Linux writes an operation: `F` for a flush before, then `W`, `R`, `D`, `F` or `N`
//! (write-zeroes), then `F` for FUA, `A` for read-ahead, `S` for a write that somebody waits for (of a read
//! Linux does not say so), `M` for metadata. A flush alone is `FWS` as a bio, `FF` as the request that the device gets, and `WS` when a
//! bio's own part in it is over.
//!
//! Source: Linux 6.1, include/trace/events/block.h (what its `format` files say), and its output.

use core::fmt;

use base::trace::{Dev, Event, Record, kdev};
use base::{DevId, Errno, Result, Sector};

use crate::bio::{Bio, BioFlags, BioOp};
use crate::flush::Stage;
use crate::request::Request;

/// The events of this layer.
pub static EVENTS: [&Event; 14] = [
    &BIO_QUEUE,
    &BIO_BACKMERGE,
    &BIO_FRONTMERGE,
    &BIO_REMAP,
    &SPLIT,
    &GETRQ,
    &PLUG,
    &UNPLUG,
    &RQ_INSERT,
    &RQ_ISSUE,
    &RQ_MERGE,
    &RQ_REQUEUE,
    &RQ_COMPLETE,
    &RQ_ERROR,
];

const BIO_FIELDS: &[&str] = &["dev_t dev", "sector_t sector", "unsigned int nr_sector", "char rwbs[8]"];
const REQUEST_FIELDS: &[&str] =
    &["dev_t dev", "sector_t sector", "unsigned int nr_sector", "char rwbs[8]", "unsigned int bytes"];
const END_FIELDS: &[&str] =
    &["dev_t dev", "sector_t sector", "unsigned int nr_sector", "char rwbs[8]", "int error"];

macro_rules! block_event {
    ($name:ident, $linux:literal, $fields:expr, $render:expr) => {
        static $name: Event = Event::new("block", $linux, $fields, $render);
    };
}

block_event!(BIO_QUEUE, "block_bio_queue", BIO_FIELDS, bio_line);
block_event!(BIO_BACKMERGE, "block_bio_backmerge", BIO_FIELDS, bio_line);
block_event!(BIO_FRONTMERGE, "block_bio_frontmerge", BIO_FIELDS, bio_line);
block_event!(GETRQ, "block_getrq", BIO_FIELDS, bio_line);
block_event!(RQ_INSERT, "block_rq_insert", REQUEST_FIELDS, request_line);
block_event!(RQ_ISSUE, "block_rq_issue", REQUEST_FIELDS, request_line);
block_event!(RQ_MERGE, "block_rq_merge", REQUEST_FIELDS, request_line);
block_event!(RQ_REQUEUE, "block_rq_requeue", END_FIELDS, end_line);
block_event!(RQ_COMPLETE, "block_rq_complete", END_FIELDS, end_line);
block_event!(RQ_ERROR, "block_rq_error", END_FIELDS, end_line);
block_event!(PLUG, "block_plug", &[], |r, out| write!(out, "[{}]", r.comm()));
block_event!(UNPLUG, "block_unplug", &["int nr_rq"], |r, out| { write!(out, "[{}] {}", r.comm(), r.arg(0)) });
block_event!(
    SPLIT,
    "block_split",
    &["dev_t dev", "sector_t sector", "sector_t new_sector", "char rwbs[8]"],
    |r, out| write!(out, "{} {} {} / {} [{}]", Dev(r.arg(0)), Rwbs(r.arg(3)), r.arg(1), r.arg(2), r.comm())
);
block_event!(
    BIO_REMAP,
    "block_bio_remap",
    &[
        "dev_t dev",
        "sector_t sector",
        "unsigned int nr_sector",
        "char rwbs[8]",
        "dev_t old_dev",
        "sector_t old_sector"
    ],
    |r, out| {
        write!(out, "{} {} {} + {}", Dev(r.arg(0)), Rwbs(r.arg(3)), r.arg(1), r.arg(2))?;
        write!(out, " <- ({}) {}", Dev(r.arg(4)), r.arg(5))
    }
);

fn bio_line(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{} {} {} + {} [{}]", Dev(r.arg(0)), Rwbs(r.arg(3)), r.arg(1), r.arg(2), r.comm())
}

fn request_line(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{} {} {} ()", Dev(r.arg(0)), Rwbs(r.arg(3)), r.arg(4))?;
    write!(out, " {} + {} [{}]", r.arg(1), r.arg(2), r.comm())
}

fn end_line(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{} {} ()", Dev(r.arg(0)), Rwbs(r.arg(3)))?;
    write!(out, " {} + {} [{}]", r.arg(1), r.arg(2), r.signed(4))
}

/// Marks the [`word`] of a request that flushes for others, and of one that rides on such a flush.
const SHARED_FLUSH: u64 = 1 << 31;
const RIDER: u64 = 1 << 30;

/// Operation and flags in one word: the operation's number below, [`BioFlags`] from bit 8 on.
fn word(op: BioOp, flags: BioFlags) -> u64 {
    let op = match op {
        BioOp::Read => 0,
        BioOp::Write => 1,
        BioOp::Flush => 2,
        BioOp::Discard => 3,
        BioOp::WriteZeroes => 9,
    };
    op | u64::from(flags.bits()) << 8
}

/// The letters for [`word`].
struct Rwbs(u64);

impl fmt::Display for Rwbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = self.0 & 0xff;
        if op == 2 {
            return f.write_str(match self.0 & (SHARED_FLUSH | RIDER) {
                SHARED_FLUSH => "FF",
                RIDER => "WS",
                _ => "FWS",
            });
        }
        let has = |flag: BioFlags| self.0 >> 8 & u64::from(flag.bits()) != 0;
        let letter = match op {
            0 => "R",
            1 => "W",
            3 => "D",
            _ => "N",
        };
        let if_has = |flag, letter| if has(flag) { letter } else { "" };
        let before = if_has(BioFlags::PREFLUSH, "F");
        let (fua, ahead) = (if_has(BioFlags::FUA, "F"), if_has(BioFlags::RAHEAD, "A"));
        let sync = if op == 0 { "" } else { if_has(BioFlags::SYNC, "S") };
        let meta = if_has(BioFlags::META, "M");
        write!(f, "{before}{letter}{fua}{ahead}{sync}{meta}")
    }
}

fn of_bio(dev: DevId, bio: &Bio) -> [u64; 4] {
    [kdev(dev), bio.sector().0, bio.sectors(), word(bio.op(), bio.flags)]
}

fn of_request(dev: DevId, request: &Request) -> [u64; 5] {
    let (sector, sectors) = (request.sector().0, request.sectors());
    let kind = if request.stage == Stage::SharedFlush { SHARED_FLUSH } else { RIDER };
    [kdev(dev), sector, sectors, word(request.op(), request.flags()) | kind, sectors << 9]
}

fn of_end(dev: DevId, request: &Request, result: Result<()>) -> [u64; 5] {
    let [dev, sector, sectors, rwbs, _] = of_request(dev, request);
    // Where a flush is Linux does not say, in its own way.
    let sector = if request.stage == Stage::SharedFlush { u64::MAX } else { sector };
    [dev, sector, sectors, rwbs, result.map_or_else(|error| error.as_return(), |()| 0)]
}

/// A bio enters the queue of a disk.
#[inline(always)]
pub(crate) fn bio_queue(dev: DevId, bio: &Bio) {
    BIO_QUEUE.emit(move || of_bio(dev, bio));
}

/// A bio of a partition became one of the disk.
#[inline(always)]
pub(crate) fn bio_remap(dev: DevId, bio: &Bio, from: DevId, start: Sector) {
    BIO_REMAP.emit(move || {
        let [dev, to, sectors, rwbs] = of_bio(dev, bio);
        // It was moved by `start`.
        [dev, to, sectors, rwbs, kdev(from), to.wrapping_sub(start.0)]
    });
}

/// A bio was too large for the device and went as these.
#[inline(always)]
pub(crate) fn split(dev: DevId, parts: &[Bio]) {
    for pair in parts.windows(2) {
        let (bio, rest) = (&pair[0], &pair[1]);
        SPLIT.emit(move || [kdev(dev), bio.sector().0, rest.sector().0, word(bio.op(), bio.flags)]);
    }
}

/// A bio became the end of a request.
#[inline(always)]
pub(crate) fn bio_backmerge(dev: DevId, bio: &Bio) {
    BIO_BACKMERGE.emit(move || of_bio(dev, bio));
}

/// A bio became the front of a request.
#[inline(always)]
pub(crate) fn bio_frontmerge(dev: DevId, bio: &Bio) {
    BIO_FRONTMERGE.emit(move || of_bio(dev, bio));
}

/// A request is made for a bio.
#[inline(always)]
pub(crate) fn getrq(dev: DevId, bio: &Bio) {
    GETRQ.emit(move || of_bio(dev, bio));
}

/// A thread holds back its first request.
#[inline(always)]
pub(crate) fn plug() {
    PLUG.emit(move || []);
}

/// A thread lets go of what it held back.
#[inline(always)]
pub(crate) fn unplug(requests: usize) {
    UNPLUG.emit(move || [requests as u64]);
}

/// A request goes into the elevator.
#[inline(always)]
pub(crate) fn rq_insert(dev: DevId, request: &Request) {
    RQ_INSERT.emit(move || of_request(dev, request));
}

/// A request goes to the driver.
#[inline(always)]
pub(crate) fn rq_issue(dev: DevId, request: &Request) {
    RQ_ISSUE.emit(move || of_request(dev, request));
}

/// A request became part of its neighbour.
#[inline(always)]
pub(crate) fn rq_merge(dev: DevId, request: &Request) {
    RQ_MERGE.emit(move || of_request(dev, request));
}

/// The driver had no room for a request.
#[inline(always)]
pub(crate) fn rq_requeue(dev: DevId, request: &Request) {
    RQ_REQUEUE.emit(move || of_end(dev, request, Ok(())));
}

/// The device is done with a request.
#[inline(always)]
pub(crate) fn rq_complete(dev: DevId, request: &Request, result: Result<()>) {
    RQ_COMPLETE.emit(move || of_end(dev, request, result));
    if result.is_err_and(|errno| errno != Errno::EOPNOTSUPP) {
        RQ_ERROR.emit(move || of_end(dev, request, result));
    }
}
