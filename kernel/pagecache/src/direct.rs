//! Reads and writes around the cache (O_DIRECT): bios straight from and to the program's pages.
//!
//! ```text
//!   generic_file_direct_read     write back what is cached and dirty of the range ─ transfer
//!   generic_file_direct_write    write back ─ drop the cached pages ─ transfer ─ drop what was read
//!                                meanwhile, read again what is mapped
//!   transfer                     map an extent ─ pin the program's pages ─ bio ─ … ─ wait for all
//! ```
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

use base::arch::Access;
use base::units::{SECTOR_SHIFT, SECTOR_SIZE};
use base::{Errno, FileBlock, IovIter, PAGE_SIZE, Result, Sector};
use block::{Bio, BioFlags, BioOp, Completion, Disk, task_io};

use crate::filemap::filemap_write_and_wait_range;
use crate::mapping::AddressSpace;
use crate::ops::{AddressSpaceOperations, ExtentKind, MapMode};

/// What the program's memory must be aligned to (Linux's default `dma_alignment`).
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
    let end = pos.saturating_add(iter.count() as u64);
    if mapping.nrpages() > 0 {
        filemap_write_and_wait_range(mapping, ops, pos..end)?;
    }
    check_aligned(ops.disk(), pos, iter)?;
    Transfer::new(ops, BioOp::Read, BioFlags::SYNC).run(pos, iter)
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
    if mapping.nrpages() > 0 {
        filemap_write_and_wait_range(mapping, ops, range.clone())?;
        if mapping.invalidate_for_direct(range.clone()).is_err() {
            // Somebody writes there at this moment: then through the cache, after him.
            return Ok(0);
        }
    }
    check_aligned(ops.disk(), pos, iter)?;
    let done = Transfer::new(ops, BioOp::Write, flags | BioFlags::SYNC).run(pos, iter);
    if mapping.nrpages() > 0 {
        // Also when it failed: a part of it may be on the disk.
        mapping.agree_with_disk(ops.disk(), range);
    }
    done
}

/// Place and length in whole logical blocks, each segment by itself; memory on a boundary of 512 bytes.
/// EINVAL.
fn check_aligned(disk: &Disk, pos: u64, iter: &IovIter<'_>) -> Result<()> {
    let block = disk.logical_block_size();
    // A power of two up to 64 KiB.
    let aligned = pos.is_multiple_of(u64::from(block)) && iter.is_aligned(MEMORY_MASK, block as usize - 1);
    if aligned { Ok(()) } else { Err(Errno::EINVAL) }
}

/// One call's bios.
struct Transfer<'a> {
    ops: &'a dyn AddressSpaceOperations,
    op: BioOp,
    flags: BioFlags,
    done: Completion,
}

impl<'a> Transfer<'a> {
    fn new(ops: &'a dyn AddressSpaceOperations, op: BioOp, flags: BioFlags) -> Transfer<'a> {
        Transfer { ops, op, flags, done: Completion::new() }
    }

    /// Sends all bios, then waits for all.
    fn run(mut self, pos: u64, iter: &mut IovIter<'_>) -> Result<usize> {
        let disk = self.ops.disk();
        // One bio flushes the device's cache behind itself; of several each would, so once at the end.
        let flush = self.flags.contains(BioFlags::FUA) && !disk.limits().fua;
        if flush {
            self.flags -= BioFlags::FUA;
        }
        let mut moved = 0;
        let mut status = Ok(());
        let plug = disk.plug();
        while iter.count() > 0 {
            match self.extent(pos + moved as u64, iter) {
                Ok(0) => break,
                Ok(n) => moved += n,
                Err(error) => {
                    status = Err(error);
                    break;
                }
            }
        }
        drop(plug);
        self.done.wait()?;
        if flush && moved > 0 {
            disk.flush()?;
        }
        if moved > 0 { Ok(moved) } else { status.map(|()| 0) }
    }

    /// The bytes from `pos` on that one extent holds, or the first of them. 0: the rest is not for this
    /// way.
    fn extent(&self, pos: u64, iter: &mut IovIter<'_>) -> Result<usize> {
        let bits = self.ops.block_bits();
        let within = pos & ((1 << bits) - 1);
        let blocks = (within + iter.count() as u64).div_ceil(1 << bits);
        let extent = self.ops.map(FileBlock(pos >> bits), blocks, MapMode::Read)?;
        let bytes = extent.len.saturating_mul(1 << bits) - within;
        let len = usize::try_from(bytes).unwrap_or(usize::MAX).min(iter.count());
        match extent.kind {
            ExtentKind::Mapped { block } => {
                let start = block.sector(bits).ok_or(Errno::EIO)?;
                let sector = start.checked_add(within >> SECTOR_SHIFT).ok_or(Errno::EIO)?;
                self.bio(sector, len, iter)
            }
            _ if self.op == BioOp::Write => Ok(0),
            _ => match iter.zero(len) {
                0 => Err(Errno::EFAULT),
                n => Ok(n),
            },
        }
    }

    /// Pins and sends the next bio of `len` bytes that lie from `sector` on.
    fn bio(&self, sector: Sector, len: usize, iter: &mut IovIter<'_>) -> Result<usize> {
        let disk = self.ops.disk();
        let mut bio = Bio::new(self.op, sector);
        bio.flags = self.flags;
        let access = if self.op == BioOp::Read { Access::Write } else { Access::Read };
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
        if self.op == BioOp::Write {
            task_io::account_write(whole as u64);
        }
        disk.submit_bio(self.done.track(bio));
        Ok(whole)
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
