//! The kernel's heap: talc for objects, whole blocks of frames for what is larger than a page or two.
//!
//! talc gets its room from the frames, 64 KiB at a time (less when memory is in small pieces), and
//! gives a piece back when nothing in it is used any more. Failure is a null pointer.
//!
//! # Locking
//! One spin lock around talc, usable in interrupt handlers (an `end_io` drops boxes). The frames'
//! lock is taken inside it, never the other way round: frames allocate nothing.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use base::PAGE_SIZE;
use sync::SpinLock;
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::{DefaultBinning, min_first_heap_size, source::Source};

use super::frames;
use crate::layout;

/// Larger objects get frames of their own.
const LARGE: usize = 2 * PAGE_SIZE;
/// The usual piece of talc's room: 2^4 pages.
const PIECE_ORDER: usize = 4;

/// Bytes that objects occupy now, for /proc/meminfo.
static USED: AtomicUsize = AtomicUsize::new(0);

/// The `#[global_allocator]`.
pub struct KernelHeap {
    talc: SpinLock<Talc<Pieces, DefaultBinning>>,
}

impl KernelHeap {
    /// An empty heap; it may be used as soon as `memory::init` has run.
    pub const fn new() -> KernelHeap {
        KernelHeap { talc: SpinLock::new(Talc::new(Pieces)) }
    }
}

impl Default for KernelHeap {
    fn default() -> Self {
        KernelHeap::new()
    }
}

/// Bytes that objects occupy now.
pub fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

// SAFETY: talc and the frames both give memory that fits the layout and belongs to the caller until
// it is freed with the same layout, which decides between the two each time.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let ptr = match large_order(layout) {
            Some(order) => frames::alloc_block(order).map_or(ptr::null_mut(), layout::phys_to_virt),
            // SAFETY: `GlobalAlloc` promises a size above zero.
            None => unsafe { self.talc.lock().allocate(layout) }.map_or(ptr::null_mut(), NonNull::as_ptr),
        };
        if !ptr.is_null() {
            USED.fetch_add(layout.size(), Ordering::Relaxed);
        }
        ptr
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        match large_order(layout) {
            Some(order) => {
                if let Some(phys) = layout::virt_to_phys(ptr) {
                    // SAFETY: `alloc` took a block of this order for this layout.
                    unsafe { frames::free(phys, order) }
                }
            }
            // SAFETY: `alloc` took it from talc with this layout.
            None => unsafe { self.talc.lock().deallocate(ptr, layout) },
        }
    }
}

/// The order of the block that a large object gets. None for a small one.
fn large_order(layout: Layout) -> Option<usize> {
    (layout.size() > LARGE || layout.align() > PAGE_SIZE).then(|| {
        let bytes = layout.size().max(layout.align());
        bytes.div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros() as usize
    })
}

/// Where talc gets its room.
#[derive(Debug)]
struct Pieces;

/// At the end of each piece, past the heap that talc sees: the order it was taken with.
const FOOTER: usize = CHUNK_UNIT;

// SAFETY: memory that is claimed is fresh from the frames; `resize` deletes whole pieces alone.
unsafe impl Source for Pieces {
    const TRACK_HEAP_END: bool = true;

    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let mut need = layout.size() + layout.align() + 4 * CHUNK_UNIT + FOOTER;
        if !talc.is_metadata_established() {
            need += min_first_heap_size::<B>();
        }
        let least = need.div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros() as usize;
        let most = least.max(PIECE_ORDER);
        let piece = (least..=most).rev().find_map(|order| Some((frames::alloc_block(order)?, order)));
        let (phys, order) = piece.ok_or(())?;
        let base = layout::phys_to_virt(phys);
        let usable = (PAGE_SIZE << order) - FOOTER;
        // SAFETY: `usable + FOOTER` fresh bytes from `base` on are ours, and stay so until `resize`.
        unsafe {
            base.add(usable).cast::<usize>().write(order);
            if talc.claim(base, usable).is_none() {
                frames::free(phys, order);
                return Err(());
            }
        }
        Ok(())
    }

    unsafe fn resize(&mut self, chunk_base: *mut u8, heap_end: *mut u8, is_heap_base: bool) -> *mut u8 {
        if !is_heap_base {
            return heap_end;
        }
        // SAFETY: every heap was claimed by `acquire`, which wrote the order right past its end.
        let order = unsafe { heap_end.cast::<usize>().read() };
        let base = heap_end.wrapping_add(FOOTER).wrapping_sub(PAGE_SIZE << order);
        if let Some(phys) = layout::virt_to_phys(base) {
            // SAFETY: nothing in the piece is used, and talc forgets it with the value returned.
            unsafe { frames::free(phys, order) };
        }
        chunk_base
    }
}
