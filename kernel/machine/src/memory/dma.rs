//! Contiguous, zeroed pages for rings and tables that a device reads and writes.
//!
//! virt's devices are coherent with the CPU, so these are ordinary pages of the linear area; what a
//! driver owes them are barriers. On a host they come from the heap, and a physical address is a
//! pointer, as the fake devices of the tests expect.

use core::ptr::NonNull;

use base::{PAGE_SIZE, PhysAddr};

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
        let (phys, virt) = source::take(order)?;
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

    /// The same, never null.
    pub fn as_non_null(&self) -> NonNull<u8> {
        self.virt
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
        unsafe { source::give(self.phys, self.virt, self.order) }
    }
}

#[cfg(target_os = "none")]
mod source {
    use core::ptr::NonNull;

    use base::PhysAddr;

    use crate::layout;
    use crate::memory::frames;

    pub fn take(order: usize) -> Option<(PhysAddr, NonNull<u8>)> {
        let phys = frames::alloc_block(order)?;
        Some((phys, layout::phys_to_nonnull(phys)?))
    }

    /// # Safety
    /// What `take` gave for this order, used by nobody any more.
    pub unsafe fn give(phys: PhysAddr, _virt: NonNull<u8>, order: usize) {
        // SAFETY: the caller's promise.
        unsafe { frames::free(phys, order) }
    }
}

#[cfg(not(target_os = "none"))]
mod source {
    use alloc::alloc::{Layout, alloc, dealloc};
    use core::ptr::NonNull;

    use base::{PAGE_SIZE, PhysAddr};

    fn layout(order: usize) -> Option<Layout> {
        let bytes = PAGE_SIZE.checked_shl(u32::try_from(order).ok()?)?;
        Layout::from_size_align(bytes, bytes).ok()
    }

    pub fn take(order: usize) -> Option<(PhysAddr, NonNull<u8>)> {
        // SAFETY: at least a page.
        let virt = NonNull::new(unsafe { alloc(layout(order)?) })?;
        Some((PhysAddr(virt.as_ptr() as u64), virt))
    }

    /// # Safety
    /// What `take` gave for this order, used by nobody any more.
    pub unsafe fn give(_phys: PhysAddr, virt: NonNull<u8>, order: usize) {
        if let Some(layout) = layout(order) {
            // SAFETY: the caller's promise; the layout is the one of `take`.
            unsafe { dealloc(virt.as_ptr(), layout) }
        }
    }
}
