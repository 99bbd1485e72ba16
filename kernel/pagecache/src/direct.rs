//! Reads and writes around the cache (O_DIRECT): bios straight from and to the program's pages.
//!
//! ```text
//!   generic_file_direct_read     write back what is cached and dirty of the range ─ transfer
//!   generic_file_direct_write    write back ─ drop the cached pages ─ transfer ─ drop what was read
//!                                meanwhile, read again what is mapped
//!   transfer                     map an extent ─ pin the program's pages ─ bio ─ … ─ wait for all
//! ```
//! A device's file uses these two, or, where nobody waits, [`begin_direct_read`], [`begin_direct_write`] and, for
//! what is left to do then, [`end_direct_write`]. A file system has more to say (locks, blocks that are yet to be found,
//! a size that follows the data), and puts its own call together from the parts: [`make_room`] before a write,
//! [`DirectIo::submit`], then [`Submitted::wait`] or, where nobody waits, [`Submitted::then`], and
//! [`AddressSpace::agree_with_disk`] after a write.
//!
//! Place, length and memory must be aligned ([`check_aligned`], EINVAL). A pin that ends early makes
//! the call short; so does, for a write, a range that is not allocated. The caller does the rest
//! through the cache, as Linux does, and learns there of the bad address: a device's file and a file
//! system's want different locks and different sizes for that.
//!
//! # Locking
//! The caller sees to it that the range does not lose its blocks: for a device nothing, for a file its
//! inode lock. No page lock is held while the program's pages are pinned, for that may fault and read
//! a page of this very file. In flight the bio's own handles keep the pages alive.
//!
//! # Example
//! 1 MiB from a page boundary on, a device that takes 254 segments and 1280 KiB: two bios of 128 pages,
//! both sent before either is waited for.

use core::ops::Range;

use base::arch::Access;
use base::units::{SECTOR_SHIFT, SECTOR_SIZE};
use base::{Errno, FileBlock, IovIter, PAGE_SIZE, Result, Sector, frame};
use block::{Bio, BioFlags, BioOp, Completion, Disk, task_io};

use crate::filemap::filemap_write_and_wait_range;
use crate::mapping::{AddressSpace, page_range};
use crate::ops::{AddressSpaceOperations, Extent, ExtentKind, MapMode};
use crate::tree::Tag;

/// What the program's memory must be aligned to (Linux's default `dma_alignment`).
pub const MEMORY_ALIGN: u32 = SECTOR_SIZE as u32;
const MEMORY_MASK: u64 = SECTOR_SIZE as u64 - 1;
/// Most bytes in a bio: its list of pieces is kept in one allocation.
const MAX_BYTES: u64 = 1 << 20;

/// Reads from byte `pos` on, which with the length lies within the file. Bytes read, short where the
/// program's memory cannot be pinned; EINVAL when it is not aligned, EFAULT when not one byte could
/// be reached, EIO when any part of it failed.
pub fn generic_file_direct_read(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Result<usize> {
    begin_direct_read(mapping, ops, pos, iter)?.wait()
}

/// The same, its bios on their way.
pub fn begin_direct_read(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Result<Submitted> {
    let end = pos.saturating_add(iter.count() as u64);
    if mapping.nrpages() > 0 {
        filemap_write_and_wait_range(mapping, ops, pos..end)?;
    }
    check_aligned(ops.disk(), pos, iter)?;
    Ok(send(ops, BioOp::Read, BioFlags::empty(), pos, iter))
}

/// Writes from byte `pos` on over what is allocated. Bytes written: short, perhaps 0, where the rest
/// must go through the cache. EINVAL when it is not aligned, EFAULT when not one byte could be reached,
/// EIO when any part of it failed. With [`BioFlags::FUA`] the data is on stable storage on return.
pub fn generic_file_direct_write(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    iter: &mut IovIter<'_>,
    flags: BioFlags,
) -> Result<usize> {
    let range = pos..pos.saturating_add(iter.count() as u64);
    let Some(DirectWrite { io, flush }) = begin_direct_write(mapping, ops, pos, iter, flags)? else {
        return Ok(0);
    };
    end_direct_write(mapping, ops.disk(), range, flush, io.wait())
}

/// A direct write whose bios are on their way.
pub struct DirectWrite {
    /// They.
    pub io: Submitted,
    /// The device's cache is to be flushed behind them.
    pub flush: bool,
}

/// The same, its bios on their way. None: all of it must go through the cache.
pub fn begin_direct_write(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    iter: &mut IovIter<'_>,
    mut flags: BioFlags,
) -> Result<Option<DirectWrite>> {
    if !make_room(mapping, ops, pos..pos.saturating_add(iter.count() as u64))? {
        return Ok(None);
    }
    check_aligned(ops.disk(), pos, iter)?;
    // One bio flushes the device's cache behind itself; of several each would, so once at the end.
    let flush = flags.contains(BioFlags::FUA) && !ops.disk().limits().fua;
    if flush {
        flags -= BioFlags::FUA;
    }
    Ok(Some(DirectWrite { io: send(ops, BioOp::Write, flags, pos, iter), flush }))
}

/// What is left to do of a write of `range` when its bios are over: sleeps, if a `flush` was left or anything is
/// cached.
pub fn end_direct_write(
    mapping: &AddressSpace,
    disk: &Disk,
    range: Range<u64>,
    flush: bool,
    done: Result<usize>,
) -> Result<usize> {
    if mapping.nrpages() > 0 {
        // Also when it failed: a part of it may be on the disk.
        mapping.agree_with_disk(disk, range);
    }
    if flush && matches!(done, Ok(1..)) {
        disk.flush()?;
    }
    done
}

/// Before a direct write of a byte range: what is dirty of it goes to the disk, and what is cached goes.
/// False when that cannot be, for somebody writes there at this moment: then through the cache, after him.
pub fn make_room(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    range: Range<u64>,
) -> Result<bool> {
    if mapping.nrpages() == 0 {
        return Ok(true);
    }
    filemap_write_and_wait_range(mapping, ops, range.clone())?;
    Ok(mapping.invalidate_for_direct(range).is_ok())
}

impl AddressSpace {
    /// Whether any page of a byte range is cached.
    pub fn has_page(&self, range: Range<u64>) -> bool {
        page_range(&range).is_some_and(|(first, last)| self.first_from(first, last).is_some())
    }

    /// Whether any page of a byte range is dirty or on its way to the disk.
    pub fn needs_writeback(&self, range: Range<u64>) -> bool {
        page_range(&range).is_some_and(|(first, last)| {
            [Tag::Dirty, Tag::Writeback].into_iter().any(|tag| !self.batch(first, last, Some(tag)).is_empty())
        })
    }
}

/// The bios of a call over what is allocated.
fn send(
    ops: &dyn AddressSpaceOperations,
    op: BioOp,
    flags: BioFlags,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Submitted {
    let disk = ops.disk();
    let map = |first, count| ops.map(first, count, MapMode::Read);
    let io =
        DirectIo { disk, block_bits: ops.block_bits(), op, flags, map: &map, size: u64::MAX, aligned: true };
    io.submit(pos, iter)
}

/// Place and length in whole logical blocks, each segment by itself; memory on a boundary of 512 bytes.
/// EINVAL.
fn check_aligned(disk: &Disk, pos: u64, iter: &IovIter<'_>) -> Result<()> {
    if is_aligned(disk, pos, iter) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether place, length and memory are as a direct transfer wants them.
pub fn is_aligned(disk: &Disk, pos: u64, iter: &IovIter<'_>) -> bool {
    let block = disk.logical_block_size();
    // A power of two up to 64 KiB.
    pos.is_multiple_of(u64::from(block)) && iter.is_aligned(MEMORY_MASK, block as usize - 1)
}

/// One call's transfer, and where its blocks lie.
pub struct DirectIo<'a> {
    /// The disk below.
    pub disk: &'a Disk,
    /// log2 of the file's block size.
    pub block_bits: u32,
    /// Read or Write.
    pub op: BioOp,
    /// [`BioFlags::SYNC`] goes without saying.
    pub flags: BioFlags,
    /// Where the blocks from one on lie, asked for so many: as [`AddressSpaceOperations::map`]. An extent of a
    /// write that is `new` holds nothing of the file's: what the write leaves of its first and last
    /// block is zeroed. A hole ends a write and reads as zeros.
    pub map: &'a dyn Fn(FileBlock, u64) -> Result<Extent>,
    /// i_size: a write that ends behind it zeroes the rest of its last block.
    pub size: u64,
    /// What [`is_aligned`] said: a call that is not may read holes and nothing else (EINVAL), as in Linux.
    pub aligned: bool,
}

/// Bios on their way.
pub struct Submitted {
    /// The bytes that they and the holes between them are.
    pub bytes: usize,
    /// Some went to blocks that are `new`.
    pub fresh: bool,
    /// Why there are no more.
    status: Result<()>,
    done: Completion,
}

impl Submitted {
    /// Sleeps until all is over: the bytes, or EIO if any part of it failed.
    pub fn wait(self) -> Result<usize> {
        self.done.wait()?;
        outcome(self.bytes, self.status)
    }

    /// The same for `then`, which runs as that of [`Completion::then`].
    pub fn then(self, then: impl FnOnce(Result<usize>) + Send + 'static) {
        let (bytes, status) = (self.bytes, self.status);
        self.done.then(move |result| then(result.and_then(|()| outcome(bytes, status))));
    }
}

fn outcome(bytes: usize, status: Result<()>) -> Result<usize> {
    if bytes > 0 { Ok(bytes) } else { status.map(|()| 0) }
}

impl DirectIo<'_> {
    /// Sends all bios, moving `iter` on. Short where the program's memory cannot be pinned, a write's block is
    /// a hole, or `map` fails; the reason is told where that is at the very start.
    pub fn submit(self, pos: u64, iter: &mut IovIter<'_>) -> Submitted {
        let plug = self.disk.plug();
        let mut all = Transfer { io: &self, done: Completion::new(), fresh: false, rest: None };
        let mut bytes = 0;
        let mut status = Ok(());
        while iter.count() > 0 {
            match all.extent(pos.saturating_add(bytes as u64), iter) {
                Ok(0) => break,
                Ok(n) => bytes += n,
                Err(error) => {
                    // Nothing was sent of what is not aligned; holes before it do not make it a short call.
                    bytes = if self.aligned { bytes } else { 0 };
                    status = Err(error);
                    break;
                }
            }
        }
        if let Some((sector, len)) = all.rest
            && let Err(error) = all.zeros(sector, len)
        {
            (bytes, status) = (0, Err(error));
        }
        drop(plug);
        Submitted { bytes, fresh: all.fresh, status, done: all.done }
    }
}

/// The state of a submission.
struct Transfer<'a> {
    io: &'a DirectIo<'a>,
    done: Completion,
    fresh: bool,
    /// What is to be zeroed should the transfer end here: behind the last byte that was sent.
    rest: Option<(Sector, u64)>,
}

impl Transfer<'_> {
    /// The bytes from `pos` on that one extent holds, or the first of them. 0: the rest is not for this
    /// way.
    fn extent(&mut self, pos: u64, iter: &mut IovIter<'_>) -> Result<usize> {
        let io = self.io;
        let block_size = 1u64 << io.block_bits;
        let within = pos & (block_size - 1);
        let blocks = (within + iter.count() as u64).div_ceil(block_size);
        let extent = (io.map)(FileBlock(pos >> io.block_bits), blocks)?;
        let bytes = extent.len.saturating_mul(block_size) - within;
        let len = usize::try_from(bytes).unwrap_or(usize::MAX).min(iter.count());
        let ExtentKind::Mapped { block } = extent.kind else {
            if io.op == BioOp::Write {
                return Ok(0);
            }
            let zeroed = iter.zero(len);
            return if zeroed == 0 { Err(Errno::EFAULT) } else { Ok(zeroed) };
        };
        if !io.aligned {
            return Err(Errno::EINVAL);
        }
        let start = block.sector(io.block_bits).ok_or(Errno::EIO)?;
        let sector = start.checked_add(within >> SECTOR_SHIFT).ok_or(Errno::EIO)?;
        if extent.new && within > 0 && self.rest.is_none() {
            self.zeros(start, within)?;
        }
        let done = self.bio(sector, len, iter)?;
        if io.op == BioOp::Write {
            self.fresh |= extent.new;
            let end = pos.saturating_add(done as u64);
            let left = end.wrapping_neg() & (block_size - 1);
            // In whole sectors: place and length are.
            let behind = Sector(sector.0.saturating_add(done as u64 >> SECTOR_SHIFT));
            self.rest = (left > 0 && (extent.new || end >= io.size)).then_some((behind, left));
        }
        Ok(done)
    }

    /// Pins and sends the next bio of `len` bytes that lie from `sector` on.
    fn bio(&self, sector: Sector, len: usize, iter: &mut IovIter<'_>) -> Result<usize> {
        let disk = self.io.disk;
        let mut bio = Bio::new(self.io.op, sector);
        bio.flags = self.io.flags | BioFlags::SYNC;
        let access = if self.io.op == BioOp::Read { Access::Write } else { Access::Read };
        // Pieces of a page: they fit.
        let mut add = |frame: &base::Frame, at: usize, n: usize| bio.add(frame, at as u32, n as u32);
        let pinned = iter.pin(share(disk, len), access, &mut add);
        let odd = pinned % disk.logical_block_size() as usize;
        iter.revert(odd);
        let whole = pinned - odd;
        if whole == 0 {
            return Err(Errno::EFAULT);
        }
        bio.truncate(whole as u64);
        if self.io.op == BioOp::Write {
            task_io::account_write(whole as u64);
        }
        disk.submit_bio(self.done.track(bio));
        Ok(whole)
    }

    /// Zeros for a part of a block: `len` bytes, whole sectors.
    fn zeros(&self, sector: Sector, len: u64) -> Result<()> {
        let zeros = frame::alloc_zeroed()?;
        let mut bio = Bio::new(BioOp::Write, sector);
        bio.flags = self.io.flags | BioFlags::SYNC;
        // Less than a block, which is at most a page.
        bio.add(&zeros, 0, len as u32);
        self.io.disk.submit_bio(self.done.track(bio));
        Ok(())
    }
}

/// How much of `len` bytes the next bio takes: what is more than a request is cut into equal shares of
/// whole pages, for a short last one would cost as much as a long one.
fn share(disk: &Disk, len: usize) -> usize {
    let limits = disk.limits();
    let by_segments = u64::from(limits.max_segments).saturating_mul(PAGE_SIZE as u64);
    let by_sectors = u64::from(limits.max_sectors) << SECTOR_SHIFT;
    let most = by_segments.min(by_sectors).min(MAX_BYTES);
    // At most 64 KiB, and both powers of two.
    let unit = PAGE_SIZE.max(limits.logical_block_size as usize);
    // At most MAX_BYTES: fits.
    let most = (most as usize / unit).max(1) * unit;
    let shares = len.div_ceil(most).max(1);
    len.div_ceil(shares).next_multiple_of(unit).min(len)
}
