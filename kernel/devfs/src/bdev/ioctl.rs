//! The commands of a disk: BLKGETSIZE64 and its relatives. Source: `include/uapi/linux/fs.h` for the
//! numbers, `block/ioctl.c`'s behaviour for checks and their order.

use base::{Errno, Result, UserAddr, UserMemory};
use vfs::{FMode, File};

use super::BlockFile;
use super::range::Zero;

/// Read-only?
const BLKROGET: u32 = 0x125e;
/// Size in sectors.
const BLKGETSIZE: u32 = 0x1260;
/// Write back and drop what is cached.
const BLKFLSBUF: u32 = 0x1261;
/// Logical block size.
const BLKSSZGET: u32 = 0x1268;
/// A range is no longer needed.
const BLKDISCARD: u32 = 0x1277;
/// Physical block size.
const BLKPBSZGET: u32 = 0x127b;
/// A range becomes zeros.
const BLKZEROOUT: u32 = 0x127f;
/// Block size of the cache.
const BLKBSZGET: u32 = 0x8008_1270;
/// Size in bytes.
const BLKGETSIZE64: u32 = 0x8008_1272;

impl BlockFile {
    pub(super) fn command(&self, file: &File, cmd: u32, arg: u64, memory: &dyn UserMemory) -> Result<u64> {
        let device = &self.bdev.device;
        let disk = device.disk();
        let put = |value: &[u8]| memory.write_all(UserAddr(arg), value).map(|()| 0);
        match cmd {
            BLKROGET => put(&u32::from(disk.read_only()).to_le_bytes()),
            BLKGETSIZE => put(&disk.capacity().0.to_le_bytes()),
            BLKGETSIZE64 => put(&disk.capacity().byte().ok_or(Errno::EFBIG)?.to_le_bytes()),
            BLKSSZGET => put(&disk.logical_block_size().to_le_bytes()),
            BLKPBSZGET => put(&disk.physical_block_size().to_le_bytes()),
            BLKBSZGET => put(&(1u32 << device.block_bits()).to_le_bytes()),
            // What is cached stays: a mounted file system may hold on to it, and it is what the disk
            // holds now.
            BLKFLSBUF => self.sync_range(0, u64::MAX).map(|()| 0),
            BLKDISCARD => {
                self.check_writer(file)?;
                if disk.limits().max_discard_sectors == 0 {
                    return Err(Errno::EOPNOTSUPP);
                }
                let (start, len) = self.range(arg, memory)?;
                self.discard(start, len).map(|()| 0)
            }
            BLKZEROOUT => {
                self.check_writer(file)?;
                let (start, len) = self.range(arg, memory)?;
                self.zero_out(start, len, Zero::Always).map(|()| 0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn check_writer(&self, file: &File) -> Result<()> {
        if file.mode().contains(FMode::WRITE) { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// The start and length that `arg` points at: whole sectors within the disk.
    fn range(&self, arg: u64, memory: &dyn UserMemory) -> Result<(u64, u64)> {
        let mut words = [0u8; 16];
        memory.read_exact(UserAddr(arg), &mut words)?;
        let words = u128::from_le_bytes(words);
        // The low and the high half.
        let (start, len) = (words as u64, (words >> 64) as u64);
        let inside = start.checked_add(len).is_some_and(|end| end <= self.bdev.device.size());
        if start % 512 != 0 || len % 512 != 0 || !inside || len == 0 {
            return Err(Errno::EINVAL);
        }
        Ok((start, len))
    }
}
