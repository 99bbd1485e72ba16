//! A bio: one transfer between pages and a run of sectors, and the function to call when it is over.
//!
//! # How to use it
//! ```
//! # use base::{Sector, frame};
//! # use block::{Bio, BioFlags, BioOp, Disk, RamDisk};
//! # let disk = Disk::new("ram9", base::DevId::new(1, 9), RamDisk::new(vec![0; 8192]), "noop").unwrap();
//! let page = frame::alloc_zeroed().unwrap();
//! let mut bio = Bio::new(BioOp::Write, Sector(8));
//! bio.flags |= BioFlags::SYNC;
//! bio.add(&page, 0, 4096);
//! disk.submit_bio(bio.end_io(|result| assert_eq!(result, Ok(()))));
//! ```
//!
//! # What the caller must not do
//! Hold, while submitting, a lock that `end_io` takes: a refused bio, an empty flush, a RAM disk or
//! merely a fast interrupt runs it before `submit_bio` returns. And in `end_io` itself, which may
//! run in an interrupt: sleep, or take anything but a `SpinLock`.
//!
//! # Invariants
//! 1. `end_io` runs exactly once. A bio that is dropped before it was completed ends with EIO.
//! 2. The pages live as long as the bio; when `end_io` runs, the bio has let go of them.
//! 3. Only a bio that passed [`Bio::check`] travels further: whole sectors, every segment within its
//!    page, a range that fits in 64 bits.

use alloc::boxed::Box;
use core::fmt;

use base::units::SECTOR_SIZE;
use base::{Errno, Frame, PAGE_SIZE, Result, Sector};
use bitflags::bitflags;
use smallvec::SmallVec;

use crate::wait::Counter;

/// What is to be done with the sectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BioOp {
    /// Disk to pages.
    Read,
    /// Pages to disk.
    Write,
    /// No sectors: make everything that was completed before durable.
    Flush,
    /// The sectors' content is no longer needed.
    Discard,
    /// The sectors shall read as zeros.
    WriteZeroes,
}

/// Reads and everything else: the two sides that statistics and elevators tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// [`BioOp::Read`].
    Read,
    /// All that changes the disk.
    Write,
}

impl BioOp {
    /// The side this operation is counted on.
    pub const fn direction(self) -> Direction {
        match self {
            BioOp::Read => Direction::Read,
            _ => Direction::Write,
        }
    }

    /// Whether it moves bytes between pages and the disk.
    pub const fn has_data(self) -> bool {
        matches!(self, BioOp::Read | BioOp::Write)
    }
}

bitflags! {
    /// How a bio wants to be treated (Linux `REQ_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct BioFlags: u8 {
        /// Somebody waits for it.
        const SYNC = 1;
        /// Metadata of a file system.
        const META = 2;
        /// Flush the device's cache before the data is written.
        const PREFLUSH = 4;
        /// The data is on stable storage when the bio ends.
        const FUA = 8;
        /// Read ahead: nobody waits yet.
        const RAHEAD = 16;
        /// A write-zeroes keeps the room on the device (Linux `REQ_NOUNMAP`).
        const NOUNMAP = 32;
    }
}

/// A piece of a page.
#[derive(Clone)]
pub struct BioVec {
    /// The page.
    pub frame: Frame,
    /// First byte within it.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

impl BioVec {
    /// Where the piece begins for a device.
    pub fn phys(&self) -> u64 {
        self.frame.phys().0 + u64::from(self.offset)
    }
}

/// What is to be done when a bio is over.
pub(crate) enum EndIo {
    /// Call this.
    Call(Box<dyn FnOnce(Result<()>) + Send>),
    /// Count down here: who waits for bios needs no box for each.
    Count(Counter),
}

impl EndIo {
    pub(crate) fn run(self, result: Result<()>) {
        match self {
            EndIo::Call(end) => end(result),
            EndIo::Count(counter) => counter.ended(result),
        }
    }
}

/// A one-page bio needs no list of its own.
pub(crate) type Vecs = SmallVec<[BioVec; 1]>;

/// One transfer that has not begun. It is passed on by value many times, so most of it is boxed.
pub struct Bio {
    /// How it wants to be treated.
    pub flags: BioFlags,
    body: Box<Body>,
}

struct Body {
    op: BioOp,
    sector: Sector,
    /// Bytes that `vecs` add up to, or that a discard covers.
    bytes: u64,
    vecs: Vecs,
    end_io: Option<EndIo>,
}

impl Bio {
    /// An empty bio at `sector`.
    pub fn new(op: BioOp, sector: Sector) -> Bio {
        let body = Body { op, sector, bytes: 0, vecs: Vecs::new(), end_io: None };
        Bio { flags: BioFlags::empty(), body: Box::new(body) }
    }

    /// A bio without data over `sectors`: discard or write-zeroes.
    pub fn without_data(op: BioOp, sector: Sector, sectors: u64) -> Bio {
        let mut bio = Bio::new(op, sector);
        bio.body.bytes = sectors.saturating_mul(SECTOR_SIZE as u64);
        bio
    }

    /// Appends `len` bytes of `frame` from `offset` on. A piece that continues the last one in the
    /// same page becomes part of it.
    pub fn add(&mut self, frame: &Frame, offset: u32, len: u32) {
        self.body.bytes += u64::from(len);
        if let Some(last) = self.body.vecs.last_mut()
            && last.frame.same(frame)
            && last.offset.checked_add(last.len) == Some(offset)
        {
            last.len += len;
            return;
        }
        self.body.vecs.push(BioVec { frame: frame.clone(), offset, len });
    }

    /// Sets what runs when the bio is over: once, perhaps in an interrupt, so it may take spin
    /// locks, wake threads and drop things, no more. Replaces what was set before.
    pub fn end_io(mut self, end: impl FnOnce(Result<()>) + Send + 'static) -> Bio {
        self.body.end_io = Some(EndIo::Call(Box::new(end)));
        self
    }

    /// The same, of those that count.
    pub(crate) fn end_at(mut self, end: EndIo) -> Bio {
        self.body.end_io = Some(end);
        self
    }

    /// What it does.
    pub fn op(&self) -> BioOp {
        self.body.op
    }

    /// Its first sector.
    pub fn sector(&self) -> Sector {
        self.body.sector
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.body.bytes
    }

    /// Whether it covers no byte, as a flush.
    pub fn is_empty(&self) -> bool {
        self.body.bytes == 0
    }

    /// Its length in sectors.
    pub fn sectors(&self) -> u64 {
        self.body.bytes / SECTOR_SIZE as u64
    }

    /// The first sector behind it.
    pub fn end(&self) -> Sector {
        Sector(self.body.sector.0.saturating_add(self.sectors()))
    }

    /// Its pieces of pages, in the order of the sectors.
    pub fn vecs(&self) -> &[BioVec] {
        &self.body.vecs
    }

    /// Whether it is well formed (invariant 3), for a disk with this logical block size. EINVAL.
    pub(crate) fn check(&self, block_size: u32) -> Result<()> {
        let block = u64::from(block_size);
        let block_sectors = block / SECTOR_SIZE as u64;
        let whole = self.body.bytes.is_multiple_of(block) && self.body.sector.0.is_multiple_of(block_sectors);
        let in_pages = self.body.vecs.iter().all(|v| {
            let end = u64::from(v.offset) + u64::from(v.len);
            v.len > 0 && end <= PAGE_SIZE as u64
        });
        let form = match self.body.op {
            BioOp::Read | BioOp::Write => {
                !self.body.vecs.is_empty() || self.flags.contains(BioFlags::PREFLUSH)
            }
            BioOp::Flush => self.body.bytes == 0,
            BioOp::Discard | BioOp::WriteZeroes => self.body.vecs.is_empty() && self.body.bytes > 0,
        };
        let fits = self.body.sector.checked_add(self.sectors()).is_some();
        if whole && in_pages && form && fits { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Cuts `bytes` (whole sectors, fewer than it has) off the front: a bio of the same kind without
    /// an `end_io`. What stays begins where the cut was.
    pub(crate) fn cut_front(&mut self, bytes: u64) -> Bio {
        let mut front = Bio::new(self.body.op, self.body.sector);
        (front.flags, front.body.bytes) = (self.flags, bytes);
        let mut left = bytes;
        let mut whole = 0;
        for vec in &mut self.body.vecs {
            if u64::from(vec.len) > left {
                // `left` is below `vec.len`, a u32.
                let part = left as u32;
                if part > 0 {
                    front.body.vecs.push(BioVec { len: part, ..vec.clone() });
                    vec.offset += part;
                    vec.len -= part;
                }
                break;
            }
            left -= u64::from(vec.len);
            whole += 1;
            front.body.vecs.push(vec.clone());
            if left == 0 {
                break;
            }
        }
        self.body.vecs.drain(..whole);
        self.body.sector = front.end();
        self.body.bytes -= bytes;
        front
    }

    /// Moves it from a partition, whose first sector this is, to the disk. The range was checked
    /// against the partition, which lies within the disk.
    pub(crate) fn remap(&mut self, start: Sector) {
        if self.body.op != BioOp::Flush {
            self.body.sector = Sector(self.body.sector.0 + start.0);
        }
    }

    /// Keeps the first `bytes` (whole sectors, at most what it has) and lets go of the rest.
    pub fn truncate(&mut self, bytes: u64) {
        if bytes < self.body.bytes {
            let front = self.cut_front(bytes);
            let end = self.take_end_io();
            *self = front;
            self.body.end_io = end;
        }
    }

    /// Takes the function away, for a chain that calls it later.
    pub(crate) fn take_end_io(&mut self) -> Option<EndIo> {
        self.body.end_io.take()
    }

    /// The bio is over: lets go of the pages, then runs `end_io`.
    pub(crate) fn complete(mut self, result: Result<()>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<()>) {
        self.body.vecs.clear();
        if let Some(end) = self.body.end_io.take() {
            end.run(result);
        }
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        self.finish(Err(Errno::EIO));
    }
}

impl fmt::Debug for Bio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {}+{} {:?} in {} pieces",
            self.body.op,
            self.body.sector,
            self.sectors(),
            self.flags,
            self.body.vecs.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::frame;
    use std::sync::{Arc, Mutex};

    fn lens(bio: &Bio) -> std::vec::Vec<(u32, u32)> {
        bio.vecs().iter().map(|v| (v.offset, v.len)).collect()
    }

    #[test]
    fn neighbours_within_a_page_become_one_piece() {
        let page = frame::alloc_zeroed().unwrap();
        let mut bio = Bio::new(BioOp::Write, Sector(0));
        bio.add(&page, 0, 1024);
        bio.add(&page, 1024, 1024);
        bio.add(&page, 3072, 1024);
        assert_eq!(lens(&bio), [(0, 2048), (3072, 1024)]);
        assert_eq!((bio.len(), bio.sectors(), bio.end()), (3072, 6, Sector(6)));
    }

    #[test]
    fn a_cut_divides_a_piece() {
        let (a, b) = (frame::alloc_zeroed().unwrap(), frame::alloc_zeroed().unwrap());
        let mut bio = Bio::new(BioOp::Read, Sector(10));
        bio.add(&a, 0, 4096);
        bio.add(&b, 0, 4096);
        let front = bio.cut_front(4096 + 512);
        assert_eq!(lens(&front), [(0, 4096), (0, 512)]);
        assert_eq!(lens(&bio), [(512, 3584)]);
        assert_eq!(
            (front.sector(), front.end(), bio.sector(), bio.end()),
            (Sector(10), Sector(19), Sector(19), Sector(26))
        );
        let exact = bio.cut_front(512);
        assert_eq!((lens(&exact), lens(&bio)), (vec![(512, 512)], vec![(1024, 3072)]));
    }

    #[test]
    fn what_is_truncated_is_let_go_of() {
        let (a, b) = (frame::alloc_zeroed().unwrap(), frame::alloc_zeroed().unwrap());
        let mut bio = Bio::new(BioOp::Read, Sector(10));
        bio.add(&a, 0, 4096);
        bio.add(&b, 0, 4096);
        bio.truncate(9999);
        assert_eq!(bio.sectors(), 16);
        bio.truncate(512);
        assert_eq!((lens(&bio), bio.sector(), bio.sectors()), (vec![(0, 512)], Sector(10), 1));
        assert_eq!((a.handles(), b.handles()), (2, 1));
    }

    #[test]
    fn malformed_bios_are_refused() {
        let page = frame::alloc_zeroed().unwrap();
        let bio = |sector, offset, len| {
            let mut bio = Bio::new(BioOp::Read, Sector(sector));
            bio.add(&page, offset, len);
            bio
        };
        assert_eq!(bio(0, 0, 512).check(512), Ok(()));
        assert_eq!(bio(0, 0, 100).check(512), Err(Errno::EINVAL));
        assert_eq!(bio(0, 3840, 512).check(512), Err(Errno::EINVAL));
        assert_eq!(bio(0, u32::MAX, 512).check(512), Err(Errno::EINVAL));
        assert_eq!(bio(1, 0, 4096).check(4096), Err(Errno::EINVAL));
        assert_eq!(bio(8, 0, 4096).check(4096), Ok(()));
        assert_eq!(bio(u64::MAX, 0, 512).check(512), Err(Errno::EINVAL));
        assert_eq!(Bio::new(BioOp::Read, Sector(0)).check(512), Err(Errno::EINVAL));
        assert_eq!(Bio::new(BioOp::Flush, Sector(0)).check(512), Ok(()));
        assert_eq!(Bio::without_data(BioOp::Discard, Sector(0), 8).check(4096), Ok(()));
    }

    #[test]
    fn end_io_runs_once_even_when_the_bio_is_dropped() {
        let seen = Arc::new(Mutex::new(vec![]));
        let bio = |seen: &Arc<Mutex<std::vec::Vec<Result<()>>>>| {
            let seen = seen.clone();
            Bio::new(BioOp::Flush, Sector(0)).end_io(move |r| seen.lock().unwrap().push(r))
        };
        bio(&seen).complete(Ok(()));
        drop(bio(&seen));
        assert_eq!(*seen.lock().unwrap(), [Ok(()), Err(Errno::EIO)]);
    }
}
