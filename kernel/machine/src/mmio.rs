//! Device registers, one volatile access at a time.

use core::ptr::NonNull;

/// A window of 32-bit registers of one device.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: registers belong to no thread; whoever shares a window orders the accesses.
unsafe impl Send for Mmio {}
// SAFETY: as above.
unsafe impl Sync for Mmio {}

impl Mmio {
    /// A window of `len` bytes.
    ///
    /// # Safety
    /// `base` is device memory, mapped for ever, at least `len` bytes of it; reading and writing its
    /// registers harms no memory (DMA is the driver's responsibility).
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Mmio {
        Mmio { base, len }
    }

    /// Reads the register at byte `offset`.
    #[inline]
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: `at` checks the bounds; `new`'s contract covers the access.
        unsafe { self.at::<u32>(offset).read_volatile() }
    }

    /// Writes the register at byte `offset`.
    #[inline]
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.at::<u32>(offset).write_volatile(value) }
    }

    /// Reads a 64-bit register.
    #[inline]
    pub fn read64(&self, offset: usize) -> u64 {
        // SAFETY: as in `read`.
        unsafe { self.at::<u64>(offset).read_volatile() }
    }

    /// Writes a 64-bit register.
    #[inline]
    pub fn write64(&self, offset: usize, value: u64) {
        // SAFETY: as in `read`.
        unsafe { self.at::<u64>(offset).write_volatile(value) }
    }

    /// Writes one byte of a byte-wide register file.
    #[inline]
    pub fn write8(&self, offset: usize, value: u8) {
        // SAFETY: as in `read`.
        unsafe { self.at::<u8>(offset).write_volatile(value) }
    }

    /// A window into this one.
    pub fn part(&self, offset: usize, len: usize) -> Mmio {
        assert!(offset <= self.len && len <= self.len - offset, "outside the device's registers");
        // SAFETY: a part of a window that `new` was promised.
        unsafe { Mmio::new(self.base.add(offset), len) }
    }

    /// Bytes in the window.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn at<T>(&self, offset: usize) -> *mut T {
        let size = size_of::<T>();
        let inside = offset <= self.len && size <= self.len - offset && offset.is_multiple_of(size);
        assert!(inside, "outside the device's registers");
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}
