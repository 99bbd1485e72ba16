//! The text of the events, compared with lines that Linux 6.1 wrote.

use std::string::{String, ToString};
use std::vec::Vec;

use base::trace::{self, Context, Read, Reader};
use base::{DevId, Errno, Sector, frame};

use crate::bio::{Bio, BioFlags, BioOp};
use crate::driver::Limits;
use crate::request::{Request, Shape};
use crate::trace::{self as events, EVENTS};

const VDA: DevId = DevId { major: 254, minor: 0 };

fn bio(op: BioOp, flags: BioFlags, sector: u64, pages: usize) -> Bio {
    let mut bio = Bio::new(op, Sector(sector));
    bio.flags = flags;
    (0..pages).for_each(|_| bio.add(&frame::alloc_zeroed().unwrap(), 0, 4096));
    bio
}

fn request(bio: Bio) -> Request {
    let shape = Shape::of(&bio, &Limits::default());
    Request::new(bio, shape, 0)
}

/// The thread's number, so that what other tests record is told apart.
fn me() -> u32 {
    sync::thread::current().0 as u32
}

/// What this thread records with `act`, as text.
fn recorded(act: impl FnOnce()) -> Vec<String> {
    trace::register(&EVENTS);
    trace::set_context(|| Context::named(me(), b"busybox"));
    trace::set_events("block:*", true).unwrap();
    let mut reader = Reader::new();
    act();
    let mine = me();
    let mut lines = Vec::new();
    loop {
        match reader.read() {
            Read::Record(record) if record.pid() == mine => {
                let name = record.event().map_or("", |event| event.name());
                lines.push([name, ": ", &record.to_string()].concat());
            }
            Read::Record(_) | Read::Lost(_) => {}
            Read::End => return lines,
        }
    }
}

/// As Linux, which marks no read so.
#[test]
fn a_read_is_not_called_synchronous() {
    use BioFlags as F;
    let kinds = [F::SYNC, F::SYNC | F::META, F::RAHEAD | F::SYNC];
    let lines = recorded(|| kinds.iter().for_each(|f| events::getrq(VDA, &bio(BioOp::Read, *f, 8, 1))));
    let of = |rwbs: &str| std::format!("block_getrq: 254,0 {rwbs} 8 + 8 [busybox]");
    assert_eq!(lines, [of("R"), of("RM"), of("RA")]);
}

#[test]
fn lines_are_linux_lines() {
    use BioFlags as F;
    let lines = recorded(|| {
        events::bio_queue(VDA, &bio(BioOp::Write, F::SYNC, 17410, 2));
        events::getrq(VDA, &bio(BioOp::Read, F::RAHEAD | F::META, 532, 1));
        events::plug();
        events::unplug(1);
        let data = request(bio(BioOp::Write, F::SYNC, 17410, 2));
        events::rq_insert(VDA, &data);
        events::rq_issue(VDA, &data);
        events::rq_complete(VDA, &data, Ok(()));
        data.end_bios(Ok(()));
        events::bio_backmerge(VDA, &bio(BioOp::Write, F::META, 4, 1));
        events::split(VDA, &[bio(BioOp::Write, F::SYNC, 20482, 1), bio(BioOp::Write, F::SYNC, 23042, 1)]);
        events::bio_queue(VDA, &Bio::new(BioOp::Flush, Sector(0)));
        let flush = Request::shared_flush(0);
        events::rq_issue(VDA, &flush);
        events::rq_complete(VDA, &flush, Ok(()));
        let rider = request(Bio::new(BioOp::Flush, Sector(0)));
        events::rq_complete(VDA, &rider, Ok(()));
        rider.end_bios(Ok(()));
    });
    let expected = [
        "block_bio_queue: 254,0 WS 17410 + 16 [busybox]",
        "block_getrq: 254,0 RAM 532 + 8 [busybox]",
        "block_plug: [busybox]",
        "block_unplug: [busybox] 1",
        "block_rq_insert: 254,0 WS 8192 () 17410 + 16 [busybox]",
        "block_rq_issue: 254,0 WS 8192 () 17410 + 16 [busybox]",
        "block_rq_complete: 254,0 WS () 17410 + 16 [0]",
        "block_bio_backmerge: 254,0 WM 4 + 8 [busybox]",
        "block_split: 254,0 WS 20482 / 23042 [busybox]",
        "block_bio_queue: 254,0 FWS 0 + 0 [busybox]",
        "block_rq_issue: 254,0 FF 0 () 0 + 0 [busybox]",
        "block_rq_complete: 254,0 FF () 18446744073709551615 + 0 [0]",
        "block_rq_complete: 254,0 WS () 0 + 0 [0]",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn errors_are_told_twice_and_partitions_remapped() {
    let lines = recorded(|| {
        let failed = request(bio(BioOp::Read, BioFlags::empty(), 8, 1));
        events::rq_complete(VDA, &failed, Err(Errno::EIO));
        failed.end_bios(Err(Errno::EIO));
        let moved = bio(BioOp::Discard, BioFlags::empty(), 2055, 0);
        events::bio_remap(VDA, &moved, DevId::new(254, 1), Sector(2048));
    });
    let expected = [
        "block_rq_complete: 254,0 R () 8 + 8 [-5]",
        "block_rq_error: 254,0 R () 8 + 8 [-5]",
        "block_bio_remap: 254,0 D 2055 + 0 <- (254,1) 7",
    ];
    assert_eq!(lines, expected);
}
