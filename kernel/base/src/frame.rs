//! A page of physical memory.
//!
//! # What it is
//! A [`Frame`] is a counted handle to 4096 bytes that the CPU, the program and a device may all
//! touch. Clones share the bytes; the last drop gives them back to their [`FrameSource`]. It is
//! what a page-cache page holds, what a bio carries down to the driver, and what the program's page
//! table maps.
//!
//! # How to use it
//! ```
//! let frame = base::frame::alloc_zeroed().unwrap();
//! frame.write(10, b"abc");
//! let mut back = [0; 3];
//! frame.read(10, &mut back);
//! assert_eq!(&back, b"abc");
//! ```
//!
//! # What the caller must not do
//! Expect the bytes to stand still: like memory shared with a device they change under a reader who
//! holds no lock. So there is no `&[u8]` to be had here, only copies in and out. Who needs a stable
//! view locks the page (`pagecache`).
//!
//! # Invariants
//! 1. `data` points at `PAGE_SIZE` bytes, page-aligned, mapped read-write as long as any clone lives.
//! 2. The bytes are only ever reached through raw pointers, never through Rust references.
//! 3. Every copy's range is checked against the page before the pointer is used.
#![allow(unsafe_code)]

use alloc::sync::Arc;
use core::ptr::{self, NonNull};

use spin::Once;

use crate::errno::{Errno, Result};
use crate::units::{PAGE_SIZE, PhysAddr};

/// Where frames come from and go back to.
///
/// # Safety
/// `alloc` returns memory that satisfies invariant 1 and belongs to nobody else until the same
/// pair comes back through `free`.
pub unsafe trait FrameSource: Send + Sync {
    /// One page, its contents unspecified, and its physical address. None when memory is full.
    fn alloc(&self) -> Option<(NonNull<u8>, PhysAddr)>;
    /// Takes back what `alloc` gave.
    fn free(&self, data: NonNull<u8>, phys: PhysAddr);
    /// Pages that are free now: the page cache gives some back before they run out. A source that
    /// does not count says `usize::MAX`.
    fn free_frames(&self) -> usize {
        usize::MAX
    }
}

static SOURCE: Once<&'static dyn FrameSource> = Once::new();

/// Installs the source of all frames. The first call wins; on the host a heap source stands in.
pub fn set_source(source: &'static dyn FrameSource) {
    SOURCE.call_once(|| source);
}

/// A frame with unspecified contents. ENOMEM when memory is full.
pub fn alloc() -> Result<Frame> {
    let source = source().ok_or(Errno::ENOMEM)?;
    let (data, phys) = source.alloc().ok_or(Errno::ENOMEM)?;
    Ok(Frame(Arc::new(Body { data, phys, source })))
}

/// Pages that are free now, `usize::MAX` when nobody counts.
pub fn free_frames() -> usize {
    source().map_or(0, FrameSource::free_frames)
}

/// A frame of zeros. ENOMEM when memory is full.
pub fn alloc_zeroed() -> Result<Frame> {
    let frame = alloc()?;
    frame.zero();
    Ok(frame)
}

struct Body {
    data: NonNull<u8>,
    phys: PhysAddr,
    source: &'static dyn FrameSource,
}

// SAFETY: the bytes are plain memory reached only through raw pointers (invariant 2); nothing in a
// Body belongs to one thread.
unsafe impl Send for Body {}
// SAFETY: as above; concurrent copies of bytes may mix, which the module's manual says.
unsafe impl Sync for Body {}

impl Drop for Body {
    fn drop(&mut self) {
        self.source.free(self.data, self.phys);
    }
}

/// A counted handle to one page of physical memory.
#[derive(Clone)]
pub struct Frame(Arc<Body>);

impl Frame {
    /// Where a device finds the page.
    pub fn phys(&self) -> PhysAddr {
        self.0.phys
    }

    /// The page's first byte as the kernel sees it. Reading or writing through it is the caller's
    /// `unsafe`, within [`PAGE_SIZE`] bytes and only while a clone lives.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.data.as_ptr()
    }

    /// How many handles share the page.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether two handles are of the same page.
    pub fn same(&self, other: &Frame) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Copies `dst.len()` bytes out, from byte `offset` on.
    ///
    /// # Panics
    /// When the range leaves the page: a mistake of the kernel, not of its input.
    pub fn read(&self, offset: usize, dst: &mut [u8]) {
        let src = self.range(offset, dst.len());
        // SAFETY: `range` checked the bounds (3); a fresh `&mut` does not overlap a page that no
        // reference reaches (2).
        unsafe { ptr::copy_nonoverlapping(src, dst.as_mut_ptr(), dst.len()) }
    }

    /// Copies `src` in, from byte `offset` on. Panics as [`Frame::read`].
    pub fn write(&self, offset: usize, src: &[u8]) {
        let dst = self.range(offset, src.len());
        // SAFETY: as in `read`.
        unsafe { ptr::copy_nonoverlapping(src.as_ptr(), dst, src.len()) }
    }

    /// Sets `len` bytes from `offset` on to `byte`. Panics as [`Frame::read`].
    pub fn fill(&self, offset: usize, len: usize, byte: u8) {
        let dst = self.range(offset, len);
        // SAFETY: bounds checked by `range` (3).
        unsafe { ptr::write_bytes(dst, byte, len) }
    }

    /// Sets the whole page to zero.
    pub fn zero(&self) {
        // SAFETY: a whole page (1).
        unsafe { page::zero(self.as_ptr()) }
    }

    /// Copies a whole page. The two may be the same.
    pub fn copy_page_from(&self, other: &Frame) {
        if !self.same(other) {
            // SAFETY: both are whole pages (1), and two frames do not overlap.
            unsafe { page::copy(self.as_ptr(), other.as_ptr()) }
        }
    }

    /// Copies `len` bytes of `other` from its byte `from` on to byte `offset`. The two may be the same
    /// page. Panics as [`Frame::read`].
    pub fn copy_from(&self, offset: usize, other: &Frame, from: usize, len: usize) {
        if len == PAGE_SIZE && offset == 0 && from == 0 {
            return self.copy_page_from(other);
        }
        let (dst, src) = (self.range(offset, len), other.range(from, len));
        // SAFETY: both ranges checked by `range` (3); they may overlap.
        unsafe { ptr::copy(src, dst, len) }
    }

    /// Calls `f` with the page as a slice.
    ///
    /// # Safety
    /// Nobody (CPU, program, device) writes the page while `f` runs.
    pub unsafe fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: invariant 1 for the bounds, the caller's promise for the aliasing.
        f(unsafe { core::slice::from_raw_parts(self.as_ptr(), PAGE_SIZE) })
    }

    /// Calls `f` with the page as a mutable slice.
    ///
    /// # Safety
    /// Nobody else reads or writes the page while `f` runs.
    pub unsafe fn with_mut<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        // SAFETY: as in `with`.
        f(unsafe { core::slice::from_raw_parts_mut(self.as_ptr(), PAGE_SIZE) })
    }

    fn range(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= PAGE_SIZE && len <= PAGE_SIZE - offset, "range leaves the frame");
        // SAFETY: the offset is within the page (1).
        unsafe { self.as_ptr().add(offset) }
    }
}

#[cfg(not(target_os = "none"))]
mod page {
    //! Whole pages, by the host's own routines.
    use super::*;

    /// # Safety
    /// `at` is a page that may be written.
    pub unsafe fn zero(at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { ptr::write_bytes(at, 0, PAGE_SIZE) }
    }

    /// # Safety
    /// Both are pages, apart from each other.
    pub unsafe fn copy(to: *mut u8, from: *const u8) {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy_nonoverlapping(from, to, PAGE_SIZE) }
    }
}

#[cfg(target_os = "none")]
mod page {
    //! Whole pages, in assembly: the compiler's routines move a word at a time.
    use super::*;
    use core::arch::asm;

    /// A cache line (mostly) by one instruction: DC ZVA, as wide as DCZID_EL0 says, unless it forbids it.
    ///
    /// # Safety
    /// `at` is a page of normal memory that may be written.
    pub unsafe fn zero(at: *mut u8) {
        let dczid: u64;
        // SAFETY: reads a register that never changes.
        unsafe { asm!("mrs {0}, dczid_el0", out(reg) dczid, options(nomem, nostack, preserves_flags)) };
        let block = 4usize << (dczid & 15);
        if dczid & 16 != 0 || block > PAGE_SIZE {
            // SAFETY: the caller's promise.
            return unsafe { ptr::write_bytes(at, 0, PAGE_SIZE) };
        }
        // SAFETY: the page is a whole number of blocks and begins at one; all of it may be written.
        unsafe {
            asm!(
                "2: dc zva, {at}",
                "add {at}, {at}, {block}",
                "cmp {at}, {end}",
                "b.lo 2b",
                at = inout(reg) at => _,
                block = in(reg) block,
                end = in(reg) at as usize + PAGE_SIZE,
                options(nostack),
            );
        }
    }

    /// # Safety
    /// Both are pages, apart from each other.
    pub unsafe fn copy(to: *mut u8, from: *const u8) {
        // SAFETY: 64 rounds of 64 bytes, which is a page each.
        unsafe {
            asm!(
                "2: ldp {a}, {b}, [{from}]",
                "ldp {c}, {d}, [{from}, #16]",
                "stp {a}, {b}, [{to}]",
                "ldp {a}, {b}, [{from}, #32]",
                "stp {c}, {d}, [{to}, #16]",
                "ldp {c}, {d}, [{from}, #48]",
                "add {from}, {from}, #64",
                "stp {a}, {b}, [{to}, #32]",
                "stp {c}, {d}, [{to}, #48]",
                "add {to}, {to}, #64",
                "cmp {from}, {end}",
                "b.lo 2b",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                end = in(reg) from as usize + PAGE_SIZE,
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                options(nostack),
            );
        }
    }
}

#[cfg(not(target_os = "none"))]
fn source() -> Option<&'static dyn FrameSource> {
    Some(SOURCE.get().copied().unwrap_or(&host::Heap))
}

#[cfg(target_os = "none")]
fn source() -> Option<&'static dyn FrameSource> {
    SOURCE.get().copied()
}

#[cfg(not(target_os = "none"))]
mod host {
    //! Frames from the host's heap; the "physical" address is the pointer itself.
    use super::*;
    use std::alloc::{Layout, alloc, dealloc};

    pub struct Heap;

    const PAGE: Layout = match Layout::from_size_align(PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("page layout"),
    };

    // SAFETY: the host's allocator gives page-aligned memory that is ours until freed.
    unsafe impl FrameSource for Heap {
        fn alloc(&self) -> Option<(NonNull<u8>, PhysAddr)> {
            // SAFETY: PAGE has a size above zero.
            let data = NonNull::new(unsafe { alloc(PAGE) })?;
            // Poison, so that a test sees a page that was never filled.
            // SAFETY: fresh memory of PAGE_SIZE bytes.
            unsafe { ptr::write_bytes(data.as_ptr(), 0xa5, PAGE_SIZE) };
            Some((data, PhysAddr(data.as_ptr() as u64)))
        }

        fn free(&self, data: NonNull<u8>, _phys: PhysAddr) {
            // SAFETY: `alloc` above made it with this layout.
            unsafe { dealloc(data.as_ptr(), PAGE) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_bytes() {
        let a = alloc_zeroed().unwrap();
        let b = a.clone();
        a.write(4090, b"tail!!");
        let mut back = [0; 6];
        b.read(4090, &mut back);
        assert_eq!(&back, b"tail!!");
        assert!(a.same(&b));
        assert_eq!(a.handles(), 2);
    }

    #[test]
    #[should_panic(expected = "leaves the frame")]
    fn a_range_past_the_page_is_refused() {
        alloc().unwrap().write(4095, b"xy");
    }

    #[test]
    fn fill_and_copy() {
        let (a, b) = (alloc_zeroed().unwrap(), alloc().unwrap());
        a.fill(100, 10, 7);
        b.copy_page_from(&a);
        let mut back = [0; 12];
        b.read(99, &mut back);
        assert_eq!(back, [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0]);
    }
}
