//! Discarding and zeroing ranges of a disk: fallocate(2), BLKDISCARD, BLKZEROOUT.
//!
//! What is cached of the range goes first, dirty or not; of a page that lies in it only partly the rest
//! is written back before. Source: fallocate(2), `blkdev_fallocate`, `blk_ioctl_discard`,
//! `blkdev_issue_zeroout` as the kernel's documentation and behaviour give them.

use base::units::SECTOR_SHIFT;
use base::{Errno, PAGE_SIZE, Result, Sector};
use bitflags::bitflags;
use block::{Bio, BioFlags, BioOp, Disk};
use pagecache::filemap_write_and_wait_range;

use super::BlockFile;

bitflags! {
    /// The mode of fallocate(2).
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Mode: u32 {
        const KEEP_SIZE = 1;
        const PUNCH_HOLE = 2;
        const NO_HIDE_STALE = 4;
        const ZERO_RANGE = 0x10;
    }
}

/// How a range is to read as zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// By the device, or else by writing zeros.
    Always,
    /// By the device; EOPNOTSUPP when it cannot.
    ByDevice,
}

impl BlockFile {
    /// fallocate(2).
    pub(super) fn allocate(&self, mode: u32, start: u64, len: u64) -> Result<()> {
        let mode = Mode::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let size = self.bdev.device.size();
        if start >= size {
            return Err(Errno::EINVAL);
        }
        let mut len = len;
        if len > size - start {
            if !mode.contains(Mode::KEEP_SIZE) {
                return Err(Errno::EINVAL);
            }
            len = size - start;
        }
        let block = u64::from(self.bdev.device.disk().logical_block_size());
        if !start.is_multiple_of(block) || !len.is_multiple_of(block) {
            return Err(Errno::EINVAL);
        }
        let hole = Mode::PUNCH_HOLE | Mode::KEEP_SIZE;
        if mode.difference(Mode::KEEP_SIZE) == Mode::ZERO_RANGE {
            self.zero_out(start, len, Zero::Always)
        } else if mode == hole {
            self.zero_out(start, len, Zero::ByDevice)
        } else if mode == hole | Mode::NO_HIDE_STALE {
            self.discard(start, len)
        } else {
            Err(Errno::EOPNOTSUPP)
        }
    }

    /// Makes a range read as zeros.
    pub(super) fn zero_out(&self, start: u64, len: u64, how: Zero) -> Result<()> {
        let can = self.bdev.device.disk().limits().max_write_zeroes_sectors > 0;
        if !can && how == Zero::ByDevice {
            // Before anything that is cached is dropped: the bytes stay as they are.
            return Err(Errno::EOPNOTSUPP);
        }
        self.change(start, len, |disk| {
            let done = issue(disk, BioOp::WriteZeroes, start, len);
            if done == Err(Errno::EOPNOTSUPP) && how == Zero::Always {
                disk.write_zeros(Sector(start >> SECTOR_SHIFT), len >> SECTOR_SHIFT)
            } else {
                done
            }
        })
    }

    /// Tells the device that a range is no longer needed.
    pub(super) fn discard(&self, start: u64, len: u64) -> Result<()> {
        if self.bdev.device.disk().limits().max_discard_sectors == 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.change(start, len, |disk| issue(disk, BioOp::Discard, start, len))
    }

    /// Does something to a range of the disk of which nothing is cached then. EPERM on a read-only
    /// disk, EBUSY while it is mounted.
    fn change(&self, start: u64, len: u64, act: impl FnOnce(&Disk) -> Result<()>) -> Result<()> {
        let device = &self.bdev.device;
        let disk = device.disk();
        let block = u64::from(disk.logical_block_size());
        if disk.read_only() {
            return Err(Errno::EPERM);
        }
        self.bdev.check_free()?;
        if !start.is_multiple_of(block) || !len.is_multiple_of(block) {
            return Err(Errno::EINVAL);
        }
        let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
        let _alone = self.bdev.write.write();
        for edge in [start, end] {
            // A page that is only partly meant keeps what the rest of it holds.
            if !edge.is_multiple_of(PAGE_SIZE as u64) {
                filemap_write_and_wait_range(device.mapping(), device.ops(), edge..edge + 1)?;
            }
        }
        device.mapping().truncate_range(start..end);
        let done = act(disk);
        device.mapping().agree_with_disk(disk, start..end);
        done
    }
}

/// An operation without data over whole sectors.
fn issue(disk: &Disk, op: BioOp, start: u64, len: u64) -> Result<()> {
    let mut bio = Bio::without_data(op, Sector(start >> SECTOR_SHIFT), len >> SECTOR_SHIFT);
    bio.flags = BioFlags::SYNC;
    disk.submit_and_wait(bio)
}
