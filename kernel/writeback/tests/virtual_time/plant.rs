//! A disk that takes its time, its flusher, and who writes to its files.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base::time::{NSEC_PER_SEC, monotonic_ns};
use base::{DevId, Result, Sector};
use block::{Disk, Driver, InFlight, Limits};
use pagecache::{BlockDevice, stats};
use sync::atomic::{AtomicBool, AtomicU64, Ordering};
use sync::{SpinLock, WaitQueue, thread};
use writeback::{Bdi, params};

use crate::file::{FILE_BLOCKS, File};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = NSEC_PER_SEC;

/// Pages of memory: 1000 dirty ones wake the flusher, 2000 are the limit.
pub const MEMORY: usize = 10_000;
pub const BACKGROUND: usize = 1_000;
pub const LIMIT: usize = 2_000;

/// The pages of a request, and when the disk began with it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub at: u64,
    pub first: u64,
    pub pages: u64,
}

/// It forgets what it is given, one request after the other, at a certain speed.
struct SlowDisk {
    files: u64,
    waiting: SpinLock<VecDeque<InFlight>>,
    bell: WaitQueue,
    stop: AtomicBool,
    ns_per_page: AtomicU64,
    log: Mutex<Vec<Entry>>,
}

impl SlowDisk {
    fn run(&self) {
        loop {
            let mut next = None;
            self.bell.wait_until(|| {
                next = self.waiting.lock().pop_front();
                next.is_some() || self.stop.load(Ordering::SeqCst)
            });
            let Some(request) = next else { return };
            let pages = request.sectors().div_ceil(8);
            self.log.lock().unwrap().push(Entry { at: monotonic_ns(), first: request.sector().0 / 8, pages });
            thread::sleep_ns(pages * self.ns_per_page.load(Ordering::SeqCst));
            request.complete(Ok(()));
        }
    }
}

impl Driver for SlowDisk {
    fn limits(&self) -> Limits {
        // 32 pages: short requests, so that the disk's progress is even.
        Limits { max_sectors: 256, ..Limits::default() }
    }

    fn capacity(&self) -> Sector {
        Sector(self.files * FILE_BLOCKS * 8)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.waiting.lock().push_back(request);
        Ok(())
    }

    fn commit(&self) {
        self.bell.wake_all();
    }
}

/// A disk with its flusher.
pub struct Plant {
    disk: Arc<SlowDisk>,
    device: thread::Thread,
    pub bdi: Arc<Bdi>,
    pub files: Vec<Arc<File>>,
}

impl Plant {
    /// So many files on a disk of so many pages a second.
    pub fn new(files: u64, speed: u64) -> Arc<Plant> {
        let driver = Arc::new(SlowDisk {
            files,
            waiting: SpinLock::new(VecDeque::new()),
            bell: WaitQueue::new(),
            stop: AtomicBool::new(false),
            ns_per_page: AtomicU64::new(SECOND / speed),
            log: Mutex::default(),
        });
        let works = driver.clone();
        let device = thread::spawn("device", move || works.run()).unwrap();
        let disk = Disk::new("slow", DevId::new(1, 0), driver.clone(), "noop").unwrap();
        let bdi = Bdi::start(&BlockDevice::of(&disk)).unwrap();
        let files = (0..files).map(|n| File::new(&bdi, n)).collect();
        Arc::new(Plant { disk: driver, device, bdi, files })
    }

    /// From now on so many pages a second.
    pub fn set_speed(&self, speed: u64) {
        self.disk.ns_per_page.store(SECOND / speed, Ordering::SeqCst);
    }

    /// What the disk was given.
    pub fn log(&self) -> Vec<Entry> {
        self.disk.log.lock().unwrap().clone()
    }

    /// The pages of one file that were written from `since` on, and when, oldest first.
    pub fn written(&self, file: u64, since: u64) -> Vec<Entry> {
        let of_file = |entry: &Entry| entry.at >= since && entry.first / FILE_BLOCKS == file;
        self.log().into_iter().filter(of_file).collect()
    }

    /// Everything is written, and the threads end.
    pub fn end(&self) {
        self.bdi.stop().unwrap();
        assert!(self.bdi.is_clean());
        self.disk.stop.store(true, Ordering::SeqCst);
        self.disk.bell.wake_all();
        self.device.join();
    }
}

/// Pages of a file become dirty.
pub fn dirty(file: &File, pages: impl IntoIterator<Item = u64>) {
    for page in pages {
        assert_eq!(file.write(page % FILE_BLOCKS * 4096, &[1; 4096]), Ok(4096));
    }
}

/// Dirty or on their way.
pub fn unwritten() -> usize {
    stats::nr_dirty() + stats::nr_writeback()
}

/// Runs `f` in virtual time, with [`MEMORY`] and Linux's settings, and all of its threads.
pub fn run(f: impl Fn() + Send + Sync + 'static) {
    explore::in_virtual_time(move || {
        writeback::set_memory(MEMORY);
        params::set_dirty_ratio(20);
        params::set_dirty_background_ratio(10);
        params::set_dirty_expire_centisecs(3000);
        params::set_dirty_writeback_centisecs(500);
        f();
        assert_eq!(unwritten(), 0, "a test left dirty pages to the next");
    });
}

/// Who writes a file from front to back again and again, a page at a time with so much time between two.
pub struct Writer {
    thread: thread::Thread,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    pages: AtomicU64,
    /// The longest that a write took, and all of them together.
    longest: AtomicU64,
    waited: AtomicU64,
    /// Most pages that were unwritten after one.
    most: AtomicU64,
}

impl Writer {
    pub fn start(file: &Arc<File>, think: u64) -> Writer {
        let shared = Arc::new(Shared::default());
        let (file, same) = (file.clone(), shared.clone());
        let write = move || {
            while !same.over.load(Ordering::SeqCst) {
                let begin = monotonic_ns();
                dirty(&file, [same.pages.load(Ordering::SeqCst)]);
                let took = monotonic_ns() - begin;
                same.pages.fetch_add(1, Ordering::SeqCst);
                same.longest.fetch_max(took, Ordering::SeqCst);
                same.waited.fetch_add(took, Ordering::SeqCst);
                same.most.fetch_max(unwritten() as u64, Ordering::SeqCst);
                thread::sleep_ns(think);
            }
        };
        Writer { thread: thread::spawn("writer", write).unwrap(), shared }
    }

    /// Pages written so far.
    pub fn pages(&self) -> u64 {
        self.shared.pages.load(Ordering::SeqCst)
    }

    /// The longest write since this was last asked, and all of them together.
    pub fn take_waits(&self) -> (u64, u64) {
        (self.shared.longest.swap(0, Ordering::SeqCst), self.shared.waited.swap(0, Ordering::SeqCst))
    }

    /// The most that were unwritten since this was last asked.
    pub fn take_most(&self) -> usize {
        self.shared.most.swap(0, Ordering::SeqCst) as usize
    }

    /// Pages a second in the next so many.
    pub fn rate(&self, seconds: u64) -> u64 {
        let before = self.pages();
        thread::sleep_ns(seconds * SECOND);
        (self.pages() - before) / seconds
    }

    pub fn stop(self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.thread.join();
    }
}

/// Whether `result` is Ok.
pub fn ok(result: Result<()>) {
    assert_eq!(result, Ok(()));
}
