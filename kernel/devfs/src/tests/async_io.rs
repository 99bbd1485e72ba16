//! What io_submit(2) begins on a disk, with a disk that answers when it is told to.

use std::sync::atomic::{AtomicBool, Ordering};

use vfs::aio::{self, Memory, Request};

use super::bdev::fresh;
use super::*;

const DIRECT: OpenFlags = OpenFlags::DIRECT;
const DSYNC: u32 = 2;

/// A disk in memory.
struct Patient {
    ram: Arc<RamDisk>,
    held: Mutex<Vec<InFlight>>,
    holds: AtomicBool,
}

impl Patient {
    fn release(&self) {
        self.holds.store(false, Ordering::Relaxed);
        for request in core::mem::take(&mut *self.held.lock().unwrap()) {
            assert!(self.ram.queue_request(request).is_ok());
        }
        self.ram.commit();
    }

    fn hold(&self) {
        self.holds.store(true, Ordering::Relaxed);
    }
}

impl Driver for Patient {
    fn limits(&self) -> Limits {
        self.ram.limits()
    }

    fn capacity(&self) -> Sector {
        self.ram.capacity()
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        if !self.holds.load(Ordering::Relaxed) {
            return self.ram.queue_request(request);
        }
        self.held.lock().unwrap().push(request);
        Ok(())
    }

    fn commit(&self) {
        self.ram.commit();
    }
}

/// The ends of requests, as they come.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Result<usize>>>>);

impl Ends {
    fn one(&self) -> vfs::IoEnd {
        let ends = self.clone();
        std::boxed::Box::new(move |done| ends.0.lock().unwrap().push(done))
    }

    fn take(&self) -> Vec<Result<usize>> {
        core::mem::take(&mut self.0.lock().unwrap())
    }

    /// Those that a thread may have to bring.
    fn wait(&self, n: usize) -> Vec<Result<usize>> {
        while self.0.lock().unwrap().len() < n {
            std::thread::yield_now();
        }
        self.take()
    }
}

fn disk() -> (Arc<Patient>, World) {
    let ram = RamDisk::with_limits(vec![0; 64 << 10], Limits::default());
    let driver = Arc::new(Patient { ram, held: Mutex::default(), holds: AtomicBool::new(false) });
    let disk = Disk::new("vda", fresh(), driver.clone(), "noop").unwrap();
    (driver, World::new(&[disk], Arc::new(Fake::default())))
}

fn request(at: u64, len: usize, pos: i64, rwf: u32) -> Request {
    Request { memory: Memory::One(UserAddr(at), len), pos, rwf }
}

#[test]
fn who_submits_does_not_wait() {
    let (driver, w) = disk();
    let (file, ends) = (w.open("/dev/vda", RDWR | DIRECT), Ends::default());
    w.user.put(BUF, &[7; 8192]);
    driver.hold();
    for pos in [0, 8192] {
        aio::start_write(&w.io(), &file, &request(BUF, 4096, pos, 0), ends.one()).unwrap();
    }
    aio::start_read(&w.io(), &file, &request(BUF + 0x4000, 4096, 4096, 0), ends.one()).unwrap();
    assert!(ends.take().is_empty(), "nothing has ended");
    driver.release();
    assert_eq!(ends.wait(3), [Ok(4096); 3]);
    assert_eq!(driver.ram.bytes()[..12 << 10], [[7; 4096], [0; 4096], [7; 4096]].concat());
    assert_eq!(w.user.get(BUF + 0x4000, 4096), [0; 4096]);
}

#[test]
fn what_is_cached_agrees_afterwards() {
    let (driver, w) = disk();
    let (file, ends) = (w.open("/dev/vda", RDWR | DIRECT), Ends::default());
    let cached = w.open("/dev/vda", RDWR);
    // Not where the reads below go.
    w.user.put(BUF + 0x8000, &[5; 4096]);
    driver.hold();
    aio::start_write(&w.io(), &file, &request(BUF + 0x8000, 4096, 4096, DSYNC), ends.one()).unwrap();
    driver.holds.store(false, Ordering::Relaxed);
    // Read meanwhile: old bytes, which the end of the write finds in the cache.
    assert!(w.read(&cached, 8192) == Ok(vec![0; 8192]));
    driver.release();
    assert_eq!(ends.wait(1), [Ok(4096)]);
    assert_eq!(vfs::lseek::lseek(&cached, 0, 0), Ok(0));
    assert!(w.read(&cached, 8192) == Ok([[0; 4096], [5; 4096]].concat()));
}

#[test]
fn ends_that_come_at_once() {
    let (_, w) = disk();
    let (file, ends) = (w.open("/dev/vda", RDWR | DIRECT), Ends::default());
    let end = 64 << 10;
    let write = |at, len, pos| {
        aio::start_write(&w.io(), &file, &request(at, len, pos, 0), ends.one()).unwrap();
        ends.wait(1)[0]
    };
    let read = |at, len, pos| {
        aio::start_read(&w.io(), &file, &request(at, len, pos, 0), ends.one()).unwrap();
        ends.wait(1)[0]
    };
    assert_eq!(write(BUF, 4096, end), Err(Errno::ENOSPC));
    assert_eq!(write(BUF, 4096, end - 1024), Ok(1024));
    assert_eq!(write(BUF, 100, 0), Err(Errno::EINVAL));
    assert_eq!(write(BUF, 0, 0), Ok(0));
    assert_eq!(read(BUF, 4096, end), Ok(0));
    assert_eq!(read(BUF, 4096, end - 1024), Ok(1024));
    assert_eq!(read(BUF + 1, 512, 0), Err(Errno::EINVAL));
    // The memory ends: short, and a bad address.
    assert_eq!(write(BUF + 0x10000 - 1024, 4096, 0), Ok(1024));
    assert_eq!(read(BUF + 0x10000 - 512, 4096, 0), Ok(512));
    assert_eq!(read(BUF + 0x10000, 512, 0), Err(Errno::EFAULT));
}
