//! A page fault: the page is brought in, or the program gets a signal.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use base::arch::{Access, Protection};
use base::user::TASK_SIZE;
use base::{Errno, Frame, PageIndex, UserAddr};

use super::layout::{GUARD_GAP, MIN_ADDR, PAGE, Span, page_down};
use super::vma::{PageSource, VmFlags, Vma};
use super::{Areas, Mm};
use crate::limits::Resource;
use crate::signal::{SigInfo, Signal, code};

/// How many handles a frame has that only a page table owns, while one look at it holds another.
const ONLY_THE_TABLES: usize = 2;

impl Mm {
    /// Brings the page of `addr` in for this access, or says which signal the program has earned.
    pub fn fault(&self, addr: UserAddr, access: Access) -> Result<(), SigInfo> {
        if addr.0 >= TASK_SIZE {
            return Err(SigInfo::fault(Signal::SEGV, code::SEGV_MAPERR, addr));
        }
        if let Some(done) = self.fault_in_area(addr, access) {
            return done;
        }
        let grown = self.grow_stack(&mut self.areas.write(), addr.0);
        grown.ok_or(SigInfo::fault(Signal::SEGV, code::SEGV_MAPERR, addr))?;
        self.fault_in_area(addr, access).unwrap_or(Err(SigInfo::fault(Signal::SEGV, code::SEGV_MAPERR, addr)))
    }

    /// None when no area is there.
    fn fault_in_area(&self, addr: UserAddr, access: Access) -> Option<Result<(), SigInfo>> {
        let areas = self.areas.read();
        let area = areas.set.find(addr.0)?;
        if !area.flags.allow(access) {
            return Some(Err(SigInfo::fault(Signal::SEGV, code::SEGV_ACCERR, addr)));
        }
        Some(self.bring_in(area, page_down(addr.0), access).map_err(|error| match error {
            Errno::ENOMEM => {
                log::error!("out of memory at a page fault at {:#x}", addr.0);
                SigInfo::kernel(Signal::KILL)
            }
            _ => SigInfo::fault(Signal::BUS, code::BUS_ADRERR, addr),
        }))
    }

    fn bring_in(&self, area: &Vma, page: u64, access: Access) -> base::Result<()> {
        match area.file_page(page) {
            None => self.bring_zeros(area, page),
            Some((source, index)) if access == Access::Write => self.bring_copy(area, page, source, index),
            Some((source, index)) => self.bring_shared(area, page, source, index),
        }
    }

    fn bring_zeros(&self, area: &Vma, page: u64) -> base::Result<()> {
        let _install = self.install.lock();
        if self.table.lookup(UserAddr(page)).is_some() {
            self.table.protect(UserAddr(page), PAGE, area.flags.protection());
            return Ok(());
        }
        let fresh = new_page()?;
        fresh.zero();
        self.minor_faults.fetch_add(1, Ordering::Relaxed);
        self.put(page, fresh, area.flags.protection())
    }

    /// The cache's own page, to be read or executed.
    fn bring_shared(
        &self,
        area: &Vma,
        page: u64,
        source: &Arc<dyn PageSource>,
        index: PageIndex,
    ) -> base::Result<()> {
        let cached = if self.resident.contains(page) { None } else { Some(source.page(index)?) };
        let _install = self.install.lock();
        match (self.table.lookup(UserAddr(page)), cached) {
            (Some(_), _) => self.table.protect(UserAddr(page), PAGE, area.protection_of_present()),
            (None, Some(cached)) => {
                self.major_faults.fetch_add(1, Ordering::Relaxed);
                let protection = Protection { write: false, ..area.flags.protection() };
                self.put(page, cached, protection)?;
            }
            // Nobody takes a page away while the areas are held.
            (None, None) => return Err(Errno::EIO),
        }
        Ok(())
    }

    /// A private page, to be written: copied unless it is nobody else's already.
    fn bring_copy(
        &self,
        area: &Vma,
        page: u64,
        source: &Arc<dyn PageSource>,
        index: PageIndex,
    ) -> base::Result<()> {
        let original = match self.table.lookup(UserAddr(page)) {
            Some((frame, _)) => frame,
            None => source.page(index)?,
        };
        let _install = self.install.lock();
        let original = match self.table.lookup(UserAddr(page)) {
            Some((there, _)) => {
                drop(original);
                there
            }
            None => original,
        };
        if self.resident.contains(page) && original.handles() <= ONLY_THE_TABLES {
            self.table.protect(UserAddr(page), PAGE, area.flags.protection());
            return Ok(());
        }
        let copy = new_page()?;
        copy.copy_page_from(&original);
        self.minor_faults.fetch_add(1, Ordering::Relaxed);
        self.put(page, copy, area.flags.protection())
    }

    fn put(&self, page: u64, frame: Frame, protection: Protection) -> base::Result<()> {
        self.table.map(UserAddr(page), frame, protection)?;
        self.resident.add(page);
        Ok(())
    }

    /// A fault below a stack makes it longer, within RLIMIT_STACK and away from what lies below it.
    fn grow_stack(&self, areas: &mut Areas, addr: u64) -> Option<()> {
        let area = areas.set.at_or_above(addr)?;
        if area.span.contains(addr) {
            return Some(());
        }
        if !area.flags.contains(VmFlags::GROWSDOWN) {
            return None;
        }
        let (old, new) = (area.span.start, page_down(addr));
        let grown = Vma { span: Span { start: new, end: old }, ..area.clone() };
        if new < MIN_ADDR || area.span.end - new > self.limits.soft(Resource::Stack) {
            return None;
        }
        if let Some(below) = areas.set.below(old) {
            let harmless = below.flags.contains(VmFlags::GROWSDOWN) || !below.flags.intersects(VmFlags::PROT);
            let gap = if harmless { 0 } else { GUARD_GAP };
            if new < below.span.end.saturating_add(gap) {
                return None;
            }
        }
        self.check_room(areas, &grown).ok()?;
        areas.set.grow_down(old, new);
        Some(())
    }

    /// Brings in what can be brought in of a range, for MAP_POPULATE: errors end it quietly.
    pub(super) fn populate(&self, span: Span) {
        let access = match self.areas.read().set.find(span.start) {
            Some(area) if area.flags.contains(VmFlags::WRITE) => Access::Write,
            Some(area) if area.flags.intersects(VmFlags::PROT) => Access::Read,
            _ => return,
        };
        for page in span.pages() {
            if self.fault(UserAddr(page), access).is_err() {
                return;
            }
        }
    }
}

/// A frame for the program, its contents unspecified. Cached pages of files make room for it.
fn new_page() -> base::Result<Frame> {
    pagecache::alloc_page()
}
