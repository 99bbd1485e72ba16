//! virtio devices on PCI: finding them on bus 0, giving them addresses, reaching their registers.
//!
//! No firmware has run, so no device has an address yet. Each virtio function found gets its memory
//! BARs from the host's window, then may decode memory and be bus master. Interrupts are the four INTx
//! lines, which the device tree's interrupt-map leads to the GIC; MSI-X stays off. Devices behind a
//! bridge are not looked for.
//!
//! Only windows in which bus and CPU addresses are the same are used; QEMU's virt has no others.
//!
//! Source: PCI Local Bus 3.0, 6.2.5 Base Addresses; VirtIO 1.2, 4.1 Virtio Over PCI Bus.

use core::ptr::NonNull;

use virtio_drivers::transport::SomeTransport;
use virtio_drivers::transport::pci::bus::{
    BarInfo, Command, ConfigurationAccess, DeviceFunction, MemoryBarType, PciRoot,
};
use virtio_drivers::transport::pci::{
    PciTransport, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG, virtio_device_type,
};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use super::doorbell::Doorbell;
use crate::devicetree::{Interrupt, PciHost};
use crate::mmio::Mmio;
use crate::mmu;

/// Configuration space of one bus: 32 devices, 8 functions, 4 KiB.
const BUS_BYTES: u64 = 1 << 20;
/// Capability id of vendor-specific structures, which virtio's are.
const VENDOR_CAPABILITY: u8 = 9;
/// Interrupt Line and Pin.
const INTERRUPT_REGISTER: u8 = 0x3c;

/// A virtio function that is ready to be taken into use.
pub struct Function {
    /// Bus, device, function.
    pub at: DeviceFunction,
    /// Its registers.
    pub transport: SomeTransport<'static>,
    /// Where queue 0 is announced.
    pub doorbell: Doorbell,
    /// Its INTx line.
    pub interrupt: Interrupt,
}

/// All virtio functions on bus 0 that can be used, in the order of their slots. The log names those
/// that can't.
pub fn functions(host: &PciHost) -> alloc::vec::Vec<Function> {
    let mut found = alloc::vec::Vec::new();
    let Some(ecam) = Ecam::map(host) else {
        log::error!("pci: the configuration space cannot be mapped");
        return found;
    };
    let mut space = Space::of(host);
    let mut root = PciRoot::new(ecam);
    for (at, info) in root.enumerate_bus(0) {
        if virtio_device_type(&info).is_none() {
            continue;
        }
        match bring_up(&mut root, ecam, at, host, &mut space) {
            Ok(function) => found.push(function),
            Err(why) => log::error!("pci {at}: a virtio device that cannot be used: {why}"),
        }
    }
    found
}

fn bring_up(
    root: &mut PciRoot<Ecam>,
    ecam: Ecam,
    at: DeviceFunction,
    host: &PciHost,
    space: &mut Space,
) -> Result<Function, &'static str> {
    let pin = (ecam.read_word(at, INTERRUPT_REGISTER) >> 8) as u8;
    let interrupt = host.interrupt(at.bus, at.device, at.function, pin).ok_or("it has no interrupt line")?;
    place(root, at, space)?;
    let (_, command) = root.get_status_command(at);
    root.set_command(
        at,
        (command | Command::MEMORY_SPACE | Command::BUS_MASTER) - Command::INTERRUPT_DISABLE,
    );
    let transport = PciTransport::new::<DeviceHal, Ecam>(root, at).map_err(|error| {
        log::error!("pci {at}: {error}");
        "its capabilities are not those of a modern device"
    })?;
    let doorbell = doorbell(root, ecam, at)?;
    Ok(Function { at, transport: transport.into(), doorbell, interrupt })
}

/// Gives each memory BAR an address.
fn place(root: &mut PciRoot<Ecam>, at: DeviceFunction, space: &mut Space) -> Result<(), &'static str> {
    let bars = root.bars(at).map_err(|_| "it has a malformed BAR")?;
    for (index, bar) in (0..).zip(bars) {
        let Some(BarInfo::Memory { address_type, size, .. }) = bar else { continue };
        let address = space.take(size).ok_or("the host's window is full")?;
        match address_type {
            MemoryBarType::Width64 => root.set_bar_64(at, index, address),
            // The window is below 4 GiB.
            _ => root.set_bar_32(at, index, address as u32),
        }
    }
    Ok(())
}

/// Finds where queue 0 is announced: notify structure + its queue_notify_off * multiplier.
fn doorbell(root: &mut PciRoot<Ecam>, ecam: Ecam, at: DeviceFunction) -> Result<Doorbell, &'static str> {
    let missing = "it has no notification structure";
    let common = structure(root, ecam, at, VIRTIO_PCI_CAP_COMMON_CFG).ok_or(missing)?;
    let notify = structure(root, ecam, at, VIRTIO_PCI_CAP_NOTIFY_CFG).ok_or(missing)?;
    let offset = queue_notify_off(common).ok_or(missing)?;
    let multiplier = u64::from(ecam.read_word(at, notify.capability + 16));
    let offset = u64::from(offset) * multiplier;
    if offset + 2 > notify.len || !(notify.address + offset).is_multiple_of(2) {
        return Err("its notification structure is too small");
    }
    let address = mmu::map_device(base::PhysAddr(notify.address + offset), 2).map_err(|_| missing)?;
    // SAFETY: the transport was made, so the function decodes its BARs; the address is within one
    // of them, and stays mapped.
    Ok(unsafe { Doorbell::pci(address) })
}

/// A virtio structure within a BAR.
#[derive(Clone, Copy)]
struct Structure {
    capability: u8,
    address: u64,
    len: u64,
}

fn structure(root: &mut PciRoot<Ecam>, ecam: Ecam, at: DeviceFunction, kind: u8) -> Option<Structure> {
    let is_it = |private: u16| (private >> 8) as u8 == kind;
    let found = root.capabilities(at).find(|c| c.id == VENDOR_CAPABILITY && is_it(c.private_header))?;
    let bar = ecam.read_word(at, found.offset + 4) as u8;
    let offset = u64::from(ecam.read_word(at, found.offset + 8));
    let len = u64::from(ecam.read_word(at, found.offset + 12));
    let (address, size) = root.bar_info(at, bar.min(5)).ok()??.memory_address_size()?;
    (address != 0 && offset + len <= size).then_some(Structure {
        capability: found.offset,
        address: address + offset,
        len,
    })
}

/// `queue_notify_off` of queue 0 (4.1.4.3: queue_select at 22, queue_notify_off at 30).
fn queue_notify_off(common: Structure) -> Option<u16> {
    if common.len < 32 || !common.address.is_multiple_of(4) {
        return None;
    }
    let registers = mmu::map_device(base::PhysAddr(common.address), common.len).ok()?;
    // SAFETY: within the structure, aligned; selecting a queue harms nobody before the queue is in use.
    unsafe {
        registers.add(22).cast::<u16>().write_volatile(0);
        Some(registers.add(30).cast::<u16>().read_volatile())
    }
}

/// The part of the host's window that is free.
struct Space {
    next: u64,
    end: u64,
}

impl Space {
    /// The 32-bit window, where every BAR can go.
    fn of(host: &PciHost) -> Space {
        let usable = host.windows.iter().find(|w| !w.wide && w.bus == w.cpu.start);
        usable.map_or(Space { next: 0, end: 0 }, |w| Space { next: w.cpu.start, end: w.cpu.end })
    }

    /// `size` bytes (a power of two), aligned to their size.
    fn take(&mut self, size: u64) -> Option<u64> {
        let size = size.max(4096);
        let start = self.next.checked_next_multiple_of(size)?;
        let end = start.checked_add(size).filter(|end| *end <= self.end)?;
        // Mapped now, so that `DeviceHal` only looks it up.
        mmu::map_device(base::PhysAddr(start), size).ok()?;
        self.next = end;
        Some(start)
    }
}

/// The configuration space of bus 0.
#[derive(Clone, Copy)]
struct Ecam(Mmio);

impl Ecam {
    fn map(host: &PciHost) -> Option<Ecam> {
        let len = host.ecam.len().min(BUS_BYTES);
        let base = mmu::map_device(base::PhysAddr(host.ecam.start), len).ok()?;
        // SAFETY: the device tree says that this is the configuration space; it stays mapped.
        Some(Ecam(unsafe { Mmio::new(base, len as usize) }))
    }

    fn offset(&self, at: DeviceFunction, register: u8) -> Option<usize> {
        let offset =
            usize::from(at.device) << 15 | usize::from(at.function) << 12 | usize::from(register & !3);
        (at.bus == 0 && at.valid() && offset + 4 <= self.0.len()).then_some(offset)
    }
}

impl ConfigurationAccess for Ecam {
    /// All ones where there is nothing, as the bus answers.
    fn read_word(&self, at: DeviceFunction, register: u8) -> u32 {
        self.offset(at, register).map_or(u32::MAX, |offset| self.0.read(offset))
    }

    fn write_word(&mut self, at: DeviceFunction, register: u8, data: u32) {
        if let Some(offset) = self.offset(at, register) {
            self.0.write(offset, data);
        }
    }

    unsafe fn unsafe_clone(&self) -> Ecam {
        *self
    }
}

/// What the transport asks of the machine: only where a BAR is.
struct DeviceHal;

// SAFETY: `mmio_phys_to_virt` answers with a mapping of the registers asked for. No DMA memory is
// ever given out.
unsafe impl Hal for DeviceHal {
    fn dma_alloc(_pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // Address 0 says that there is none.
        (0, NonNull::dangling())
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, _vaddr: NonNull<u8>, _pages: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        // Cannot fail: `Space::take` has mapped the BAR that this lies in.
        mmu::map_device(base::PhysAddr(paddr), size as u64).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(_buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        0
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
