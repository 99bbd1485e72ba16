//! Files for the flusher: block n of file f lies at `f * 4096 + n`, attributes are a counter.
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use base::{DevId, Errno, FileBlock, FsBlock, Ino, IovIter, Result, Sector};
use block::{BioOp, Disk, Driver, InFlight, Limits};
use pagecache::{
    AddressSpace, AddressSpaceOperations, BlockDevice, Extent, ExtentKind, FileRa, LockedPage, MapMode,
    block_write_end, generic_file_read, generic_perform_write, mpage_writepages,
};
use writeback::{Bdi, DirtyFlags, DirtyInode, DirtyState, WritebackControl, balance_dirty_pages_ratelimited};

/// Most blocks of one file.
pub const FILE_BLOCKS: u64 = 4096;

/// Memory as a disk that fails on demand and completes on another thread.
pub struct TestDisk {
    pub bytes: Mutex<Vec<u8>>,
    waiting: Mutex<Vec<InFlight>>,
    pub failing: AtomicBool,
}

impl Driver for TestDisk {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn capacity(&self) -> Sector {
        Sector(self.bytes.lock().unwrap().len() as u64 / 512)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.waiting.lock().unwrap().push(request);
        Ok(())
    }

    fn commit(&self) {
        let batch = std::mem::take(&mut *self.waiting.lock().unwrap());
        let done: Vec<_> = batch.into_iter().map(|r| (self.work(&r), r)).collect();
        if !done.is_empty() {
            std::thread::spawn(move || done.into_iter().for_each(|(result, r)| r.complete(result)));
        }
    }
}

impl TestDisk {
    fn work(&self, request: &block::Request) -> Result<()> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(Errno::EIO);
        }
        let mut bytes = self.bytes.lock().unwrap();
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
}

pub fn disk(files: u64) -> (Arc<TestDisk>, Arc<BlockDevice>) {
    let driver = Arc::new(TestDisk {
        bytes: Mutex::new(vec![0; (files * FILE_BLOCKS * 4096) as usize]),
        waiting: Mutex::default(),
        failing: AtomicBool::new(false),
    });
    let disk = Disk::new("test", DevId::new(1, 0), driver.clone(), "noop").unwrap();
    (driver, BlockDevice::of(&disk))
}

pub struct File {
    me: Weak<File>,
    number: u64,
    bdi: Arc<Bdi>,
    mapping: Arc<AddressSpace>,
    ra: FileRa,
    state: DirtyState,
    size: AtomicU64,
    inode_lock: Mutex<()>,
    /// How often the attributes were written.
    pub inode_writes: AtomicUsize,
}

impl File {
    pub fn new(bdi: &Arc<Bdi>, number: u64) -> Arc<File> {
        Arc::new_cyclic(|me| File {
            me: me.clone(),
            number,
            bdi: bdi.clone(),
            mapping: AddressSpace::new(),
            ra: FileRa::new(),
            state: DirtyState::new(),
            size: AtomicU64::new(0),
            inode_lock: Mutex::default(),
            inode_writes: AtomicUsize::new(0),
        })
    }

    pub fn mark(&self, what: DirtyFlags) {
        self.bdi.mark_inode_dirty(&self.state, what, || Some(self.me.upgrade()?));
    }

    pub fn write(&self, pos: u64, bytes: &[u8]) -> Result<usize> {
        let _lock = self.inode_lock.lock().unwrap();
        generic_perform_write(&self.mapping, self, pos, &mut IovIter::from_kernel(bytes))
    }

    pub fn read(&self, pos: u64, len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0; len];
        let n = generic_file_read(&self.mapping, self, &self.ra, pos, &mut IovIter::to_kernel(&mut out))?;
        out.truncate(n);
        Ok(out)
    }

    pub fn fsync(&self, datasync: bool) -> Result<()> {
        self.bdi.write_inode_now(self, 0..u64::MAX, datasync)
    }

    /// Byte `pos` of the file as the disk has it.
    pub fn on_disk(&self, driver: &TestDisk, pos: u64) -> u8 {
        driver.bytes.lock().unwrap()[(self.number * FILE_BLOCKS * 4096 + pos) as usize]
    }
}

impl AddressSpaceOperations for File {
    fn block_bits(&self) -> u32 {
        12
    }

    fn disk(&self) -> &Arc<Disk> {
        self.bdi.device().disk()
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn map(&self, first: FileBlock, _count: u64, how: MapMode) -> Result<Extent> {
        if matches!(how, MapMode::Write { .. }) {
            self.bdi.check_alive()?;
        }
        let len = FILE_BLOCKS.checked_sub(first.0).filter(|&n| n > 0).ok_or(Errno::EFBIG)?;
        let block = FsBlock(self.number * FILE_BLOCKS + first.0);
        Ok(Extent { kind: ExtentKind::Mapped { block }, len, new: false })
    }

    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        let done = block_write_end(mapping, &page, pos, len, copied);
        let end = pos + done as u64;
        let grown = self.size.fetch_max(end, Ordering::AcqRel) < end;
        drop(page);
        let attributes = if grown { DirtyFlags::DATASYNC } else { DirtyFlags::INODE };
        self.mark(DirtyFlags::PAGES | attributes);
        Ok(done)
    }

    fn balance_dirty(&self, pages: usize) {
        balance_dirty_pages_ratelimited(&self.bdi, pages);
    }
}

impl DirtyInode for File {
    fn ino(&self) -> Ino {
        Ino(self.number)
    }

    fn dirty_state(&self) -> &DirtyState {
        &self.state
    }

    fn mapping(&self) -> &Arc<AddressSpace> {
        &self.mapping
    }

    fn writepages(&self, control: &mut WritebackControl) -> Result<()> {
        mpage_writepages(&self.mapping, self, control)
    }

    fn write_inode(&self, _sync: bool) -> Result<()> {
        self.inode_writes.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
