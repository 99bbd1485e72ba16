//! mremap(2): a mapping made shorter, longer, moved with its pages, or, if it is a shared one of a file,
//! doubled.

use alloc::vec::Vec;

use base::user::TASK_SIZE;
use base::{Errno, Result, UserAddr};

use super::layout::{MAX_MAP_COUNT, MIN_ADDR, PAGE, Span, is_aligned, page_up};
use super::map::MapFlags;
use super::vma::{VmFlags, Vma};
use super::{Areas, Mm};

const MAYMOVE: u32 = 1;
const FIXED: u32 = 2;
const DONTUNMAP: u32 = 4;

impl Mm {
    /// mremap(2). EINVAL; EFAULT when what stays of the old range is not one mapping; ENOMEM when it cannot grow
    /// where it is and may not move, or there is no room; EAGAIN when more would be locked than may be. An old
    /// length of 0 doubles a shared mapping of a file; one of shared anonymous memory, which is nobody else's
    /// here, is EINVAL.
    pub fn mremap(
        &self,
        old: UserAddr,
        old_len: u64,
        new_len: u64,
        flags: u32,
        new: UserAddr,
    ) -> Result<UserAddr> {
        let moves = flags & (FIXED | DONTUNMAP) != 0;
        if flags & !(MAYMOVE | FIXED | DONTUNMAP) != 0 || (moves && flags & MAYMOVE == 0) {
            return Err(Errno::EINVAL);
        }
        let keep = flags & DONTUNMAP != 0;
        if keep && old_len != new_len {
            return Err(Errno::EINVAL);
        }
        let new_len = page_up(new_len).filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
        if !is_aligned(old.0) {
            return Err(Errno::EINVAL);
        }
        // A length that has no whole pages any more is none, as in Linux.
        let old_len = page_up(old_len).unwrap_or(0);
        let old = Span::new(old.0, old_len, Errno::EFAULT)?;
        // Made before the lock is taken, so dropped after it is free, also when something fails.
        let mut removed = Vec::new();
        let mut areas = self.areas.write();
        // Whether there is a mapping at all comes before where it goes.
        areas.set.find(old.start).ok_or(Errno::EFAULT)?;
        let at = if moves {
            areas.target(old, new_len, new.0, flags & FIXED != 0).and_then(|new| {
                let (kept, rest) = old.cut(new_len);
                areas.movable(kept, new_len, keep)?;
                removed.extend(self.clear(&mut areas, new));
                removed.extend(self.clear(&mut areas, rest));
                self.move_area(&mut areas, kept, new, keep, &mut removed)?;
                Ok(new.start)
            })
        } else {
            self.resize(&mut areas, old, new_len, flags & MAYMOVE != 0, &mut removed)
        }?;
        let locked = areas.set.find(at).is_some_and(|area| area.flags.contains(VmFlags::LOCKED));
        drop(areas);
        if locked && new_len > old.len() {
            // What cannot be brought in is met by who touches it.
            let _ = self.populate(Span { start: at + old.len(), end: at + new_len }, None);
        }
        Ok(UserAddr(at))
    }

    fn resize(
        &self,
        areas: &mut Areas,
        old: Span,
        new_len: u64,
        may_move: bool,
        removed: &mut Vec<Vma>,
    ) -> Result<u64> {
        if new_len <= old.len() {
            // Whatever there is: it is unmapped.
            removed.extend(self.clear(areas, old.cut(new_len).1));
            return Ok(old.start);
        }
        let area = areas.whole(old)?;
        if !area.may_grow() {
            return Err(Errno::EFAULT);
        }
        let longer = Span { start: old.start, end: old.start.checked_add(new_len).ok_or(Errno::ENOMEM)? };
        let extra = Span { start: old.end, end: longer.end };
        let fits = longer.end <= TASK_SIZE - PAGE && old.end == area.span.end;
        if fits && !old.is_empty() && areas.set.find_gap_down(extra.len(), extra).is_some() {
            let extra = area.prolonged(extra);
            self.check_locked(areas, &extra)?;
            self.check_room(areas, &extra)?;
            self.insert(areas, extra);
            return Ok(old.start);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let to = areas.choose(0, new_len, MapFlags::empty())?;
        self.move_area(areas, old, Span::new(to, new_len, Errno::ENOMEM)?, false, removed)?;
        Ok(to)
    }

    /// Moves what `old` maps to `new`, which is free: the area, cut or prolonged, and its pages. With `keep`
    /// the old area stays, without pages; an empty `old` leaves nothing to take away.
    fn move_area(
        &self,
        areas: &mut Areas,
        old: Span,
        new: Span,
        keep: bool,
        removed: &mut Vec<Vma>,
    ) -> Result<()> {
        if areas.set.len() + 3 >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        let target = Vma { span: new, ..areas.whole(old)?.part(old) };
        // Only what it grows by is new; the rest is given up below.
        let more = if keep { new.len() } else { new.len().saturating_sub(old.len()) };
        if more > 0 {
            let extra = Vma { span: Span { start: new.start, end: new.start + more }, ..target.clone() };
            self.check_locked(areas, &extra)?;
            self.check_room(areas, &extra)?;
        }
        // Before a page is there: its file shall find it.
        self.insert(areas, target);
        if let Err(error) = self.pages.map_again(old, new) {
            removed.extend(self.clear(areas, new));
            return Err(error);
        }
        if let Some((source, _)) = areas.set.find(new.start).and_then(|area| area.file_page(new.start)) {
            source.moved(UserAddr(new.start));
        }
        if keep {
            self.pages.take_out(old);
        } else {
            removed.extend(self.clear(areas, old));
        }
        Ok(())
    }
}

impl Areas {
    /// Where `old` shall move to: exactly `to`, or where there is room. EINVAL when that is off a page
    /// boundary, beyond user addresses, or over `old`.
    fn target(&self, old: Span, new_len: u64, to: u64, fixed: bool) -> Result<Span> {
        if !is_aligned(to) || new_len > TASK_SIZE || to > TASK_SIZE - new_len {
            return Err(Errno::EINVAL);
        }
        let asked = Span { start: to, end: to + new_len };
        if !old.intersect(asked).is_empty() {
            return Err(Errno::EINVAL);
        }
        if !fixed {
            return Span::new(self.choose(to, new_len, MapFlags::empty())?, new_len, Errno::ENOMEM);
        }
        if to < MIN_ADDR { Err(Errno::EPERM) } else { Ok(asked) }
    }

    /// Whether the area of `old` may move and have `new_len` bytes there. EINVAL, EFAULT.
    fn movable(&self, old: Span, new_len: u64, keep: bool) -> Result<()> {
        match self.whole(old)?.may_grow() {
            false if keep => Err(Errno::EINVAL),
            false if new_len > old.len() => Err(Errno::EFAULT),
            _ => Ok(()),
        }
    }

    /// The one area that has all of `span`; of an empty span the one that could be doubled there. EFAULT. A
    /// stack does not move.
    fn whole(&self, span: Span) -> Result<Vma> {
        let area = self.set.find(span.start).ok_or(Errno::EFAULT)?;
        if span.is_empty() && !area.is_shared_file() {
            return Err(Errno::EINVAL);
        }
        if area.span.end < span.end {
            return Err(Errno::EFAULT);
        }
        if area.flags.contains(VmFlags::GROWSDOWN) {
            return Err(Errno::EINVAL);
        }
        Ok(area.clone())
    }
}
