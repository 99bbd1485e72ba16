//! Contiguous, zeroed pages for rings and tables that a device reads and writes.
//!
//! virt's devices are coherent with the CPU, so these are ordinary pages of the linear area; what a
//! driver owes them are barriers.

use core::ptr::NonNull;

use base::{PAGE_SIZE, PhysAddr};

use super::frames;
use crate::layout;

/// Pages that belong to one driver; freed on drop.
#[derive(Debug)]
pub struct DmaPages {
    phys: PhysAddr,
    virt: NonNull<u8>,
    order: usize,
}

// SAFETY: plain memory with one owner; nothing of it belongs to a thread.
unsafe impl Send for DmaPages {}
// SAFETY: shared access gives only addresses; using them is `unsafe` and the driver's business.
unsafe impl Sync for DmaPages {}

impl DmaPages {
    /// At least `pages` contiguous pages of zeros, aligned to their size. None when memory is full
    /// or in pieces.
    pub fn new(pages: usize) -> Option<DmaPages> {
        let order = pages.max(1).checked_next_power_of_two()?.trailing_zeros() as usize;
        let phys = frames::alloc_block(order)?;
        let virt = layout::phys_to_nonnull(phys)?;
        // SAFETY: a fresh block of this size, ours.
        unsafe { virt.as_ptr().write_bytes(0, PAGE_SIZE << order) };
        Some(DmaPages { phys, virt, order })
    }

    /// Where the device finds them.
    pub fn phys(&self) -> PhysAddr {
        self.phys
    }

    /// Where the CPU finds them. Valid as long as `self` lives.
    pub fn as_ptr(&self) -> *mut u8 {
        self.virt.as_ptr()
    }

    /// Bytes there are: a power of two of pages.
    pub fn len(&self) -> usize {
        PAGE_SIZE << self.order
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Drop for DmaPages {
    fn drop(&mut self) {
        // SAFETY: the block of `new`, whose owner goes away.
        unsafe { frames::free(self.phys, self.order) }
    }
}
