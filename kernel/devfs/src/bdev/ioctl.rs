//! The commands of a disk: BLKGETSIZE64 and its relatives.
//!
//! What only the superuser may is EACCES for others, what needs a disk opened for writing EBADF. An
//! unknown command is ENOTTY; BLKPG, which adds partitions that no table has, is one.
//! Source: ioctl_list(2), `include/uapi/linux/fs.h` and `hdreg.h` for the numbers, Linux 6.1 for the
//! checks and their order.

use base::{Errno, PAGE_SHIFT, PAGE_SIZE, Result};
use vfs::{Caller, FMode, File};

use super::BlockFile;
use super::range::Zero;

/// The numbers, from `linux/fs.h`.
mod number {
    pub const BLKROSET: u32 = 0x125d;
    pub const BLKROGET: u32 = 0x125e;
    pub const BLKRRPART: u32 = 0x125f;
    pub const BLKGETSIZE: u32 = 0x1260;
    pub const BLKFLSBUF: u32 = 0x1261;
    pub const BLKRASET: u32 = 0x1262;
    pub const BLKRAGET: u32 = 0x1263;
    pub const BLKFRASET: u32 = 0x1264;
    pub const BLKFRAGET: u32 = 0x1265;
    pub const BLKSECTGET: u32 = 0x1267;
    pub const BLKSSZGET: u32 = 0x1268;
    pub const BLKDISCARD: u32 = 0x1277;
    pub const BLKIOMIN: u32 = 0x1278;
    pub const BLKIOOPT: u32 = 0x1279;
    pub const BLKALIGNOFF: u32 = 0x127a;
    pub const BLKPBSZGET: u32 = 0x127b;
    pub const BLKDISCARDZEROES: u32 = 0x127c;
    pub const BLKSECDISCARD: u32 = 0x127d;
    pub const BLKROTATIONAL: u32 = 0x127e;
    pub const BLKZEROOUT: u32 = 0x127f;
    pub const BLKBSZGET: u32 = 0x8008_1270;
    pub const BLKBSZSET: u32 = 0x4008_1271;
    pub const BLKGETSIZE64: u32 = 0x8008_1272;
    pub const HDIO_GETGEO: u32 = 0x0301;
}
use number::*;

impl BlockFile {
    pub(super) fn command(&self, file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        match cmd {
            BLKROSET | BLKRRPART | BLKFLSBUF | BLKRASET | BLKFRASET | BLKBSZSET => {
                if !caller.capable {
                    return Err(Errno::EACCES);
                }
                self.set(cmd, arg, caller).map(|()| 0)
            }
            BLKDISCARD | BLKSECDISCARD | BLKZEROOUT => {
                if !file.mode().contains(FMode::WRITE) {
                    return Err(Errno::EBADF);
                }
                self.range_command(cmd, arg, caller).map(|()| 0)
            }
            HDIO_GETGEO => self.geometry(arg, caller),
            BLKRAGET | BLKFRAGET if arg == 0 => Err(Errno::EINVAL),
            _ => self.tell(cmd, arg, caller),
        }
    }

    /// The commands that only look.
    fn tell(&self, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        let device = &self.bdev.device;
        let disk = device.disk();
        let limits = disk.limits();
        let word = |value: u32| caller.put(arg, &value.to_le_bytes());
        let half = |value: u16| caller.put(arg, &value.to_le_bytes());
        let long = |value: u64| caller.put(arg, &value.to_le_bytes());
        match cmd {
            BLKROGET => word(u32::from(disk.read_only())),
            BLKGETSIZE => long(disk.capacity().0),
            BLKGETSIZE64 => long(disk.capacity().byte().ok_or(Errno::EFBIG)?),
            BLKSSZGET => word(limits.logical_block_size),
            BLKPBSZGET => word(limits.physical_block_size),
            BLKBSZGET => word(1 << device.block_bits()),
            // What a device does not tell is its block, as in Linux.
            BLKIOMIN => word(limits.io_min.max(limits.physical_block_size)),
            BLKIOOPT => word(limits.io_opt),
            BLKALIGNOFF | BLKDISCARDZEROES => word(0),
            BLKSECTGET => half(u16::try_from(limits.max_sectors).unwrap_or(u16::MAX)),
            BLKROTATIONAL => half(u16::from(disk.queue().rotational())),
            BLKRAGET | BLKFRAGET => long(u64::from(disk.queue().readahead_bytes() / 512)),
            _ => Err(Errno::ENOTTY),
        }
    }

    /// The superuser's.
    fn set(&self, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<()> {
        let device = &self.bdev.device;
        let disk = device.disk();
        match cmd {
            BLKROSET => disk.set_read_only(u32::from_le_bytes(caller.get(arg)?) != 0),
            BLKFLSBUF => {
                device.sync()?;
                device.mapping().drop_unused();
            }
            BLKRASET | BLKFRASET => {
                let bytes = arg.saturating_mul(512) >> PAGE_SHIFT << PAGE_SHIFT;
                disk.queue().set_readahead_bytes(u32::try_from(bytes).unwrap_or(u32::MAX));
            }
            BLKBSZSET => self.set_block_size(arg, caller)?,
            BLKRRPART => {
                // The table is read around the cache.
                device.sync()?;
                let before = disk.partitions();
                disk.rescan()?;
                crate::partitions_changed(&before, &disk.partitions());
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(())
    }

    /// The unit of the cache. EBUSY while somebody else has claimed the disk.
    fn set_block_size(&self, arg: u64, caller: &Caller<'_>) -> Result<()> {
        if arg == 0 {
            return Err(Errno::EINVAL);
        }
        let size = u32::from_le_bytes(caller.get(arg)?);
        let device = &self.bdev.device;
        let _claim = match self.claim {
            Some(_) => None,
            None => Some(device.claim_exclusive()?),
        };
        if !size.is_power_of_two() || !(512..=PAGE_SIZE as u32).contains(&size) {
            return Err(Errno::EINVAL);
        }
        let _alone = self.bdev.write.write();
        device.set_block_size(size.trailing_zeros())
    }

    fn range_command(&self, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<()> {
        let can_discard = self.bdev.device.disk().limits().max_discard_sectors > 0;
        match cmd {
            // virtio-blk's secure erase is not used by this kernel.
            BLKSECDISCARD => Err(Errno::EOPNOTSUPP),
            BLKDISCARD if !can_discard => Err(Errno::EOPNOTSUPP),
            BLKDISCARD => self.range(arg, caller).and_then(|(start, len)| self.discard(start, len)),
            _ => self.range(arg, caller).and_then(|(start, len)| self.zero_out(start, len, Zero::Always)),
        }
    }

    /// The start and length that `arg` points at: whole sectors within the disk.
    fn range(&self, arg: u64, caller: &Caller<'_>) -> Result<(u64, u64)> {
        let words = u128::from_le_bytes(caller.get(arg)?);
        // The low and the high half.
        let (start, len) = (words as u64, (words >> 64) as u64);
        let inside = start.checked_add(len).is_some_and(|end| end <= self.bdev.device.size());
        if !start.is_multiple_of(512) || !len.is_multiple_of(512) || !inside || len == 0 {
            return Err(Errno::EINVAL);
        }
        Ok((start, len))
    }

    /// `struct hd_geometry`: heads, sectors, cylinders, and where a partition begins.
    fn geometry(&self, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        if arg == 0 {
            return Err(Errno::EINVAL);
        }
        let disk = self.bdev.device.disk();
        let geometry = disk.queue().driver().geometry().ok_or(Errno::ENOTTY)?;
        let mut out = [0; 16];
        (out[0], out[1]) = (geometry.heads, geometry.sectors);
        out[2..4].copy_from_slice(&geometry.cylinders.to_le_bytes());
        out[8..].copy_from_slice(&disk.start().0.to_le_bytes());
        caller.put(arg, &out)
    }
}
