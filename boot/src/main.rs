//! The kernel's program: builds the layers from the bottom up, in plain sight, and runs one program
//! on them.
//!
//! ```text
//!   start.S     EL2 to EL1, first tables, MMU on, stack, bss
//!   memory      the device tree's RAM becomes frames and a heap
//!   traps       vectors, interrupts, time
//!   threads     the boot thread becomes the first of several
//!   disks       RAM disks, virtio-blk, and the partitions on them
//!   root        the file system on root=
//!   program     init=, until it ends
//!   power       QEMU ends with its status, or what reboot(2) asked for
//! ```
//! Whatever fails on the way is one line on the log and status 125 ([`trouble`]); a panic is for
//! mistakes of the kernel's own.
#![no_std]
#![no_main]

extern crate alloc;

mod disks;
mod early;
mod panic;
mod power_key;
mod proc_source;
mod program;
mod ramdisk;
mod root;
mod selftest;
mod settings;
mod sys_source;
mod system;
mod terminal;
mod trace;
mod trouble;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::global_asm;

use base::PhysAddr;
use machine::clock::{self, MachineClock};
use machine::cmdline::Options;
use machine::devicetree::DeviceTree;
use machine::framing::End;
use machine::memory::frames::{self, MachineFrames};
use machine::memory::heap::KernelHeap;
use machine::memory::regions::Region;
use machine::platform::MachinePlatform;
use machine::{console, cpu, entropy, gic, irq, klog, layout, memory, power, timer};

use proc_source::KernelSource;
use syscall::{End as Ended, Reboot};
use terminal::Terminal;
use trouble::{Context as _, Trouble};

global_asm!(
    include_str!("start.S"),
    main = sym kernel_main,
    stacks_base = const layout::STACKS_BASE,
);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap::new();

/// From `start.S`: where the device tree and the kernel's image are, as physical addresses.
extern "C" fn kernel_main(device_tree: u64, image: u64) -> ! {
    early::init(PhysAddr(image));
    match boot(PhysAddr(device_tree)) {
        Ok(ended) => leave(&ended),
        Err(trouble) => {
            log::error!("{trouble}");
            klog::console_ready();
            console::end(End::Failed(trouble::STATUS));
            power::exit(trouble::STATUS)
        }
    }
}

/// The end of the machine, as the program wanted it; every disk is unmounted.
fn leave(ended: &Ended) -> ! {
    let status = ended.status();
    match ended {
        Ended::Rebooted(Reboot::Restart(None)) => log::warn!("reboot: Restarting system"),
        Ended::Rebooted(Reboot::Restart(Some(word))) => {
            log::warn!("reboot: Restarting system with command '{}'", String::from_utf8_lossy(word));
        }
        Ended::Rebooted(Reboot::Halt) => log::warn!("reboot: System halted"),
        Ended::Rebooted(Reboot::PowerOff) => log::warn!("reboot: Power down"),
        Ended::Exited(_) | Ended::Killed(_) => {}
    }
    console::end(End::Exit(status));
    match ended {
        Ended::Rebooted(Reboot::Restart(_)) => power::restart(status),
        // With the launcher at the other end nobody could switch it off.
        Ended::Rebooted(Reboot::Halt) if !console::is_framed() => power::halt(),
        _ => power::exit(status),
    }
}

/// Everything, bottom up. How the program ended.
fn boot(device_tree: PhysAddr) -> Result<Ended, Trouble> {
    let tree = early::device_tree(device_tree)?;
    power::set_psci(tree.psci());
    let uart = tree.uart();
    if let Some(uart) = uart {
        console::init(uart).context("the console")?;
    }

    let tree_region = early::tree_region(device_tree, tree);
    start_memory(tree, tree_region)?;
    let options = Options::parse(tree.bootargs());
    let command_line = Vec::from(tree.bootargs());
    start_log(&options);
    start_time(tree)?;

    sync::platform::install(&MachinePlatform);
    cpu::enable_interrupts();
    if let Some(uart) = uart {
        console::enable_input(uart).context("console input")?;
    }

    trace::start(&options);
    block::kblockd::start().context("kblockd")?;
    let image = ramdisk::image(tree.initrd(), &tree.memory()?, tree_region);
    // SAFETY: the memory's set-up left it out (`tree.reserved()`), and this is the one place that knows it.
    unsafe { ramdisk::start(image, &options) };
    disks::probe(tree, &options);
    power_key::listen(tree);

    // The tree has told everything; its memory and what only start.S needed are free now.
    // SAFETY: `tree` is not used below.
    unsafe { early::release(tree_region) };
    let memory = frames::stats();
    log::info!("memory: {} of {} KiB free", memory.free * 4, memory.total * 4);

    if let Some(which) = &options.selftest {
        return Ok(Ended::Exited(selftest::run(which)));
    }
    start_file_systems(command_line);
    let ended = run_program(&options);
    trace::show(&options);
    ended
}

/// From the root file system, mounted, to the root file system, unmounted. How the program ended.
fn run_program(options: &Options) -> Result<Ended, Trouble> {
    let root = root::mount(options)?;
    root::attach_all(&root);
    trace::program_starts(options);
    let ended = program::run(&root, options);
    program::unmount(&root);
    ended
}

/// The devices that are files, and the kinds of file systems there are.
fn start_file_systems(command_line: Vec<u8>) {
    let pages = frames::stats().total as usize;
    writeback::set_memory(pages);
    vfs::dentry::set_limit((pages / 4).clamp(1024, 1 << 16));
    pagecache::set_shrinker(vfs::dentry::shrink);
    if let Err(error) = pagecache::remember_evictions(pages) {
        log::warn!("no room to remember pages that were freed: {error}");
    }
    if let Err(error) = pagecache::start_kswapd() {
        log::warn!("kswapd does not run: {error}");
    }
    if let Some(routine) = machine::crc32c::routine()
        && !ext4::checksum::set_accelerator(routine)
    {
        log::warn!("the CPU's crc32c is not what it should be");
    }
    let mut seed = [0; 32];
    entropy::fill(&mut seed);
    devfs::random::seed(&seed);
    devfs::register(Arc::new(Terminal), &block::devices());
    vfs::register_filesystem(ext4::FS_TYPE);
    ext4::lazyinit::allow();
    ext4::OLDER_TYPES.into_iter().for_each(vfs::register_filesystem);
    vfs::register_filesystem(&devfs::DevFsType);
    let source = Arc::new(KernelSource { command_line });
    vfs::register_filesystem(Box::leak(Box::new(procfs::fs_type(source))));
    let sys = sysfs::fs_type(Box::new(block::disks), Box::new(sys_source::mounted_ext4));
    vfs::register_filesystem(Box::leak(Box::new(sys)));
    vfs::register_filesystem(Box::leak(Box::new(tracefs::fs_type(terminal::sleep))));
}

/// Frames, the heap, and frames for everybody above.
fn start_memory(tree: DeviceTree<'_>, tree_region: Region) -> Result<(), Trouble> {
    let ram = tree.memory()?;
    let mut taken = tree.reserved();
    _ = taken.try_push(tree_region);
    memory::init(&ram, &taken).context("memory")?;
    base::frame::set_source(&MachineFrames);
    Ok(())
}

/// From here on the log is seen, by whom and as far as the command line says.
fn start_log(options: &Options) {
    if options.framed {
        console::set_framed();
    }
    if let Some(level) = options.loglevel {
        klog::set_level(level);
    }
    log::info!("Quill {}", env!("CARGO_PKG_VERSION"));
    klog::console_ready();
    for word in &options.odd {
        log::warn!("kernel command line: `{word}` is not understood");
    }
}

/// The interrupt controller, the clocks, and chance.
fn start_time(tree: DeviceTree<'_>) -> Result<(), Trouble> {
    gic::init(tree.gic()?).context("the interrupt controller")?;
    irq::register(tree.timer()?, Box::new(timer_interrupt)).context("the timer")?;
    base::time::set_clock(&MachineClock);
    match tree.rtc().map(clock::set_from_rtc) {
        Some(Ok(())) => {}
        _ => log::warn!("no real-time clock: it is 1970"),
    }
    if !entropy::init(tree.rng_seed(), base::time::now().as_ns().unwrap_or(0)) {
        log::warn!("random numbers are guessable: no rng-seed from the boot loader, none from the CPU");
    }
    log::info!("GICv{}, {} CPU(s), one in use", gic::version(), tree.cpu_count());
    Ok(())
}

fn timer_interrupt() {
    timer::quiet();
    sync::thread::tick(timer::monotonic_ns());
}
