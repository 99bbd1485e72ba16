//! A disk as a file: /dev/vda.
//!
//! * this file: the device, its openers, who may write;
//! * `file`: reading, writing, seeking, syncing (`blkdev_read_iter`, `blkdev_write_iter`);
//! * `range`: discarding and zeroing ranges (`blkdev_fallocate`, BLKDISCARD, BLKZEROOUT);
//! * `ioctl`: the rest of the commands.
//!
//! It goes through the disk's own page cache, the one in which a mounted file system keeps its
//! metadata, so both see the same bytes; with O_DIRECT around it, coherent with it.
//!
//! # Openers
//! An open with O_EXCL claims the disk: EBUSY while another open has claimed it or a file system is
//! mounted on it; and no file system is mounted while it lasts. While one is mounted the disk can be
//! read only: opening it for writing, and writing through what was opened before, is EBUSY, as in a
//! Linux without CONFIG_BLK_DEV_WRITE_MOUNTED.
//!
//! As long as somebody has the disk open for writing it has a flusher. The last one who closes it
//! brings what is dirty to the disk, and the cache is dropped, as in Linux: what is read at the next
//! open is what the disk has.
//!
//! # Locking
//! `write` stands in the place of a file's `i_rwsem`, and is held by a direct write that nobody waits for until its
//! bios are on their way; `openers` is held while a flusher starts or stops.
//!
//! | | buffered read | direct read | buffered write | direct write | discard, zero | fsync |
//! |---|---|---|---|---|---|---|
//! | **buffered read** | page lock | nothing | page lock | pages dropped before and after | the same | nothing |
//! | **direct read** | | nothing | what is dirty when it begins is written first | nothing: old or new, by blocks | nothing | nothing |
//! | **buffered write** | | | `write`, alone | `write` | `write` | page lock |
//! | **direct write** | | | | `write`, shared: the disk orders them | `write` | nothing |
//! | **discard, zero** | | | | | `write`, alone | page lock |

mod file;
mod ioctl;
mod range;

use alloc::sync::Arc;

use base::{Errno, Result};
use block::{Disk, Opened};
use pagecache::{BlockDevice, Claim};
use sync::{Mutex, RwLock};
use vfs::device::{self, Device};
use vfs::{FileOperations, FileType, OpenFlags};
use writeback::Bdi;

/// A disk's device.
struct Bdev {
    device: Arc<BlockDevice>,
    write: RwLock<()>,
    openers: Mutex<Openers>,
}

#[derive(Default)]
struct Openers {
    all: usize,
    writers: usize,
    flusher: Option<Arc<Bdi>>,
}

/// An open disk.
struct BlockFile {
    bdev: Arc<Bdev>,
    /// While it is open for writing.
    flusher: Option<Arc<Bdi>>,
    /// With O_EXCL.
    claim: Option<Claim>,
    /// Keeps the partition table as it is.
    _opened: Opened,
}

/// Enters a disk into the device table.
pub fn register(disk: &Arc<Disk>) {
    let device = BlockDevice::of(disk);
    let bdev = Bdev { device, write: RwLock::new(()), openers: Mutex::default() };
    device::register(FileType::BlockDevice, disk.dev(), Arc::new(bdev));
}

impl Device for Bdev {
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        let writes = flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR);
        if writes {
            self.check_free()?;
        }
        let claim = if flags.contains(OpenFlags::EXCL) { Some(self.device.claim_exclusive()?) } else { None };
        let flusher = self.opened(writes)?;
        let _opened = self.device.disk().open();
        Ok(Arc::new(BlockFile { bdev: self, flusher, claim, _opened }))
    }
}

impl Bdev {
    fn check_free(&self) -> Result<()> {
        if self.device.is_mounted() { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// One opener more. The flusher, if it is to write.
    fn opened(&self, writes: bool) -> Result<Option<Arc<Bdi>>> {
        let mut openers = self.openers.lock();
        if writes && openers.flusher.is_none() {
            openers.flusher = Some(Bdi::start(&self.device)?);
        }
        openers.all += 1;
        openers.writers += usize::from(writes);
        Ok(if writes { openers.flusher.clone() } else { None })
    }

    /// One opener less. What is dirty goes to the disk with the last writer; there is nobody to tell an
    /// error but the log, as in Linux.
    fn closed(&self, wrote: bool) {
        let mut openers = self.openers.lock();
        openers.all -= 1;
        openers.writers -= usize::from(wrote);
        if wrote
            && openers.writers == 0
            && let Some(flusher) = openers.flusher.take()
            && let Err(error) = flusher.stop()
        {
            log::error!("{}: not everything could be written at the last close: {error}", self.name());
        }
        if openers.all == 0 && !self.device.is_mounted() {
            self.device.mapping().truncate_pagecache(0);
        }
    }

    fn name(&self) -> &str {
        self.device.disk().name()
    }
}

impl Drop for BlockFile {
    fn drop(&mut self) {
        let wrote = self.flusher.take().is_some();
        self.bdev.closed(wrote);
        // The claim goes last: who takes the disk next finds it written.
        drop(self.claim.take());
    }
}
