//! A disk that completes its requests in a thread, a file of few pages on it, and a page table.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use base::user::FakeUser;
use base::{
    DevId, Errno, FileBlock, Frame, FsBlock, IovIter, PAGE_SIZE, PageIndex, Result, Sector, UserAddr,
};
use block::{BioFlags, BioOp, Disk, Driver, InFlight, Limits, Request};
use pagecache::*;
use sync::{SpinLock, WaitQueue, thread};

/// Pages of the file.
pub const PAGES: u64 = 4;

/// Memory as a disk. What it is sent lies there until its thread completes it, the last first.
pub struct SlowDisk {
    bytes: Mutex<Vec<u8>>,
    waiting: SpinLock<Vec<InFlight>>,
    bell: WaitQueue,
    stop: sync::atomic::AtomicBool,
    /// So many writes fail from now on.
    pub bad_writes: AtomicUsize,
}

impl SlowDisk {
    fn work(&self, request: &Request) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        let fewer = |n: usize| n.checked_sub(1);
        if request.op() == BioOp::Write
            && self.bad_writes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
        {
            return Err(Errno::EIO);
        }
        let mut at = request.sector().0 as usize * 512;
        for vec in request.vecs() {
            let range = at..at + vec.len as usize;
            match request.op() {
                BioOp::Read => vec.frame.write(vec.offset as usize, &bytes[range]),
                _ => vec.frame.read(vec.offset as usize, &mut bytes[range]),
            }
            at += vec.len as usize;
        }
        Ok(())
    }

    fn run(&self) {
        loop {
            let mut next = None;
            self.bell.wait_until(|| {
                next = self.waiting.lock().pop();
                next.is_some() || self.stop.load(Ordering::SeqCst)
            });
            let Some(request) = next else { return };
            let done = self.work(&request);
            request.complete(done);
        }
    }
}

impl Driver for SlowDisk {
    fn limits(&self) -> Limits {
        Limits { queue_depth: 64, ..Limits::default() }
    }

    fn capacity(&self) -> Sector {
        Sector(PAGES * 8)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.waiting.lock().push(request);
        Ok(())
    }

    fn commit(&self) {
        self.bell.wake_all();
    }
}

/// A file whose page n lies at page n of the disk.
pub struct File {
    pub driver: Arc<SlowDisk>,
    disk: Arc<Disk>,
    pub mapping: Arc<AddressSpace>,
    ra: FileRa,
    pub size: AtomicU64,
    pub inode: sync::Mutex<()>,
    over: sync::atomic::AtomicBool,
    device: thread::Thread,
}

impl File {
    /// All pages are there, zeros, and none is cached.
    pub fn new() -> Arc<File> {
        let driver = Arc::new(SlowDisk {
            bytes: Mutex::new(vec![0; PAGES as usize * PAGE_SIZE]),
            waiting: SpinLock::new(Vec::new()),
            bell: WaitQueue::new(),
            stop: sync::atomic::AtomicBool::new(false),
            bad_writes: AtomicUsize::new(0),
        });
        let disk = Disk::new("slow", DevId::new(1, 0), driver.clone(), "noop").unwrap();
        let works = driver.clone();
        Arc::new(File {
            driver,
            disk,
            mapping: AddressSpace::new(),
            ra: FileRa::new(),
            size: AtomicU64::new(PAGES * PAGE_SIZE as u64),
            inode: sync::Mutex::new(()),
            over: sync::atomic::AtomicBool::new(false),
            device: thread::spawn("device", move || works.run()).unwrap(),
        })
    }

    /// The whole page becomes this byte.
    pub fn write(&self, page: u64, byte: u8) {
        let bytes = [byte; PAGE_SIZE];
        let _inode = self.inode.lock();
        let mut from = IovIter::from_kernel(&bytes);
        assert_eq!(
            generic_perform_write(&self.mapping, self, page * PAGE_SIZE as u64, &mut from),
            Ok(PAGE_SIZE)
        );
    }

    /// The same past the cache; false when it has to go through it.
    pub fn write_direct(&self, page: u64, byte: u8) -> bool {
        const AT: u64 = 0x10000;
        let user = FakeUser::new(AT, PAGE_SIZE);
        user.put(AT, &[byte; PAGE_SIZE]);
        let _inode = self.inode.lock();
        let mut from = IovIter::user(&user, UserAddr(AT), PAGE_SIZE);
        let pos = page * PAGE_SIZE as u64;
        let done = generic_file_direct_write(&self.mapping, self, pos, &mut from, BioFlags::empty());
        done.unwrap() == PAGE_SIZE
    }

    /// First and last byte of a page, as one call reads it.
    pub fn read(&self, page: u64) -> (u8, u8) {
        let mut out = [0xff; PAGE_SIZE];
        let mut to = IovIter::to_kernel(&mut out);
        let done = generic_file_read(&self.mapping, self, &self.ra, page * PAGE_SIZE as u64, &mut to);
        assert_eq!(done, Ok(PAGE_SIZE));
        (out[0], out[PAGE_SIZE - 1])
    }

    pub fn fsync(&self) -> Result<()> {
        filemap_write_and_wait_range(&self.mapping, self, 0..u64::MAX)
    }

    /// What a flusher does.
    pub fn flush(&self) {
        let _ = filemap_flush(&self.mapping, self);
    }

    /// The first byte of a page, and how many of its bytes are another, as the disk has it.
    pub fn on_disk(&self, page: u64) -> u8 {
        let bytes = self.driver.bytes.lock().unwrap();
        let page = &bytes[page as usize * PAGE_SIZE..][..PAGE_SIZE];
        assert!(page.iter().all(|b| *b == page[0]), "a page is half one thing, half another");
        page[0]
    }

    /// Who repeats something ([`again`]) has done it for the last time when this returns.
    pub fn over(&self, repeating: &[thread::Thread]) {
        self.over.store(true, Ordering::SeqCst);
        repeating.iter().for_each(|t| t.join());
    }

    /// The device's thread ends: nothing is under way any more.
    pub fn end(&self) {
        self.driver.stop.store(true, Ordering::SeqCst);
        self.driver.bell.wake_all();
        self.device.join();
    }
}

impl AddressSpaceOperations for File {
    fn block_bits(&self) -> u32 {
        12
    }

    fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn map(&self, first: FileBlock, _count: u64, _how: MapMode) -> Result<Extent> {
        let len = PAGES.checked_sub(first.0).filter(|&n| n > 0).ok_or(Errno::EFBIG)?;
        Ok(Extent { kind: ExtentKind::Mapped { block: FsBlock(first.0) }, len, new: false })
    }

    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        Ok(block_write_end(mapping, &page, pos, len, copied))
    }
}

/// A program's page table with page 0 of the file in it.
#[derive(Default)]
pub struct Table {
    entry: SpinLock<Option<(Frame, bool)>>,
}

impl Table {
    pub fn map(file: &File) -> Arc<Table> {
        let table = Arc::new(Table::default());
        let weak: Weak<Table> = Arc::downgrade(&table);
        file.mapping.map_range(weak, UserAddr(0), 0, 1, true);
        table
    }

    /// All bytes of the page become this one.
    pub fn store(&self, file: &File, byte: u8) {
        loop {
            // As the processor does it: the look at the entry and the store are one.
            if let Some((frame, true)) = &*self.entry.lock() {
                return frame.fill(0, PAGE_SIZE, byte);
            }
            let _steady = file.mapping.invalidate_lock_shared();
            let page = file.page_mkwrite(&file.mapping, PageIndex(0)).unwrap();
            *self.entry.lock() = Some((page.frame().clone(), true));
        }
    }

    /// The page's first byte.
    pub fn load(&self, file: &File) -> u8 {
        loop {
            if let Some((frame, _)) = &*self.entry.lock() {
                let mut byte = [0];
                frame.read(0, &mut byte);
                return byte[0];
            }
            let _steady = file.mapping.invalidate_lock_shared();
            let page =
                lock_mapped_page(&file.mapping, file, &file.ra, PageIndex(0), Pattern::Normal).unwrap().0;
            *self.entry.lock() = Some((page.frame().clone(), false));
        }
    }
}

impl MappedBy for Table {
    fn write_protect(&self, _addr: UserAddr, frame: &Frame) {
        if let Some((mine, write)) = &mut *self.entry.lock()
            && mine.same(frame)
        {
            *write = false;
        }
    }

    fn unmap_page(&self, _addr: UserAddr, frame: &Frame) {
        let gone = {
            let mut entry = self.entry.lock();
            if entry.as_ref().is_some_and(|(mine, _)| mine.same(frame)) { entry.take() } else { None }
        };
        drop(gone);
    }

    fn unmap_all(&self, _addr: UserAddr, _len: u64) {
        let gone = self.entry.lock().take();
        drop(gone);
    }
}

/// Runs `f` beside what the caller does next.
pub fn beside(file: &Arc<File>, f: impl FnOnce(&File) + Send + 'static) -> thread::Thread {
    let file = file.clone();
    thread::spawn("beside", move || f(&file)).unwrap()
}

/// Does it again and again beside what the caller does next, until [`File::over`]: what takes a few steps meets
/// any moment of what takes many.
pub fn again(file: &Arc<File>, f: impl Fn(&File) + Send + 'static) -> thread::Thread {
    beside(file, move |file| {
        while !file.over.load(Ordering::SeqCst) {
            f(file);
            thread::yield_now();
        }
    })
}

/// What reclaim does when all must go.
pub fn shrink() {
    drop_caches();
}

/// Reads page 0, whatever is there.
pub fn read_any(file: &File) {
    file.read(0);
}
