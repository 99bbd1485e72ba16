//! Direct reads.
//!
//! Memory that a device must not write to, because it is a mapped file's, is filled by a read through the cache;
//! that also finds out where memory cannot be reached at all.

use base::{Errno, FileBlock, IovIter, Result};
use block::{BioFlags, BioOp};
use pagecache::{DirectIo, MapMode, Submitted, filemap_write_and_wait_range, is_aligned};
use vfs::{File, IoEnd, Kiocb, KiocbFlags};

use super::UnderWay;
use crate::file::RegularFile;
use crate::inode::Node;

/// A read whose bios are on their way.
struct Reading {
    io: Submitted,
    under_way: UnderWay,
    /// Bytes up to the end of the file: what comes of the last block behind it does not count.
    most: usize,
}

impl RegularFile {
    /// `read_iter` with O_DIRECT.
    pub(crate) fn read_direct(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let Some(reading) = self.node().begin_direct_read(iocb, to)? else {
            return self.read_cached(file, iocb, to);
        };
        self.finish_read(file, iocb, to, reading)
    }

    /// Waits for a read, and does through the cache what could not be done directly.
    fn finish_read(
        &self,
        file: &File,
        iocb: &mut Kiocb,
        to: &mut IovIter<'_>,
        reading: Reading,
    ) -> Result<usize> {
        let Reading { io, under_way, most } = reading;
        let done = io.wait().map(|n| n.min(most));
        drop(under_way);
        let left = to.count() > 0 && most > done.unwrap_or(0);
        let done = match done {
            // Not one page could be pinned.
            Err(Errno::EFAULT) if left => 0,
            done => done?,
        };
        iocb.pos += done as u64;
        self.node().accessed_by(file);
        if !left {
            return Ok(done);
        }
        match self.read_cached(file, iocb, to) {
            Ok(more) => Ok(done + more),
            Err(error) if done == 0 => Err(error),
            Err(_) => Ok(done),
        }
    }

    /// The same for who does not wait.
    pub(crate) fn start_read_direct(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>, end: IoEnd) {
        match self.node().begin_direct_read(iocb, to) {
            Ok(Some(reading)) if to.count() > 0 => end(self.finish_read(file, iocb, to, reading)),
            Ok(Some(Reading { io, under_way, most })) => {
                self.node().accessed_by(file);
                io.then(move |done| {
                    drop(under_way);
                    end(done.map(|n| n.min(most)));
                });
            }
            Ok(None) => end(self.read_cached(file, iocb, to)),
            Err(error) => end(Err(error)),
        }
    }
}

impl Node {
    /// None: through the cache.
    fn begin_direct_read(&self, iocb: &Kiocb, to: &mut IovIter<'_>) -> Result<Option<Reading>> {
        let nowait = iocb.flags.contains(KiocbFlags::NOWAIT);
        let _shared = match nowait {
            true => self.rwsem().try_read().ok_or(Errno::EAGAIN)?,
            false => self.rwsem().read(),
        };
        if !self.can_direct() {
            return Ok(None);
        }
        let disk = self.fs().device().disk();
        let aligned = is_aligned(disk, iocb.pos, to);
        let left = self.size().saturating_sub(iocb.pos);
        if left > 0 && self.mapping().nrpages() > 0 {
            let range = iocb.pos..iocb.pos.saturating_add(to.count() as u64);
            if nowait && self.mapping().needs_writeback(range.clone()) {
                return Err(Errno::EAGAIN);
            }
            filemap_write_and_wait_range(self.mapping(), self, range)?;
        }
        // The last block is read whole.
        let whole = left.checked_next_multiple_of(u64::from(disk.logical_block_size())).unwrap_or(left);
        to.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
        let under_way = UnderWay::begin(self)?;
        let map = |first: FileBlock, count| self.map_blocks(first, count, MapMode::Read);
        let io = DirectIo {
            disk,
            block_bits: self.fs().geometry().block_bits,
            op: BioOp::Read,
            flags: BioFlags::empty(),
            map: &map,
            size: u64::MAX,
            aligned,
        };
        let io = io.submit(iocb.pos, to);
        Ok(Some(Reading { io, under_way, most: usize::try_from(left).unwrap_or(usize::MAX) }))
    }
}
