//! From blocks of pages to bios: neighbours on the disk travel together.
//!
//! A [`BioBuilder`] is fed blocks one after the other; as long as each lies behind the last on the
//! disk they become one bio of many segments, up to 1 MiB. Several pages share a bio, and a page with
//! small blocks may need several bios: the page counts its parts and is done with the last.
//!
//! # Locking
//! The end of a bio runs in an interrupt, perhaps before `submit` returns: it changes heads (atomics),
//! takes the tree lock of the mapping and wakes. A builder with blocks in it must be submitted
//! before its owner sleeps for anything that another's I/O or page lock may hold up:
//! the blocks in it are promised to be on their way.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use base::{Errno, FsBlock, PAGE_SIZE, RateLimit, Result, Sector};
use block::{Bio, BioFlags, BioOp, Disk};

use crate::head;
use crate::page::{self, Page};
use crate::unwritten::UnwrittenIo;

/// Most bytes in a bio; the block layer cuts what the device cannot take at once.
const MAX_BYTES: usize = 1 << 20;

/// A failing disk has much to say.
static FAILED: RateLimit = RateLimit::new();

/// What becomes of a page when its I/O is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The read owns the page lock: unlock.
    Unlock,
    /// Somebody holds the lock and waits: wake.
    Wake,
    /// A write: writeback ends.
    EndWriteback,
}

/// A page's part of a bio.
pub(crate) struct Piece {
    page: Arc<Page>,
    /// Which of its heads, as bits.
    heads: u8,
    /// Reads: bytes of the page from here on lie past the end of the file and become zeros.
    zero_from: usize,
}

struct Open {
    bio: Bio,
    /// Whose blocks it writes, if they are unwritten.
    unwritten: Option<Arc<UnwrittenIo>>,
    next: Sector,
    bytes: usize,
    pieces: Vec<Piece>,
}

/// Collects blocks into bios; see the module.
pub(crate) struct BioBuilder<'a> {
    disk: &'a Arc<Disk>,
    op: BioOp,
    flags: BioFlags,
    then: Then,
    open: Option<Open>,
}

impl<'a> BioBuilder<'a> {
    pub(crate) fn read(disk: &'a Arc<Disk>, flags: BioFlags, then: Then) -> Self {
        BioBuilder { disk, op: BioOp::Read, flags, then, open: None }
    }

    pub(crate) fn write(disk: &'a Arc<Disk>, flags: BioFlags) -> Self {
        BioBuilder { disk, op: BioOp::Write, flags, then: Then::EndWriteback, open: None }
    }

    /// Appends block `head` of a page, which lies at `block` on the disk. EIO when the disk cannot
    /// have such a block.
    pub(crate) fn add(
        &mut self,
        page: &Arc<Page>,
        head: usize,
        block: FsBlock,
        zero_from: usize,
    ) -> Result<()> {
        self.add_of(None, page, head, block, zero_from)
    }

    /// The same of a block that is unwritten as long as `unwritten` is under way.
    #[inline]
    pub(crate) fn add_of(
        &mut self,
        unwritten: Option<&Arc<UnwrittenIo>>,
        page: &Arc<Page>,
        head: usize,
        block: FsBlock,
        zero_from: usize,
    ) -> Result<()> {
        let size = 1usize << page.block_bits();
        let sector = block.sector(page.block_bits()).ok_or(Errno::EIO)?;
        let sectors = (size / base::units::SECTOR_SIZE) as u64;
        let next = sector.checked_add(sectors).ok_or(Errno::EIO)?;
        let same = |o: &Open| o.unwritten.as_ref().map(Arc::as_ptr) == unwritten.map(Arc::as_ptr);
        let fits = |o: &Open| o.next == sector && o.bytes + size <= MAX_BYTES && same(o);
        if self.open.as_ref().is_some_and(|open| !fits(open)) {
            self.submit();
        }
        let (op, flags) = (self.op, self.flags);
        let open = self.open.get_or_insert_with(|| {
            let mut bio = Bio::new(op, sector);
            bio.flags = flags;
            Open { bio, unwritten: unwritten.cloned(), next: sector, bytes: 0, pieces: Vec::new() }
        });
        // Both fit: they are within a page.
        open.bio.add(page.frame(), (head * size) as u32, size as u32);
        open.next = next;
        open.bytes += size;
        match open.pieces.last_mut() {
            Some(last) if Arc::ptr_eq(&last.page, page) => last.heads |= 1 << head,
            _ => {
                match self.then {
                    Then::EndWriteback => page.get_write(),
                    Then::Unlock | Then::Wake => page.get_read(),
                }
                open.pieces.push(Piece { page: page.clone(), heads: 1 << head, zero_from });
            }
        }
        Ok(())
    }

    /// Sends off what was collected.
    pub(crate) fn submit(&mut self) {
        let Some(Open { bio, unwritten, pieces, .. }) = self.open.take() else { return };
        let bio = match unwritten {
            None => {
                let then = self.then;
                bio.end_io(move |result| end(pieces, then, result))
            }
            Some(unwritten) => {
                unwritten.expect_part();
                bio.end_io(move |result| match result {
                    Ok(()) => unwritten.add_part(pieces),
                    Err(_) => end_writing(pieces, result),
                })
            }
        };
        self.disk.submit_bio(bio);
    }
}

impl Drop for BioBuilder<'_> {
    fn drop(&mut self) {
        self.submit();
    }
}

/// The I/O of these pages is over.
fn end(pieces: Vec<Piece>, then: Then, result: Result<()>) {
    if let (Err(error), Some(first)) = (result, pieces.first()) {
        failed(then, &first.page, pieces.len(), error);
    }
    for piece in pieces {
        piece.end(then, result);
    }
}

/// The same of writing.
pub(crate) fn end_writing(pieces: Vec<Piece>, result: Result<()>) {
    end(pieces, Then::EndWriteback, result);
}

/// The log hears of the error, and the file of one in writing.
fn failed(then: Then, first: &Page, pages: usize, error: Errno) {
    let writing = then == Then::EndWriteback;
    if writing && let Some(mapping) = first.mapping() {
        mapping.wb_err().set(error);
    }
    if let Some(missed) = FAILED.admit() {
        let of = if first.is_metadata() { "the disk's metadata" } else { "a file" };
        let (what, then) = if writing { ("writing", "; they stay dirty") } else { ("reading", "") };
        let index = first.index();
        log::warn!("{what} {pages} pages of {of} from page {index} on failed: {error}{then}{missed}");
    }
}

impl Piece {
    /// The blocks of the file, neighbours as one.
    #[inline]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<u64>> {
        let (mut heads, mut at) = (u32::from(self.heads), self.page.first_block().0);
        core::iter::from_fn(move || {
            if heads == 0 {
                return None;
            }
            let gap = heads.trailing_zeros();
            let len = (heads >> gap).trailing_ones();
            heads >>= gap + len;
            let start = at + u64::from(gap);
            at = start + u64::from(len);
            Some(start..at)
        })
    }

    fn each_head(&self, f: impl Fn(&head::BufferHead)) {
        for (i, head) in self.page.heads().iter().enumerate() {
            if self.heads & 1 << i != 0 {
                f(head);
            }
        }
    }

    fn end(self, then: Then, result: Result<()>) {
        match then {
            Then::EndWriteback => self.end_write(result),
            Then::Unlock | Then::Wake => self.end_read(then, result),
        }
    }

    fn end_read(self, then: Then, result: Result<()>) {
        let page = &self.page;
        match result {
            Ok(()) => {
                if self.zero_from < PAGE_SIZE {
                    page.frame().fill(self.zero_from, PAGE_SIZE - self.zero_from, 0);
                }
                self.each_head(|head| {
                    head.set(head::UPTODATE);
                });
            }
            Err(_) => {
                page.state().fetch_or(page::ERROR, Ordering::AcqRel);
            }
        }
        if page.put_read() {
            match then {
                Then::Unlock => page.end_read(),
                _ => {
                    page.clear_and_wake(0);
                }
            }
        }
    }

    fn end_write(self, result: Result<()>) {
        let page = &self.page;
        if result.is_err() {
            self.each_head(|head| head.write_failed());
            page.state().fetch_or(page::ERROR | page::WRITE_FAILED, Ordering::AcqRel);
        }
        self.each_head(|head| {
            head.clear(head::WRITING | head::UNWRITTEN);
        });
        page.put_write();
    }
}
