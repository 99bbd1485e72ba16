//! Where things lie in the program's address space, and arithmetic on addresses from outside.
//!
//! ```text
//!   0x0000_0000_0001_0000   lowest address a mapping may have (vm.mmap_min_addr)
//!   0x0000_0000_0040_0000   an ET_EXEC program, where it was linked for; the heap right after it
//!   0x0000_aaaa_aaaa_0000   a static-PIE program; the heap right after it
//!             ...           mmap, downward from
//!   0x0000_ffff_f7ff_f000   128 MiB below the stack's top (or lower, for a larger RLIMIT_STACK)
//!             ...           guard gap of 1 MiB, then the stack, growing downward from
//!   0x0000_ffff_ffff_f000   the stack's top
//!   0x0001_0000_0000_0000   TASK_SIZE
//! ```
//! Nothing is randomised: the same program on the same input does the same.

use base::user::TASK_SIZE;
use base::{Errno, PAGE_SIZE, Result};

/// Bytes in a page, as the address arithmetic here needs them.
pub const PAGE: u64 = PAGE_SIZE as u64;

/// The lowest address a mapping may have (`vm.mmap_min_addr`): a null pointer stays one.
pub const MIN_ADDR: u64 = 0x1_0000;

/// One past the stack's highest byte. The page above stays empty.
pub const STACK_TOP: u64 = TASK_SIZE - PAGE;

/// Kept empty below a stack (`stack_guard_gap`, 256 pages).
pub const GUARD_GAP: u64 = 256 * PAGE;

/// Where a position-independent program is loaded.
pub const PIE_BASE: u64 = 0xaaaa_aaaa_0000;

/// How many areas a program may have (`vm.max_map_count`).
pub const MAX_MAP_COUNT: usize = 65_530;

/// Down to the page boundary.
pub const fn page_down(addr: u64) -> u64 {
    addr & !(PAGE - 1)
}

/// Up to the page boundary; None past 2^64.
pub const fn page_up(addr: u64) -> Option<u64> {
    match addr.checked_add(PAGE - 1) {
        Some(a) => Some(page_down(a)),
        None => None,
    }
}

/// Whether it is on a page boundary.
pub const fn is_aligned(addr: u64) -> bool {
    addr & (PAGE - 1) == 0
}

/// Where mmap begins to look, downward: below the largest stack there may be, with a gap
/// (`mmap_base`: at least 128 MiB, at most five sixths of everything).
pub const fn mmap_base(stack_limit: u64) -> u64 {
    let (least, most) = (128 << 20, TASK_SIZE / 6 * 5);
    let gap = stack_limit.saturating_add(GUARD_GAP);
    let gap = if gap < least {
        least
    } else if gap > most {
        most
    } else {
        gap
    };
    page_down(STACK_TOP - gap)
}

/// Some whole pages of user addresses: `start <= end <= TASK_SIZE`, both on page boundaries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Span {
    /// The pages of `len` bytes from `start` on, `len` rounded up. EINVAL when `start` is off a page
    /// boundary; `too_far` when it leaves the address space.
    pub fn new(start: u64, len: u64, too_far: Errno) -> Result<Span> {
        if !is_aligned(start) {
            return Err(Errno::EINVAL);
        }
        let len = page_up(len).ok_or(too_far)?;
        let end = start.checked_add(len).filter(|&end| end <= TASK_SIZE).ok_or(too_far)?;
        Ok(Span { start, end })
    }

    /// Its length in bytes.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether the address lies in it.
    pub const fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// What both have, perhaps nothing.
    pub fn intersect(self, other: Span) -> Span {
        let start = self.start.max(other.start);
        Span { start, end: self.end.min(other.end).max(start) }
    }

    /// Its first `len` bytes, or all, and the rest. `len` is whole pages.
    pub fn cut(self, len: u64) -> (Span, Span) {
        let at = self.start + self.len().min(len);
        (Span { end: at, ..self }, Span { start: at, ..self })
    }

    /// The address of each of its pages.
    pub fn pages(self) -> impl Iterator<Item = u64> {
        (self.start..self.end).step_by(PAGE_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_from_outside() {
        assert_eq!(Span::new(0x1000, 1, Errno::ENOMEM), Ok(Span { start: 0x1000, end: 0x2000 }));
        assert_eq!(Span::new(0x1001, 1, Errno::ENOMEM), Err(Errno::EINVAL));
        assert_eq!(Span::new(0x1000, u64::MAX, Errno::ENOMEM), Err(Errno::ENOMEM));
        assert_eq!(Span::new(0x1000, TASK_SIZE, Errno::EINVAL), Err(Errno::EINVAL));
        assert_eq!(Span::new(0, TASK_SIZE, Errno::EINVAL).map(Span::len), Ok(TASK_SIZE));
    }

    #[test]
    fn mmap_begins_below_the_stack() {
        assert_eq!(mmap_base(8 << 20), STACK_TOP - (128 << 20));
        assert_eq!(mmap_base(1 << 30), STACK_TOP - (1 << 30) - GUARD_GAP);
        assert!(mmap_base(u64::MAX) > MIN_ADDR);
    }

    #[test]
    fn intersections() {
        let (a, b) = (Span { start: 0x1000, end: 0x4000 }, Span { start: 0x3000, end: 0x9000 });
        assert_eq!(a.intersect(b), Span { start: 0x3000, end: 0x4000 });
        assert!(a.intersect(Span { start: 0x8000, end: 0x9000 }).is_empty());
        assert_eq!(a.pages().count(), 3);
        assert_eq!(a.cut(0x1000), (Span { end: 0x2000, ..a }, Span { start: 0x2000, ..a }));
        assert_eq!(a.cut(0x9000), (a, Span { start: 0x4000, ..a }));
    }
}
