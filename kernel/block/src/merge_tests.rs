//! What becomes one request, and what does not; flushes among other requests.

use std::string::String;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::{Result, Sector};

use crate::bio::{Bio, BioFlags, BioOp};
use crate::driver::Limits;
use crate::plug;
use crate::queue::RequestQueue;
use crate::testing::{BAD, LateDisk, VirtualTime, page_bio, submit};

fn queue(limits: Limits) -> (Arc<LateDisk>, Arc<RequestQueue>) {
    let driver = LateDisk::new(1 << 12, usize::MAX, limits);
    let queue = RequestQueue::with_timer(
        "vda",
        base::DevId::new(254, 0),
        driver.clone(),
        "deadline",
        VirtualTime::new(),
    )
    .unwrap();
    (driver, queue)
}

/// One request at a time, so that the second and later ones wait and merge.
const BUSY: Limits = Limits { queue_depth: 1, max_discard_sectors: 64, ..Limits::DEFAULT };

type Ends = Arc<Mutex<Vec<Result<()>>>>;

fn send(queue: &Arc<RequestQueue>, bio: Bio, ends: &Ends) {
    let ends = ends.clone();
    submit(queue, bio.end_io(move |result| ends.lock().unwrap().push(result)));
}

fn page(op: BioOp, page: u64) -> Bio {
    page_bio(op, page * 8, 1, 1).0
}

fn discard(sector: u64, sectors: u64) -> Bio {
    Bio::without_data(BioOp::Discard, Sector(sector), sectors)
}

/// Lets the device finish everything: what it was asked, in its order.
fn log_of(driver: &LateDisk) -> Vec<String> {
    driver.complete_all();
    driver.take_log()
}

#[test]
fn discards_merge_with_their_neighbours() {
    let (driver, queue) = queue(BUSY);
    let ends = Ends::default();
    send(&queue, page(BioOp::Write, 100), &ends);
    for (sector, sectors) in [(16, 8), (24, 8), (8, 8), (64, 9), (32, 32)] {
        send(&queue, discard(sector, sectors), &ends);
    }
    // [8, 32), [32, 64) and [64, 73) are neighbours, but one sector too many for one.
    let log = log_of(&driver);
    assert_eq!(log[0], "Write 800+8");
    assert_eq!(log[1..].len(), 2, "{log:?}");
    assert_eq!(*ends.lock().unwrap(), [Ok(()); 6]);
}

#[test]
fn where_several_ranges_go_at_once_discards_merge_from_anywhere() {
    let (driver, queue) = queue(Limits { max_discard_segments: 3, ..BUSY });
    let ends = Ends::default();
    send(&queue, page(BioOp::Write, 100), &ends);
    for (sector, sectors) in [(800, 8), (8, 8), (96, 8), (48, 4)] {
        send(&queue, discard(sector, sectors), &ends);
    }
    assert_eq!(queue.waiting(), 2);
    driver.bytes.lock().unwrap().fill(7);
    assert_eq!(log_of(&driver), ["Write 800+8", "Discard 800+24", "Discard 48+4"]);
    let bytes = driver.bytes.lock().unwrap();
    let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
    assert_eq!((sectors[7], sectors[8], sectors[15], sectors[16]), (7, 0, 0, 7));
    assert_eq!((sectors[96], sectors[104], sectors[48], sectors[52]), (0, 7, 0, 7));
    assert_eq!(queue.stats().discard.merges, 2);
}

#[test]
fn a_plug_gathers_ranges_too() {
    let (driver, queue) = queue(Limits { max_discard_segments: 8, ..BUSY });
    let ends = Ends::default();
    let plug = plug::plug();
    [80, 8, 400].into_iter().for_each(|sector| send(&queue, discard(sector, 8), &ends));
    drop(plug);
    assert_eq!(log_of(&driver), ["Discard 80+24"]);
    assert_eq!(ends.lock().unwrap().len(), 3);
}

#[test]
fn what_a_plug_holds_is_joined_when_it_is_sorted() {
    let (driver, queue) = queue(Limits::DEFAULT);
    let ends = Ends::default();
    let plug = plug::plug();
    // Every other page first, far more than are looked back at.
    (0..12).for_each(|n| send(&queue, page(BioOp::Write, n * 2), &ends));
    (0..12).for_each(|n| send(&queue, page(BioOp::Write, n * 2 + 1), &ends));
    drop(plug);
    assert_eq!(log_of(&driver), ["Write 0+192"]);
    let stats = queue.stats().write;
    assert_eq!((stats.ios, stats.merges), (1, 23));
}

#[test]
fn a_flush_goes_out_beside_a_read_in_flight() {
    let (driver, queue) = queue(Limits { write_cache: true, ..Limits::DEFAULT });
    let (reads, flushes) = (Ends::default(), Ends::default());
    send(&queue, page(BioOp::Read, 5), &reads);
    send(&queue, Bio::new(BioOp::Flush, Sector(0)), &flushes);
    assert_eq!((driver.held(), driver.take_log().len()), (2, 2));
    driver.complete_one(1, Ok(()));
    assert_eq!((flushes.lock().unwrap().len(), reads.lock().unwrap().len()), (1, 0));
    // A second flush, whose write waits for it, while the read is still on its way.
    let mut bio = page(BioOp::Write, 9);
    bio.flags |= BioFlags::PREFLUSH;
    send(&queue, bio, &flushes);
    driver.complete_one(1, Ok(()));
    assert_eq!(driver.take_log(), ["Flush 0+0", "Write 72+8"]);
    driver.complete_one(0, BAD);
    driver.complete_all();
    assert_eq!((&flushes.lock().unwrap()[..], &reads.lock().unwrap()[..]), (&[Ok(()); 2][..], &[BAD][..]));
}

#[test]
fn a_device_that_knows_fua_is_told_and_not_flushed() {
    let (driver, queue) = queue(Limits { write_cache: true, fua: true, ..Limits::DEFAULT });
    let ends = Ends::default();
    let mut bio = page(BioOp::Write, 0);
    bio.flags |= BioFlags::FUA;
    send(&queue, bio, &ends);
    assert_eq!(driver.flags_of(0), BioFlags::FUA);
    assert_eq!(log_of(&driver), ["Write 0+8"]);
    assert_eq!(*ends.lock().unwrap(), [Ok(())]);
}

#[test]
fn a_failed_write_is_not_flushed_for() {
    let (driver, queue) = queue(Limits { write_cache: true, ..Limits::DEFAULT });
    let ends = Ends::default();
    let mut bio = page(BioOp::Write, 0);
    bio.flags |= BioFlags::FUA;
    send(&queue, bio, &ends);
    driver.complete_one(0, BAD);
    assert_eq!((driver.held(), ends.lock().unwrap()[0]), (0, BAD));
}
