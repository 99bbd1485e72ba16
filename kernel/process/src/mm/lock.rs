//! mlock(2), mlock2(2), munlock(2), mlockall(2), munlockall(2).
//!
//! There is no swap, so what a program has in memory stays there: locking brings pages in, counts against
//! RLIMIT_MEMLOCK, and keeps madvise(MADV_DONTNEED) and msync(MS_INVALIDATE) away.

use core::sync::atomic::Ordering;

use base::{Errno, Result, UserAddr};

use super::layout::{MAX_MAP_COUNT, Span, page_down, page_up};
use super::vma::{VmFlags, Vma};
use super::{Areas, Mm};
use crate::limits::Resource;

const MLOCK_ONFAULT: u32 = 1;
const MCL_CURRENT: u32 = 1;
const MCL_FUTURE: u32 = 2;
const MCL_ONFAULT: u32 = 4;

impl Mm {
    /// Whether the program has CAP_IPC_LOCK.
    pub fn set_may_lock_all(&self, may: bool) {
        self.may_lock_all.store(may, Ordering::Relaxed);
    }

    /// mlock(2), mlock2(2): EPERM where nothing may be locked; ENOMEM for what is not mapped or cannot be
    /// brought in, after what was before it, or when it would be too much; EINVAL for flags that are none.
    pub fn mlock(&self, addr: UserAddr, len: u64, flags: u32) -> Result<()> {
        if flags & !MLOCK_ONFAULT != 0 {
            return Err(Errno::EINVAL);
        }
        self.check_may_lock()?;
        let span = whole_pages(addr, len)?;
        {
            let mut areas = self.areas.write();
            let already: u64 = areas.locked(span);
            let wanted = areas.locked(EVERYTHING).saturating_add(span.len()) - already;
            if wanted > self.lock_limit() {
                return Err(Errno::ENOMEM);
            }
            change(&mut areas, span, locked(flags & MLOCK_ONFAULT != 0))?;
        }
        if flags & MLOCK_ONFAULT != 0 {
            return Ok(());
        }
        let access = VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC;
        let done =
            self.populate(span, None).and_then(|()| self.check_all(span, |v| v.flags.intersects(access)));
        done.map_err(|_| Errno::ENOMEM)
    }

    /// munlock(2): ENOMEM for what is not mapped, after what was before it.
    pub fn munlock(&self, addr: UserAddr, len: u64) -> Result<()> {
        change(&mut self.areas.write(), whole_pages(addr, len)?, VmFlags::empty())
    }

    /// mlockall(2). EINVAL, EPERM, ENOMEM.
    pub fn mlockall(&self, flags: u32) -> Result<()> {
        let known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
        if flags & !known != 0 || flags & (MCL_CURRENT | MCL_FUTURE) == 0 {
            return Err(Errno::EINVAL);
        }
        self.check_may_lock()?;
        {
            let mut areas = self.areas.write();
            if flags & MCL_CURRENT != 0 && areas.set.totals().0 > self.lock_limit() {
                return Err(Errno::ENOMEM);
            }
            let locked = locked(flags & MCL_ONFAULT != 0);
            areas.lock_future = if flags & MCL_FUTURE != 0 { locked } else { VmFlags::empty() };
            if flags & MCL_CURRENT != 0 {
                areas.set.change(EVERYTHING, VmFlags::LOCK, locked);
            }
        }
        if flags & MCL_CURRENT != 0 && flags & MCL_ONFAULT == 0 {
            // What cannot be brought in is met by who touches it.
            let _ = self.populate(EVERYTHING, None);
        }
        Ok(())
    }

    /// munlockall(2).
    pub fn munlockall(&self) {
        let mut areas = self.areas.write();
        areas.lock_future = VmFlags::empty();
        areas.set.change(EVERYTHING, VmFlags::LOCK, VmFlags::empty());
    }

    /// EPERM where a program may lock nothing.
    pub(super) fn check_may_lock(&self) -> Result<()> {
        if self.lock_limit() == 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Whether an area may be added as far as locked memory goes. EAGAIN.
    pub(super) fn check_locked(&self, areas: &Areas, area: &Vma) -> Result<()> {
        let locks = area.flags.contains(VmFlags::LOCKED);
        if locks && areas.locked(EVERYTHING).saturating_add(area.span.len()) > self.lock_limit() {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    fn lock_limit(&self) -> u64 {
        if self.may_lock_all.load(Ordering::Relaxed) {
            return u64::MAX;
        }
        self.limits.soft(Resource::LockedMemory)
    }
}

const EVERYTHING: Span = Span { start: 0, end: base::user::TASK_SIZE };

/// What an area is that is locked.
fn locked(on_fault: bool) -> VmFlags {
    if on_fault { VmFlags::LOCK } else { VmFlags::LOCKED }
}

/// The pages that a range of bytes touches. A length that has no whole pages any more is a short one, as in
/// Linux.
fn whole_pages(addr: UserAddr, len: u64) -> Result<Span> {
    let start = page_down(addr.0);
    let len = page_up(len.wrapping_add(addr.0 - start)).unwrap_or(0);
    let too_far = if start.checked_add(len).is_none() { Errno::EINVAL } else { Errno::ENOMEM };
    Span::new(start, len, too_far)
}

/// Up to the first hole it takes effect.
fn change(areas: &mut Areas, span: Span, to: VmFlags) -> Result<()> {
    if areas.set.len() + areas.set.splits(span) >= MAX_MAP_COUNT {
        return Err(Errno::ENOMEM);
    }
    let end = areas.set.covered_until(span);
    areas.set.change(Span { start: span.start, end }, VmFlags::LOCK, to);
    if end < span.end { Err(Errno::ENOMEM) } else { Ok(()) }
}

impl Areas {
    /// The bytes of a span that are locked.
    fn locked(&self, span: Span) -> u64 {
        let locked = self.set.overlapping(span).filter(|v| v.flags.contains(VmFlags::LOCKED));
        locked.map(|v| v.span.intersect(span).len()).sum()
    }

    /// What a new area is locked by.
    pub(super) fn locked_by_default(&self) -> VmFlags {
        self.lock_future
    }
}
