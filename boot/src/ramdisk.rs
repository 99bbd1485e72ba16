//! The RAM disks: `ram0`, …; the first with the image that the boot loader loaded (`-initrd`).
//!
//! `rd_nr=` says how many there are: one, if it is not given (Linux's configuration has 16). `ramdisk_size=` is their
//! size in KiB; a larger image makes `ram0` as large as itself. The image is a disk's, as it is: not
//! packed, not an archive. Its pages are copied one by one, and each is free memory as soon as it has
//! been copied, so that the image is never there twice.

use base::{PAGE_SIZE, PhysAddr, Result};
use block::{DiskKind, RamDisk};
use machine::cmdline::Options;
use machine::memory::regions::{Region, Regions};
use machine::{layout, memory};

/// Linux's CONFIG_BLK_DEV_RAM_SIZE.
const DEFAULT_KIB: u64 = 4096;
const DEFAULT_COUNT: u8 = 1;
/// Memory does not care; there are requests enough to order elsewhere.
const ELEVATOR: &str = "noop";

/// The image, if it lies in memory and on nothing else that is needed.
pub fn image(said: Option<Region>, ram: &Regions, tree: Region) -> Option<Region> {
    let region = said?;
    let overlaps = |other: Region| region.start < other.end && other.start < region.end;
    let part = layout::image();
    let kernel = Region::new(layout::image_to_phys(part.start).0, part.end - part.start);
    let in_ram = ram.iter().any(|ram| ram.start <= region.start && region.end <= ram.end);
    if in_ram && !overlaps(tree) && !overlaps(kernel) {
        return Some(region);
    }
    log::warn!("the initial RAM disk from {:#x} to {:#x} cannot be used", region.start, region.end);
    None
}

/// Makes the RAM disks.
///
/// # Safety
/// The image is mapped memory that nobody uses or frees, and that nobody else will hand over.
pub unsafe fn start(image: Option<Region>, options: &Options) {
    let size = options.ramdisk_kib.unwrap_or(DEFAULT_KIB).saturating_mul(2);
    let count = options.ramdisks.unwrap_or(DEFAULT_COUNT).max(u8::from(image.is_some()));
    let mut image = image;
    for _ in 0..count {
        let image = image.take();
        let ram = RamDisk::sparse(image.map_or(size, |image| size.max(image.len().div_ceil(512))));
        // SAFETY: the caller's promise; it is taken once.
        if let Some(image) = image
            && let Err(error) = unsafe { adopt(&ram, image) }
        {
            log::error!("ram0: the image cannot be loaded: {error}");
        }
        if let Err(error) = block::register(DiskKind::Ram, ram, ELEVATOR) {
            log::error!("a RAM disk cannot be made: {error}");
        }
    }
}

/// Copies the image and frees it, page by page.
///
/// # Safety
/// As [`start`].
unsafe fn adopt(ram: &RamDisk, image: Region) -> Result<()> {
    let mut at = image.start;
    let mut result = Ok(());
    while at < image.end {
        let next = ((at | (PAGE_SIZE as u64 - 1)) + 1).min(image.end);
        // SAFETY: mapped memory that nobody writes (the caller's promise), within a page.
        let bytes = unsafe {
            core::slice::from_raw_parts(layout::phys_to_virt(PhysAddr(at)).cast_const(), (next - at) as usize)
        };
        result = result.and_then(|()| ram.fill(at - image.start, bytes));
        // SAFETY: the copy is made, and nobody else knew the page.
        unsafe { memory::release(Region { start: at, end: next }) };
        at = next;
    }
    log::info!("ram0: {} KiB loaded, {} pages", image.len() >> 10, ram.pages());
    result
}
