//! A page fault: the page is brought in, or the program gets a signal.
//!
//! A page of a file goes into the table while it is locked, under the file's `invalidate_lock`: writeback
//! and truncate come before it or find it there.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use base::arch::{Access, Protection};
use base::user::TASK_SIZE;
use base::{Errno, Frame, PageIndex, UserAddr};

use super::layout::{GUARD_GAP, MIN_ADDR, Span, page_down};
use super::resident::Kind;
use super::vma::{PageSource, VmFlags, Vma};
use super::{Areas, Mm};
use crate::limits::Resource;
use crate::signal::{SigInfo, Signal, code};

/// How many handles a frame has that only a page table owns, while one look at it holds another.
const ONLY_THE_TABLES: usize = 2;

/// What a fault has brought in.
#[derive(Default)]
struct Brought {
    /// A file's page that the program has made dirty: who made it so may have to wait.
    dirtied: Option<Arc<dyn PageSource>>,
    /// It had to come from a file that did not have it in memory.
    major: bool,
}

impl Brought {
    fn by(major: bool) -> Brought {
        Brought { dirtied: None, major }
    }
}

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
        let done = self.bring_in(area, page_down(addr.0), access);
        drop(areas);
        Some(match done {
            Ok(Brought { dirtied, major }) => {
                let count = if major { &self.major_faults } else { &self.minor_faults };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(source) = dirtied {
                    source.balance_dirty();
                }
                Ok(())
            }
            Err(Errno::ENOMEM) => {
                log::error!("out of memory at a page fault at {:#x}", addr.0);
                Err(SigInfo::kernel(Signal::KILL))
            }
            Err(_) => Err(SigInfo::fault(Signal::BUS, code::BUS_ADRERR, addr)),
        })
    }

    fn bring_in(&self, area: &Vma, page: u64, access: Access) -> base::Result<Brought> {
        let Some((source, index)) = area.file_page(page) else {
            return self.bring_zeros(area, page).map(|()| Brought::default());
        };
        if access != Access::Write {
            return self.bring_shared(area, page, source, index).map(Brought::by);
        }
        if area.flags.contains(VmFlags::SHARED) {
            return self.bring_writable(area, page, source, index);
        }
        self.bring_copy(area, page, source, index).map(Brought::by)
    }

    fn bring_zeros(&self, area: &Vma, page: u64) -> base::Result<()> {
        let protection = area.flags.protection();
        if self.pages.protect_present(page, |_| protection) {
            return Ok(());
        }
        let fresh = new_page()?;
        fresh.zero();
        let kind = if area.flags.contains(VmFlags::SHARED) { Kind::Shmem } else { Kind::Anonymous };
        self.pages.put_if_empty(page, fresh, protection, kind).map(drop)
    }

    /// The cache's own page, to be read or executed. Whether it had to be read in; so below.
    fn bring_shared(
        &self,
        area: &Vma,
        page: u64,
        source: &Arc<dyn PageSource>,
        index: PageIndex,
    ) -> base::Result<bool> {
        let protection = Protection { write: false, ..area.flags.protection() };
        // What may be written already stays so: it is a copy, or dirty.
        let may_stay = area.flags.contains(VmFlags::WRITE);
        if self.pages.protect_present(page, |had| Protection { write: had.write && may_stay, ..protection }) {
            return Ok(false);
        }
        let _steady = source.mapping().map(|mapping| mapping.invalidate_lock_shared());
        let cached = source.page(index, area.flags.pattern())?;
        self.pages.put_if_empty(page, cached.frame().clone(), protection, Kind::File)?;
        Ok(cached.major)
    }

    /// The cache's own page, to be written: dirty from now on, for writeback takes the right to write away
    /// before it makes the page clean.
    fn bring_writable(
        &self,
        area: &Vma,
        page: u64,
        source: &Arc<dyn PageSource>,
        index: PageIndex,
    ) -> base::Result<Brought> {
        if self.pages.lookup(page).is_some_and(|(_, has)| has.write) {
            // Another thread was faster.
            return Ok(Brought::default());
        }
        let _steady = source.mapping().map(|mapping| mapping.invalidate_lock_shared());
        let dirty = source.page_mkwrite(index, area.flags.pattern())?;
        self.pages.put(page, dirty.frame(), area.flags.protection(), Kind::File)?;
        Ok(Brought { dirtied: Some(source.clone()), major: dirty.major })
    }

    /// A private page, to be written: copied unless it is nobody else's already.
    fn bring_copy(
        &self,
        area: &Vma,
        page: u64,
        source: &Arc<dyn PageSource>,
        index: PageIndex,
    ) -> base::Result<bool> {
        let protection = area.flags.protection();
        loop {
            let mut major = false;
            let done = match self.pages.lookup(page) {
                // Another thread was faster. Its copy stays, whoever has a handle to it: a device may be writing there.
                Some((_, has)) if has.write => return Ok(false),
                Some((own, _)) if own.handles() <= ONLY_THE_TABLES => {
                    self.pages.protect_same(page, &own, protection)
                }
                Some((original, _)) => {
                    let copy = copy_of(&original)?;
                    self.pages.replace(page, &original, copy, protection, Kind::Anonymous)?
                }
                None => {
                    // Before a page is locked: it may have to wait for memory.
                    let copy = new_page()?;
                    let _steady = source.mapping().map(|mapping| mapping.invalidate_lock_shared());
                    let original = source.page(index, area.flags.pattern())?;
                    major = original.major;
                    copy.copy_page_from(original.frame());
                    self.pages.put_if_empty(page, copy, protection, Kind::Anonymous)?
                }
            };
            // Else somebody took away, or brought, what was there.
            if done {
                return Ok(major);
            }
        }
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
}

/// A frame for the program, its contents unspecified. Cached pages of files make room for it.
fn new_page() -> base::Result<Frame> {
    pagecache::alloc_page()
}

fn copy_of(original: &Frame) -> base::Result<Frame> {
    let copy = new_page()?;
    copy.copy_page_from(original);
    Ok(copy)
}
