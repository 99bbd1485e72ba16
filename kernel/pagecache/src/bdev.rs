//! A disk as a file of blocks: where a file system's metadata is cached, and what `/dev/vda` reads
//! and writes.
//!
//! # How to use it
//! ```
//! # use base::{DevId, FsBlock};
//! # use block::{Disk, RamDisk};
//! # use pagecache::BlockDevice;
//! # let disk = Disk::new("ram8", DevId::new(1, 8), RamDisk::new(vec![0; 65536]), "noop").unwrap();
//! let device = BlockDevice::of(&disk);
//! device.set_block_size(10)?;
//! let block = device.bread(FsBlock(3))?;         // read in, or found
//! assert_eq!(block.read()[0], 0);
//! block.write()[0] = 7;                          // dirty when the guard goes
//! device.sync()?;                                // on the disk, though perhaps in its cache
//! device.flush()?;                               // on stable storage
//! # Ok::<(), base::Errno>(())
//! ```
//! # Locking
//! A block's bytes: `Buffer`'s guards. A block's state: the page lock, taken by `bread`, `getblk` and
//! `forget`; so two threads that want one block make one I/O. `set_block_size` is for mount time,
//! when nobody else uses the device.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::units::SECTOR_SHIFT;
use base::{Errno, FileBlock, FsBlock, PAGE_SHIFT, PageIndex, Result};
use block::{BioFlags, Disk};
use sync::Mutex;
use sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::buffer::Buffer;
use crate::filemap::{filemap_fdatawrite_range, filemap_write_and_wait_range};
use crate::head;
use crate::io::{BioBuilder, Then};
use crate::journal::{Door, MetadataJournal};
use crate::mapping::{AddressSpace, Why};
use crate::ops::{AddressSpaceOperations, Extent, ExtentKind, MapMode};
use crate::page::{LockedPage, Page};
use crate::read::read_pages;
use crate::readahead::Window;
use crate::write::block_write_end;

/// A disk as a cached file of blocks; see the module.
pub struct BlockDevice {
    disk: Arc<Disk>,
    mapping: Arc<AddressSpace>,
    bits: AtomicU32,
    mounted: AtomicBool,
    /// The journal of the file system that has the device; see `journal`.
    journal: Door,
}

/// A hold on a device: see [`BlockDevice::claim`].
pub struct Claim {
    device: Arc<BlockDevice>,
    /// By a file system.
    mounted: bool,
    /// Its hold on the disk: nobody else may claim a part of it or the whole.
    _disk: block::Claim,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.mounted {
            self.device.mounted.store(false, Ordering::Release);
        }
    }
}

/// Pages that hold disks' own blocks, of all disks (`nr_blockdev_pages`).
pub fn nr_blockdev_pages() -> usize {
    let devices = DEVICES.lock();
    devices.iter().filter_map(|(_, device)| device.upgrade()).map(|d| d.mapping.nrpages()).sum()
}

/// One per disk, as long as anybody uses it.
static DEVICES: Mutex<Vec<(usize, Weak<BlockDevice>)>> = Mutex::new(Vec::new());

impl BlockDevice {
    /// The one of this disk. Its blocks are 4 KiB at first, or smaller if the disk's size asks for it.
    pub fn of(disk: &Arc<Disk>) -> Arc<BlockDevice> {
        let mut devices = DEVICES.lock();
        devices.retain(|(_, device)| device.strong_count() > 0);
        let key = Arc::as_ptr(disk).addr();
        // A device that lives keeps its disk, so its address means this disk.
        let found = devices.iter().find(|(k, _)| *k == key).and_then(|(_, d)| d.upgrade());
        found.unwrap_or_else(|| {
            let device = Arc::new(BlockDevice::make(disk));
            devices.push((key, Arc::downgrade(&device)));
            device
        })
    }

    fn make(disk: &Arc<Disk>) -> BlockDevice {
        let least = disk.logical_block_size().trailing_zeros().min(PAGE_SHIFT);
        let bits = disk.capacity().0.trailing_zeros().saturating_add(9).clamp(least, PAGE_SHIFT);
        let mapping = AddressSpace::new_metadata();
        mapping.set_host(disk.dev(), 0);
        BlockDevice {
            disk: disk.clone(),
            mapping,
            bits: AtomicU32::new(bits),
            mounted: AtomicBool::new(false),
            journal: Door::new(),
        }
    }

    /// Takes the device for a file system, until the claim is dropped. EBUSY while another has it, or
    /// has a part of it or the whole of which it is a part.
    pub fn claim(self: &Arc<Self>) -> Result<Claim> {
        let disk = self.disk.claim()?;
        self.mounted.store(true, Ordering::Release);
        Ok(Claim { device: self.clone(), mounted: true, _disk: disk })
    }

    /// Takes the device for an open with O_EXCL, until the claim is dropped. EBUSY as [`claim`](Self::claim).
    pub fn claim_exclusive(self: &Arc<Self>) -> Result<Claim> {
        Ok(Claim { device: self.clone(), mounted: false, _disk: self.disk.claim()? })
    }

    /// Whether a file system has it. Then nobody else may write its pages: a page of small blocks is
    /// written page lock first and bytes second, and a file system may come the other way.
    pub fn is_mounted(&self) -> bool {
        self.mounted.load(Ordering::Acquire)
    }

    /// From now on changes of metadata are told to this journal before they are made; None: to nobody. For
    /// mount and unmount, when nobody else writes the device's blocks.
    pub fn set_journal(&self, journal: Option<Arc<dyn MetadataJournal>>) {
        self.journal.set(journal);
    }

    /// Where its journal is asked for.
    #[inline]
    pub(crate) fn journal(&self) -> &Door {
        &self.journal
    }

    /// Sets the block size, 9 to 12 as its log2. What is dirty is written before, and all that
    /// is cached is dropped. EINVAL for another size or one the disk cannot do; EIO.
    pub fn set_block_size(&self, bits: u32) -> Result<()> {
        if !(SECTOR_SHIFT..=PAGE_SHIFT).contains(&bits) || self.disk.logical_block_size() > 1 << bits {
            return Err(Errno::EINVAL);
        }
        if bits != self.block_bits() {
            self.sync()?;
            self.mapping.truncate_pagecache(0);
            self.bits.store(bits, Ordering::Release);
        }
        Ok(())
    }

    /// The block, read in. EIO when the disk fails (the next call tries again) or has no such block.
    pub fn bread(self: &Arc<Self>, block: FsBlock) -> Result<Buffer> {
        let (index, i) = self.locate(block)?;
        if let Some(page) = self.mapping.find_get_page(index)
            && page.heads().get(i).is_some_and(|h| h.has(head::UPTODATE))
        {
            page.mark_accessed();
            return Ok(Buffer::new(self, page, i));
        }
        let page = self.mapping.grab_page(index, self.block_bits(), Why::Read)?;
        self.read_block(&page, block, i)?;
        Ok(Buffer::new(self, page.unlock(), i))
    }

    #[cold]
    fn read_block(&self, page: &LockedPage, block: FsBlock, i: usize) -> Result<()> {
        let head = &page.heads()[i];
        if head.has(head::UPTODATE) {
            return Ok(());
        }
        if !head.map(block) {
            return Err(Errno::EIO);
        }
        let mut builder = BioBuilder::read(&self.disk, BioFlags::SYNC | BioFlags::META, Then::Wake);
        builder.add(page.page(), i, block, base::PAGE_SIZE)?;
        drop(builder);
        page.wait_reads();
        if head.has(head::UPTODATE) { Ok(()) } else { Err(Errno::EIO) }
    }

    /// The block without reading it: zeros if it was not cached. The caller fills it whole. EIO when
    /// the disk has no such block.
    pub fn getblk(self: &Arc<Self>, block: FsBlock) -> Result<Buffer> {
        let (index, i) = self.locate(block)?;
        let page = self.mapping.grab_page(index, self.block_bits(), Why::Write)?;
        let head = &page.heads()[i];
        if !head.has(head::UPTODATE) {
            if !head.map(block) {
                return Err(Errno::EIO);
            }
            page.write_bytes(i).fill(0);
            head.set(head::UPTODATE);
            page.note_uptodate();
        }
        // Its new user has not looked at it yet.
        head.clear(head::CHECKED);
        Ok(Buffer::new(self, page.unlock(), i))
    }

    /// The block if it is cached and its bytes are known.
    pub fn find_buffer(self: &Arc<Self>, block: FsBlock) -> Option<Buffer> {
        let (index, i) = self.locate(block).ok()?;
        let page = self.mapping.find_get_page(index)?;
        let known = page.heads().get(i).is_some_and(|h| h.has(head::UPTODATE));
        known.then(|| Buffer::new(self, page, i))
    }

    /// Writes what is dirty of these blocks, which ascend (their dirty neighbours in the same pages go with
    /// them), and waits for it. The error of a write that failed meanwhile: the block is dirty still.
    pub(crate) fn write_blocks(&self, blocks: &[FsBlock]) -> Result<()> {
        let (mark, bits) = (self.mapping.wb_err().peek(), self.block_bits());
        let mut started = Ok(());
        {
            let _plug = self.disk.plug();
            for run in blocks.chunk_by(|a, b| b.0 - a.0 <= 1) {
                let (first, last) = (run[0], run[run.len() - 1]);
                let range = first.0 << bits..(last.0 + 1) << bits;
                started = started.and(filemap_fdatawrite_range(&self.mapping, self, range));
            }
        }
        if let (Some(first), Some(last)) = (blocks.first(), blocks.last()) {
            self.mapping.wait_writeback(first.0 << bits..(last.0 + 1) << bits);
        }
        started.and(self.mapping.wb_err().since(mark))
    }

    /// Starts reading `n` blocks that nobody waits for yet.
    pub fn readahead(self: &Arc<Self>, block: FsBlock, n: u64) {
        let shift = PAGE_SHIFT - self.block_bits();
        let start = block.0 >> shift;
        let end = block.0.saturating_add(n).div_ceil(1 << shift);
        let window = Window { start, count: end.saturating_sub(start), mark: None };
        // Who needs the blocks will meet the error himself.
        let _ = read_pages(&self.mapping, &**self, window, BioFlags::RAHEAD | BioFlags::META);
    }

    /// Writes all dirty blocks and waits. The device may still have them in its cache: see
    /// [`BlockDevice::flush`].
    pub fn sync(&self) -> Result<()> {
        filemap_write_and_wait_range(&self.mapping, self, 0..u64::MAX)
    }

    /// Drops all that is cached, dirty or not: a file system that was given up is gone, and the disk is what
    /// counts.
    pub fn drop_cache(&self) {
        self.mapping.truncate_pagecache(0);
    }

    /// Makes what was written durable: the device's FLUSH.
    pub fn flush(&self) -> Result<()> {
        self.disk.flush()
    }

    /// The block was freed: what is cached of it will not be written, and a write under way is over
    /// on return, so that the block may be given to a file. Its next owner as metadata takes it with
    /// [`BlockDevice::getblk`] and fills it whole.
    pub fn forget(&self, block: FsBlock) {
        let Ok((index, i)) = self.locate(block) else { return };
        if let Some(page) = self.mapping.find_lock_page(index) {
            page.wait_writeback();
            // The page may stay dirty without a dirty block; the next sweep finds that out.
            page.heads()[i].clear(head::DIRTY | head::CHECKED);
        }
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// log2 of the block size.
    #[inline]
    pub fn block_bits(&self) -> u32 {
        self.bits.load(Ordering::Relaxed)
    }

    /// The device's size in bytes, in whole blocks.
    pub fn size(&self) -> u64 {
        let bits = self.block_bits();
        self.disk.capacity().0 >> (bits - 9) << bits
    }

    /// Its pages, for `/dev/vda`.
    pub fn mapping(&self) -> &Arc<AddressSpace> {
        &self.mapping
    }

    /// Its operations, for `/dev/vda`.
    pub fn ops(&self) -> &dyn AddressSpaceOperations {
        self
    }

    /// Block `i` of the page was changed through its guard, which is still held. No page lock.
    pub(crate) fn block_changed(&self, page: &Page, i: usize) {
        page.heads()[i].set(head::DIRTY);
        // Pairs with the one in `start_writeback`: either the sweep that takes the page sees this
        // head, or the page is seen clean here and becomes dirty again.
        core::sync::atomic::fence(Ordering::SeqCst);
        self.mapping.set_page_dirty(page);
    }

    /// Page and number within it.
    fn locate(&self, block: FsBlock) -> Result<(PageIndex, usize)> {
        let bits = self.block_bits();
        if block.0 >= self.disk.capacity().0 >> (bits - 9) {
            log::error!("{}: block {block} is behind the end of the disk", self.disk.name());
            return Err(Errno::EIO);
        }
        let shift = PAGE_SHIFT - bits;
        // The second is below 4.
        Ok((PageIndex(block.0 >> shift), (block.0 & ((1 << shift) - 1)) as usize))
    }
}

impl AddressSpaceOperations for BlockDevice {
    fn block_bits(&self) -> u32 {
        BlockDevice::block_bits(self)
    }

    fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    fn size(&self) -> u64 {
        BlockDevice::size(self)
    }

    fn map(&self, first: FileBlock, _count: u64, _how: MapMode) -> Result<Extent> {
        let blocks = self.size() >> self.block_bits();
        let len = blocks.checked_sub(first.0).filter(|&n| n > 0).ok_or(Errno::EIO)?;
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
