//! The kernel's heap: talc for objects, whole blocks of frames for what is larger than a page or two.
//!
//! ```text
//!   ≤ 512 bytes   a magazine per size class: a few dozen free objects, taken and put back by a move
//!   ≤ 8 KiB       talc, which also fills the magazines
//!   larger        a block of frames
//! ```
//! talc gets its room from the frames, 64 KiB at a time (less when memory is in small pieces), and
//! gives a piece back when nothing in it is used any more. Failure is a null pointer.
//!
//! # Locking
//! One spin lock around all of it, usable in interrupt handlers (an `end_io` drops boxes). The frames'
//! lock is taken inside it, never the other way round: what the frames' lists allocate comes from the
//! [`arena`].

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use arrayvec::ArrayVec;
use base::PAGE_SIZE;
use sync::SpinLock;
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::{DefaultBinning, min_first_heap_size, source::Source};

use super::{arena, frames};
use crate::layout;

/// Larger objects get frames of their own.
const LARGE: usize = 2 * PAGE_SIZE;
/// The usual piece of talc's room: 2^4 pages.
const PIECE_ORDER: usize = 4;

/// Sizes that have a magazine, ascending.
const CLASSES: [usize; 12] = [16, 32, 48, 64, 80, 96, 112, 128, 192, 256, 384, 512];
/// Alignment of every object in a magazine.
const CLASS_ALIGN: usize = 16;
/// Free objects kept per class.
const MAGAZINE: usize = 32;
/// The class of a size, by its count of 16 bytes, rounded up.
const CLASS_OF: [u8; 33] = class_table();

const fn class_table() -> [u8; 33] {
    let mut table = [0; 33];
    let mut units = 0;
    while units < table.len() {
        let mut class = 0;
        while CLASSES[class] < units * 16 {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
}

/// The `#[global_allocator]`.
pub struct KernelHeap {
    inner: SpinLock<Inner>,
}

struct Inner {
    talc: Talc<Pieces, DefaultBinning>,
    magazines: [ArrayVec<NonNull<u8>, MAGAZINE>; CLASSES.len()],
    /// Bytes that objects occupy now.
    used: usize,
}

// SAFETY: the free objects in the magazines belong to the heap; their memory is of no thread.
unsafe impl Send for Inner {}

impl KernelHeap {
    /// An empty heap; it may be used as soon as `memory::init` has run.
    pub const fn new() -> KernelHeap {
        let magazines = [const { ArrayVec::new_const() }; CLASSES.len()];
        KernelHeap { inner: SpinLock::new(Inner { talc: Talc::new(Pieces), magazines, used: 0 }) }
    }

    /// Bytes that objects occupy now.
    pub fn used(&self) -> usize {
        self.inner.lock().used
    }
}

impl Default for KernelHeap {
    fn default() -> Self {
        KernelHeap::new()
    }
}

/// The class of a small object. None for others.
#[inline]
fn class_of(layout: Layout) -> Option<usize> {
    let units = layout.size().div_ceil(16);
    if layout.align() > CLASS_ALIGN {
        return None;
    }
    CLASS_OF.get(units).map(|&class| usize::from(class))
}

const fn class_layout(class: usize) -> Layout {
    match Layout::from_size_align(CLASSES[class], CLASS_ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a class that is no layout"),
    }
}

impl Inner {
    fn alloc(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let object = match class_of(layout) {
            Some(class) => match self.magazines[class].pop() {
                Some(object) => Some(object),
                // SAFETY: no class is empty.
                None => unsafe { self.talc.allocate(class_layout(class)) },
            },
            None => match large_order(layout) {
                Some(order) => frames::alloc_block(order).and_then(layout::phys_to_nonnull),
                // SAFETY: `GlobalAlloc` promises a size above zero.
                None => unsafe { self.talc.allocate(layout) },
            },
        };
        if object.is_some() {
            self.used += layout.size();
        }
        object
    }

    /// # Safety
    /// `object` came from [`Inner::alloc`] with this layout, and nobody uses it.
    unsafe fn free(&mut self, object: NonNull<u8>, layout: Layout) {
        self.used -= layout.size();
        if let Some(class) = class_of(layout) {
            if self.magazines[class].try_push(object).is_err() {
                // SAFETY: objects of a class are talc's, with the class's layout.
                unsafe { self.talc.deallocate(object.as_ptr(), class_layout(class)) }
            }
            return;
        }
        match large_order(layout) {
            Some(order) => {
                if let Some(phys) = layout::virt_to_phys(object.as_ptr()) {
                    // SAFETY: `alloc` took a block of this order for this layout.
                    unsafe { frames::free(phys, order) }
                }
            }
            // SAFETY: `alloc` took it from talc with this layout.
            None => unsafe { self.talc.deallocate(object.as_ptr(), layout) },
        }
    }
}

// SAFETY: every way to get memory gives what fits the layout and belongs to the caller until it is
// freed with the same layout, which decides between the ways each time.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if arena::serves() {
            return arena::alloc(layout);
        }
        self.inner.lock().alloc(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if let Some(object) = NonNull::new(ptr) {
            // SAFETY: the trait's contract.
            unsafe {
                match arena::owns(ptr) {
                    true => arena::dealloc(object, layout),
                    false => self.inner.lock().free(object, layout),
                }
            }
        }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the trait's contract: `new_size` is not zero and does not overflow when rounded up.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // In a class or a block there is room beyond the object.
        let same_class = class_of(layout).is_some_and(|class| class_of(new_layout) == Some(class));
        if arena::owns(ptr) || arena::serves() {
            // SAFETY: the trait's contract.
            return unsafe { self.move_object(ptr, layout, new_layout) };
        }
        let same_block = class_of(layout).is_none() && class_of(new_layout).is_none() && {
            let order = large_order(layout);
            order.is_some() && order == large_order(new_layout)
        };
        if same_class || same_block {
            let mut inner = self.inner.lock();
            inner.used = inner.used - layout.size() + new_size;
            return ptr;
        }
        // SAFETY: the trait's contract.
        unsafe { self.move_object(ptr, layout, new_layout) }
    }
}

impl KernelHeap {
    /// # Safety
    /// `ptr` was allocated here with `old`; `new` is not empty.
    unsafe fn move_object(&self, ptr: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: as `GlobalAlloc::realloc` asks for, by its own three steps.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(ptr, moved, old.size().min(new.size()));
                self.dealloc(ptr, old);
            }
            moved
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
