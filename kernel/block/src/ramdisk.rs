//! A disk made of memory: the smallest driver there is. Each request is one memcpy per piece.
//!
//! ```
//! use base::{DevId, Sector, frame};
//! use block::{Bio, BioOp, Disk, RamDisk};
//! let ram = RamDisk::sparse(1 << 30);                   // 512 GiB that take no memory yet
//! let disk = Disk::new("ram0", DevId::new(1, 0), ram.clone(), "noop").unwrap();
//! let page = frame::alloc_zeroed().unwrap();
//! page.fill(0, 512, 7);
//! let mut bio = Bio::new(BioOp::Write, Sector(2));
//! bio.add(&page, 0, 512);
//! disk.submit_and_wait(bio).unwrap();
//! assert_eq!(ram.pages(), 1);
//! ```
//! # Memory
//! A page is taken when something is first written to it, and given back when all of it is discarded or
//! zeroed; a page that was never written reads as zeros. With no memory left a write is EIO, and the
//! disk says so. As in Linux, what is written stays in memory twice for a while: here, and in the page
//! cache of whoever wrote it.
//!
//! # How it works
//! Requests are gathered by `queue_request` and worked on in `commit`, on the submitter's own time, with
//! no lock of the queue held. The pages hang in a tree by chunks of 2 MiB. Its lock is held to look a page
//! up, not to copy it: a page that is discarded meanwhile lives until the copy is done.
//!
//! # Locking
//! `waiting`, then nothing; `pages`, then nothing. Both are `SpinLock`s. Neither is held while a
//! request completes or bytes are copied.
//!
//! Source: Linux, Documentation/admin-guide/blockdev/ramdisk.rst.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{Errno, Frame, PAGE_SIZE, PageIndex, Result, Sector, frame};
use sync::SpinLock;

use crate::bio::BioOp;
use crate::driver::{Driver, Limits};
use crate::in_flight::InFlight;
use crate::request::Request;

/// Pages in a chunk of the tree: a page of handles.
const CHUNK: u64 = 512;

/// Memory that serves as a disk.
pub struct RamDisk {
    pages: SpinLock<Pages>,
    /// Its size in bytes as it was made.
    len: u64,
    limits: Limits,
    waiting: SpinLock<VecDeque<InFlight>>,
}

#[derive(Default)]
struct Pages {
    chunks: BTreeMap<u64, Chunk>,
    /// The content was taken away.
    gone: bool,
}

struct Chunk {
    pages: Box<[Option<Frame>]>,
    /// How many are there.
    used: usize,
}

/// A piece of one page of the disk.
#[derive(Clone, Copy)]
struct Piece {
    page: PageIndex,
    offset: usize,
    len: usize,
}

impl RamDisk {
    /// A disk of zeros.
    pub fn sparse(sectors: u64) -> Arc<RamDisk> {
        RamDisk::make(sectors.saturating_mul(SECTOR_SIZE as u64), RamDisk::limits_of_memory())
    }

    /// A disk with this content; a last part of a sector is out of reach.
    pub fn new(bytes: Vec<u8>) -> Arc<RamDisk> {
        let limits = RamDisk::limits_of_memory();
        RamDisk::with_limits(bytes, Limits { physical_block_size: SECTOR_SIZE as u32, ..limits })
    }

    /// The same, pretending to be a device with these limits. Without the memory for it, a disk of no
    /// sectors.
    pub fn with_limits(bytes: Vec<u8>, limits: Limits) -> Arc<RamDisk> {
        let ram = RamDisk::make(bytes.len() as u64, limits);
        match ram.fill(0, &bytes) {
            Ok(()) => ram,
            Err(_) => RamDisk::make(0, limits),
        }
    }

    fn make(len: u64, limits: Limits) -> Arc<RamDisk> {
        let waiting = SpinLock::new(VecDeque::new());
        Arc::new(RamDisk { pages: SpinLock::default(), len, limits, waiting })
    }

    fn limits_of_memory() -> Limits {
        Limits {
            max_discard_sectors: u32::MAX,
            max_write_zeroes_sectors: u32::MAX,
            max_segment_size: u32::MAX,
            // Smaller pieces share a page.
            physical_block_size: PAGE_SIZE as u32,
            ..Limits::default()
        }
    }

    /// Puts bytes on the disk before anybody uses it, from byte `pos` on. Pages of zeros take no memory.
    /// ENOMEM; EIO past the end.
    pub fn fill(&self, pos: u64, bytes: &[u8]) -> Result<()> {
        let end = pos.checked_add(bytes.len() as u64).filter(|&end| end <= self.len).ok_or(Errno::EIO)?;
        let mut rest = bytes;
        for piece in pieces(pos, end) {
            let (head, tail) = rest.split_at(piece.len);
            if self.page(piece.page)?.is_some() || !is_zero(head) {
                self.page_to_write(piece)?.write(piece.offset, head);
            }
            rest = tail;
        }
        Ok(())
    }

    /// How many pages of memory it has taken.
    pub fn pages(&self) -> usize {
        self.pages.lock().chunks.values().map(|chunk| chunk.used).sum()
    }

    /// A copy of its content.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.pages.lock().gone {
            return bytes;
        }
        // As long as the vector it was made of, in a test; nobody else asks.
        bytes.resize(usize::try_from(self.len).unwrap_or(0), 0);
        for (page, out) in (0..).zip(bytes.chunks_mut(PAGE_SIZE)) {
            if let Ok(Some(frame)) = self.page(PageIndex(page)) {
                frame.read(0, out);
            }
        }
        bytes
    }

    /// Its content itself; the disk has none afterwards, and every request fails with EIO.
    pub fn take_bytes(&self) -> Vec<u8> {
        let bytes = self.bytes();
        // Dropped without the lock.
        let before = core::mem::replace(&mut *self.pages.lock(), Pages { gone: true, ..Pages::default() });
        drop(before);
        bytes
    }

    fn work(&self, request: &Request) -> Result<()> {
        let (start, end) = byte_range(request).ok_or(Errno::EIO)?;
        if end > self.len || self.pages.lock().gone {
            return Err(Errno::EIO);
        }
        match request.op() {
            BioOp::Flush => {}
            BioOp::Discard | BioOp::WriteZeroes => self.zero(start, end),
            BioOp::Read | BioOp::Write => {
                let mut pos = start;
                for vec in request.vecs() {
                    let end = pos + u64::from(vec.len);
                    self.transfer(request.op(), pos, end, &vec.frame, vec.offset as usize)?;
                    pos = end;
                }
            }
        }
        Ok(())
    }

    /// Between the disk's bytes and a page of somebody's.
    fn transfer(&self, op: BioOp, start: u64, end: u64, theirs: &Frame, mut at: usize) -> Result<()> {
        for piece in pieces(start, end) {
            let Piece { offset, len, .. } = piece;
            if op == BioOp::Write {
                self.page_to_write(piece)?.copy_from(offset, theirs, at, len);
            } else {
                match self.page(piece.page)? {
                    Some(page) => theirs.copy_from(at, &page, offset, len),
                    None => theirs.fill(at, len, 0),
                }
            }
            at += len;
        }
        Ok(())
    }

    /// Whole pages are given back.
    fn zero(&self, start: u64, end: u64) {
        let mut page = start;
        while page < end {
            let piece = piece_at(page, end);
            page += piece.len as u64;
            let found = self.pages.lock().get(piece.page).cloned();
            match found {
                Some(_) if piece.len == PAGE_SIZE => {
                    let freed = self.pages.lock().remove(piece.page);
                    drop(freed);
                }
                Some(frame) => frame.fill(piece.offset, piece.len, 0),
                None => {
                    // On to the next page that is there.
                    let next = self.pages.lock().next_from(piece.page);
                    page = next.map_or(end, |next| page.max(next.byte()));
                }
            }
        }
    }

    fn page(&self, page: PageIndex) -> Result<Option<Frame>> {
        let pages = self.pages.lock();
        if pages.gone { Err(Errno::EIO) } else { Ok(pages.get(page).cloned()) }
    }

    /// The page, which is taken now if it was not there.
    fn page_to_write(&self, piece: Piece) -> Result<Frame> {
        if let Some(frame) = self.page(piece.page)? {
            return Ok(frame);
        }
        // Also when all of it will be written: another writer may come to it before that.
        let fresh = frame::alloc_zeroed().inspect_err(|_| log::error!("RAM disk: no memory for a write"))?;
        Ok(self.pages.lock().get_or_insert(piece.page, fresh))
    }
}

impl Pages {
    fn get(&self, page: PageIndex) -> Option<&Frame> {
        self.chunks.get(&(page.0 / CHUNK))?.pages.get(slot(page))?.as_ref()
    }

    /// The one that is there, or else this.
    fn get_or_insert(&mut self, page: PageIndex, fresh: Frame) -> Frame {
        let empty = || Chunk { pages: (0..CHUNK).map(|_| None).collect(), used: 0 };
        let chunk = self.chunks.entry(page.0 / CHUNK).or_insert_with(empty);
        let slot = &mut chunk.pages[slot(page)];
        chunk.used += usize::from(slot.is_none());
        slot.get_or_insert(fresh).clone()
    }

    fn remove(&mut self, page: PageIndex) -> Option<Frame> {
        let chunk = self.chunks.get_mut(&(page.0 / CHUNK))?;
        let frame = chunk.pages.get_mut(slot(page))?.take()?;
        chunk.used -= 1;
        if chunk.used == 0 {
            self.chunks.remove(&(page.0 / CHUNK));
        }
        Some(frame)
    }

    /// The first page from this one on that may be there; not beyond the next chunk.
    fn next_from(&self, page: PageIndex) -> Option<PageIndex> {
        let (&chunk, _) = self.chunks.range(page.0 / CHUNK..).next()?;
        Some(PageIndex(page.0.max(chunk * CHUNK)))
    }
}

/// Eight bytes at a time: a boot may look at a large image.
fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0) && rest.iter().all(|&byte| byte == 0)
}

/// Below [`CHUNK`].
fn slot(page: PageIndex) -> usize {
    (page.0 % CHUNK) as usize
}

/// The bytes from `pos` on that lie in one page.
fn piece_at(pos: u64, end: u64) -> Piece {
    let page = PageIndex::of(pos);
    // Both below PAGE_SIZE, or equal to it.
    let offset = (pos - page.byte()) as usize;
    Piece { page, offset, len: (PAGE_SIZE - offset).min(usize::try_from(end - pos).unwrap_or(PAGE_SIZE)) }
}

/// A range of bytes, cut at pages.
fn pieces(mut pos: u64, end: u64) -> impl Iterator<Item = Piece> {
    core::iter::from_fn(move || {
        let piece = (pos < end).then(|| piece_at(pos, end))?;
        pos += piece.len as u64;
        Some(piece)
    })
}

/// The bytes a request covers.
fn byte_range(request: &Request) -> Option<(u64, u64)> {
    Some((request.sector().byte()?, request.end().byte()?))
}

impl Driver for RamDisk {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        Sector(self.len / SECTOR_SIZE as u64)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.waiting.lock().push_back(request);
        Ok(())
    }

    fn commit(&self) {
        loop {
            // Not in the loop's head, where the lock would be held throughout the body.
            let next = self.waiting.lock().pop_front();
            let Some(request) = next else { return };
            // Whatever it was, to the one who asked it is an I/O error.
            let result = self.work(&request).map_err(|_| Errno::EIO);
            request.complete(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bio::Bio;
    use crate::disk::Disk;
    use crate::testing::page_bio;
    use base::DevId;
    use proptest::prelude::*;

    fn disk(sectors: u64) -> (Arc<RamDisk>, Arc<Disk>) {
        let ram = RamDisk::sparse(sectors);
        (ram.clone(), Disk::new("ram9", DevId::new(1, 9), ram, "noop").unwrap())
    }

    #[test]
    fn memory_is_taken_by_writing_and_given_back_by_discarding() {
        let (ram, disk) = disk(1 << 40);
        for sector in [0, 8, 1 << 30, (1 << 40) - 8] {
            disk.submit_and_wait(page_bio(BioOp::Write, sector, 1, 7).0).unwrap();
            disk.submit_and_wait(page_bio(BioOp::Read, sector ^ 1 << 20, 1, 7).0).unwrap();
        }
        assert_eq!(ram.pages(), 4);
        let (bio, frames) = page_bio(BioOp::Read, (1 << 30) - 8, 2, 1);
        disk.submit_and_wait(bio).unwrap();
        let mut back = [1; 2];
        frames.iter().zip(&mut back).for_each(|(frame, back)| frame.read(100, core::slice::from_mut(back)));
        assert_eq!(back, [0, 7]);
        // All but the first half of the first page.
        let all = Bio::without_data(BioOp::Discard, Sector(4), u64::from(u32::MAX));
        disk.submit_and_wait(all).unwrap();
        assert_eq!(ram.pages(), 2);
        disk.submit_and_wait(Bio::without_data(BioOp::WriteZeroes, Sector(0), 8)).unwrap();
        assert_eq!(ram.pages(), 1);
    }

    #[test]
    fn zeros_that_are_loaded_take_no_memory() {
        let ram = RamDisk::sparse(64);
        let mut bytes = vec![0; 32768];
        bytes[5000] = 1;
        ram.fill(0, &bytes).unwrap();
        assert_eq!((ram.pages(), ram.bytes() == bytes), (1, true));
        assert_eq!(ram.fill(32767, &[1, 2]), Err(Errno::EIO));
    }

    proptest! {
        #[test]
        fn it_is_as_a_vector(steps in prop::collection::vec((0u8..4, 0u64..64, 1u64..40, any::<u8>()), 1..40)) {
            let (ram, disk) = disk(104);
            let mut model = vec![0u8; 104 * 512];
            for (op, sector, sectors, byte) in steps {
                let at = sector as usize * 512..(sector + sectors) as usize * 512;
                match op {
                    0 | 1 => {
                        let frame = frame::alloc_zeroed().unwrap();
                        frame.fill(0, PAGE_SIZE, byte);
                        let mut bio = Bio::new(BioOp::Write, Sector(sector));
                        for done in (0..sectors).step_by(8) {
                            bio.add(&frame, 0, 512 * (sectors - done).min(8) as u32);
                        }
                        disk.submit_and_wait(bio).unwrap();
                        model[at].fill(byte);
                    }
                    _ => {
                        let op = if op == 2 { BioOp::Discard } else { BioOp::WriteZeroes };
                        disk.submit_and_wait(Bio::without_data(op, Sector(sector), sectors)).unwrap();
                        model[at].fill(0);
                    }
                }
            }
            prop_assert!(ram.bytes() == model);
        }
    }
}
