//! A disk as a file: /dev/vda (`blkdev_read_iter`, `blkdev_write_iter`).
//!
//! It goes through the disk's own page cache, the one in which a mounted file system keeps its
//! metadata, so both see the same bytes. A write past the end is ENOSPC, one that crosses it is cut
//! there, one to a read-only disk is EPERM. While a file system is mounted on the disk it can be read
//! only: opening it for writing, or with O_EXCL, and writing through what was opened before is EBUSY, as
//! in a Linux without CONFIG_BLK_DEV_WRITE_MOUNTED.
//!
//! # Locking
//! One lock per disk around writing, in the place of a file's `i_rwsem`.

use alloc::sync::Arc;

use base::{Errno, IovIter, Result, UserAddr, UserMemory};
use block::Disk;
use pagecache::{
    AddressSpace, BlockDevice, filemap_write_and_wait_range, generic_file_read, generic_perform_write,
};
use sync::Mutex;
use vfs::device::{self, Device};
use vfs::{File, FileOperations, FileType, Kiocb, KiocbFlags, OpenFlags, Whence, lseek};

/// Read-only?
const BLKROGET: u32 = 0x125e;
/// Size in sectors.
const BLKGETSIZE: u32 = 0x1260;
/// Write back what is cached.
const BLKFLSBUF: u32 = 0x1261;
/// Logical block size.
const BLKSSZGET: u32 = 0x1268;
/// Physical block size.
const BLKPBSZGET: u32 = 0x127b;
/// Block size of the cache.
const BLKBSZGET: u32 = 0x8008_1270;
/// Size in bytes.
const BLKGETSIZE64: u32 = 0x8008_1272;

/// A disk's device.
struct BlockFile {
    device: Arc<BlockDevice>,
    write: Mutex<()>,
}

/// Enters a disk into the device table.
pub fn register(disk: &Arc<Disk>) {
    let file = BlockFile { device: BlockDevice::of(disk), write: Mutex::new(()) };
    device::register(FileType::BlockDevice, disk.dev(), Arc::new(file));
}

impl Device for BlockFile {
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        if flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR | OpenFlags::EXCL) {
            self.check_free()?;
        }
        Ok(self)
    }
}

impl BlockFile {
    fn check_free(&self) -> Result<()> {
        if self.device.is_claimed() { Err(Errno::EBUSY) } else { Ok(()) }
    }

    fn put(&self, memory: &dyn UserMemory, arg: u64, value: &[u8]) -> Result<u64> {
        memory.write_all(UserAddr(arg), value).map(|()| 0)
    }

    /// Writes back what is dirty in `start..=end` and makes it durable.
    fn sync_range(&self, start: u64, end: u64) -> Result<()> {
        let range = start..end.saturating_add(1);
        filemap_write_and_wait_range(self.device.mapping(), self.device.ops(), range)?;
        self.device.flush()
    }
}

impl FileOperations for BlockFile {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let done = generic_file_read(self.device.mapping(), self.device.ops(), iocb.pos, to)?;
        iocb.pos += done as u64;
        Ok(done)
    }

    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let disk = self.device.disk();
        if disk.read_only() {
            return Err(Errno::EPERM);
        }
        self.check_free()?;
        if from.count() == 0 {
            return Ok(0);
        }
        let start = iocb.pos;
        let room = self.device.size().saturating_sub(start);
        if room == 0 {
            return Err(Errno::ENOSPC);
        }
        from.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let _plug = disk.plug();
        let done = {
            let _held = self.write.lock();
            generic_perform_write(self.device.mapping(), self.device.ops(), start, from)?
        };
        iocb.pos = start + done as u64;
        if done > 0 && iocb.flags.contains(KiocbFlags::DSYNC) {
            self.sync_range(start, iocb.pos - 1)?;
        }
        Ok(done)
    }

    /// Within the disk; holes are not known (`fixed_size_llseek`).
    fn llseek(&self, _file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        let size = self.device.size();
        match whence {
            Whence::Data | Whence::Hole => Err(Errno::EINVAL),
            _ => lseek::generic(pos, offset, whence, size, size),
        }
    }

    fn fsync(&self, _file: &File, start: u64, end: u64, _datasync: bool) -> Result<()> {
        self.sync_range(start, end)
    }

    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        Some(self.device.mapping())
    }

    fn ioctl(&self, _file: &File, cmd: u32, arg: u64, memory: &dyn UserMemory) -> Result<u64> {
        let disk = self.device.disk();
        match cmd {
            BLKROGET => self.put(memory, arg, &u32::from(disk.read_only()).to_le_bytes()),
            BLKGETSIZE => self.put(memory, arg, &disk.capacity().0.to_le_bytes()),
            BLKGETSIZE64 => {
                let bytes = disk.capacity().byte().ok_or(Errno::EFBIG)?;
                self.put(memory, arg, &bytes.to_le_bytes())
            }
            BLKSSZGET => self.put(memory, arg, &disk.logical_block_size().to_le_bytes()),
            BLKPBSZGET => self.put(memory, arg, &disk.physical_block_size().to_le_bytes()),
            BLKBSZGET => self.put(memory, arg, &(1u32 << self.device.block_bits()).to_le_bytes()),
            // What is cached stays: a mounted file system may hold on to it, and it is what the disk
            // holds now.
            BLKFLSBUF => self.sync_range(0, u64::MAX).map(|()| 0),
            _ => Err(Errno::ENOTTY),
        }
    }
}
