//! Which page tables have pages of a file (Linux's `i_mmap`), and how a page is taken back from them.
//!
//! An address space of a program says which of its addresses map which pages of the file
//! ([`AddressSpace::map_range`], [`AddressSpace::unmap_range`]) and gives a [`MappedBy`], through which the
//! cache reaches into the page table:
//!
//! ```text
//!   writeback begins, the journal copies    write_protect   the next store asks ops.page_mkwrite again
//!   truncate                                unmap_from      copies of private mappings too
//!   punch, direct writes, reclaim           unmap_page      this page and no copy of it
//! ```
//! A page table entry that allows writing is there only while its page is dirty, every block of it below
//! i_size. So nothing need be looked at when a mapping goes away, and a page whose writing begins is
//! complete: who stores to it afterwards comes by again.
//!
//! # Locking
//! `areas` is a sleeping lock below the page lock; under it the page table's own locks, and nothing that
//! allocates a page or takes a page lock. A fault puts a page into the table with the page locked, so it
//! is ordered with all of the above.
//!
//! `invalidate_lock` comes before handles and page locks: a fault holds it shared from the look at i_size
//! to the page in the table; who takes pages away for good (truncate, punch, collapse, insert) holds it
//! alone from before the first page goes until the blocks are free. No user memory is touched under it.
//!
//! # Cost
//! A file that nobody has mapped costs one load where pages go away, and one where their writing begins.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::{Frame, PAGE_SHIFT, PAGE_SIZE, UserAddr};
use sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sync::{Mutex, ReadGuard, RwLock, WriteGuard};

use crate::mapping::AddressSpace;
use crate::page::{LockedPage, Page};

/// A page table that has pages of files.
pub trait MappedBy: Send + Sync {
    /// What is mapped at `addr` may no longer be written, if it is this frame.
    fn write_protect(&self, addr: UserAddr, frame: &Frame);

    /// Takes out what is mapped at `addr`, if it is this frame.
    fn unmap_page(&self, addr: UserAddr, frame: &Frame);

    /// Takes out all that is mapped in `[addr, addr + len)`.
    fn unmap_all(&self, addr: UserAddr, len: u64);
}

/// Addresses that map pages of the file.
struct Area {
    by: Weak<dyn MappedBy>,
    addr: u64,
    /// Pages of the file.
    first: u64,
    pages: u64,
    /// Whether stores go to the file.
    shared: bool,
}

/// All of them, and the lock that keeps faults out.
pub(crate) struct Mapped {
    areas: Mutex<Vec<Area>>,
    /// How many there are, and how many of them are shared: read without the lock.
    any: AtomicUsize,
    shared: AtomicUsize,
    /// It was mapped to be written to since its last page was looked at: [`AddressSpace::before_growth`].
    stored: AtomicBool,
    invalidate_lock: RwLock<()>,
}

impl Mapped {
    pub(crate) const fn new() -> Mapped {
        Mapped {
            areas: Mutex::new(Vec::new()),
            any: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            stored: AtomicBool::new(false),
            invalidate_lock: RwLock::new(()),
        }
    }

    fn count(&self, areas: &[Area]) {
        self.any.store(areas.len(), Ordering::Release);
        self.shared.store(areas.iter().filter(|a| a.shared).count(), Ordering::Release);
    }
}

impl Area {
    /// Where page `index` of the file is mapped.
    fn place(&self, index: u64) -> Option<UserAddr> {
        let n = index.checked_sub(self.first).filter(|&n| n < self.pages)?;
        Some(UserAddr(self.addr + (n << PAGE_SHIFT)))
    }

    /// What is left of it when `[from, to)` of addresses goes.
    fn without(self, from: u64, to: u64) -> [Option<Area>; 2] {
        let end = self.addr + (self.pages << PAGE_SHIFT);
        let part = |start: u64, stop: u64| {
            (start < stop).then(|| Area {
                by: self.by.clone(),
                addr: start,
                first: self.first + ((start - self.addr) >> PAGE_SHIFT),
                pages: (stop - start) >> PAGE_SHIFT,
                shared: self.shared,
            })
        };
        [part(self.addr, end.min(from)), part(self.addr.max(to), end)]
    }
}

impl AddressSpace {
    /// `pages` pages from page `first` on are mapped at `addr` from now on. Said before the first of them
    /// is put into the table. `shared`: stores go to the file.
    pub fn map_range(&self, by: Weak<dyn MappedBy>, addr: UserAddr, first: u64, pages: u64, shared: bool) {
        let mut areas = self.mapped().areas.lock();
        if shared {
            self.mapped().stored.store(true, Ordering::Release);
        }
        areas.push(Area { by, addr: addr.0, first, pages, shared });
        self.mapped().count(&areas);
    }

    /// Nothing of it is mapped in `[addr, addr + len)` of that table any more. Said after the last page
    /// was taken out.
    pub fn unmap_range(&self, by: &Weak<dyn MappedBy>, addr: UserAddr, len: u64) {
        let (from, to) = (addr.0, addr.0.saturating_add(len));
        let mut areas = self.mapped().areas.lock();
        let before = core::mem::take(&mut *areas);
        for area in before {
            if Weak::ptr_eq(&area.by, by) {
                areas.extend(area.without(from, to).into_iter().flatten());
            } else {
                areas.push(area);
            }
        }
        self.mapped().count(&areas);
    }

    /// Whether any page table may have pages of it.
    #[inline]
    pub fn is_mapped(&self) -> bool {
        self.mapped().any.load(Ordering::Acquire) != 0
    }

    /// Whether a page table may have pages of it to be written to.
    #[inline]
    pub fn is_mapped_shared(&self) -> bool {
        self.mapped().shared.load(Ordering::Acquire) != 0
    }

    /// Whether a program's stores may go to its pages at all. A disk's own pages are metadata, whose bytes
    /// change under byte locks only: a store would come around them.
    pub fn may_map_writable(&self) -> bool {
        !self.is_metadata()
    }

    /// For a fault, until its page is in the table.
    pub fn invalidate_lock_shared(&self) -> ReadGuard<'_, ()> {
        self.mapped().invalidate_lock.read()
    }

    /// For who takes pages and their blocks away: faults wait meanwhile.
    pub fn invalidate_lock(&self) -> WriteGuard<'_, ()> {
        self.mapped().invalidate_lock.write()
    }

    /// The page may no longer be written through any page table: the next store asks again
    /// (`page_mkclean`).
    #[inline]
    pub(crate) fn write_protect(&self, page: &LockedPage) {
        if self.is_mapped_shared() {
            self.each_place(page, |by, at| by.write_protect(at, page.frame()));
        }
    }

    /// No page table has the page any more; private copies of it stay.
    pub(crate) fn unmap_page(&self, page: &LockedPage) {
        if self.is_mapped() && has_handles(page) {
            self.each_place(page, |by, at| by.unmap_page(at, page.frame()));
        }
    }

    /// Takes a page out of the page tables if that can be done without waiting for its lock. Whether it was
    /// in one and is nobody's now but the cache's.
    pub(crate) fn try_unmap(&self, page: &Arc<Page>) -> bool {
        if !self.is_mapped() || !has_handles(page) {
            return false;
        }
        let Some(page) = page.try_lock().filter(|page| page.is_attached()) else { return false };
        self.unmap_page(&page);
        !has_handles(&page)
    }

    #[cold]
    fn each_place(&self, page: &LockedPage, f: impl Fn(&dyn MappedBy, UserAddr)) {
        let areas = self.mapped().areas.lock();
        for area in areas.iter() {
            if let (Some(at), Some(by)) = (area.place(page.index().0), area.by.upgrade()) {
                f(&*by, at);
            }
        }
    }

    /// Nothing of the file from page `first` on is mapped any more, private copies included
    /// (`unmap_mapping_range`).
    pub(crate) fn unmap_from(&self, first: u64) {
        if !self.is_mapped() {
            return;
        }
        let areas = self.mapped().areas.lock();
        for area in areas.iter() {
            let skip = first.saturating_sub(area.first);
            if let Some(by) = area.by.upgrade().filter(|_| skip < area.pages) {
                by.unmap_all(UserAddr(area.addr + (skip << PAGE_SHIFT)), (area.pages - skip) << PAGE_SHIFT);
            }
        }
    }

    /// The file is about to grow beyond `size`, where its last page may be mapped, or was: what stores have left
    /// behind the end becomes zeros, and the page has to be asked for again, for then it has more blocks.
    /// The caller publishes the new size while it holds the page.
    pub fn before_growth(&self, size: u64) -> Option<LockedPage> {
        // Below the page size, so it fits.
        let within = (size % PAGE_SIZE as u64) as usize;
        if within == 0 || !self.may_have_stores() {
            return None;
        }
        let page = self.find_lock_page(base::PageIndex::of(size))?;
        self.write_protect(&page);
        page.wait_writeback();
        page.zero(within, PAGE_SIZE);
        Some(page)
    }

    /// Whether a program may have stored to its last page since this was asked last.
    fn may_have_stores(&self) -> bool {
        let stored = &self.mapped().stored;
        self.is_mapped_shared() || (stored.load(Ordering::Acquire) && stored.swap(false, Ordering::AcqRel))
    }

    /// The file has grown beyond `old`: its last page then, should it be mapped to be written to, has to be
    /// asked for again, for now it has more blocks (`pagecache_isize_extended`).
    pub fn after_growth(&self, old: u64) {
        if !old.is_multiple_of(PAGE_SIZE as u64)
            && self.is_mapped_shared()
            && let Some(page) = self.find_lock_page(base::PageIndex::of(old))
        {
            self.write_protect(&page);
        }
    }
}

/// Whether somebody outside the cache has a handle to the page's bytes: a page table, a pin, a pipe.
pub(crate) fn has_handles(page: &Page) -> bool {
    page.frame().handles() > page.own_handles()
}
