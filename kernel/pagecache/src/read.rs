//! Reading through the cache.
//!
//! ```text
//!   generic_file_read      page by page: find it, or read_pages() a window around it; copy out
//!   read_pages             lock fresh pages in ascending order, ask `map` once per extent, feed a
//!                          BioBuilder; holes and unwritten runs become zeros without I/O
//!   end of the bio         blocks uptodate, page unlocked; a reader that waits goes on
//! ```
//! # Locking
//! A reader holds no page lock while it copies: what it sees of a write that runs at the same time is
//! old or new bytes, as POSIX leaves it for ranges that cross pages and Linux for all.
//! `i_size` is asked *after* a page is in the tree and locked: a truncate that came before is seen
//! here, one that comes after finds the page and takes it away. So no block behind the end is mapped.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use base::{Errno, FileBlock, Frame, FsBlock, IovIter, PAGE_SIZE, PageIndex, Result};
use block::BioFlags;

use crate::head;
use crate::inline;
use crate::io::{BioBuilder, Then};
use crate::mapping::{AddressSpace, BATCH, Batch, Why, page_range};
use crate::ops::{AddressSpaceOperations, Extent, ExtentKind, MapMode};
use crate::page::{self, LockedPage, Page};
use crate::readahead::{self, FileRa, Pattern, Window};

/// Bytes read from `pos` on, 0 at or past i_size; short where the program's memory ends. EFAULT or
/// EIO only when nothing was read.
///
/// `ra` is the open file's; a page that the file's last read ended in does not count as used once more.
pub fn generic_file_read(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    ra: &FileRa,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Result<usize> {
    let mut at = pos;
    let mut status = Ok(());
    let before = ra.last();
    let mut ahead = Ahead::default();
    while iter.count() > 0 && at < ops.size() {
        let index = PageIndex::of(at);
        // Below the page size, so it fits.
        let offset = (at % PAGE_SIZE as u64) as usize;
        let want = (offset + iter.count()).div_ceil(PAGE_SIZE) as u64;
        let found =
            ahead.take(mapping, index, want).map_or_else(|| uptodate_page(mapping, ops, ra, index, want), Ok);
        let page = match found {
            Ok(page) => page,
            // A truncate came in between.
            Err(_) if at >= ops.size() => break,
            Err(error) => {
                status = Err(error);
                break;
            }
        };
        // The size once more, now that the page is uptodate: what is copied lies within the file.
        let left = ops.size().saturating_sub(at);
        let len = (PAGE_SIZE - offset).min(iter.count()).min(usize::try_from(left).unwrap_or(usize::MAX));
        if index.0 != before {
            page.mark_accessed();
        }
        let copied = page.copy_to_iter(iter, offset, len);
        at += copied as u64;
        if copied < len {
            status = Err(Errno::EFAULT);
            break;
        }
    }
    if at == pos {
        return status.map(|()| 0);
    }
    ra.set_last((at - 1) / PAGE_SIZE as u64);
    usize::try_from(at - pos).map_err(|_| Errno::EOVERFLOW)
}

/// At most `len` bytes from `pos` on as handles to the pages they are in: `sink` gets frame, offset and length,
/// and says whether it takes more. The bytes of a page may change as long as a handle is held, like those of
/// a mapped one. The errors are those of a read (`filemap_splice_read`).
pub fn filemap_splice_read(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    ra: &FileRa,
    pos: u64,
    len: usize,
    sink: &mut dyn FnMut(Frame, usize, usize) -> bool,
) -> Result<usize> {
    let mut done = 0;
    while done < len {
        let at = pos.saturating_add(done as u64);
        // Below the page size, so it fits.
        let offset = (at % PAGE_SIZE as u64) as usize;
        let want = (offset + len - done).div_ceil(PAGE_SIZE) as u64;
        if at >= ops.size() {
            break;
        }
        let page = match uptodate_page(mapping, ops, ra, PageIndex::of(at), want) {
            Ok(page) => page,
            Err(_) if done > 0 || at >= ops.size() => break,
            Err(error) => return Err(error),
        };
        let left = usize::try_from(ops.size().saturating_sub(at)).unwrap_or(usize::MAX);
        let part = (PAGE_SIZE - offset).min(len - done).min(left);
        if part == 0 {
            break;
        }
        page.mark_accessed();
        ra.set_last(page.index().0);
        done += part;
        if !sink(page.frame().clone(), offset, part) {
            break;
        }
    }
    Ok(done)
}

/// Pages that a read of several will come to, found under one hold of the tree lock
/// (`filemap_get_read_batch`).
#[derive(Default)]
struct Ahead {
    /// The last one comes first.
    pages: Batch,
}

impl Ahead {
    /// The page, if it is cached, uptodate and no mark for readahead; `want` pages from it on will be
    /// read.
    fn take(&mut self, mapping: &AddressSpace, index: PageIndex, want: u64) -> Option<Arc<Page>> {
        const ASKED: u32 = page::UPTODATE | page::ATTACHED | page::READAHEAD;
        if self.pages.is_empty() {
            if want == 1 {
                return None;
            }
            let most = want.min(BATCH as u64) - 1;
            self.pages = mapping.batch(index.0, index.0.saturating_add(most), None);
            self.pages.reverse();
        }
        let page = self.pages.pop()?;
        let usable = page.state().load(Ordering::Acquire) & ASKED == page::UPTODATE | page::ATTACHED;
        (usable && page.index() == index).then_some(page)
    }
}

/// The page, read in and uptodate. EIO when it cannot be read; EINVAL when it lies wholly past
/// i_size; ENOMEM.
pub fn read_mapping_page(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    index: PageIndex,
) -> Result<Arc<Page>> {
    if index.0 >= ops.size().div_ceil(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let page = uptodate_page(mapping, ops, mapping.ra(), index, 1)?;
    page.mark_accessed();
    mapping.ra().set_last(index.0);
    Ok(page)
}

/// The same for a page fault of a program that has mapped an open file and reads it by `pattern`: on a
/// miss the pages around it are read too (`filemap_fault`). And whether it was not there, which makes the
/// fault a major one.
pub fn filemap_fault(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    ra: &FileRa,
    index: PageIndex,
    pattern: Pattern,
) -> Result<(Arc<Page>, bool)> {
    if index.0 >= ops.size().div_ceil(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let found = mapping.find_get_page(index);
    let major = found.is_none();
    if let Some(page) = found {
        ra.fault_hit();
        if page.state().load(Ordering::Acquire) & (page::UPTODATE | page::READAHEAD) == page::UPTODATE {
            page.mark_accessed();
            return Ok((page, false));
        }
    } else if pattern == Pattern::Random {
        // Even where it looks as if somebody read one after the other.
        read_pages(mapping, ops, Window { start: index.0, count: 1, mark: None }, BioFlags::SYNC)?;
    } else if pattern != Pattern::Sequential
        && let Some(window) = ra.on_fault(index.0, pattern, ops.disk())
    {
        read_pages(mapping, ops, window, BioFlags::SYNC)?;
    }
    let page = uptodate_page(mapping, ops, ra, index, 1)?;
    page.mark_accessed();
    ra.set_last(index.0);
    Ok((page, major))
}

/// Page `index`, uptodate; `want` pages from it on will be read.
#[inline]
fn uptodate_page(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    ra: &FileRa,
    index: PageIndex,
    want: u64,
) -> Result<Arc<Page>> {
    if let Some(page) = mapping.find_get_page(index)
        && page.state().load(Ordering::Acquire) & (page::UPTODATE | page::READAHEAD) == page::UPTODATE
    {
        return Ok(page);
    }
    uptodate_page_slow(mapping, ops, ra, index, want)
}

#[cold]
fn uptodate_page_slow(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    ra: &FileRa,
    index: PageIndex,
    want: u64,
) -> Result<Arc<Page>> {
    // A page that another truncates away while it is waited for is looked up again.
    loop {
        let page = match mapping.find_get_page(index) {
            Some(page) => page,
            None if index.byte() >= ops.size() => return Err(Errno::EINVAL),
            None => {
                let history = |most| mapping.cached_before(index.0, most);
                let window = ra.on_miss(index.0, want, ops.disk(), history);
                read_pages(mapping, ops, window, BioFlags::SYNC)?;
                match mapping.find_get_page(index) {
                    Some(page) => page,
                    None => continue,
                }
            }
        };
        if page.has(page::READAHEAD) {
            page.clear_and_wake(page::READAHEAD);
            let next_miss = |most| mapping.first_gap(index.0, most);
            if let Some(window) = ra.on_mark(index.0, want, ops.disk(), next_miss) {
                // Nobody asked for these pages yet; who does will meet the error himself.
                let _ = read_pages(mapping, ops, window, BioFlags::RAHEAD);
            }
        }
        page.wait_unlocked();
        if page.is_uptodate() {
            return Ok(page);
        }
        if let Some(page) = read_again(page, ops)? {
            return Ok(page);
        }
    }
}

/// Begins to read a byte range that will be wanted soon (readahead(2)), as far as the disk's limits go.
/// Errors are met by who reads.
pub fn force_readahead(mapping: &AddressSpace, ops: &dyn AddressSpaceOperations, range: Range<u64>) {
    if let Some((start, last)) = page_range(&range) {
        let count = (last - start).saturating_add(1).min(readahead::Limits::of(ops.disk()).once());
        let _ = read_pages(mapping, ops, Window { start, count, mark: None }, BioFlags::RAHEAD);
    }
}

/// The page is there, but not uptodate: partly written, or its read has failed. Reads it alone.
/// None when it is no longer the cache's.
fn read_again(page: Arc<Page>, ops: &dyn AddressSpaceOperations) -> Result<Option<Arc<Page>>> {
    let page = page.lock();
    if !page.is_attached() {
        return Ok(None);
    }
    if page.is_uptodate() {
        return Ok(Some(page.unlock()));
    }
    page.state().fetch_and(!page::ERROR, Ordering::AcqRel);
    let mut fill = Fill::new(ops, BioFlags::SYNC, 1);
    let handle = page.page().clone();
    fill.page(page)?;
    drop(fill);
    handle.wait_unlocked();
    if handle.is_uptodate() {
        return Ok(Some(handle));
    }
    if handle.is_attached() { Err(Errno::EIO) } else { Ok(None) }
}

/// Starts reading the pages of a window that are not there, up to the end of the file. The first
/// error of the pages' places; ENOMEM only when not one page could be had.
pub(crate) fn read_pages(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    window: Window,
    flags: BioFlags,
) -> Result<()> {
    let end = ops.size().div_ceil(PAGE_SIZE as u64).min(window.start.saturating_add(window.count));
    let mut pages = Vec::new();
    // Most windows are fresh, and looked at once.
    let mut there = mapping.first_from(window.start, end.saturating_sub(1));
    for index in window.start..end {
        if there == Some(index) {
            there = mapping.first_from(index + 1, end - 1);
            continue;
        }
        match mapping.add_page(PageIndex(index), ops.block_bits(), Why::Read) {
            Ok(Some(page)) => {
                if window.mark == Some(index) {
                    page.state().fetch_or(page::READAHEAD, Ordering::AcqRel);
                }
                pages.push(page);
            }
            Ok(None) => {}
            Err(error) if pages.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    let _plug = ops.disk().plug();
    let mut fill = Fill::new(ops, flags, pages.len() as u64);
    pages.into_iter().try_for_each(|page| fill.page(page))
}

/// Reads pages, remembering the extent it is in.
struct Fill<'a> {
    ops: &'a dyn AddressSpaceOperations,
    builder: BioBuilder<'a>,
    size: u64,
    /// Pages still to come, for how much to ask of `map`.
    pages: u64,
    extent: Option<(FileBlock, Extent)>,
}

impl<'a> Fill<'a> {
    /// To be made when the pages are in the tree and locked: it asks for the size.
    fn new(ops: &'a dyn AddressSpaceOperations, flags: BioFlags, pages: u64) -> Fill<'a> {
        let builder = BioBuilder::read(ops.disk(), flags, Then::Unlock);
        Fill { ops, builder, size: ops.size(), pages, extent: None }
    }

    /// Starts the read of a page, which unlocks it when it ends. On an error the page is unlocked,
    /// not uptodate.
    fn page(&mut self, page: LockedPage) -> Result<()> {
        // One part of its own, so that the read is not over before all parts are in.
        page.get_read();
        let done = match inline::fill(&page, self.ops) {
            Ok(true) => Ok(()),
            Ok(false) => self.blocks(&page),
            Err(e) => Err(e),
        };
        self.pages = self.pages.saturating_sub(1);
        let page = page.into_read();
        if page.put_read() {
            page.end_read();
        }
        done
    }

    fn blocks(&mut self, page: &LockedPage) -> Result<()> {
        let bits = page.block_bits();
        let start = page.index().byte();
        // At most a page, so it fits.
        let zero_from = self.size.saturating_sub(start).min(PAGE_SIZE as u64) as usize;
        for (i, head) in page.heads().iter().enumerate() {
            if head.has(head::UPTODATE) {
                continue;
            }
            let block = FileBlock(page.first_block().0 + i as u64);
            let place = if i << bits < zero_from { self.place(block)? } else { None };
            match place {
                Some(place) => {
                    if !head.map(place) {
                        return Err(Errno::EIO);
                    }
                    let zero_from = if page.is_metadata() { PAGE_SIZE } else { zero_from };
                    self.builder.add(page.page(), i, place, zero_from)?;
                }
                None => {
                    page.zero(i << bits, (i + 1) << bits);
                    head.set(head::UPTODATE);
                }
            }
        }
        Ok(())
    }

    /// Where a block of the file lies, None for one that reads as zeros.
    fn place(&mut self, block: FileBlock) -> Result<Option<FsBlock>> {
        let known = self.extent.filter(|(first, e)| first.0 <= block.0 && block.0 - first.0 < e.len);
        let (first, extent) = match known {
            Some(known) => known,
            None => {
                let count = (self.pages.max(1) * PAGE_SIZE as u64) >> self.ops.block_bits();
                // `map` may sleep.
                self.builder.submit();
                let extent = self.ops.map(block, count.max(1), MapMode::Read)?;
                self.extent = Some((block, extent));
                (block, extent)
            }
        };
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Unwritten | ExtentKind::Delayed => Ok(None),
            ExtentKind::Mapped { block: place } => {
                place.checked_add(block.0 - first.0).map(Some).ok_or(Errno::EIO)
            }
        }
    }
}
