//! Before there is memory: the CPU's switches, the log, and the device tree's bytes.

use base::PhysAddr;
use machine::devicetree::{DeviceTree, Error};
use machine::layout::{self, Part};
use machine::memory::regions::Region;
use machine::mmu::descriptor::Kind;
use machine::{backtrace, cpu, klog, memory, mmu, timer, trap};

use crate::trouble::{Context as _, Trouble};

/// Device trees are mapped by blocks of this size.
const BLOCK: u64 = 2 << 20;
/// What the boot protocol allows.
const MAX_TREE: u64 = 2 << 20;

/// What needs no memory: exceptions are handled, time runs, the log is kept.
pub fn init(image: PhysAddr) {
    layout::set_image_phys(image);
    trap::init();
    cpu::init();
    timer::init();
    klog::init();
    mmu::kernel::init();
    backtrace::init();
}

/// The device tree at `phys`, mapped read-only.
pub fn device_tree(phys: PhysAddr) -> Result<DeviceTree<'static>, Trouble> {
    if !phys.0.is_multiple_of(8) || phys.0 == 0 || phys.0 > layout::PHYS_LIMIT - 2 * BLOCK {
        return Err(Error::Malformed.into());
    }
    let first = phys.0 & !(BLOCK - 1);
    mmu::kernel::map_ram(PhysAddr(first), BLOCK, Kind::ReadOnly).context("the device tree")?;
    let start = layout::phys_to_virt(phys);
    // SAFETY: 8 bytes at an 8-aligned address in the block just mapped.
    let header = unsafe { start.cast::<[u8; 8]>().read() };
    let len = u64::from(DeviceTree::total_size(&header).ok_or(Error::Malformed)?);
    if len > MAX_TREE {
        return Err(Error::Malformed.into());
    }
    if phys.0 + len > first + BLOCK {
        mmu::kernel::map_ram(PhysAddr(first + BLOCK), BLOCK, Kind::ReadOnly).context("the device tree")?;
    }
    // SAFETY: `len` bytes, mapped now; nobody writes them while the tree is used (`tree_region` keeps
    // them out of the frames until `release`).
    let blob = unsafe { core::slice::from_raw_parts(start, len as usize) };
    Ok(DeviceTree::new(blob)?)
}

/// Where a tree lies in physical memory.
pub fn tree_region(phys: PhysAddr, tree: DeviceTree<'_>) -> Region {
    Region::new(phys.0, tree.len() as u64)
}

/// Hands over the memory of the device tree, of the symbol table's unused room, and of the identity
/// map that `start.S` used.
///
/// # Safety
/// No copy of the tree is used any more.
pub unsafe fn release(tree: Region) {
    let symbols = layout::symbols();
    let unused = Part { start: symbols.start + backtrace::init(), ..symbols };
    // SAFETY: the caller's promise; the table ends where `unused` begins, and the identity map's lower
    // tables hang in nothing since the first of them was emptied.
    unsafe {
        memory::release(tree);
        memory::release_image(unused);
        memory::release_image(layout::identity_tables());
    }
}
