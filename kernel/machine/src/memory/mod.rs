//! Memory from the device tree's list of RAM to frames and a heap.
//!
//! ```text
//!   RAM  −  image, device tree, reserved, initrd   →  frames (buddy)  →  heap (talc)
//!                                                        └→ base::frame: page cache, program
//! ```
//! [`init`] maps all RAM into the linear area and hands what is free to [`frames`]; from then on the
//! heap works. [`release`] adds memory that was only needed while booting.

pub mod buddy;
#[cfg(target_os = "none")]
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
    use super::frames;
    use super::regions::{Region, Regions, align_inward, subtract};
    use crate::layout;
    use crate::mmu::descriptor::Kind;
    use crate::mmu::kernel;
    use base::{Errno, PAGE_SHIFT, PAGE_SIZE, PhysAddr, Result};

    /// Frames are counted in one piece from the first RAM on; what lies further away stays unused.
    const MAX_SPAN: u64 = 1 << 40;
    /// The largest buddy block: the notebook starts on such a boundary.
    const LARGEST: u64 = 1 << 30;

    /// Maps `ram` and makes everything but `taken` available. ENOMEM when not even the notebook of
    /// the allocator fits.
    pub fn init(ram: &Regions, taken: &Regions) -> Result<()> {
        let ram = align_inward(ram, PAGE_SIZE as u64);
        let start = ram.iter().map(|r| r.start).min().ok_or(Errno::ENOMEM)?;
        let first = start & !(LARGEST - 1);
        let within = |r: &Region| Region { end: r.end.min(first + MAX_SPAN), ..*r };
        let ram: Regions = ram.iter().map(within).filter(|r| !r.is_empty()).collect();
        let end = ram.iter().map(|r| r.end).max().ok_or(Errno::ENOMEM)?;

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

        let pages = u32::try_from((end - first) >> PAGE_SHIFT).map_err(|_| Errno::ENOMEM)?;
        let notebook_len = layout::page_ceil(u64::from(pages));
        let home = free.iter().find(|r| r.len() > notebook_len).ok_or(Errno::ENOMEM)?;
        let notebook = Region::new(home.start, notebook_len);
        // SAFETY: the notebook is mapped RAM that is in `free` and is taken out of it below.
        unsafe { frames::init(PhysAddr(first), pages, layout::phys_to_virt(PhysAddr(notebook.start))) };
        for r in &subtract(&free, notebook) {
            // SAFETY: mapped RAM that nothing of `taken`, the image or the notebook touches.
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
