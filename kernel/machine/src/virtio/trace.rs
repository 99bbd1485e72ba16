//! The trace points of the ring: where a request leaves the kernel's hands, and where it comes back.
//! Docs: docs/tracing.md.
//!
//! Linux has none here; these follow the form of its others. `head` is the number of the request's
//! first descriptor, so that what the device gives back can be found again.

use base::trace::{Event, Record, kdev};
use block::{BioOp, InFlight, Request};

/// The events of the ring.
pub static EVENTS: [&Event; 4] = [&ADD, &KICK, &INTERRUPT, &USED];

const ADD_FIELDS: &[&str] =
    &["dev_t dev", "u16 head", "u32 type", "sector_t sector", "u32 bytes", "u32 segments"];

static ADD: Event = Event::new("virtio", "virtio_blk_add", ADD_FIELDS, |r, out| {
    write!(out, "{} head {} {}", base::trace::Dev(r.arg(0)), r.arg(1), kind(r))?;
    write!(out, " sector {} bytes {} segments {}", r.arg(3), r.arg(4), r.arg(5))
});

static KICK: Event = Event::new("virtio", "virtio_blk_kick", &["int notify"], |r, out| {
    out.write_str(if r.arg(0) == 0 { "the device is at work and need not be told" } else { "notify" })
});

static INTERRUPT: Event = Event::new("virtio", "virtio_blk_interrupt", &["u32 status"], |r, out| {
    write!(out, "status {:#x}", r.arg(0))
});

static USED: Event =
    Event::new("virtio", "virtio_blk_used", &["u16 head", "u8 status", "u32 written"], |r, out| {
        write!(out, "head {} status {} written {}", r.arg(0), r.arg(1), r.arg(2))
    });

/// The type's name in the standard, VIRTIO_BLK_T_….
fn kind(r: &Record) -> &'static str {
    match r.arg(2) {
        0 => "IN",
        1 => "OUT",
        2 => "FLUSH",
        3 => "DISCARD",
        _ => "WRITE_ZEROES",
    }
}

/// A request is in the ring, not yet shown to the device.
#[inline(always)]
pub fn add(head: u16, request: &InFlight) {
    ADD.emit(move || {
        let kind = match request.op() {
            BioOp::Read => 0,
            BioOp::Write => 1,
            BioOp::Flush => 2,
            BioOp::Discard => 3,
            BioOp::WriteZeroes => 4,
        };
        let (sector, bytes) = (request.sector().0, request.sectors() << 9);
        let segments = Request::segment_count(request);
        [kdev(request.dev()), head.into(), kind, sector, bytes, segments.into()]
    });
}

/// The device is shown what was put in; whether it wants to be told.
#[inline(always)]
pub fn kick(notify: bool) {
    KICK.emit(move || [u64::from(notify)]);
}

/// The device has said something.
#[inline(always)]
pub fn interrupt(status: u32) {
    INTERRUPT.emit(move || [status.into()]);
}

/// The device has given a request back.
#[inline(always)]
pub fn used(head: u16, status: u8, written: u32) {
    USED.emit(move || [head.into(), status.into(), written.into()]);
}
