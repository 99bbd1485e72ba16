//! Memory from the device tree's list of RAM to frames and a heap.
//!
//! ```text
//!   RAM  −  image, device tree, reserved, initrd   →  frames (buddy)  →  heap (talc)
//!               └→ arena (linked list)  →  the frames' own lists └→ base::frame: page cache, program
//! ```
//! [`init`] maps all RAM into the linear area and hands what is free to [`frames`]; from then on the
//! heap works. [`release`] adds memory that was only needed while booting.

#[cfg(target_os = "none")]
pub mod arena;
pub mod buddy;
pub mod dma;
#[cfg(target_os = "none")]
pub mod frames;
#[cfg(target_os = "none")]
pub mod heap;
pub mod regions;

#[cfg(target_os = "none")]
pub use hardware::{init, release, release_image};

#[cfg(target_os = "none")]
mod hardware {
    use super::regions::{Region, Regions, align_inward, subtract};
    use super::{arena, frames};
    use crate::layout;
    use crate::mmu::descriptor::Kind;
    use crate::mmu::kernel;
    use base::{Errno, PAGE_SHIFT, PAGE_SIZE, PhysAddr, Result};

    /// Maps `ram` and makes everything but `taken` available. ENOMEM when not even the arena fits.
    pub fn init(ram: &Regions, taken: &Regions) -> Result<()> {
        let ram = align_inward(ram, PAGE_SIZE as u64);

        let image = image();
        let read_only = Region::new(image.start, layout::read_only().end - layout::read_only().start);
        for r in &subtract(&ram, read_only) {
            kernel::map_ram(PhysAddr(r.start), r.len(), Kind::Data)?;
        }
        kernel::map_ram(PhysAddr(read_only.start), read_only.len(), Kind::ReadOnly)?;

        let mut free = subtract(&ram, image);
        for &hole in taken {
            free = subtract(&free, hole);
        }
        let free = align_inward(&free, PAGE_SIZE as u64);

        let pages: u64 = free.iter().map(|r| r.len() >> PAGE_SHIFT).sum();
        let arena_len = layout::page_ceil(pages * arena::BYTES_PER_FRAME);
        let home = free.iter().find(|r| r.len() > arena_len).ok_or(Errno::ENOMEM)?;
        let arena = Region::new(home.start, arena_len);
        // SAFETY: the arena is mapped RAM that is in `free` and is taken out of it below.
        unsafe { arena::init(layout::phys_to_virt(PhysAddr(arena.start)), arena_len as usize) };
        for r in &subtract(&free, arena) {
            // SAFETY: mapped RAM that nothing of `taken`, the image or the arena touches.
            unsafe { frames::add(PhysAddr(r.start), PhysAddr(r.end)) };
        }
        Ok(())
    }

    /// Hands over RAM that was taken until now.
    ///
    /// # Safety
    /// It is RAM that `init` knew, was in `taken` or the image, and nobody uses it any more.
    pub unsafe fn release(region: Region) {
        // SAFETY: the caller's promise; `init` mapped all RAM.
        unsafe { frames::add(PhysAddr(region.start), PhysAddr(region.end)) }
    }

    /// Hands over whole pages of the image that are no longer needed, and takes them out of its map.
    ///
    /// # Safety
    /// Nobody uses them any more.
    pub unsafe fn release_image(part: layout::Part) {
        let start = layout::page_ceil(part.start);
        let end = layout::page_floor(part.end);
        for page in (start..end).step_by(PAGE_SIZE) {
            kernel::unmap_page(page);
        }
        if start < end {
            // SAFETY: the caller's promise; the linear map has them writable (they are past rodata).
            unsafe { frames::add(layout::image_to_phys(start), layout::image_to_phys(end)) }
        }
    }

    fn image() -> Region {
        let part = layout::image();
        Region::new(layout::image_to_phys(part.start).0, part.end - part.start)
    }
}
