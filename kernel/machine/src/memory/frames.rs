//! All frames of the machine: the [`Buddy`] behind a short stack of single pages.
//!
//! Most requests are for one page; the stack answers them without touching the buddy lists, which
//! are filled and emptied half a stack at a time.
//!
//! # Reserve
//! The last [`RESERVE`] pages are kept for the kernel's heap and translation tables: page cache and
//! program are told "no" while the kernel can still make the objects it needs to say so.
//!
//! # Locking
//! One spin lock, usable in interrupt handlers, no allocation under it.

use core::ptr::NonNull;

use arrayvec::ArrayVec;
use base::{FrameSource, PAGE_SHIFT, PhysAddr};
use sync::SpinLock;

use super::buddy::{Buddy, ORDERS};
use crate::layout;

/// Pages that only the kernel itself may take: 1 MiB.
const RESERVE: u32 = 256;
const STACK: usize = 64;

struct Frames {
    buddy: Buddy,
    stack: ArrayVec<u32, STACK>,
    /// The frame number of index 0.
    first: u64,
    total: u64,
}

static FRAMES: SpinLock<Frames> =
    SpinLock::new(Frames { buddy: Buddy::empty(), stack: ArrayVec::new_const(), first: 0, total: 0 });

/// Takes over the memory from `first` on, `pages` of it, with `states` as its notebook.
///
/// # Safety
/// As [`Buddy::new`], for the linear area; called once.
pub unsafe fn init(first: PhysAddr, pages: u32, states: *mut u8) {
    let mut frames = FRAMES.lock();
    // SAFETY: the caller's promise.
    frames.buddy = unsafe { Buddy::new(layout::phys_to_virt(first), states, pages) };
    frames.first = first.0 >> PAGE_SHIFT;
}

/// Hands over `[start, end)`, whole pages of it.
///
/// # Safety
/// Mapped RAM within what `init` announced, used by nobody.
pub unsafe fn add(start: PhysAddr, end: PhysAddr) {
    let (from, to) = (layout::page_ceil(start.0) >> PAGE_SHIFT, end.0 >> PAGE_SHIFT);
    let mut frames = FRAMES.lock();
    if from < to && from >= frames.first {
        let (a, b) = ((from - frames.first) as u32, (to - frames.first) as u32);
        // SAFETY: the caller's promise.
        unsafe { frames.buddy.add(a, b) };
        frames.total += to - from;
    }
}

/// One page for the kernel's own needs, from the reserve if it must be.
pub fn alloc_reserved() -> Option<PhysAddr> {
    FRAMES.lock().pop(0)
}

/// 2^order contiguous pages for the kernel's own needs.
pub fn alloc_block(order: usize) -> Option<PhysAddr> {
    if order >= ORDERS {
        return None;
    }
    let mut frames = FRAMES.lock();
    let block = frames.buddy.alloc(order).or_else(|| {
        // The stack may hold the pages that would make a block.
        frames.flush(0);
        frames.buddy.alloc(order)
    })?;
    Some(frames.phys(block))
}

/// Gives back what [`alloc_reserved`] (order 0) or [`alloc_block`] gave.
///
/// # Safety
/// Nobody uses the pages any more, and the order is the same.
pub unsafe fn free(phys: PhysAddr, order: usize) {
    let mut frames = FRAMES.lock();
    let block = ((phys.0 >> PAGE_SHIFT) - frames.first) as u32;
    if order == 0 {
        frames.push(block);
    } else {
        // SAFETY: the caller's promise.
        unsafe { frames.buddy.free(block, order) };
    }
}

/// Pages of memory: what there is in all and what is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Pages that were ever handed to the allocator.
    pub total: u64,
    /// Pages nobody uses.
    pub free: u64,
}

/// How much memory there is now.
pub fn stats() -> Stats {
    let frames = FRAMES.lock();
    Stats { total: frames.total, free: u64::from(frames.free()) }
}

impl Frames {
    fn free(&self) -> u32 {
        self.buddy.free_pages() + self.stack.len() as u32
    }

    fn phys(&self, index: u32) -> PhysAddr {
        PhysAddr((self.first + u64::from(index)) << PAGE_SHIFT)
    }

    fn pop(&mut self, keep: u32) -> Option<PhysAddr> {
        if self.free() <= keep {
            return None;
        }
        if self.stack.is_empty() {
            while self.stack.len() < STACK / 2 {
                let Some(page) = self.buddy.alloc(0) else { break };
                self.stack.push(page);
            }
        }
        self.stack.pop().map(|page| self.phys(page))
    }

    fn push(&mut self, page: u32) {
        if self.stack.is_full() {
            self.flush(STACK / 2);
        }
        self.stack.push(page);
    }

    /// Moves pages from the stack to the lists until `keep` are left.
    fn flush(&mut self, keep: usize) {
        while self.stack.len() > keep {
            let Some(page) = self.stack.pop() else { return };
            // SAFETY: pages on the stack are single, allocated from the buddy, and nobody's.
            unsafe { self.buddy.free(page, 0) };
        }
    }
}

/// The machine's frames as `base::frame` wants them: for the page cache and the program.
pub struct MachineFrames;

// SAFETY: a frame is one page of the linear area, mapped read-write for ever, and the buddy gives
// it to one owner at a time.
unsafe impl FrameSource for MachineFrames {
    fn alloc(&self) -> Option<(NonNull<u8>, PhysAddr)> {
        let phys = FRAMES.lock().pop(RESERVE)?;
        Some((layout::phys_to_nonnull(phys)?, phys))
    }

    fn free(&self, _data: NonNull<u8>, phys: PhysAddr) {
        // SAFETY: the trait's contract: what `alloc` gave, and its owner is gone.
        unsafe { free(phys, 0) }
    }

    fn free_frames(&self) -> usize {
        // Without the reserve: what others may have.
        FRAMES.lock().free().saturating_sub(RESERVE) as usize
    }
}
