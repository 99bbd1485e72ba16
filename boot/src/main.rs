//! The kernel's program: builds the layers from the bottom up, in plain sight, and runs one program
//! on them.
//!
//! `start.S` comes here with the MMU on, a stack and a zeroed bss.
#![no_std]
#![no_main]

extern crate alloc;

mod panic;

use core::arch::global_asm;

use base::PhysAddr;
use machine::devicetree::DeviceTree;
use machine::memory::heap::KernelHeap;
use machine::memory::regions::Region;
use machine::{layout, memory, mmu};

global_asm!(
    include_str!("start.S"),
    main = sym kernel_main,
    stacks_base = const layout::STACKS_BASE,
);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap::new();

/// From `start.S`: where the device tree and the kernel's image are, as physical addresses.
extern "C" fn kernel_main(device_tree: u64, image: u64) -> ! {
    layout::set_image_phys(PhysAddr(image));
    machine::trap::init();
    machine::timer::init();
    machine::cpu::init();
    machine::klog::init();
    mmu::kernel::init();

    let blob = map_tree(PhysAddr(device_tree));
    let tree = DeviceTree::new(blob).unwrap();
    let uart = tree.uart().unwrap();
    machine::console::init(uart).unwrap();
    machine::klog::console_ready();
    log::info!("Quill");
    machine::power::set_psci(tree.psci());
    log::info!("a");    let mut taken = tree.reserved();
    taken.push(Region::new(device_tree, blob.len() as u64));
    log::info!("b"); let m=tree.memory().unwrap(); log::info!("c");
    memory::init(&m, &taken).unwrap();
    log::info!("{:?} {:?}", tree.memory(), memory::frames::stats());
    machine::gic::init(tree.gic().unwrap()).unwrap();
    log::info!("GICv{}", machine::gic::version());
    machine::power::exit(42)
}

fn map_tree(at: PhysAddr) -> &'static [u8] {
    let first = at.0 & !0x1f_ffff;
    mmu::kernel::map_ram(PhysAddr(first), 2 << 20, mmu::descriptor::Kind::ReadOnly).unwrap();
    let ptr = layout::phys_to_virt(at);
    let size = DeviceTree::total_size(unsafe { &*ptr.cast::<[u8; 8]>() }).unwrap();
    unsafe { core::slice::from_raw_parts(ptr, size as usize) }
}
