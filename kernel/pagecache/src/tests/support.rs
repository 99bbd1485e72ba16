//! A disk that does as it is told, and a file system that is a block map and nothing else.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;
use std::{thread, vec};

use base::{DevId, Errno, FileBlock, FsBlock, IovIter, Result, Sector};
use block::{BioOp, Disk, Driver, InFlight, Limits, Request};

use crate::*;

/// What no test ever writes: what a fresh block of the disk holds.
pub const GARBAGE: u8 = 0xee;

/// Memory as a disk, with bad sectors, counters, and completion at once or by another thread.
pub struct TestDisk {
    pub bytes: Mutex<Vec<u8>>,
    waiting: Mutex<Vec<InFlight>>,
    pub bad_reads: Mutex<BTreeSet<u64>>,
    pub bad_writes: Mutex<BTreeSet<u64>>,
    pub reads: AtomicUsize,
    pub writes: AtomicUsize,
    late: AtomicBool,
}

impl TestDisk {
    pub fn new(len: usize, late: bool) -> (Arc<TestDisk>, Arc<Disk>) {
        let driver = Arc::new(TestDisk {
            bytes: Mutex::new(vec![GARBAGE; len]),
            waiting: Mutex::default(),
            bad_reads: Mutex::default(),
            bad_writes: Mutex::default(),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            late: AtomicBool::new(late),
        });
        let disk = Disk::new("test", DevId::new(1, 0), driver.clone(), "noop").unwrap();
        (driver, disk)
    }

    fn work(&self, request: &Request) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        let (count, bad) = match request.op() {
            BioOp::Read => (&self.reads, &self.bad_reads),
            _ => (&self.writes, &self.bad_writes),
        };
        count.fetch_add(1, Ordering::Relaxed);
        if bad.lock().unwrap().range(request.sector().0..request.end().0).next().is_some() {
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
}

impl Driver for TestDisk {
    fn limits(&self) -> Limits {
        Limits { queue_depth: 1024, ..Limits::default() }
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
        let complete = move || done.into_iter().rev().for_each(|(result, r)| r.complete(result));
        if self.late.load(Ordering::Relaxed) {
            thread::spawn(complete);
        } else {
            complete();
        }
    }
}

/// One file: its blocks are where `map` says, allocated from a free list that hands out what was
/// freed last, so that a stale write or a missing zero shows.
pub struct TestFs {
    pub driver: Arc<TestDisk>,
    pub disk: Arc<Disk>,
    pub mapping: Arc<AddressSpace>,
    pub ra: FileRa,
    pub size: AtomicU64,
    pub blocks: Mutex<BTreeMap<u64, u64>>,
    pub free: Mutex<Vec<u64>>,
    pub inode: Mutex<()>,
    pub maps: AtomicUsize,
    bits: u32,
}

pub const DISK_SIZE: usize = 8 << 20;

impl TestFs {
    pub fn new(bits: u32, late: bool) -> TestFs {
        let (driver, disk) = TestDisk::new(DISK_SIZE, late);
        TestFs {
            driver,
            disk,
            mapping: AddressSpace::new(),
            ra: FileRa::new(),
            size: AtomicU64::new(0),
            blocks: Mutex::default(),
            free: Mutex::new((1..(DISK_SIZE >> bits) as u64).rev().collect()),
            inode: Mutex::default(),
            maps: AtomicUsize::new(0),
            bits,
        }
    }

    /// A file whose blocks hold `content`, nothing of it cached.
    pub fn with_content(bits: u32, late: bool, content: &[u8]) -> TestFs {
        let fs = TestFs::new(bits, late);
        assert_eq!(fs.write(0, content), Ok(content.len()));
        assert_eq!(fs.fsync(), Ok(()));
        fs.empty_cache();
        fs.driver.reads.store(0, Ordering::Relaxed);
        fs.maps.store(0, Ordering::Relaxed);
        fs
    }

    pub fn write(&self, pos: u64, bytes: &[u8]) -> Result<usize> {
        self.write_iter(pos, &mut IovIter::from_kernel(bytes))
    }

    pub fn write_iter(&self, pos: u64, iter: &mut IovIter<'_>) -> Result<usize> {
        let _inode = self.inode.lock().unwrap();
        let old = self.size();
        if pos > old {
            drop(self.mapping.before_growth(old));
        }
        let done = generic_perform_write(&self.mapping, self, pos, iter);
        self.mapping.after_growth(old);
        done
    }

    pub fn read(&self, pos: u64, len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0; len];
        let n = generic_file_read(&self.mapping, self, &self.ra, pos, &mut IovIter::to_kernel(&mut out))?;
        out.truncate(n);
        Ok(out)
    }

    pub fn fsync(&self) -> Result<()> {
        filemap_write_and_wait_range(&self.mapping, self, 0..u64::MAX)
    }

    /// As a file system does it: tail zeroed, size down, pages away, blocks freed.
    pub fn truncate(&self, size: u64) -> Result<()> {
        let _inode = self.inode.lock().unwrap();
        let old = self.size();
        if size < old {
            block_truncate_page(&self.mapping, self, size)?;
        }
        let _no_faults = self.mapping.invalidate_lock();
        let last = if size > old { self.mapping.before_growth(old) } else { None };
        self.size.store(size, Ordering::Release);
        drop(last);
        self.mapping.after_growth(old);
        self.mapping.truncate_pagecache(size);
        let gone = self.blocks.lock().unwrap().split_off(&size.div_ceil(1 << self.bits));
        let mut bytes = self.driver.bytes.lock().unwrap();
        for block in gone.into_values() {
            let start = (block << self.bits) as usize;
            bytes[start..start + (1 << self.bits)].fill(GARBAGE);
            self.free.lock().unwrap().push(block);
        }
        Ok(())
    }

    /// Drops what can be dropped.
    pub fn drop_cache(&self) {
        self.mapping.drop_unused();
    }

    /// Drops everything; all of it is clean. The thread that has just completed an I/O may still have
    /// handles, and is waited for.
    pub fn empty_cache(&self) {
        for _ in 0..100_000 {
            self.drop_cache();
            if self.mapping.nrpages() == 0 {
                return;
            }
            thread::sleep(std::time::Duration::from_micros(50));
        }
        panic!("a clean page cannot be dropped");
    }

    /// The file as the disk has it, holes as zeros.
    pub fn on_disk(&self) -> Vec<u8> {
        let bytes = self.driver.bytes.lock().unwrap();
        let mut out = vec![0; (self.size().div_ceil(1 << self.bits) << self.bits) as usize];
        for (&file, &block) in self.blocks.lock().unwrap().iter() {
            let (to, from, len) =
                ((file << self.bits) as usize, (block << self.bits) as usize, 1 << self.bits);
            if to < out.len() {
                out[to..to + len].copy_from_slice(&bytes[from..from + len]);
            }
        }
        out
    }
}

impl AddressSpaceOperations for TestFs {
    fn block_bits(&self) -> u32 {
        self.bits
    }

    fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn map(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        self.maps.fetch_add(1, Ordering::Relaxed);
        let mut blocks = self.blocks.lock().unwrap();
        if let Some(&start) = blocks.get(&first.0) {
            let len = (0..count).take_while(|n| blocks.get(&(first.0 + n)) == Some(&(start + n))).count();
            let kind = ExtentKind::Mapped { block: FsBlock(start) };
            return Ok(Extent { kind, len: len as u64, new: false });
        }
        let end = blocks.range(first.0..).next().map_or(first.0 + count, |(&next, _)| next);
        if how == MapMode::Read {
            return Ok(Extent { kind: ExtentKind::Hole, len: end - first.0, new: false });
        }
        let mut free = self.free.lock().unwrap();
        let start = free.pop().ok_or(Errno::ENOSPC)?;
        let mut len = 1;
        while len < count.min(end - first.0) && free.last() == Some(&(start + len)) {
            free.pop();
            len += 1;
        }
        blocks.extend((0..len).map(|n| (first.0 + n, start + n)));
        Ok(Extent { kind: ExtentKind::Mapped { block: FsBlock(start) }, len, new: true })
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
        self.size.fetch_max(if done > 0 { pos + done as u64 } else { 0 }, Ordering::AcqRel);
        Ok(done)
    }
}

/// Bytes that tell where they belong.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(7).wrapping_add((i >> 8) as u8) ^ seed).collect()
}
