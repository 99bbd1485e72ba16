//! brk(2): the heap, which begins after the image and grows upward.

use alloc::vec::Vec;

use base::UserAddr;
use base::user::TASK_SIZE;

use super::layout::{PAGE, Span, page_up};
use super::vma::{Backing, VmFlags, Vma};
use super::{Areas, Mm};
use crate::limits::Resource;

impl Mm {
    /// Moves the end of the heap to `addr` and returns where it is then: as asked, or where it was when
    /// that cannot be (below the heap's start, over the limit, into another area).
    pub fn brk(&self, addr: UserAddr) -> UserAddr {
        let mut areas = self.areas.write();
        let removed = match self.move_heap(&mut areas, addr.0) {
            Some(removed) => removed,
            None => return UserAddr(areas.heap_end),
        };
        let before = core::mem::replace(&mut areas.heap_end, addr.0);
        let locked = areas.locked_by_default().contains(VmFlags::LOCKED);
        drop(areas);
        drop(removed);
        if let (true, Some(start), Some(end)) = (locked, page_up(before), page_up(addr.0))
            && start < end
        {
            // What cannot be brought in is met by who touches it.
            let _ = self.populate(Span { start, end }, None);
        }
        addr
    }

    fn move_heap(&self, areas: &mut Areas, end: u64) -> Option<Vec<Vma>> {
        if end < areas.heap_start || end > TASK_SIZE - PAGE {
            return None;
        }
        let data = (end - areas.heap_start).checked_add(areas.image.data_size)?;
        if data > self.limits.soft(Resource::Data) {
            return None;
        }
        let (old, new) = (page_up(areas.heap_end)?, page_up(end)?);
        if new <= old {
            return Some(self.clear(areas, Span { start: new, end: old }));
        }
        let span = Span { start: old, end: new };
        // A page is kept free behind it, and a stack's guard gap.
        let with_gap = Span { start: old, end: new + PAGE };
        areas.set.find_gap_down(with_gap.len(), with_gap)?;
        let flags = VmFlags::READ | VmFlags::WRITE | VmFlags::MAY_WRITE;
        let area = Vma { span, flags, backing: Backing::Anonymous };
        let area = Vma { flags: area.flags | areas.locked_by_default(), ..area };
        self.check_locked(areas, &area).ok()?;
        self.check_room(areas, &area).ok()?;
        areas.set.insert(area);
        Some(Vec::new())
    }
}
