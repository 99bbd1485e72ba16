//! What this crate's tests share: a disk with a cache that forgets, a small journal on it, chance from a seed.

use core::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{DevId, Errno, FsBlock, Result, Sector};
use block::ioprio::IoPrio;
use block::{BioFlags, BioOp, Disk, Driver, InFlight, Limits};
use pagecache::BlockDevice;

use crate::checksum::test_crc32c;
use crate::disk::{BlockType, Header};
use crate::log::LogMap;
use crate::{Journal, Options, Setup, Tid};

/// Chance, the same for the same seed (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a disk was asked to do.
#[derive(Clone, Debug)]
pub enum Event {
    Write { sector: u64, bytes: Vec<u8>, fua: bool },
    Flush,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    base: Vec<u8>,
    events: Vec<Event>,
    /// These requests fail: writes and flushes counted from 0.
    fail: Option<Range<usize>>,
    changes: usize,
    /// The priorities of writes.
    priorities: Vec<IoPrio>,
}

/// A disk with a volatile cache, which knows what it was asked to do, in which order.
pub struct CacheDisk {
    content: Mutex<Content>,
    fua: bool,
    /// How long a flush, or a write with FUA, takes.
    pub flush_ns: AtomicU64,
}

impl CacheDisk {
    pub fn new(bytes: Vec<u8>, fua: bool) -> Arc<CacheDisk> {
        let content = Content { base: bytes.clone(), bytes, ..Content::default() };
        Arc::new(CacheDisk { content: Mutex::new(content), fua, flush_ns: AtomicU64::new(0) })
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was asked since the beginning, or since [`CacheDisk::forget_events`].
    pub fn events(&self) -> Vec<Event> {
        self.content().events.clone()
    }

    /// How many events there were.
    pub fn now(&self) -> usize {
        self.content().events.len()
    }

    /// With which priorities it was asked to write since this was asked last.
    pub fn take_priorities(&self) -> Vec<IoPrio> {
        core::mem::take(&mut self.content().priorities)
    }

    /// Begins to count anew.
    pub fn forget_events(&self) {
        let mut content = self.content();
        content.base = content.bytes.clone();
        content.events.clear();
    }

    /// What it shows now.
    pub fn bytes(&self) -> Vec<u8> {
        self.content().bytes.clone()
    }

    /// The requests of these numbers fail, of those that change something from now on.
    pub fn fail(&self, which: Range<usize>) {
        let mut content = self.content();
        (content.fail, content.changes) = (Some(which), 0);
    }

    /// What is left when the power goes after so many events: what was flushed, and of the rest each
    /// sector or not.
    pub fn cut(&self, after: usize, chance: &mut Chance) -> Vec<u8> {
        let content = self.content();
        let mut bytes = content.base.clone();
        let events = &content.events[..after];
        let flushed = events.iter().rposition(|e| matches!(e, Event::Flush)).map_or(0, |at| at + 1);
        // Sometimes all of it, sometimes nothing.
        let (mode, keep) = (chance.below(4), chance.below(3));
        for (i, event) in events.iter().enumerate() {
            let Event::Write { sector, bytes: data, fua } = event else { continue };
            let whole = i < flushed || *fua || mode == 0;
            let kept = chance.below(3) > keep;
            for (n, piece) in data.chunks(SECTOR_SIZE).enumerate() {
                let torn = mode == 1 && chance.one_in(2);
                if whole || (mode != 2 && kept && !torn) {
                    let at = (*sector as usize + n) * SECTOR_SIZE;
                    bytes[at..at + piece.len()].copy_from_slice(piece);
                }
            }
        }
        bytes
    }
}

impl Driver for CacheDisk {
    fn limits(&self) -> Limits {
        Limits { write_cache: true, fua: self.fua, ..Limits::default() }
    }

    fn capacity(&self) -> Sector {
        Sector((self.content().bytes.len() / SECTOR_SIZE) as u64)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        let slow = request.op() == BioOp::Flush || request.flags().contains(BioFlags::FUA);
        let ns = self.flush_ns.load(Ordering::Relaxed);
        if slow && ns > 0 {
            std::thread::sleep(std::time::Duration::from_nanos(ns));
        }
        let done = self.content().work(&request);
        request.complete(done);
        Ok(())
    }

    fn commit(&self) {}
}

impl Content {
    fn work(&mut self, request: &InFlight) -> Result<()> {
        let mut at = request.sector().0 as usize * SECTOR_SIZE;
        if request.op() != BioOp::Read {
            self.changes += 1;
            if self.fail.as_ref().is_some_and(|which| which.contains(&(self.changes - 1))) {
                return Err(Errno::EIO);
            }
        }
        match request.op() {
            BioOp::Read => {
                for vec in request.vecs() {
                    let end = at + vec.len as usize;
                    vec.frame.write(vec.offset as usize, &self.bytes[at..end]);
                    at = end;
                }
            }
            BioOp::Write => {
                let mut data = Vec::new();
                for vec in request.vecs() {
                    let mut part = std::vec![0; vec.len as usize];
                    vec.frame.read(vec.offset as usize, &mut part);
                    data.extend(part);
                }
                self.bytes[at..at + data.len()].copy_from_slice(&data);
                self.priorities.push(request.origin().prio);
                let fua = request.flags().contains(BioFlags::FUA);
                self.events.push(Event::Write { sector: request.sector().0, bytes: data, fua });
            }
            BioOp::Flush => self.events.push(Event::Flush),
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }
}

/// Blocks of the file system before the log, and behind its first half.
pub const FS_BLOCKS: u64 = 48;

/// A small file system's disk: blocks, half of the log, some more blocks, the other half.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub block_bits: u32,
    /// Blocks of the journal, its superblock counted.
    pub log_blocks: u32,
}

impl Shape {
    /// A disk with an empty journal that begins with this number.
    pub fn image(self, first: Tid) -> Vec<u8> {
        let size = 1usize << self.block_bits;
        let blocks = 2 * FS_BLOCKS as usize + self.log_blocks as usize;
        let mut bytes = std::vec![0; blocks << self.block_bits];
        let at = (FS_BLOCKS as usize) << self.block_bits;
        let block = &mut bytes[at..at + size];
        Header { kind: BlockType::SuperblockV2, tid: Tid(0) }.write(block);
        for (at, n) in [(0x0c, size as u32), (0x10, self.log_blocks), (0x14, 1), (0x18, first.0), (0x40, 1)] {
            block[at..at + 4].copy_from_slice(&n.to_be_bytes());
        }
        bytes
    }

    pub fn map(self) -> LogMap {
        let half = self.log_blocks / 2;
        let second = FS_BLOCKS + u64::from(half) + FS_BLOCKS;
        let runs = [(FsBlock(FS_BLOCKS), half), (FsBlock(second), self.log_blocks - half)];
        LogMap::from_runs(runs).unwrap()
    }

    /// Which block of the disk the file system's nth is.
    pub fn place(self, n: u64) -> FsBlock {
        let half = u64::from(self.log_blocks / 2);
        FsBlock(if n < FS_BLOCKS { n } else { n + half })
    }
}

/// A journal on a disk.
pub struct Bench {
    pub ram: Arc<CacheDisk>,
    pub device: Arc<BlockDevice>,
    pub journal: Arc<Journal>,
    pub aborts: Arc<Mutex<Vec<Errno>>>,
    pub shape: Shape,
}

/// Options of a test that commits when it wants to.
pub fn quiet() -> Options {
    Options { thread: false, ..Options::default() }
}

impl Bench {
    /// On this image: recovered if need be, and begun.
    pub fn mount(shape: Shape, image: Vec<u8>, options: Options) -> Bench {
        let bench = Bench::load(shape, CacheDisk::new(image, true), options);
        let report = bench.journal.recover().unwrap();
        bench.journal.finish_recovery(&report).unwrap();
        bench.device.drop_cache();
        bench.journal.begin().unwrap();
        bench
    }

    /// Loaded, and nothing done with it.
    pub fn load(shape: Shape, ram: Arc<CacheDisk>, options: Options) -> Bench {
        Bench::with_map(shape, ram, shape.map(), options)
    }

    /// The same with the log elsewhere.
    pub fn with_map(shape: Shape, ram: Arc<CacheDisk>, map: LogMap, options: Options) -> Bench {
        let disk = Disk::new("ram0", DevId::new(1, 0), ram.clone(), "noop").unwrap();
        let device = BlockDevice::of(&disk);
        device.set_block_size(shape.block_bits).unwrap();
        let aborts = Arc::new(Mutex::new(Vec::new()));
        let told = aborts.clone();
        let setup = Setup {
            device: device.clone(),
            fs_device: device.clone(),
            map,
            inode: Some(base::Ino(8)),
            block_bits: shape.block_bits,
            uuid: [7; 16],
            crc32c: test_crc32c,
            options,
            on_abort: std::boxed::Box::new(move |error| told.lock().unwrap().push(error)),
        };
        let journal = Journal::load(setup).unwrap();
        Bench { ram, device, journal, aborts, shape }
    }

    /// An empty one.
    pub fn new(shape: Shape, options: Options) -> Bench {
        Bench::mount(shape, shape.image(Tid(1)), options)
    }

    /// Fills block `n` of the file system with this number, under the thread's handle.
    pub fn put(&self, n: u64, value: u64) {
        let buffer = self.device.getblk(self.shape.place(n)).unwrap();
        fill(&mut buffer.write(), value);
    }

    /// The number that block `n` was filled with.
    pub fn get(&self, n: u64) -> u64 {
        value(&self.device.bread(self.shape.place(n)).unwrap().read())
    }
}

/// Fills a block with a number. Every eighth looks like a block of the journal at its beginning.
pub fn fill(block: &mut [u8], value: u64) {
    for word in block.chunks_mut(8) {
        word.copy_from_slice(&value.to_le_bytes());
    }
    if value % 8 == 5 {
        block[..4].copy_from_slice(&crate::disk::MAGIC.to_be_bytes());
    }
}

/// The number that a block was filled with. Panics when the block is of two minds.
pub fn value(block: &[u8]) -> u64 {
    let mut expected = std::vec![0; block.len()];
    let value = u64::from_le_bytes(block[8..16].try_into().unwrap());
    fill(&mut expected, value);
    if value != 0 {
        assert!(block == expected, "a block is half one thing, half another");
    }
    value
}

/// The numbers of all blocks of the file system on an image.
pub fn values(shape: Shape, image: &[u8]) -> Vec<u64> {
    let block = |n| {
        let at = (shape.place(n).0 as usize) << shape.block_bits;
        value(&image[at..at + (1 << shape.block_bits)])
    };
    (0..2 * FS_BLOCKS).map(block).collect()
}
