//! Reading, writing, seeking and syncing an open disk.
//!
//! A read at the end is 0 bytes. A write at the end is ENOSPC, one that crosses it is cut there, one to a
//! read-only disk is EPERM. `start_read` and `start_write`, of io_submit(2), return when the bios of a direct
//! transfer are on their way. O_APPEND and RLIMIT_FSIZE mean nothing here, as in Linux. What O_DIRECT
//! leaves over, where the program's memory ends in the middle, goes through the cache and is written
//! back at once.
//!
//! RWF_NOWAIT: a read takes what is cached, or goes around the cache if nothing there is to be written back before; a
//! write goes around it if it has no page there, and through it never (EOPNOTSUPP). Room in the disk's queue is waited
//! for.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;

use base::{Errno, FileBlock, IovIter, Result};
use block::{BioFlags, Disk};
use pagecache::{
    AddressSpace, AddressSpaceOperations, DirectWrite, Extent, LockedPage, MapMode, Submitted,
    begin_direct_read, begin_direct_write, end_direct_write, filemap_write_and_wait_range, generic_file_read,
    generic_perform_write, truncate_to_cached,
};
use sync::{ReadGuard, WorkQueue};
use vfs::{Caller, File, FileOperations, IoEnd, Kiocb, KiocbFlags, Mmap, Pages, Whence, lseek};
use writeback::Bdi;

use super::{Bdev, BlockFile};

/// Ends direct writes that nobody waits for, where that sleeps.
static ENDS: WorkQueue = WorkQueue::new("bdev-dio");

impl Bdev {
    /// The bios of a direct write are over.
    fn end_write(&self, range: Range<u64>, flush: bool, done: Result<usize>) -> Result<usize> {
        end_direct_write(self.device.mapping(), self.device.disk(), range, flush, done)
    }
}

impl BlockFile {
    fn mapping_ref(&self) -> &Arc<AddressSpace> {
        self.bdev.device.mapping()
    }

    /// Writes back what is dirty in `start..end` and makes it durable.
    pub(super) fn sync_range(&self, start: u64, end: u64) -> Result<()> {
        filemap_write_and_wait_range(self.mapping_ref(), self.bdev.device.ops(), start..end)?;
        self.bdev.device.flush()
    }

    fn read_direct(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let io = self.begin_read(iocb, to)?;
        self.finish_read(io, file, iocb, to)
    }

    /// EAGAIN for who may not wait, and has something to be written back before.
    fn begin_read(&self, iocb: &Kiocb, to: &mut IovIter<'_>) -> Result<Submitted> {
        let range = iocb.pos..iocb.pos + to.count() as u64;
        if iocb.flags.contains(KiocbFlags::NOWAIT) && self.mapping_ref().needs_writeback(range) {
            return Err(Errno::EAGAIN);
        }
        begin_direct_read(self.mapping_ref(), self.bdev.device.ops(), iocb.pos, to)
    }

    /// Waits for a read and does the rest of it through the cache.
    fn finish_read(
        &self,
        io: Submitted,
        file: &File,
        iocb: &mut Kiocb,
        to: &mut IovIter<'_>,
    ) -> Result<usize> {
        let done = match io.wait() {
            // Memory that a device does not reach; a copy may.
            Err(Errno::EFAULT) => 0,
            done => done?,
        };
        iocb.pos += done as u64;
        if to.count() == 0 {
            return Ok(done);
        }
        match self.read_cached(file, iocb, to) {
            Ok(rest) => Ok(done + rest),
            Err(error) if done == 0 => Err(error),
            Err(_) => Ok(done),
        }
    }

    fn read_cached(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let (mapping, ops) = (self.mapping_ref(), self.bdev.device.ops());
        if iocb.flags.contains(KiocbFlags::NOWAIT) {
            truncate_to_cached(mapping, ops, iocb.pos, to)?;
        }
        let done = generic_file_read(mapping, ops, file.ra(), iocb.pos, to)?;
        iocb.pos += done as u64;
        Ok(done)
    }

    fn write_direct(&self, iocb: &Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let range = iocb.pos..iocb.pos + from.count() as u64;
        let done = match self.begin_write(iocb, from)? {
            Some((DirectWrite { io, flush }, _shared)) => self.bdev.end_write(range, flush, io.wait())?,
            None => 0,
        };
        self.write_rest(iocb, done, from)
    }

    /// None: all of it must go through the cache. EAGAIN for who may not wait, and finds a page there or a write
    /// through the cache.
    fn begin_write(
        &self,
        iocb: &Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<Option<(DirectWrite, ReadGuard<'_, ()>)>> {
        let device = &self.bdev.device;
        let shared = if iocb.flags.contains(KiocbFlags::NOWAIT) {
            let shared = self.bdev.write.try_read().ok_or(Errno::EAGAIN)?;
            if device.mapping().has_page(iocb.pos..iocb.pos + from.count() as u64) {
                return Err(Errno::EAGAIN);
            }
            shared
        } else {
            self.bdev.write.read()
        };
        let flags = if is_durable(iocb) { BioFlags::FUA } else { BioFlags::empty() };
        let begun = begin_direct_write(device.mapping(), device.ops(), iocb.pos, from, flags)?;
        Ok(begun.map(|write| (write, shared)))
    }

    /// Through the cache, after the `done` bytes that went around it.
    fn write_rest(&self, iocb: &Kiocb, done: usize, from: &mut IovIter<'_>) -> Result<usize> {
        if from.count() == 0 {
            return Ok(done);
        }
        let rest = match iocb.flags.contains(KiocbFlags::NOWAIT) {
            true => Err(Errno::EAGAIN),
            false => self.write_through_cache(iocb.pos + done as u64, from, is_durable(iocb)),
        };
        match rest {
            Ok(more) => Ok(done + more),
            Err(error) if done == 0 => Err(error),
            Err(_) => Ok(done),
        }
    }

    /// Lets go of a write whose bios are on their way: it ends in an interrupt if nothing is left to do that
    /// sleeps, else in the thread.
    fn leave(&self, write: DirectWrite, range: Range<u64>, end: IoEnd) {
        let (bdev, DirectWrite { io, flush }) = (self.bdev.clone(), write);
        io.then(move |done| {
            if flush || bdev.device.mapping().nrpages() > 0 {
                ENDS.queue(Box::new(move || end(bdev.end_write(range, flush, done))));
            } else {
                // Not the last use: the open file, which `end` lets go of, has one.
                drop(bdev);
                end(done);
            }
        });
    }

    /// Nothing is read behind the end.
    fn cut_read(&self, iocb: &Kiocb, to: &mut IovIter<'_>) {
        let room = self.bdev.device.size().saturating_sub(iocb.pos);
        to.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    }

    /// Nor written. EPERM, EBUSY; ENOSPC at the end.
    fn cut_write(&self, pos: u64, from: &mut IovIter<'_>) -> Result<()> {
        if self.bdev.device.disk().read_only() {
            return Err(Errno::EPERM);
        }
        self.bdev.check_free()?;
        let room = self.bdev.device.size().saturating_sub(pos);
        if room == 0 && from.count() > 0 {
            return Err(Errno::ENOSPC);
        }
        from.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        Ok(())
    }

    /// What O_DIRECT left over: on the disk, and not in the cache, when it returns.
    fn write_through_cache(&self, pos: u64, from: &mut IovIter<'_>, durable: bool) -> Result<usize> {
        let device = &self.bdev.device;
        let done = self.write_cached(pos, from)?;
        let range = pos..pos + done as u64;
        filemap_write_and_wait_range(device.mapping(), device.ops(), range.clone())?;
        // A page that is dirty again meanwhile stays, as it must.
        let _ = device.mapping().invalidate(range);
        if durable {
            device.flush()?;
        }
        Ok(done)
    }

    fn write_cached(&self, pos: u64, from: &mut IovIter<'_>) -> Result<usize> {
        let flusher = self.flusher.as_ref().ok_or(Errno::EBADF)?;
        flusher.check_alive()?;
        let ops = Throttled { device: self.bdev.device.ops(), flusher };
        let _alone = self.bdev.write.write();
        generic_perform_write(self.mapping_ref(), &ops, pos, from)
    }
}

impl FileOperations for BlockFile {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn direct(&self) -> bool {
        true
    }

    fn nowait(&self) -> bool {
        true
    }

    fn read_iter(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        self.cut_read(iocb, to);
        if to.count() == 0 {
            return Ok(0);
        }
        // The kernel's own memory (sendfile) goes through the cache.
        if iocb.flags.contains(KiocbFlags::DIRECT) && to.is_user() {
            return self.read_direct(file, iocb, to);
        }
        self.read_cached(file, iocb, to)
    }

    fn start_read(&self, file: &Arc<File>, iocb: &mut Kiocb, to: &mut IovIter<'_>, end: IoEnd) {
        self.cut_read(iocb, to);
        if to.count() == 0 || !iocb.flags.contains(KiocbFlags::DIRECT) {
            return end(self.read_iter(file, iocb, to));
        }
        match self.begin_read(iocb, to) {
            Ok(io) if to.count() == 0 => io.then(end),
            Ok(io) => end(self.finish_read(io, file, iocb, to)),
            Err(error) => end(Err(error)),
        }
    }

    fn start_write(&self, file: &Arc<File>, iocb: &mut Kiocb, from: &mut IovIter<'_>, end: IoEnd) {
        if !iocb.flags.contains(KiocbFlags::DIRECT) || ENDS.start().is_err() {
            return end(self.write_iter(file, iocb, from));
        }
        if let Err(error) = self.cut_write(iocb.pos, from) {
            return end(Err(error));
        }
        if from.count() == 0 {
            return end(Ok(0));
        }
        let range = iocb.pos..iocb.pos + from.count() as u64;
        let done = match self.begin_write(iocb, from).map(|begun| begun.map(|(write, _shared)| write)) {
            Ok(Some(write)) if from.count() == 0 => return self.leave(write, range, end),
            Ok(Some(DirectWrite { io, flush })) => self.bdev.end_write(range, flush, io.wait()),
            Ok(None) => Ok(0),
            Err(error) => Err(error),
        };
        end(done.and_then(|done| self.write_rest(iocb, done, from)));
    }

    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let start = iocb.pos;
        self.cut_write(start, from)?;
        if from.count() == 0 {
            return Ok(0);
        }
        let durable = is_durable(iocb);
        let done = if iocb.flags.contains(KiocbFlags::DIRECT) && from.is_user() {
            self.write_direct(iocb, from)?
        } else if iocb.flags.contains(KiocbFlags::NOWAIT) {
            return Err(Errno::EOPNOTSUPP);
        } else {
            let _plug = self.bdev.device.disk().plug();
            self.write_cached(start, from)?
        };
        iocb.pos = start + done as u64;
        if done > 0 && durable && !iocb.flags.contains(KiocbFlags::DIRECT) {
            self.sync_range(start, iocb.pos)?;
        }
        Ok(done)
    }

    /// Within the disk; holes are not known (`fixed_size_llseek`).
    fn llseek(&self, _file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        let size = self.bdev.device.size();
        match whence {
            Whence::Data | Whence::Hole => Err(Errno::EINVAL),
            _ => lseek::generic(pos, offset, whence, size, size),
        }
    }

    fn fsync(&self, _file: &File, start: u64, end: u64, _datasync: bool) -> Result<()> {
        self.sync_range(start, end.saturating_add(1))
    }

    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        Some(self.mapping_ref())
    }

    fn pages(&self) -> Option<Pages<'_>> {
        Some(Pages { mapping: self.mapping_ref(), ops: self.bdev.device.ops() })
    }

    fn mmap(&self, _file: &File) -> Result<Mmap> {
        Ok(Mmap::Pages { mapping: self.mapping_ref().clone(), ops: self.bdev.device.clone() })
    }

    fn fallocate(&self, _file: &File, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.allocate(mode, offset, len)
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        self.command(file, cmd, arg, caller)
    }
}

/// Whether what is written must be on the medium when the call returns.
fn is_durable(iocb: &Kiocb) -> bool {
    iocb.flags.contains(KiocbFlags::DSYNC)
}

/// The device's operations for a writer: who dirties too much waits.
struct Throttled<'a> {
    device: &'a dyn AddressSpaceOperations,
    flusher: &'a Bdi,
}

impl AddressSpaceOperations for Throttled<'_> {
    fn block_bits(&self) -> u32 {
        self.device.block_bits()
    }

    fn disk(&self) -> &Arc<Disk> {
        self.device.disk()
    }

    fn size(&self) -> u64 {
        self.device.size()
    }

    fn map(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        self.device.map(first, count, how)
    }

    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        self.device.write_end(mapping, page, pos, len, copied)
    }

    fn balance_dirty(&self, pages: usize) {
        writeback::balance_dirty_pages_ratelimited(self.flusher, pages);
    }
}
