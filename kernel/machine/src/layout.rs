//! Where things lie in the upper half, and the way between virtual and physical.
//!
//! ```text
//! 0xffff_0000_0000_0000  linear    all RAM: virtual = LINEAR_BASE + physical
//! 0xffff_4000_0000_0000  devices   what was mapped by `mmu::map_device`, at DEVICE_BASE + physical
//! 0xffff_8000_0000_0000  image     text, rodata, data, bss: as linked (linker.ld)
//! 0xffff_8000_2000_0000  stacks    128 KiB each: 64 KiB that are never mapped, 64 KiB of stack
//! ```
//! The program has the lower half, up to `base::user::TASK_SIZE`.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use base::{PAGE_SIZE, PhysAddr};

/// RAM at this plus its physical address.
pub const LINEAR_BASE: u64 = 0xffff_0000_0000_0000;
/// Devices at this plus their physical address.
pub const DEVICE_BASE: u64 = 0xffff_4000_0000_0000;
/// The first byte of the kernel's image.
pub const KERNEL_BASE: u64 = 0xffff_8000_0000_0000;
/// The stack area.
pub const STACKS_BASE: u64 = 0xffff_8000_2000_0000;
/// Bytes of a stack. The guard below it is as large, so that one bit of SP tells them apart.
pub const STACK_SIZE: usize = 64 << 10;
/// Bytes from one stack to the next.
pub const STACK_SLOT: usize = 2 * STACK_SIZE;
/// Stacks at most: 512 MiB of address space.
pub const STACK_SLOTS: usize = (512 << 20) / STACK_SLOT;
/// Physical addresses that the linear and the device area have room for.
pub const PHYS_LIMIT: u64 = 1 << 46;

/// Where the image was loaded; set once, at the start of `boot`.
static IMAGE_PHYS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __symbols_start: u8;
    static __symbols_end: u8;
    static __tables_start: u8;
    static __image_end: u8;
}

/// A part of the kernel's image, as virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub start: u64,
    /// Past the last byte.
    pub end: u64,
}

impl Part {
    /// Whether the address lies in it.
    pub const fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }
}

/// The kernel's instructions.
pub fn text() -> Part {
    Part { start: (&raw const __image_start) as u64, end: (&raw const __text_end) as u64 }
}

/// Text and constants: what nobody may write.
pub fn read_only() -> Part {
    Part { start: (&raw const __image_start) as u64, end: (&raw const __rodata_end) as u64 }
}

/// The room for the symbol table.
pub fn symbols() -> Part {
    Part { start: (&raw const __symbols_start) as u64, end: (&raw const __symbols_end) as u64 }
}

/// All of the image, from the header to the boot stack.
pub fn image() -> Part {
    Part { start: (&raw const __image_start) as u64, end: (&raw const __image_end) as u64 }
}

/// A table without entries, for when no program is there (`start.S` empties it).
pub fn empty_table() -> PhysAddr {
    image_to_phys((&raw const __tables_start) as u64)
}

/// The tables of start.S's identity map but the first, which is [`empty_table`].
pub fn identity_tables() -> Part {
    let start = (&raw const __tables_start) as u64;
    Part { start: start + PAGE_SIZE as u64, end: start + 4 * PAGE_SIZE as u64 }
}

/// Says where the image was loaded.
pub fn set_image_phys(phys: PhysAddr) {
    IMAGE_PHYS.store(phys.0, Ordering::Relaxed);
}

/// The physical address of a byte of the image.
pub fn image_to_phys(addr: u64) -> PhysAddr {
    PhysAddr(addr - KERNEL_BASE + IMAGE_PHYS.load(Ordering::Relaxed))
}

/// Where RAM at `phys` is seen.
pub const fn phys_to_virt(phys: PhysAddr) -> *mut u8 {
    core::ptr::without_provenance_mut((LINEAR_BASE + phys.0) as usize)
}

/// As [`phys_to_virt`]; None only for a physical address that is none of RAM.
pub const fn phys_to_nonnull(phys: PhysAddr) -> Option<NonNull<u8>> {
    NonNull::new(phys_to_virt(phys))
}

/// The physical address behind a pointer into the linear area or the image. None for stacks,
/// devices and the program's addresses, whose pages may be anywhere.
pub fn virt_to_phys(ptr: *const u8) -> Option<PhysAddr> {
    let addr = ptr.addr() as u64;
    if (LINEAR_BASE..LINEAR_BASE + PHYS_LIMIT).contains(&addr) {
        return Some(PhysAddr(addr - LINEAR_BASE));
    }
    image().contains(addr).then(|| image_to_phys(addr))
}

/// A page's table pointer before there is a linear map: pages of the image through the image.
pub fn table_ptr(phys: PhysAddr) -> *mut u64 {
    let start = IMAGE_PHYS.load(Ordering::Relaxed);
    let len = image().end - image().start;
    if (start..start + len).contains(&phys.0) {
        return core::ptr::without_provenance_mut((KERNEL_BASE + (phys.0 - start)) as usize);
    }
    phys_to_virt(phys).cast()
}

/// `addr` down to a page boundary.
pub const fn page_floor(addr: u64) -> u64 {
    addr & !(PAGE_SIZE as u64 - 1)
}

/// `addr` up to a page boundary, saturating.
pub const fn page_ceil(addr: u64) -> u64 {
    page_floor(addr.saturating_add(PAGE_SIZE as u64 - 1))
}
