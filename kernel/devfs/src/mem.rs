//! /dev/null, /dev/zero and /dev/full. Source: null(4), full(4).

use alloc::sync::Arc;

use base::{DevId, Errno, IovIter, Result};
use vfs::device::{self, Device};
use vfs::{File, FileOperations, FileType, Kiocb, Mmap, OpenFlags, Whence};

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Memory {
    Null,
    Zero,
    Full,
}

/// Enters the three into the device table.
pub fn register() {
    for (memory, minor) in [(Memory::Null, 3), (Memory::Zero, 5), (Memory::Full, 7)] {
        device::register(FileType::CharDevice, DevId::new(1, minor), Arc::new(memory));
    }
}

impl Device for Memory {
    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Ok(self)
    }
}

impl FileOperations for Memory {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn has_write_iter(&self) -> bool {
        *self != Memory::Full
    }

    fn read_iter(&self, _file: &File, _iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        if *self == Memory::Null {
            return Ok(0);
        }
        let want = to.count();
        match to.zero(want) {
            0 if want > 0 => Err(Errno::EFAULT),
            n => Ok(n),
        }
    }

    fn write_iter(&self, _file: &File, _iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        // What is thrown away is not read: a bad address is no error here, as on Linux.
        if *self == Memory::Full { Err(Errno::ENOSPC) } else { Ok(from.count()) }
    }

    /// Every seek leads to 0.
    fn llseek(&self, _file: &File, _pos: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Ok(0)
    }

    fn mmap(&self, _file: &File) -> Result<Mmap> {
        if *self == Memory::Zero { Ok(Mmap::Zero) } else { Err(Errno::ENODEV) }
    }
}
