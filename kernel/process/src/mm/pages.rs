//! The pages that are in the page table, and who else may take them out of it.
//!
//! The table itself is the machine's. Here is what a fault, a system call and the page cache do with it, each
//! as one step: two faults of the same page, a fault and a truncate ([`MappedBy`]) do not come between a look
//! and the change that follows it.
//!
//! # Locking
//! `install` is a leaf but for the table's own lock and `resident`'s: the page cache comes here with a page
//! locked, a fault with the areas held and perhaps a page locked. Nothing allocates a page under it.
//!
//! # Invariants
//! 1. `resident` has the pages that the table holds.
//! 2. A page of the cache is writable only if it was put in by a fault that had it locked and dirty.

use alloc::boxed::Box;

use base::arch::{Protection, UserPageTable};
use base::{Frame, Result, UserAddr};
use pagecache::MappedBy;
use sync::Mutex;

use super::layout::{PAGE, Span};
use super::resident::{Kind, Resident};

/// The page table with its bookkeeping.
pub(super) struct Pages {
    table: Box<dyn UserPageTable>,
    install: Mutex<()>,
    resident: Resident,
}

impl Pages {
    pub fn new(table: Box<dyn UserPageTable>) -> Pages {
        Pages { table, install: Mutex::new(()), resident: Resident::default() }
    }

    pub fn table(&self) -> &dyn UserPageTable {
        &*self.table
    }

    /// Which pages are there.
    pub fn resident(&self) -> &Resident {
        &self.resident
    }

    /// What is at a page's address.
    pub fn lookup(&self, page: u64) -> Option<(Frame, Protection)> {
        self.table.lookup(UserAddr(page))
    }

    /// Changes the protection of the page that is there: `how` is told the present one. False when there
    /// is none.
    pub fn protect_present(&self, page: u64, how: impl FnOnce(Protection) -> Protection) -> bool {
        let _install = self.install.lock();
        let Some((_, had)) = self.lookup(page) else { return false };
        self.table.protect(UserAddr(page), PAGE, how(had));
        true
    }

    /// Changes the protection of the page that is there if it is still `frame`.
    pub fn protect_same(&self, page: u64, frame: &Frame, protection: Protection) -> bool {
        let _install = self.install.lock();
        let same = self.lookup(page).is_some_and(|(there, _)| there.same(frame));
        if same {
            self.table.protect(UserAddr(page), PAGE, protection);
        }
        same
    }

    /// Puts a page where none is. False when there is one. ENOMEM.
    pub fn put_if_empty(&self, page: u64, frame: Frame, protection: Protection, kind: Kind) -> Result<bool> {
        let _install = self.install.lock();
        if self.lookup(page).is_some() {
            return Ok(false);
        }
        self.put_locked(page, frame, protection, kind).map(|()| true)
    }

    /// Puts a page in the place of `old`. False when that is not there any more. ENOMEM.
    pub fn replace(
        &self,
        page: u64,
        old: &Frame,
        frame: Frame,
        protection: Protection,
        kind: Kind,
    ) -> Result<bool> {
        let _install = self.install.lock();
        if !self.lookup(page).is_some_and(|(there, _)| there.same(old)) {
            return Ok(false);
        }
        self.put_locked(page, frame, protection, kind).map(|()| true)
    }

    /// Puts a page there, whatever is there. ENOMEM.
    pub fn put(&self, page: u64, frame: &Frame, protection: Protection, kind: Kind) -> Result<()> {
        let _install = self.install.lock();
        if self.lookup(page).is_some_and(|(there, _)| there.same(frame)) {
            self.table.protect(UserAddr(page), PAGE, protection);
            return Ok(());
        }
        self.put_locked(page, frame.clone(), protection, kind)
    }

    fn put_locked(&self, page: u64, frame: Frame, protection: Protection, kind: Kind) -> Result<()> {
        self.table.map(UserAddr(page), frame, protection)?;
        self.resident.add(page, kind);
        self.resident.note_peak();
        Ok(())
    }

    /// Tells the table what is allowed now where there are pages.
    pub fn protect(&self, span: Span, protection: Protection) {
        let _install = self.install.lock();
        if let Some(first) = self.resident.first(span) {
            self.table.protect(UserAddr(first), span.end - first, protection);
        }
    }

    /// Takes pages out of the table.
    pub fn take_out(&self, span: Span) {
        let _install = self.install.lock();
        if self.resident.remove(span) {
            self.table.unmap(UserAddr(span.start), span.len());
        }
    }

    /// Maps the pages of `old` at `new` too, as far as both reach, until they are taken out there. ENOMEM, and then
    /// perhaps some.
    pub fn map_again(&self, old: Span, new: Span) -> Result<()> {
        let mut rest = Span { start: old.start, end: old.start + old.len().min(new.len()) };
        while let Some(at) = self.resident.first(rest) {
            let _install = self.install.lock();
            if let (Some((frame, protection)), Some(kind)) = (self.lookup(at), self.resident.kind(at)) {
                let page = new.start + (at - old.start);
                self.table.map(UserAddr(page), frame, protection)?;
                self.resident.add(page, kind);
            }
            rest.start = at + PAGE;
        }
        Ok(())
    }
}

impl MappedBy for Pages {
    fn write_protect(&self, addr: UserAddr, frame: &Frame) {
        let _install = self.install.lock();
        if let Some((there, had)) = self.lookup(addr.0)
            && had.write
            && there.same(frame)
        {
            self.table.protect(addr, PAGE, Protection { write: false, ..had });
        }
    }

    fn unmap_page(&self, addr: UserAddr, frame: &Frame) {
        let _install = self.install.lock();
        if self.lookup(addr.0).is_some_and(|(there, _)| there.same(frame)) {
            self.resident.remove(Span { start: addr.0, end: addr.0 + PAGE });
            self.table.unmap(addr, PAGE);
        }
    }

    fn unmap_all(&self, addr: UserAddr, len: u64) {
        self.take_out(Span { start: addr.0, end: addr.0 + len });
    }
}
