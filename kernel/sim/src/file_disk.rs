//! A disk that is a file of the host, for images that are too large to lie in memory: the file has holes
//! where nothing was written, and e2fsprogs look at it where it is.
//!
//! ```no_run
//! use sim::{FileDisk, Machine};
//! let disk = FileDisk::mkfs(8 << 30, &["-b", "4096"]).unwrap();
//! let m = Machine::mount_file(&disk).unwrap();
//! m.write_file("/f", b"hello").unwrap();
//! m.unmount().unwrap();
//! disk.fsck().unwrap();
//! ```

use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use base::units::SECTOR_SIZE;
use base::{Errno, Result, Sector};
use block::{BioOp, Driver, InFlight, Limits, Request};

use crate::image::scratch;
use crate::tools::{self, Trouble};

/// A disk in a temporary file.
pub struct FileDisk {
    file: tempfile::NamedTempFile,
    size: u64,
    waiting: Mutex<VecDeque<InFlight>>,
}

impl FileDisk {
    /// With a new file system of `size` bytes, by `mke2fs -t ext4` with more arguments.
    pub fn mkfs(size: u64, args: &[&str]) -> std::result::Result<Arc<FileDisk>, Trouble> {
        let file = scratch()?;
        file.as_file().set_len(size)?;
        tools::mke2fs(file.path(), args)?;
        Ok(Arc::new(FileDisk { file, size, waiting: Mutex::default() }))
    }

    /// `e2fsck -fn`: Err with all it said unless the image is clean.
    pub fn fsck(&self) -> std::result::Result<(), Trouble> {
        tools::e2fsck(self.file.path(), None)
    }

    /// What a debugfs command prints.
    pub fn debugfs(&self, request: &str) -> std::result::Result<String, Trouble> {
        let out = tools::debugfs(self.file.path(), request)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn work(&self, request: &Request) -> Result<()> {
        let mut pos = request.sector().byte().ok_or(Errno::EIO)?;
        if request.end().byte().is_none_or(|end| end > self.size) {
            return Err(Errno::EIO);
        }
        for vec in request.vecs() {
            let mut bytes = vec![0; vec.len as usize];
            let done = match request.op() {
                BioOp::Read => self.file.as_file().read_exact_at(&mut bytes, pos),
                BioOp::Write => {
                    vec.frame.read(vec.offset as usize, &mut bytes);
                    self.file.as_file().write_all_at(&bytes, pos)
                }
                BioOp::Flush | BioOp::Discard | BioOp::WriteZeroes => Ok(()),
            };
            done.map_err(|_| Errno::EIO)?;
            if request.op() == BioOp::Read {
                vec.frame.write(vec.offset as usize, &bytes);
            }
            pos += u64::from(vec.len);
        }
        Ok(())
    }
}

impl Driver for FileDisk {
    fn limits(&self) -> Limits {
        Limits { write_cache: true, ..Limits::DEFAULT }
    }

    fn capacity(&self) -> Sector {
        Sector(self.size / SECTOR_SIZE as u64)
    }

    fn queue_request(&self, request: InFlight) -> std::result::Result<(), InFlight> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(request);
        Ok(())
    }

    fn commit(&self) {
        loop {
            // Not in the loop's head, where the lock would be held throughout the body.
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(request) = next else { return };
            let result = self.work(&request);
            request.complete(result);
        }
    }
}
