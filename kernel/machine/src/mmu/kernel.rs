//! The kernel's own map (TTBR1): it starts as `boot/src/start.S` left it and grows from here.
//!
//! * [`map_ram`] puts RAM into the linear area, by 1 GiB and 2 MiB blocks where they fit.
//! * [`map_device`] makes registers reachable.
//! * [`map_page`] and [`unmap_page`] serve the stack area.
//!
//! # Locking
//! One spin lock around the tables. Table pages come from a small pool in the image until
//! `memory` has frames; they are never given back.
//!
//! # Invariants
//! 1. Nothing mapped here is executable ([`Kind`]).
//! 2. A table page is zeroed before it is linked.

use core::ptr::NonNull;

use base::{Errno, PAGE_SIZE, PhysAddr, Result};
use sync::SpinLock;

use super::descriptor::{Descriptor, Kind, index, shift};
use super::tlb;
use crate::layout;
use crate::memory::frames;

/// Pages for tables until frames can be had.
const POOL_PAGES: usize = 12;

#[repr(C, align(4096))]
struct Pool([[u64; 512]; POOL_PAGES]);

static mut POOL: Pool = Pool([[0; 512]; POOL_PAGES]);

struct KernelMap {
    root: PhysAddr,
    pool_used: usize,
}

static MAP: SpinLock<KernelMap> = SpinLock::new(KernelMap { root: PhysAddr(0), pool_used: 0 });

/// Takes over the tables that TTBR1 points at.
pub fn init() {
    let root: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mrs {0}, ttbr1_el1", out(reg) root, options(nomem, nostack)) };
    MAP.lock().root = Descriptor(root).phys();
}

/// Maps `[start, start + len)` of RAM into the linear area. Both are multiples of a page. ENOMEM
/// when there is no page for a table, EINVAL above [`layout::PHYS_LIMIT`].
pub fn map_ram(start: PhysAddr, len: u64, kind: Kind) -> Result<()> {
    map(layout::LINEAR_BASE, start, len, kind)
}

/// Makes a device's registers reachable and returns where. The range is widened to pages. What is
/// mapped already stays as it is.
pub fn map_device(start: PhysAddr, len: u64) -> Result<NonNull<u8>> {
    let first = layout::page_floor(start.0);
    let end = start.0.checked_add(len).ok_or(Errno::EINVAL)?;
    map(layout::DEVICE_BASE, PhysAddr(first), layout::page_ceil(end) - first, Kind::Device)?;
    let addr = (layout::DEVICE_BASE + start.0) as usize;
    NonNull::new(core::ptr::without_provenance_mut(addr)).ok_or(Errno::EINVAL)
}

/// Maps one page of RAM at a kernel address that has none.
pub fn map_page(addr: u64, phys: PhysAddr, kind: Kind) -> Result<()> {
    let mut map = MAP.lock();
    let slot = map.slot(addr, 3)?;
    // SAFETY: `slot` gives a pointer into a table of this map, which the lock makes ours.
    unsafe { slot.write_volatile(Descriptor::kernel(phys, kind, 3)) };
    tlb::publish();
    Ok(())
}

/// Takes a page away and returns which it was.
pub fn unmap_page(addr: u64) -> Option<PhysAddr> {
    let mut map = MAP.lock();
    let slot = map.slot(addr, 3).ok()?;
    // SAFETY: as in `map_page`.
    let old = unsafe { slot.read_volatile() };
    if !old.is_valid() {
        return None;
    }
    // SAFETY: as in `map_page`.
    unsafe { slot.write_volatile(Descriptor::EMPTY) };
    tlb::flush_kernel_page(addr);
    Some(old.phys())
}

fn map(area: u64, start: PhysAddr, len: u64, kind: Kind) -> Result<()> {
    let end = start.0.checked_add(len).filter(|&end| end <= layout::PHYS_LIMIT).ok_or(Errno::EINVAL)?;
    let mut map = MAP.lock();
    let mut at = start.0;
    while at < end {
        if let Some((leaf, level)) = map.leaf(area + at) {
            let size = 1 << shift(level);
            let start = at & !(size - 1);
            if leaf == Descriptor::kernel(PhysAddr(start), kind, level) {
                at = start + size;
                continue;
            }
        }
        let mut level = (1..3).find(|&l| fits(at, end - at, l)).unwrap_or(3);
        // Where a table hangs already, its entries are set one by one.
        let slot = loop {
            let slot = map.slot(area + at, level)?;
            // SAFETY: `slot` points into a table of this map, which the lock makes ours.
            if level == 3 || !unsafe { slot.read_volatile() }.is_table() {
                break slot;
            }
            level += 1;
        };
        // SAFETY: as above. A valid leaf here maps the same address with other rights (the device
        // tree before its RAM is known), which needs no break before make.
        unsafe { slot.write_volatile(Descriptor::kernel(PhysAddr(at), kind, level)) };
        at += 1 << shift(level);
    }
    tlb::publish();
    Ok(())
}

/// Whether a block of this level starts at `at` and is filled by `len` bytes.
const fn fits(at: u64, len: u64, level: u32) -> bool {
    let size = 1 << shift(level);
    at & (size - 1) == 0 && len >= size
}

impl KernelMap {
    /// The entry for `addr` at `level`, with the tables above it made as needed. A block in the way
    /// is split into a table of the same translations.
    fn slot(&mut self, addr: u64, level: u32) -> Result<*mut Descriptor> {
        let mut table = self.root;
        for above in 0..level {
            let slot = entry(table, addr, above);
            // SAFETY: `table` is a table of this map; its index is below 512.
            let found = unsafe { slot.read_volatile() };
            table = if found.is_table() {
                found.phys()
            } else {
                let page = self.table_page()?;
                if found.is_valid() {
                    split(found, page, above);
                    tlb::publish();
                }
                // SAFETY: as above; the new table is complete (2).
                unsafe { slot.write_volatile(Descriptor::table(page)) };
                tlb::publish();
                page
            };
        }
        Ok(entry(table, addr, level))
    }

    /// The valid page or block that `addr` lies in, and its level.
    fn leaf(&self, addr: u64) -> Option<(Descriptor, u32)> {
        let mut table = self.root;
        for level in 0..=3 {
            // SAFETY: `table` is a table of this map; its index is below 512.
            let found = unsafe { entry(table, addr, level).read_volatile() };
            if level == 3 || !found.is_table() {
                return found.is_valid().then_some((found, level));
            }
            table = found.phys();
        }
        None
    }

    fn table_page(&mut self) -> Result<PhysAddr> {
        if self.pool_used < POOL_PAGES {
            let page = (&raw const POOL) as u64 + (self.pool_used * PAGE_SIZE) as u64;
            self.pool_used += 1;
            return Ok(layout::image_to_phys(page));
        }
        let page = frames::alloc_reserved().ok_or(Errno::ENOMEM)?;
        // SAFETY: a fresh frame, ours, mapped in the linear area (frames are handed out after it is).
        unsafe { layout::phys_to_virt(page).write_bytes(0, PAGE_SIZE) };
        Ok(page)
    }
}

fn entry(table: PhysAddr, addr: u64, level: u32) -> *mut Descriptor {
    // The index is below 512, so the entry lies in the table's page.
    layout::table_ptr(table).cast::<Descriptor>().wrapping_add(index(addr, level))
}

/// Fills `page` with what the block `old` of `level` translated.
fn split(old: Descriptor, page: PhysAddr, level: u32) {
    let step = 1u64 << shift(level + 1);
    let page_bit = if level + 1 == 3 { 2 } else { 0 };
    for i in 0..512u64 {
        let slot = layout::table_ptr(page).cast::<Descriptor>().wrapping_add(i as usize);
        // SAFETY: `page` is a fresh table page of 512 entries.
        unsafe { slot.write_volatile(Descriptor((old.0 + i * step) | page_bit)) };
    }
}
