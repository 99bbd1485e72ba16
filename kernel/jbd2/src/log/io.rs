//! Reading and writing blocks of the log.
//!
//! A block in memory is a [`LogSlot`]: a piece of a page (with blocks of 1 KiB, four fit in one). What lies
//! together on the device, and in the order given, goes as one bio.
//!
//! ```text
//! log.submit(BioOp::Write, &slots, BioFlags::SYNC | BioFlags::META, &done)?;   // begins
//! done.wait()?;                                                               // is on the device
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Frame, FsBlock, PAGE_SIZE, Result, frame};
use block::{Bio, BioFlags, BioOp, Completion, Disk};

use crate::log::map::LogMap;
use crate::memory;
use crate::superblock::Ring;
use crate::units::LogBlock;

/// Pages in one bio at most.
const BIO_PAGES: usize = 256;
/// Bytes that a reader reads ahead.
const WINDOW: u32 = 256 << 10;

/// A block of the log and the memory for it.
#[derive(Clone)]
pub struct LogSlot {
    /// Which block.
    pub block: LogBlock,
    /// Its page, and where it begins there; all of it lies in the page.
    pub frame: Frame,
    pub offset: u32,
}

/// A log and the disk it lies on.
pub struct Log {
    disk: Arc<Disk>,
    map: LogMap,
    block_bits: u32,
}

impl Log {
    /// Of this map's blocks on the disk, `1 << block_bits` bytes each: at least a sector of the disk, at
    /// most a page. EINVAL otherwise.
    pub fn new(disk: &Arc<Disk>, map: LogMap, block_bits: u32) -> Result<Log> {
        let least = disk.logical_block_size();
        if block_bits > base::PAGE_SHIFT || 1 << block_bits < least || block_bits < base::units::SECTOR_SHIFT
        {
            return Err(Errno::EINVAL);
        }
        Ok(Log { disk: disk.clone(), map, block_bits })
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Where the blocks lie.
    pub fn map(&self) -> &LogMap {
        &self.map
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u32 {
        1 << self.block_bits
    }

    /// Begins to read or write blocks; neighbours on the disk that are neighbours in `slots` go together.
    /// EIO, and perhaps only a part begun, when one is not in the log.
    pub fn submit(&self, op: BioOp, slots: &[LogSlot], flags: BioFlags, done: &Completion) -> Result<()> {
        let mut rest = slots;
        while let Some(first) = rest.first() {
            let (disk, together) = self.map.find(first.block).ok_or(Errno::EIO)?;
            let run = run_length(rest, together);
            let (now, later) = rest.split_at(run);
            self.disk.submit_bio(done.track(self.bio(op, disk, now, flags)?));
            rest = later;
        }
        Ok(())
    }

    fn bio(&self, op: BioOp, disk: FsBlock, slots: &[LogSlot], flags: BioFlags) -> Result<Bio> {
        let mut bio = Bio::new(op, disk.sector(self.block_bits).ok_or(Errno::EIO)?);
        bio.flags = flags;
        for slot in slots {
            bio.add(&slot.frame, slot.offset, self.block_size());
        }
        Ok(bio)
    }

    /// Reads or writes the journal's superblock, `slot.block` being of no account, and waits.
    pub fn transfer_superblock(&self, op: BioOp, slot: &LogSlot, flags: BioFlags) -> Result<()> {
        let bio = self.bio(op, self.map.superblock(), core::slice::from_ref(slot), flags)?;
        self.disk.submit_and_wait(bio)
    }

    /// The superblock's block, read from the disk.
    pub fn read_superblock(&self) -> Result<Vec<u8>> {
        let slot = LogSlot { block: LogBlock(0), frame: frame::alloc_zeroed()?, offset: 0 };
        self.transfer_superblock(BioOp::Read, &slot, BioFlags::SYNC | BioFlags::META)?;
        let mut block = alloc::vec![0; self.block_size() as usize];
        slot.frame.read(0, &mut block);
        Ok(block)
    }

    /// Writes the superblock's block and waits. `flags`: FUA, PREFLUSH, as the caller needs them.
    pub fn write_superblock(&self, block: &[u8], flags: BioFlags) -> Result<()> {
        let slot = LogSlot { block: LogBlock(0), frame: memory::page()?, offset: 0 };
        slot.frame.write(0, block.get(..self.block_size() as usize).ok_or(Errno::EINVAL)?);
        self.transfer_superblock(BioOp::Write, &slot, flags | BioFlags::SYNC | BioFlags::META)
    }

    /// Memory for `n` blocks of the ring from `first` on.
    pub fn slots(&self, ring: &Ring, first: LogBlock, n: u32) -> Result<Vec<LogSlot>> {
        let per_page = PAGE_SIZE as u32 >> self.block_bits;
        let mut slots: Vec<LogSlot> = Vec::new();
        slots.try_reserve_exact(n as usize).map_err(|_| Errno::ENOMEM)?;
        for i in 0..n {
            let offset = (i % per_page) << self.block_bits;
            let frame = match slots.last() {
                Some(last) if offset != 0 => last.frame.clone(),
                _ => memory::page()?,
            };
            slots.push(LogSlot { block: ring.advance(first, i), frame, offset });
        }
        Ok(slots)
    }
}

/// How many slots from the first on are the log's next blocks, at most `together`, and fit in a bio.
fn run_length(slots: &[LogSlot], together: u32) -> usize {
    let next = |pair: &[LogSlot]| pair[0].block.0.checked_add(1) == Some(pair[1].block.0);
    let run = 1 + slots.windows(2).take_while(|pair| next(pair)).count();
    run.min(together as usize).min(BIO_PAGES)
}

/// Reads a log's blocks one after the other, and many at a time from the disk.
pub struct LogReader<'a> {
    log: &'a Log,
    ring: Ring,
    /// What was read, without gaps in the ring.
    window: Vec<LogSlot>,
    block: Vec<u8>,
}

impl<'a> LogReader<'a> {
    /// Of a ring that lies within the log.
    pub fn new(log: &'a Log, ring: Ring) -> LogReader<'a> {
        let block = alloc::vec![0; log.block_size() as usize];
        LogReader { log, ring, window: Vec::new(), block }
    }

    /// A block of the ring. EIO when the disk fails, or the block is not in the ring.
    pub fn read(&mut self, at: LogBlock) -> Result<&[u8]> {
        self.copy(at)?;
        Ok(&self.block)
    }

    /// The same, for who wants to change the copy.
    pub fn read_mut(&mut self, at: LogBlock) -> Result<&mut [u8]> {
        self.copy(at)?;
        Ok(&mut self.block)
    }

    fn copy(&mut self, at: LogBlock) -> Result<()> {
        if !self.ring.contains(at) {
            return Err(Errno::EIO);
        }
        let within = |window: &[LogSlot]| -> Option<LogSlot> {
            let first = window.first()?.block;
            window.get(self.ring.distance(first, at) as usize).cloned()
        };
        let slot = match within(&self.window) {
            Some(slot) => slot,
            None => self.fill(at)?,
        };
        slot.frame.read(slot.offset as usize, &mut self.block);
        Ok(())
    }

    /// Reads a window that begins at this block. When that fails, the block alone: another one of the
    /// window, which perhaps nobody wants, may be the bad one.
    fn fill(&mut self, at: LogBlock) -> Result<LogSlot> {
        let many = (WINDOW / self.log.block_size()).min(self.ring.blocks());
        let window = match self.fetch(at, many) {
            Ok(window) => window,
            Err(_) => self.fetch(at, 1)?,
        };
        self.window = window;
        self.window.first().cloned().ok_or(Errno::EIO)
    }

    fn fetch(&mut self, at: LogBlock, blocks: u32) -> Result<Vec<LogSlot>> {
        self.window.clear();
        let slots = self.log.slots(&self.ring, at, blocks)?;
        let done = Completion::new();
        let plug = self.log.disk.plug();
        let begun = self.log.submit(BioOp::Read, &slots, BioFlags::SYNC | BioFlags::META, &done);
        drop(plug);
        done.wait().and(begun)?;
        Ok(slots)
    }
}
