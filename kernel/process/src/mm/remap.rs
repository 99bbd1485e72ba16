//! mremap(2): a mapping made shorter, longer, or moved with its pages.

use alloc::vec::Vec;

use base::user::TASK_SIZE;
use base::{Errno, Result, UserAddr};

use super::layout::{MAX_MAP_COUNT, MIN_ADDR, PAGE, Span, is_aligned, page_up};
use super::map::MapFlags;
use super::vma::{VmFlags, Vma};
use super::{Areas, Mm};

const MAYMOVE: u32 = 1;
const FIXED: u32 = 2;

impl Mm {
    /// mremap(2). EINVAL; EFAULT when the old range is not one mapping; ENOMEM when it cannot grow
    /// where it is and may not move, or there is no room. MREMAP_DONTUNMAP is EINVAL.
    pub fn mremap(
        &self,
        old: UserAddr,
        old_len: u64,
        new_len: u64,
        flags: u32,
        new: UserAddr,
    ) -> Result<UserAddr> {
        if flags & !(MAYMOVE | FIXED) != 0 || (flags & FIXED != 0 && flags & MAYMOVE == 0) {
            return Err(Errno::EINVAL);
        }
        let new_len = page_up(new_len).filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
        let old = Span::new(old.0, old_len, Errno::EINVAL)?;
        // Made before the lock is taken, so dropped after it is free, also when something fails.
        let mut removed = Vec::new();
        let mut areas = self.areas.write();
        let at = if flags & FIXED != 0 {
            self.remap_to(&mut areas, old, new_len, new.0, &mut removed)
        } else {
            self.resize(&mut areas, old, new_len, flags & MAYMOVE != 0, &mut removed)
        };
        at.map(UserAddr)
    }

    fn resize(
        &self,
        areas: &mut Areas,
        old: Span,
        new_len: u64,
        may_move: bool,
        removed: &mut Vec<Vma>,
    ) -> Result<u64> {
        // An old length of zero would duplicate a shared mapping; only writable shared files need it.
        if old.is_empty() {
            return Err(Errno::EINVAL);
        }
        let area = areas.whole(old)?;
        if new_len <= old.len() {
            let rest = Span { start: old.start + new_len, end: old.end };
            removed.extend(self.clear(areas, rest));
            return Ok(old.start);
        }
        let longer = Span { start: old.start, end: old.start.checked_add(new_len).ok_or(Errno::ENOMEM)? };
        let extra = Span { start: old.end, end: longer.end };
        let fits = longer.end <= TASK_SIZE - PAGE && old.end == area.span.end;
        if fits && areas.set.find_gap_down(extra.len(), extra).is_some() {
            let extra = area.prolonged(extra);
            self.check_room(areas, &extra)?;
            areas.set.insert(extra);
            return Ok(old.start);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let to = areas.choose(0, new_len, MapFlags::empty())?;
        self.move_area(areas, old, Span::new(to, new_len, Errno::ENOMEM)?, removed)?;
        Ok(to)
    }

    fn remap_to(
        &self,
        areas: &mut Areas,
        old: Span,
        new_len: u64,
        to: u64,
        removed: &mut Vec<Vma>,
    ) -> Result<u64> {
        if !is_aligned(to) || new_len > TASK_SIZE || to > TASK_SIZE - new_len {
            return Err(Errno::EINVAL);
        }
        if to < MIN_ADDR {
            return Err(Errno::EPERM);
        }
        let new = Span { start: to, end: to + new_len };
        if old.is_empty() || !old.intersect(new).is_empty() {
            return Err(Errno::EINVAL);
        }
        areas.whole(old)?;
        removed.extend(self.clear(areas, new));
        self.move_area(areas, old, new, removed)?;
        Ok(to)
    }

    /// Moves what `old` maps to `new`, which is free: the area, cut or prolonged, and its pages.
    fn move_area(&self, areas: &mut Areas, old: Span, new: Span, removed: &mut Vec<Vma>) -> Result<()> {
        if areas.set.len() + 3 >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        let area = areas.whole(old)?.part(old);
        let target = Vma { span: new, ..area };
        // Only what it grows by is new; the rest is given up below.
        if new.len() > old.len() {
            let extra = Span { start: new.start, end: new.start + (new.len() - old.len()) };
            self.check_room(areas, &Vma { span: extra, ..target.clone() })?;
        }
        if let Err(error) = self.map_again(old, new) {
            self.drop_pages(new);
            return Err(error);
        }
        removed.extend(self.clear(areas, old));
        areas.set.insert(target);
        Ok(())
    }

    /// Maps the pages of `old` at `new` too, as far as both reach.
    fn map_again(&self, old: Span, new: Span) -> Result<()> {
        let mut rest = Span { start: old.start, end: old.start + old.len().min(new.len()) };
        while let Some(at) = self.resident.first(rest) {
            if let Some((frame, protection)) = self.table.lookup(UserAddr(at)) {
                let to = new.start + (at - old.start);
                self.table.map(UserAddr(to), frame, protection)?;
                self.resident.add(to);
            }
            rest.start = at + PAGE;
        }
        Ok(())
    }
}

impl Areas {
    /// The one area that has all of `span`. EFAULT. A stack does not move.
    fn whole(&self, span: Span) -> Result<Vma> {
        let area = self.set.find(span.start).ok_or(Errno::EFAULT)?;
        if area.span.end < span.end {
            return Err(Errno::EFAULT);
        }
        if area.flags.contains(VmFlags::GROWSDOWN) {
            return Err(Errno::EINVAL);
        }
        Ok(area.clone())
    }
}
