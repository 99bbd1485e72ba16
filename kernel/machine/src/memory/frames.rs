//! All frames of the machine: the [`Buddy`] behind a short stack of single pages.
//!
//! Most requests are for one page; the stack answers them without touching the buddy lists. It is
//! filled with a block of half its size, where there is one, whose pages come out in ascending order:
//! a file read in a row lies in a row in memory, and the device is told of few pieces. It is emptied
//! half at a time, neighbours as one block. So the lists change once per some dozen pages, not for each.
//!
//! # Reserve
//! The last `RESERVE` pages are kept for the kernel's heap and translation tables: page cache and
//! program are told "no" while the kernel can still make the objects it needs to say so.
//!
//! # Locking
//! One spin lock, usable in interrupt handlers. What the lists allocate under it comes from the
//! [`arena`], whose lock is the only one taken inside.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use base::{FrameSource, PAGE_SHIFT, PhysAddr};
use sync::SpinLock;

use super::arena;
use super::buddy::{Buddy, ORDERS, block_order};
use crate::layout;

/// Pages that only the kernel itself may take: 1 MiB.
const RESERVE: u64 = 256;
const STACK: usize = 64;
/// Half a stack: what it is filled with.
const FILL_ORDER: usize = 5;
const _: () = assert!(1 << FILL_ORDER == STACK / 2);

struct Frames {
    buddy: Buddy,
    stack: ArrayVec<usize, STACK>,
    total: u64,
}

/// How many are free, for who asks before each page he takes: the lock is not needed for that.
static FREE: AtomicU64 = AtomicU64::new(0);

static FRAMES: SpinLock<Frames> =
    SpinLock::new(Frames { buddy: Buddy::new(), stack: ArrayVec::new_const(), total: 0 });

/// Hands over `[start, end)`, whole pages of it. The arena must be there.
///
/// # Safety
/// RAM mapped in the linear area, used by nobody, not handed over before.
pub unsafe fn add(start: PhysAddr, end: PhysAddr) {
    let (from, to) = (layout::page_ceil(start.0) >> PAGE_SHIFT, end.0 >> PAGE_SHIFT);
    let mut frames = FRAMES.lock();
    if from < to {
        arena::serve(|| frames.buddy.add(from as usize, to as usize));
        frames.total += to - from;
        frames.tell();
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
    let block = frames.take(order).or_else(|| {
        // The stack may hold the pages that would make a block.
        frames.flush(0);
        frames.take(order)
    })?;
    frames.tell();
    Some(phys(block))
}

/// Gives back what [`alloc_reserved`] (order 0) or [`alloc_block`] gave.
///
/// # Safety
/// Nobody uses the pages any more, and the order is the same.
pub unsafe fn free(phys: PhysAddr, order: usize) {
    let mut frames = FRAMES.lock();
    let block = (phys.0 >> PAGE_SHIFT) as usize;
    if order == 0 {
        frames.push(block);
    } else {
        frames.give(block, order);
        frames.tell();
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
    Stats { total: frames.total, free: frames.free() }
}

fn phys(frame: usize) -> PhysAddr {
    PhysAddr((frame as u64) << PAGE_SHIFT)
}

impl Frames {
    fn free(&self) -> u64 {
        self.buddy.free_frames() + self.stack.len() as u64
    }

    fn tell(&self) {
        FREE.store(self.free(), Ordering::Relaxed);
    }

    fn take(&mut self, order: usize) -> Option<usize> {
        arena::serve(|| self.buddy.alloc(order))
    }

    fn give(&mut self, block: usize, order: usize) {
        arena::serve(|| self.buddy.free(block, order));
    }

    fn pop(&mut self, keep: u64) -> Option<PhysAddr> {
        if self.free() <= keep {
            return None;
        }
        if self.stack.is_empty() {
            self.fill();
        }
        let page = self.stack.pop()?;
        self.tell();
        Some(phys(page))
    }

    /// Puts half a stack of pages into the empty stack, or what there is. Where memory is short, single
    /// pages go first and blocks stay whole, for who needs one.
    fn fill(&mut self) {
        let ample = self.free() > self.total / 4;
        if ample && let Some(first) = self.take(FILL_ORDER) {
            // The last one in is the first one out.
            self.stack.extend((first..first + (1 << FILL_ORDER)).rev());
            return;
        }
        while self.stack.len() < STACK / 2 {
            let Some(page) = self.take(0) else { break };
            self.stack.push(page);
        }
    }

    fn push(&mut self, page: usize) {
        if self.stack.is_full() {
            self.flush(STACK / 2);
        }
        self.stack.push(page);
        self.tell();
    }

    /// Moves pages from the stack to the lists until `keep` are left.
    fn flush(&mut self, keep: usize) {
        let mut pages: ArrayVec<usize, STACK> = self.stack.drain(keep.min(self.stack.len())..).collect();
        pages.sort_unstable();
        let mut left = pages.as_slice();
        while let Some(&first) = left.first() {
            let order = block_order(left);
            self.give(first, order);
            left = &left[1 << order..];
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
        FREE.load(Ordering::Relaxed).saturating_sub(RESERVE) as usize
    }
}
