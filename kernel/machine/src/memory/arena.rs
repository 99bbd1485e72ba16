//! The boot arena: `linked_list_allocator` over a piece of memory set aside before anything else.
//!
//! It is the heap until there are frames, and afterwards the home of the frame allocator's own lists:
//! those change while the frames' lock is held, when the heap, which is filled from the frames, must
//! not be asked. [`KernelHeap`](super::heap::KernelHeap) comes here whenever [`serves`] says so, and gives
//! back here what [`owns`] knows.
//!
//! # How large
//! A list has an entry per free block, at most one for two frames. A B-tree node holds 5 to 11 entries
//! in 104 bytes, with its share of inner nodes 24 bytes an entry at the worst; twice that for gaps between
//! nodes makes [`BYTES_PER_FRAME`], 0.6 % of memory.
//!
//! # Locking
//! One spin lock, the last of all: nothing is called with it held.

use core::alloc::Layout;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use linked_list_allocator::Heap;
use sync::SpinLock;

/// Arena per frame of memory.
pub const BYTES_PER_FRAME: u64 = 24;

static HEAP: SpinLock<Heap> = SpinLock::new(Heap::empty());
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
/// Whether allocations are served from here now.
static SERVES: AtomicBool = AtomicBool::new(false);

/// Takes over `len` bytes from `start` on. From here on the arena is the heap, until the first
/// [`serve`] is over.
///
/// # Safety
/// The memory is mapped, writable, and nobody else's for ever; called once.
pub unsafe fn init(start: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.lock().init(start, len) };
    START.store(start as usize, Ordering::Relaxed);
    END.store(start as usize + len, Ordering::Relaxed);
    SERVES.store(true, Ordering::Relaxed);
}

/// Runs `change` with every allocation served from the arena. The caller holds the frames' lock, so
/// interrupts are off and nobody else is here.
pub fn serve<R>(change: impl FnOnce() -> R) -> R {
    SERVES.store(true, Ordering::Relaxed);
    let result = change();
    SERVES.store(false, Ordering::Relaxed);
    result
}

/// Whether an allocation is to come from here.
#[inline]
pub fn serves() -> bool {
    SERVES.load(Ordering::Relaxed)
}

/// Whether an object came from here.
#[inline]
pub fn owns(object: *mut u8) -> bool {
    let address = object as usize;
    address >= START.load(Ordering::Relaxed) && address < END.load(Ordering::Relaxed)
}

/// An object, or null when the arena is full.
pub fn alloc(layout: Layout) -> *mut u8 {
    HEAP.lock().allocate_first_fit(layout).map_or(ptr::null_mut(), |object| object.as_ptr())
}

/// # Safety
/// `object` came from [`alloc()`] with this layout, and nobody uses it.
pub unsafe fn dealloc(object: ptr::NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.lock().deallocate(object, layout) }
}
