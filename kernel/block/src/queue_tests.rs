//! The queue against a driver that is late, full, wrong or busy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::{DevId, Errno, Result, Sector};

use crate::bio::{Bio, BioFlags, BioOp};
use crate::disk::Disk;
use crate::driver::{Driver, Limits};
use crate::in_flight::InFlight;
use crate::testing::{BAD, LateDisk, page_bio};
use crate::{Completion, RamDisk};

const SECTORS: usize = 1 << 16;

fn disk_on(driver: Arc<LateDisk>, elevator: &str) -> Arc<Disk> {
    Disk::new("test", DevId::new(1, 9), driver, elevator).unwrap()
}

fn late(limits: Limits, elevator: &str) -> (Arc<LateDisk>, Arc<Disk>) {
    let driver = LateDisk::new(SECTORS, usize::MAX, limits);
    (driver.clone(), disk_on(driver, elevator))
}

type Ends = Arc<Mutex<Vec<Result<()>>>>;

fn noted(bio: Bio, ends: &Ends) -> Bio {
    let ends = ends.clone();
    bio.end_io(move |result| ends.lock().unwrap().push(result))
}

fn write(disk: &Disk, page: u64, ends: &Ends) {
    let (bio, _) = page_bio(BioOp::Write, page * 8, 1, 1);
    disk.submit_bio(noted(bio, ends));
}

fn flush(disk: &Disk, ends: &Ends) {
    disk.submit_bio(noted(Bio::new(BioOp::Flush, Sector(0)), ends));
}

#[test]
fn a_long_plugged_write_becomes_few_requests() {
    let ram = RamDisk::new(vec![0; 16 << 20]);
    let disk = Disk::new("test", DevId::new(1, 9), ram, "deadline").unwrap();
    let done = Completion::new();
    let plug = disk.plug();
    for page in 0..2048 {
        let (bio, _) = page_bio(BioOp::Write, page * 8, 1, 0x5a);
        disk.submit_bio(done.track(bio));
    }
    drop(plug);
    done.wait().unwrap();
    let stats = disk.stats().write;
    assert!(stats.ios <= 40, "{stats:?}");
    assert_eq!((stats.sectors, stats.ios + stats.merges), (16384, 2048));
}

#[test]
fn without_a_plug_what_waits_is_merged_and_joined() {
    let (driver, disk) = late(Limits { queue_depth: 1, ..Limits::default() }, "noop");
    let ends = Ends::default();
    write(&disk, 100, &ends);
    // The device is busy now. Back, front, and the gap between two.
    for page in [10, 11, 9, 13, 12] {
        write(&disk, page, &ends);
    }
    assert_eq!(disk.queue().waiting(), 1);
    driver.complete_all();
    assert_eq!(driver.take_log(), ["Write 800+8", "Write 72+40"]);
    assert_eq!(ends.lock().unwrap().len(), 6);
    assert_eq!((disk.stats().write.ios, disk.stats().write.merges), (2, 4 + 1 - 1));
}

#[test]
fn reads_and_writes_are_not_merged() {
    let (driver, disk) = late(Limits { queue_depth: 1, ..Limits::default() }, "noop");
    let ends = Ends::default();
    write(&disk, 100, &ends);
    write(&disk, 10, &ends);
    disk.submit_bio(noted(page_bio(BioOp::Read, 88, 1, 0).0, &ends));
    driver.complete_all();
    assert_eq!(driver.take_log(), ["Write 800+8", "Write 80+8", "Read 88+8"]);
}

#[test]
fn nothing_merges_across_a_flush() {
    let limits = Limits { queue_depth: 1, write_cache: true, ..Limits::default() };
    let (driver, disk) = late(limits, "noop");
    let ends = Ends::default();
    write(&disk, 100, &ends);
    write(&disk, 10, &ends);
    flush(&disk, &ends);
    write(&disk, 11, &ends);
    write(&disk, 9, &ends);
    driver.complete_all();
    assert_eq!(driver.take_log(), ["Write 800+8", "Flush 0+0", "Write 80+8", "Write 88+8", "Write 72+8"]);
}

#[test]
fn merging_stops_at_the_limits() {
    let limits = Limits { queue_depth: 1, max_sectors: 16, ..Limits::default() };
    let (driver, disk) = late(limits, "noop");
    let ends = Ends::default();
    write(&disk, 100, &ends);
    (0..5).for_each(|page| write(&disk, page, &ends));
    driver.complete_all();
    assert_eq!(driver.take_log(), ["Write 800+8", "Write 0+16", "Write 16+16", "Write 32+8"]);
}

#[test]
fn fua_is_a_write_and_a_flush() {
    let (driver, disk) = late(Limits { write_cache: true, ..Limits::default() }, "deadline");
    let ends = Ends::default();
    let (mut bio, _) = page_bio(BioOp::Write, 0, 1, 1);
    bio.flags |= BioFlags::PREFLUSH | BioFlags::FUA;
    disk.submit_bio(noted(bio, &ends));
    for step in ["Flush 0+0", "Write 0+8", "Flush 0+0"] {
        assert_eq!(driver.take_log(), [step]);
        assert!(ends.lock().unwrap().is_empty());
        driver.complete_one(0, Ok(()));
    }
    assert_eq!(*ends.lock().unwrap(), [Ok(())]);
    assert_eq!(disk.stats().flush.ios, 2);
}

#[test]
fn a_failed_flush_writes_nothing() {
    let (driver, disk) = late(Limits { write_cache: true, ..Limits::default() }, "deadline");
    let ends = Ends::default();
    let (mut bio, _) = page_bio(BioOp::Write, 0, 1, 1);
    bio.flags |= BioFlags::PREFLUSH | BioFlags::FUA;
    disk.submit_bio(noted(bio, &ends));
    flush(&disk, &ends);
    driver.complete_one(0, BAD);
    driver.complete_all();
    assert_eq!(driver.take_log(), ["Flush 0+0", "Flush 0+0"]);
    assert_eq!(*ends.lock().unwrap(), [BAD, Ok(())]);
}

#[test]
fn flushes_that_wait_share_one() {
    let (driver, disk) = late(Limits { write_cache: true, ..Limits::default() }, "deadline");
    let ends = Ends::default();
    (0..5).for_each(|_| flush(&disk, &ends));
    driver.complete_all();
    assert_eq!(driver.take_log(), ["Flush 0+0", "Flush 0+0"]);
    assert_eq!(*ends.lock().unwrap(), [Ok(()); 5]);
}

#[test]
fn without_a_cache_a_flush_asks_nobody() {
    let (driver, disk) = late(Limits::default(), "deadline");
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(driver.held(), 0);
}

#[test]
fn a_flush_sends_what_the_thread_has_plugged() {
    let (driver, disk) = late(Limits { write_cache: true, ..Limits::default() }, "noop");
    let ends = Ends::default();
    let plug = disk.plug();
    write(&disk, 3, &ends);
    assert_eq!(driver.held(), 0);
    flush(&disk, &ends);
    assert_eq!(driver.take_log(), ["Write 24+8", "Flush 0+0"]);
    driver.complete_all();
    drop(plug);
}

#[test]
fn one_commit_for_a_plug() {
    let (driver, disk) = late(Limits::default(), "deadline");
    let ends = Ends::default();
    let plug = disk.plug();
    {
        let _inner = disk.plug();
        (0..20).rev().for_each(|n| write(&disk, n * 3, &ends));
    }
    assert_eq!(driver.held(), 0, "the outer plug still holds");
    drop(plug);
    assert_eq!((driver.held(), *driver.commits.lock().unwrap()), (20, 1));
    driver.complete_all();
}

#[test]
fn a_thread_that_waits_lets_its_plug_go() {
    let disk = Disk::new("test", DevId::new(1, 9), RamDisk::new(vec![0; 65536]), "noop").unwrap();
    let plug = disk.plug();
    let done = Completion::new();
    disk.submit_bio(done.track(page_bio(BioOp::Write, 0, 1, 1).0));
    assert_eq!(disk.stats().write.ios, 0);
    done.wait().unwrap();
    assert_eq!(disk.stats().write.ios, 1);
    drop(plug);
}

#[test]
fn a_driver_that_is_full_is_asked_again() {
    let driver = LateDisk::new(SECTORS, 2, Limits::default());
    let disk = disk_on(driver.clone(), "deadline");
    let ends = Ends::default();
    (0..50).for_each(|n| write(&disk, n * 3, &ends));
    assert_eq!((driver.held(), disk.queue().waiting()), (2, 48));
    driver.complete_all();
    assert_eq!(*ends.lock().unwrap(), [Ok(()); 50]);
    assert_eq!(disk.stats().in_flight, 0);
}

#[test]
fn what_completes_during_a_commit_makes_room() {
    let limits = Limits { queue_depth: 1, ..Limits::default() };
    let ram = RamDisk::with_limits(vec![0; SECTORS * 512], limits);
    let disk = Disk::new("test", DevId::new(1, 9), ram, "noop").unwrap();
    let ends = Ends::default();
    let plug = disk.plug();
    (0..5).for_each(|n| write(&disk, n * 3, &ends));
    drop(plug);
    assert_eq!(*ends.lock().unwrap(), [Ok(()); 5]);
}

#[test]
fn a_driver_that_refuses_for_no_reason_gets_errors_not_a_hang() {
    let driver = LateDisk::new(SECTORS, 0, Limits { write_cache: true, ..Limits::default() });
    let disk = disk_on(driver, "noop");
    let ends = Ends::default();
    write(&disk, 0, &ends);
    flush(&disk, &ends);
    assert_eq!(*ends.lock().unwrap(), [BAD, BAD]);
}

#[test]
fn a_lost_request_ends_with_an_error() {
    let (driver, disk) = late(Limits { queue_depth: 1, ..Limits::default() }, "noop");
    let ends = Ends::default();
    write(&disk, 0, &ends);
    write(&disk, 9, &ends);
    driver.lose_one();
    assert_eq!(*ends.lock().unwrap(), [BAD]);
    driver.complete_all();
    assert_eq!(*ends.lock().unwrap(), [BAD, Ok(())]);
}

#[test]
fn bounds_and_read_only_are_looked_at_first() {
    struct ReadOnly(Arc<RamDisk>);
    impl crate::Driver for ReadOnly {
        fn limits(&self) -> Limits {
            Limits { write_cache: true, ..self.0.limits() }
        }
        fn capacity(&self) -> Sector {
            self.0.capacity()
        }
        fn read_only(&self) -> bool {
            true
        }
        fn queue_request(&self, request: crate::InFlight) -> core::result::Result<(), crate::InFlight> {
            self.0.queue_request(request)
        }
        fn commit(&self) {
            self.0.commit();
        }
    }
    let disk =
        Disk::new("ro", DevId::new(1, 9), Arc::new(ReadOnly(RamDisk::new(vec![0; 8192]))), "noop").unwrap();
    let submit = |op, sector, pages| disk.submit_and_wait(page_bio(op, sector, pages, 0).0);
    assert_eq!(submit(BioOp::Read, 0, 2), Ok(()));
    assert_eq!(submit(BioOp::Read, 8, 2), Err(Errno::EIO));
    assert_eq!(submit(BioOp::Read, u64::MAX - 7, 1), Err(Errno::EINVAL));
    assert_eq!(submit(BioOp::Read, u64::MAX - 64, 1), Err(Errno::EIO));
    assert_eq!(submit(BioOp::Write, 0, 1), Err(Errno::EIO));
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(disk.stats().write.ios, 0);
}

#[test]
fn an_unknown_elevator_is_refused_and_a_switch_loses_nothing() {
    let (driver, disk) = late(Limits { queue_depth: 1, ..Limits::default() }, "noop");
    assert_eq!(disk.queue().switch_elevator("cqf"), Err(Errno::EINVAL));
    let ends = Ends::default();
    (0..30).rev().for_each(|n| write(&disk, n * 3, &ends));
    disk.queue().switch_elevator("deadline").unwrap();
    assert_eq!(disk.queue().elevator(), "deadline");
    driver.complete_all();
    assert_eq!(ends.lock().unwrap().len(), 30);
    assert_eq!(driver.take_log()[1..3], ["Write 0+8", "Write 24+8"]);
}

#[test]
fn a_full_queue_makes_writers_wait_and_loses_nothing() {
    let (driver, disk) = late(Limits { queue_depth: 4, ..Limits::default() }, "deadline");
    let ended = Arc::new(AtomicUsize::new(0));
    const THREADS: u64 = 4;
    const EACH: u64 = 300;
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let (disk, ended) = (disk.clone(), ended.clone());
            std::thread::spawn(move || {
                let done = Completion::new();
                let _plug = disk.plug();
                for n in 0..EACH {
                    let (bio, _) =
                        page_bio(BioOp::Write, (n * THREADS + t) * 24 % (SECTORS as u64 - 8) / 8 * 8, 1, 1);
                    disk.submit_bio(done.track(bio));
                }
                done.wait().unwrap();
                ended.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    while ended.load(Ordering::SeqCst) < THREADS as usize {
        if !driver.complete_one(3, Ok(())) {
            std::thread::yield_now();
        }
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
    let stats = disk.stats();
    assert_eq!(stats.write.ios + stats.write.merges, THREADS * EACH);
    assert_eq!((stats.in_flight, disk.queue().waiting()), (0, 0));
}

/// A device that is resized while it is in use.
#[test]
fn a_disk_that_grows_takes_what_lies_behind_its_old_end() {
    struct Growing(Arc<RamDisk>, core::sync::atomic::AtomicU64);
    impl Driver for Growing {
        fn limits(&self) -> Limits {
            self.0.limits()
        }
        fn capacity(&self) -> Sector {
            Sector(self.1.load(Ordering::Relaxed))
        }
        fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
            self.0.queue_request(request)
        }
        fn commit(&self) {
            self.0.commit();
        }
    }
    let driver = Arc::new(Growing(RamDisk::new(vec![0; 64 * 512]), 32.into()));
    let disk = Disk::new("vda", DevId::new(254, 0), driver.clone(), "noop").unwrap();
    let write = || disk.submit_and_wait(Bio::without_data(BioOp::WriteZeroes, Sector(40), 8));
    assert_eq!((disk.capacity(), write()), (Sector(32), Err(Errno::EIO)));
    driver.1.store(64, Ordering::Relaxed);
    assert_eq!(disk.capacity(), Sector(64));
    assert_ne!(write(), Err(Errno::EIO));
}
