//! The engine as a driver of the block layer, against a device made of a `Vec`.

use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::{DevId, Errno, Result, Sector, frame};
use block::{Bio, BioFlags, BioOp, Completion, Disk, Driver, InFlight, Limits};

use super::engine::{Engine, Rules};
use super::fake::{FakeDevice, pair};

const RULES: Rules = Rules {
    indirect: true,
    exact_length: true,
    may_unmap: true,
    max_segments: 200,
    max_segment_size: u32::MAX,
};

struct Fake {
    engine: Engine,
    device: Mutex<FakeDevice>,
    limits: Limits,
    /// Serve requests as soon as the device is told, and interrupt.
    prompt: bool,
}

impl Fake {
    fn new(size: u16, event_idx: bool, rules: Rules, prompt: bool) -> Arc<Fake> {
        let (ring, device) = pair(size, event_idx);
        let most = if rules.indirect { rules.max_segments } else { u32::from(size) - 2 };
        let limits = Limits {
            max_segments: most,
            max_discard_sectors: 1 << 20,
            max_write_zeroes_sectors: 1 << 20,
            queue_depth: size.into(),
            write_cache: true,
            ..Limits::default()
        };
        let engine = Engine::new(ring, size, rules).unwrap();
        Arc::new(Fake { engine, device: Mutex::new(device), limits, prompt })
    }

    /// Serves until nothing is left, from any end; interrupts only when the driver asked for it.
    fn serve_all(&self, pick: usize) {
        loop {
            let mut interrupt = false;
            {
                let mut device = self.device.lock().unwrap();
                device.take();
                while device.held() > 0 {
                    interrupt |= device.serve(pick);
                }
            }
            if !interrupt {
                return;
            }
            self.engine.reap().unwrap();
        }
    }
}

impl Driver for Fake {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        Sector(2048)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.engine.queue_request(request)
    }

    fn commit(&self) {
        if self.engine.commit() && self.prompt {
            self.serve_all(0);
        }
    }
}

fn disk_of(fake: &Arc<Fake>) -> Arc<Disk> {
    Disk::new("vda", DevId::new(254, 0), fake.clone(), "noop").unwrap()
}

fn data(op: BioOp, sector: u64, byte: u8, pages: usize) -> (Bio, Vec<base::Frame>) {
    let frames: Vec<_> = (0..pages).map(|_| frame::alloc_zeroed().unwrap()).collect();
    let mut bio = Bio::new(op, Sector(sector));
    for f in &frames {
        f.fill(0, 4096, byte);
        bio.add(f, 0, 4096);
    }
    (bio, frames)
}

fn first_byte(frame: &base::Frame) -> u8 {
    let mut byte = [0];
    frame.read(0, &mut byte);
    byte[0]
}

#[test]
fn what_is_written_is_read() {
    for (indirect, event_idx) in [(true, true), (true, false), (false, true), (false, false)] {
        let fake = Fake::new(16, event_idx, Rules { indirect, ..RULES }, true);
        let disk = disk_of(&fake);
        for n in 0..20 {
            disk.submit_and_wait(data(BioOp::Write, n * 40, n as u8 + 1, 5).0).unwrap();
        }
        for n in 0..20 {
            let (bio, frames) = data(BioOp::Read, n * 40, 0, 5);
            disk.submit_and_wait(bio).unwrap();
            assert!(frames.iter().all(|f| first_byte(f) == n as u8 + 1));
        }
        disk.submit_and_wait(Bio::without_data(BioOp::Discard, Sector(40), 8)).unwrap();
        disk.submit_and_wait(Bio::without_data(BioOp::WriteZeroes, Sector(48), 8)).unwrap();
        disk.flush().unwrap();
        let device = fake.device.lock().unwrap();
        assert_eq!(
            (device.disk[39 * 512], device.disk[40 * 512], device.disk[56 * 512 - 1], device.disk[56 * 512]),
            (1, 0, 0, 2)
        );
        assert_eq!(device.flushes, 1);
    }
}

/// One request as long as the limits let it be: its table has pages of its own.
#[test]
fn a_request_of_many_pieces() {
    for (size, pieces) in [(1024, 1022u32), (256, 254), (8, 200)] {
        let fake = Fake::new(size, true, Rules { max_segments: pieces, ..RULES }, true);
        let disk = disk_of(&fake);
        // 512 bytes of every other half page: nothing is adjacent in memory.
        let pages: Vec<_> = (0..pieces).map(|_| frame::alloc_zeroed().unwrap()).collect();
        let mut bio = Bio::new(BioOp::Write, Sector(0));
        for (n, page) in pages.iter().enumerate() {
            page.fill(512, 512, n as u8 ^ 0x5a);
            bio.add(page, 512, 512);
        }
        disk.submit_and_wait(bio).unwrap();
        let device = fake.device.lock().unwrap();
        assert!((0..pieces as usize).all(|n| device.disk[n * 512 + 511] == n as u8 ^ 0x5a));
        assert_eq!(disk.stats().write.ios, 1);
    }
}

#[test]
fn a_write_zeroes_keeps_the_room_only_when_asked() {
    for (may_unmap, flags, want) in
        [(true, BioFlags::empty(), 1), (true, BioFlags::NOUNMAP, 0), (false, BioFlags::empty(), 0)]
    {
        let fake = Fake::new(16, true, Rules { may_unmap, ..RULES }, true);
        let mut bio = Bio::without_data(BioOp::WriteZeroes, Sector(8), 8);
        bio.flags |= flags;
        disk_of(&fake).submit_and_wait(bio).unwrap();
        assert_eq!(fake.device.lock().unwrap().range_flags, want);
    }
}

/// Whatever was done when the driver looks is completed in one go, in the order of the ring, and the
/// device does not interrupt meanwhile.
#[test]
fn completions_go_by_batches() {
    for event_idx in [true, false] {
        let fake = Fake::new(64, event_idx, RULES, false);
        let disk = disk_of(&fake);
        let order = Arc::new(Mutex::new(Vec::new()));
        for n in 0..50u64 {
            let sink = order.clone();
            let (bio, _frames) = data(BioOp::Write, n * 16, 0, 1);
            disk.submit_bio(bio.end_io(move |r| sink.lock().unwrap().push((n, r))));
        }
        fake.serve_all(0);
        let done = order.lock().unwrap();
        assert!(done.iter().enumerate().all(|(at, &(n, r))| (at as u64, Ok(())) == (n, r)), "{done:?}");
        assert_eq!(done.len(), 50);
    }
}

#[test]
fn far_beyond_65536_requests() {
    let fake = Fake::new(4, true, RULES, true);
    let disk = disk_of(&fake);
    let page = frame::alloc_zeroed().unwrap();
    for n in 0..140_000u64 {
        let mut bio = Bio::new(BioOp::Write, Sector(n % 256 * 8));
        bio.add(&page, 0, 512);
        disk.submit_and_wait(bio).unwrap();
    }
    assert_eq!(disk.stats().write.ios, 140_000);
}

#[test]
fn many_in_flight_and_back_in_any_order() {
    for indirect in [true, false] {
        let fake = Fake::new(8, true, Rules { indirect, ..RULES }, false);
        let disk = disk_of(&fake);
        let done = Completion::new();
        let frames: Vec<_> = (0..100u64)
            .map(|n| {
                let (bio, frames) = data(BioOp::Write, n * 16, n as u8, 1);
                disk.submit_bio(done.track(bio));
                frames
            })
            .collect();
        fake.serve_all(5);
        assert_eq!(done.wait(), Ok(()));
        assert!(frames.iter().all(|f| f[0].handles() == 1), "the buffers are back");
        let device = fake.device.lock().unwrap();
        assert!((0..100).all(|n| device.disk[n * 16 * 512] == n as u8));
    }
}

#[test]
fn statuses_become_errors() {
    let fake = Fake::new(16, true, RULES, true);
    let disk = disk_of(&fake);
    let with = |status| {
        fake.device.lock().unwrap().status = status;
        disk.submit_and_wait(data(BioOp::Write, 0, 1, 1).0)
    };
    assert_eq!(with(1), Err(Errno::EIO));
    assert_eq!(with(2), Err(Errno::EOPNOTSUPP));
    assert_eq!(with(0xff), Err(Errno::EIO));
    assert_eq!(with(0), Ok(()));
}

fn submit(disk: &Disk, op: BioOp) -> Arc<Mutex<Option<Result<()>>>> {
    let seen = Arc::new(Mutex::new(None));
    let sink = seen.clone();
    disk.submit_bio(data(op, 0, 1, 1).0.end_io(move |r| *sink.lock().unwrap() = Some(r)));
    seen
}

#[test]
fn a_read_that_is_too_short_is_an_error_where_lengths_are_exact() {
    for (exact_length, want) in [(true, Err(Errno::EIO)), (false, Ok(()))] {
        let fake = Fake::new(16, true, Rules { exact_length, ..RULES }, true);
        fake.device.lock().unwrap().short = true;
        let disk = disk_of(&fake);
        assert_eq!(disk.submit_and_wait(data(BioOp::Read, 0, 0, 1).0), want);
        assert_eq!(disk.submit_and_wait(data(BioOp::Write, 0, 0, 1).0), Ok(()));
    }
}

#[test]
fn a_request_that_comes_back_untouched_is_an_error() {
    let fake = Fake::new(16, true, RULES, false);
    let disk = disk_of(&fake);
    let seen = submit(&disk, BioOp::Write);
    fake.device.lock().unwrap().give_back(0, 1);
    fake.engine.reap().unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(Err(Errno::EIO)));
}

#[test]
fn a_device_that_lies_is_out_of_use() {
    let fake = Fake::new(16, true, RULES, false);
    let disk = disk_of(&fake);
    let seen = submit(&disk, BioOp::Write);
    fake.device.lock().unwrap().give_back(11, 1);
    assert!(fake.engine.reap().is_err());
    assert!(fake.engine.is_broken());
    assert_eq!(*seen.lock().unwrap(), None, "the device may still use the buffer");
    assert_eq!(fake.engine.fail_all(), 1);
    assert_eq!(*seen.lock().unwrap(), Some(Err(Errno::EIO)));
    assert_eq!(*submit(&disk, BioOp::Read).lock().unwrap(), Some(Err(Errno::EIO)));
}

#[test]
fn the_serial_number_comes_in_time() {
    let fake = Fake::new(16, true, RULES, true);
    fake.engine.ask_serial().unwrap();
    assert_eq!(fake.engine.serial(), "");
    fake.commit();
    assert_eq!(fake.engine.serial(), "disk-7");
}
