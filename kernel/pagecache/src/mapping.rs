//! `AddressSpace`: the cached pages of one file.
//!
//! A radix tree of pages with the tags DIRTY, WRITEBACK and TOWRITE, the file's write errors, and
//! where the last background sweep stopped. It knows no inode: what is to be known of the file
//! comes with `ops` ([`crate::AddressSpaceOperations`]).
//!
//! # Locking
//! `tree` is a SpinLock, because the end of an I/O changes tags in an interrupt. It is a leaf but for
//! the allocator: no other lock is taken under it. A page lock is never taken under it.
//!
//! # Invariants
//! 1. A page is in the tree exactly as long as it is ATTACHED; then its index is its place.
//! 2. The tags DIRTY and WRITEBACK of the tree are the page's DIRTY and WRITEBACK.
//! 3. A page leaves the tree only locked, or (reclaim) when the tree has the only handle to it.

use alloc::sync::{Arc, Weak};
use core::ops::Range;
use core::sync::atomic::fence;

use arrayvec::ArrayVec;
use base::trace::kdev;
use base::{DevId, Errno, PAGE_SHIFT, PAGE_SIZE, PageIndex, Result};
use block::task_io;
use sync::SpinLock;
use sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::errseq::ErrSeq;
use crate::mapped::Mapped;
use crate::page::{self, LockedPage, Page};
use crate::readahead::FileRa;
use crate::tree::{Tag, Tree};
use crate::{lru, reclaim, stats, trace, workingset};

/// Pages looked up under one hold of the tree lock.
pub(crate) const BATCH: usize = 32;
/// Leaves of the tree (64 pages each) tagged under one hold of its lock.
const STRIDE: usize = 32;

/// A handful of pages in ascending order.
pub(crate) type Batch = ArrayVec<Arc<Page>, BATCH>;

/// What a page is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Its bytes come from the disk.
    Read,
    /// They come from who makes it.
    Write,
}

/// The cached pages of one file; see the module.
pub struct AddressSpace {
    tree: SpinLock<Tree<Arc<Page>>>,
    wb_err: ErrSeq,
    /// Where the next cyclic sweep begins.
    writeback_index: AtomicU64,
    /// Moves whenever blocks may be taken from the file: an extent learned before is worth nothing.
    generation: AtomicU32,
    /// Of those who read without an open file.
    ra: FileRa,
    metadata: bool,
    /// Its data go through a journal: no write call may pass `write_begin` over.
    journals_data: AtomicBool,
    /// Its number for who remembers pages that reclaim took (workingset.rs).
    number: AtomicU64,
    /// Whose pages these are, for traces: [`AddressSpace::set_host`].
    host: [AtomicU64; 2],
    mapped: Mapped,
    weak: Weak<AddressSpace>,
}

impl AddressSpace {
    /// An empty one, for a file.
    pub fn new() -> Arc<AddressSpace> {
        Self::make(false)
    }

    /// An empty one whose pages are metadata: reached as buffers.
    pub(crate) fn new_metadata() -> Arc<AddressSpace> {
        Self::make(true)
    }

    fn make(metadata: bool) -> Arc<AddressSpace> {
        Arc::new_cyclic(|weak| AddressSpace {
            tree: SpinLock::new(Tree::new()),
            wb_err: ErrSeq::new(),
            writeback_index: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            ra: FileRa::new(),
            metadata,
            journals_data: AtomicBool::new(false),
            number: AtomicU64::new(workingset::new_file()),
            host: [const { AtomicU64::new(0) }; 2],
            mapped: Mapped::new(),
            weak: weak.clone(),
        })
    }

    /// Says of which file of which device these pages are; traces show it. A disk's own pages are of
    /// file 0.
    pub fn set_host(&self, dev: DevId, ino: u64) {
        self.host[0].store(kdev(dev), Ordering::Relaxed);
        self.host[1].store(ino, Ordering::Relaxed);
    }

    /// What [`AddressSpace::set_host`] said: the device as [`kdev`] makes it, and the file.
    pub fn host(&self) -> [u64; 2] {
        [&self.host[0], &self.host[1]].map(|word| word.load(Ordering::Relaxed))
    }

    /// Says whether the file's data go through a journal ([`crate::journal_page_range`]): then a write over
    /// bytes that are cached asks `write_begin` like any other. While no write is under way.
    pub fn set_journals_data(&self, on: bool) {
        self.journals_data.store(on, Ordering::Release);
    }

    /// Whether the file's data go through a journal.
    #[inline]
    pub fn journals_data(&self) -> bool {
        self.journals_data.load(Ordering::Relaxed)
    }

    /// The write errors of this file.
    pub fn wb_err(&self) -> &ErrSeq {
        &self.wb_err
    }

    /// Pages in the cache.
    pub fn nrpages(&self) -> usize {
        self.tree.lock().len()
    }

    /// Whether any page is dirty.
    pub fn has_dirty(&self) -> bool {
        self.tree.lock().any(Tag::Dirty)
    }

    /// Whether any page is on its way to the disk.
    pub fn has_writeback(&self) -> bool {
        self.tree.lock().any(Tag::Writeback)
    }

    /// Whether its pages are a disk's own.
    pub(crate) fn is_metadata(&self) -> bool {
        self.metadata
    }

    /// Who has mapped its pages.
    #[inline]
    pub(crate) fn mapped(&self) -> &Mapped {
        &self.mapped
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is known of those who read without an open file.
    pub(crate) fn ra(&self) -> &FileRa {
        &self.ra
    }

    /// The page that the next cyclic sweep begins at.
    pub fn writeback_cursor(&self) -> u64 {
        self.writeback_index.load(Ordering::Relaxed)
    }

    pub(crate) fn writeback_index(&self) -> &AtomicU64 {
        &self.writeback_index
    }

    // ---- finding

    /// The page, if it is cached; perhaps locked, perhaps not uptodate.
    #[inline(always)]
    pub fn find_get_page(&self, index: PageIndex) -> Option<Arc<Page>> {
        self.tree.lock().get(index.0).cloned()
    }

    /// The page locked, if it is cached.
    #[inline(always)]
    pub(crate) fn find_lock_page(&self, index: PageIndex) -> Option<LockedPage> {
        loop {
            let page = self.find_get_page(index)?.lock();
            if page.is_attached() {
                return Some(page);
            }
        }
    }

    /// The page locked; made, with nothing in it, when it is not cached. ENOMEM.
    #[inline]
    pub(crate) fn grab_page(&self, index: PageIndex, block_bits: u32, why: Why) -> Result<LockedPage> {
        loop {
            if let Some(page) = self.find_lock_page(index) {
                return Ok(page);
            }
            if let Some(page) = self.add_page(index, block_bits, why)? {
                return Ok(page);
            }
        }
    }

    /// Puts a fresh locked page in; None when another thread was faster. ENOMEM.
    pub(crate) fn add_page(&self, index: PageIndex, block_bits: u32, why: Why) -> Result<Option<LockedPage>> {
        let frame = reclaim::alloc_page()?;
        let page = Page::new_locked(frame, index, block_bits, self.metadata, self.weak.clone())?;
        let mut tree = self.tree.lock();
        page.state().fetch_or(page::ATTACHED, Ordering::AcqRel);
        if tree.insert(index.0, page.page().clone()).is_err() {
            drop(tree);
            return Ok(None);
        }
        stats::page_added();
        trace::add(self, page.page());
        drop(tree);
        let list = match why {
            Why::Write => lru::List::Inactive,
            Why::Read => workingset::list_for(self.number.load(Ordering::Relaxed), index.0),
        };
        lru::add(page.page(), list);
        Ok(Some(page))
    }

    /// Up to [`BATCH`] pages of `from..=last`; with a tag: those that carry it.
    pub(crate) fn batch(&self, from: u64, last: u64, tag: Option<Tag>) -> Batch {
        let tree = self.tree.lock();
        tree.range(from, last, tag).take(BATCH).map(|(_, page)| page.clone()).collect()
    }

    /// The first page of `from..=last`.
    pub(crate) fn first_from(&self, from: u64, last: u64) -> Option<u64> {
        self.tree.lock().range(from, last, None).next().map(|(index, _)| index)
    }

    /// How many pages in a row before `index` are cached, at most `most`.
    pub(crate) fn cached_before(&self, index: u64, most: u64) -> u64 {
        let tree = self.tree.lock();
        (1..=most.min(index)).take_while(|back| tree.get(index - back).is_some()).count() as u64
    }

    /// The first page behind `index` that is not cached, if it is one of the next `most`.
    pub(crate) fn first_gap(&self, index: u64, most: u64) -> Option<u64> {
        let tree = self.tree.lock();
        (index.checked_add(1)?..=index.saturating_add(most)).find(|&at| tree.get(at).is_none())
    }

    /// How many pages in a row from `index` on are dirty, at most `max`.
    pub(crate) fn dirty_run(&self, index: u64, max: u64) -> u64 {
        let tree = self.tree.lock();
        let run = tree.range(index, index.saturating_add(max), Some(Tag::Dirty));
        run.zip(index..).take_while(|((i, _), expected)| i == expected).count() as u64
    }

    /// How many pages are dirty or on their way to the disk; no more than `most` are counted.
    pub fn unwritten(&self, most: usize) -> usize {
        let tree = self.tree.lock();
        let count = |tag| tree.range(0, u64::MAX, Some(tag)).take(most).count();
        (count(Tag::Dirty) + count(Tag::Writeback)).min(most)
    }

    // ---- state that the tree shares (page.rs, invariant 2)

    /// The page's bytes are newer than the disk's. True when it was clean. Call it with the page
    /// locked, or with its blocks' heads already DIRTY.
    #[inline]
    pub(crate) fn set_page_dirty(&self, page: &Page) -> bool {
        if page.is_dirty() { false } else { self.set_page_dirty_slow(page) }
    }

    fn set_page_dirty_slow(&self, page: &Page) -> bool {
        let mut tree = self.tree.lock();
        if !page.is_attached() || page.state().fetch_or(page::DIRTY, Ordering::AcqRel) & page::DIRTY != 0 {
            return false;
        }
        tree.tag(page.index().0, [(Tag::Dirty, true)]);
        stats::dirtied();
        trace::dirtied(self, page);
        task_io::account_write(PAGE_SIZE as u64);
        true
    }

    /// The page is not to be written after all. It is locked.
    pub(crate) fn cancel_dirty(&self, page: &LockedPage) {
        let mut tree = self.tree.lock();
        if page.state().fetch_and(!page::DIRTY, Ordering::AcqRel) & page::DIRTY != 0 {
            tree.tag(page.index().0, [(Tag::Dirty, false), (Tag::ToWrite, false)]);
            stats::cleaned();
            task_io::account_cancelled_write(PAGE_SIZE as u64);
        }
    }

    /// DIRTY becomes WRITEBACK: the I/O starts now. The page is locked, attached, dirty, and not
    /// under writeback.
    pub(crate) fn start_writeback(&self, page: &LockedPage) {
        {
            let mut tree = self.tree.lock();
            const CLEARED: u32 = page::DIRTY | page::WRITE_FAILED | page::ERROR;
            if page.state().fetch_and(!CLEARED, Ordering::AcqRel) & page::DIRTY != 0 {
                stats::cleaned();
            }
            page.state().fetch_or(page::WRITEBACK, Ordering::AcqRel);
            let begun = [(Tag::Dirty, false), (Tag::ToWrite, false), (Tag::Writeback, true)];
            tree.tag(page.index().0, begun);
        }
        stats::writeback_began();
        // Pairs with the fence in Buffer::write's guard: either its DIRTY head is seen by the sweep
        // that goes on from here, or the page is dirty again.
        fence(Ordering::SeqCst);
    }

    /// The same of a page that is in no tree any more.
    pub(crate) fn start_writeback_alone(page: &LockedPage) {
        page.state().fetch_and(!(page::WRITE_FAILED | page::ERROR), Ordering::AcqRel);
        page.state().fetch_or(page::WRITEBACK, Ordering::AcqRel);
        stats::writeback_began();
    }

    /// The I/O of a page is over; in an interrupt, perhaps. A page whose writing failed is dirty again.
    pub(crate) fn end_writeback(page: &Page) {
        let failed = page.has(page::WRITE_FAILED);
        // Without a mapping the file is gone, and with it the tags.
        if let Some(mapping) = page.mapping() {
            let mut tree = mapping.tree.lock();
            if page.is_attached() {
                let index = page.index().0;
                tree.tag(index, [(Tag::Writeback, false)]);
                if failed && page.state().fetch_or(page::DIRTY, Ordering::AcqRel) & page::DIRTY == 0 {
                    tree.tag(index, [(Tag::Dirty, true)]);
                    stats::dirtied();
                }
            }
        }
        if page.clear_and_wake(page::WRITEBACK | page::RECLAIM) & page::RECLAIM != 0 && !failed {
            lru::rotate(page);
        }
        stats::writeback_ended(failed);
    }

    /// Takes a locked page out of the tree, dirty or not.
    pub(crate) fn detach(&self, page: &LockedPage) {
        let mut tree = self.tree.lock();
        if page.is_attached() {
            let gone = tree.remove(page.index().0);
            trace::delete(self, page);
            Self::left_tree(page);
            drop(tree);
            lru::remove(page);
            drop(gone);
        }
    }

    /// The page is out of the tree: its state says so, and the counters.
    fn left_tree(page: &Page) {
        let old = page.state().fetch_and(!(page::ATTACHED | page::DIRTY), Ordering::AcqRel);
        if old & page::DIRTY != 0 {
            stats::cleaned();
            task_io::account_cancelled_write(PAGE_SIZE as u64);
        }
        stats::page_removed();
    }

    // ---- taking pages away

    /// Calls `f` on each page of `from..=last`, locked, attached, and not under writeback.
    pub(crate) fn for_each_idle(
        &self,
        from: u64,
        last: u64,
        mut f: impl FnMut(&LockedPage) -> Result<()>,
    ) -> Result<()> {
        let mut at = Some(from);
        while let Some(from) = at {
            let batch = self.batch(from, last, None);
            at = batch.last().and_then(|p| p.index().0.checked_add(1));
            for page in batch {
                let page = page.lock();
                page.wait_writeback();
                if page.is_attached() {
                    f(&page)?;
                }
            }
        }
        Ok(())
    }

    /// Places of blocks that were learned before are worth nothing: who still carries one looks again.
    pub(crate) fn forget_places(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The file now ends at byte `from`; i_size already says so. Drops all pages behind it, dirty
    /// ones too, zeroes the rest of the page it lies in and forgets the places of the blocks behind
    /// it. Programs that have them mapped lose them, and private copies of them. Waits for I/O on all of
    /// them: afterwards the blocks may be freed.
    pub fn truncate_pagecache(&self, from: u64) {
        // Before any page goes.
        self.forget_places();
        self.number.store(workingset::new_file(), Ordering::Relaxed);
        let whole = from.div_ceil(PAGE_SIZE as u64);
        self.unmap_from(whole);
        // The closure never fails.
        let _ = self.for_each_idle(whole, u64::MAX, |page| {
            // A fault may have been faster.
            self.unmap_page(page);
            self.detach(page);
            Ok(())
        });
        // Below the page size, so it fits.
        let offset = (from % PAGE_SIZE as u64) as usize;
        if offset != 0
            && let Some(page) = self.find_lock_page(PageIndex::of(from))
        {
            page.wait_writeback();
            self.write_protect(&page);
            page.zero(offset, PAGE_SIZE);
            let first = offset.div_ceil(1 << page.block_bits());
            for head in &page.heads()[first..] {
                // Zeros are what a read would find there now; the place is no longer the file's.
                let uptodate = head.state() & crate::head::UPTODATE;
                head.discard();
                head.set(uptodate);
            }
        }
    }

    /// Drops the clean pages of a byte range, waiting for I/O on them. EBUSY when one of them is
    /// dirty; the others are gone then all the same.
    pub fn invalidate(&self, range: Range<u64>) -> Result<()> {
        let Some((first, last)) = page_range(&range) else { return Ok(()) };
        let mut busy = Ok(());
        // The closure never fails.
        let _ = self.for_each_idle(first, last, |page| {
            if page.is_dirty() {
                busy = Err(Errno::EBUSY);
            } else {
                self.unmap_page(page);
                self.detach(page);
            }
            Ok(())
        });
        busy
    }

    /// Waits until the pages of a byte range that are under writeback now are no longer.
    pub fn wait_writeback(&self, range: Range<u64>) {
        let Some((first, last)) = page_range(&range) else { return };
        let mut at = Some(first);
        while let Some(from) = at {
            let batch = self.batch(from, last, Some(Tag::Writeback));
            at = batch.last().and_then(|p| p.index().0.checked_add(1));
            for page in batch {
                page.wait_writeback();
            }
        }
    }

    /// Marks what is dirty now as what the sweep that begins shall write: a writer who dirties more
    /// meanwhile does not keep it going.
    pub(crate) fn tag_for_writeback(&self, first: u64, last: u64) {
        let mut at = Some(first);
        while let Some(from) = at {
            at = self.tree.lock().tag_range(from, last, Tag::Dirty, Tag::ToWrite, STRIDE);
        }
    }

    /// Drops the pages of `first..=last` that are clean and that nobody uses
    /// (`invalidate_mapping_pages`).
    pub(crate) fn drop_idle(&self, first: u64, last: u64) {
        let mut at = Some(first);
        while let Some(from) = at {
            let batch = self.batch(from, last, None);
            at = batch.last().and_then(|p| p.index().0.checked_add(1));
            for page in batch {
                self.remove_unused(&page);
            }
        }
    }

    /// Reclaim takes a page out, as [`AddressSpace::remove_unused`] does; it is remembered.
    pub(crate) fn evict(&self, page: &Arc<Page>) -> bool {
        let gone = self.remove_unused(page);
        if gone {
            workingset::evicted(self.number.load(Ordering::Relaxed), page.index().0);
        }
        gone
    }

    /// Takes a page out if it is clean, free, and in use by nobody but the tree and the caller, who has one
    /// handle (`__remove_mapping`). Whether it is out.
    pub(crate) fn remove_unused(&self, page: &Arc<Page>) -> bool {
        let mut tree = self.tree.lock();
        if !page.is_attached() || !is_unused(page) {
            return false;
        }
        let gone = tree.remove(page.index().0);
        trace::delete(self, page);
        Self::left_tree(page);
        drop(tree);
        lru::remove(page);
        drop(gone);
        true
    }
}

/// Whether the tree and the caller have the only handles (so nobody can come by another while the tree is
/// locked) and nothing would be lost.
fn is_unused(page: &Arc<Page>) -> bool {
    const IN_USE: u32 = page::LOCKED | page::DIRTY | page::WRITEBACK;
    page.state().load(Ordering::Acquire) & IN_USE == 0
        && Arc::strong_count(page) == 2
        && page.frame().handles() == page.own_handles()
}

/// The pages that a byte range touches, first and last; None when it is empty.
pub(crate) fn page_range(range: &Range<u64>) -> Option<(u64, u64)> {
    (range.start < range.end).then(|| (range.start >> PAGE_SHIFT, (range.end - 1) >> PAGE_SHIFT))
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let tree = self.tree.get_mut();
        for (_, page) in tree.range(0, u64::MAX, None) {
            Self::left_tree(page);
            lru::remove(page);
        }
    }
}
