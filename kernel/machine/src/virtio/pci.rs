//! virtio devices on PCI: from a function that [`crate::pci`] has set up to a transport.
//!
//! The registers are in structures within the BARs, which capabilities point at. Interrupts are INTx;
//! MSI-X stays off.
//!
//! Source: VirtIO 1.2, 4.1 Virtio Over PCI Bus.

use alloc::vec::Vec;
use core::ptr::NonNull;

use base::PhysAddr;
use virtio_drivers::transport::SomeTransport;
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{
    PciTransport, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_VENDOR_ID,
};
use virtio_drivers::{BufferDirection, Hal};

use super::doorbell::Doorbells;
use crate::cpu;
use crate::devicetree::Interrupt;
use crate::mmio::Mmio;
use crate::mmu;
use crate::pci::{Bus, Function};

/// Configuration space of one bus: 32 devices, 8 functions, 4 KiB.
const BUS_BYTES: usize = 1 << 20;
/// PCI device ids of virtio-blk: transitional, and modern (0x1040 + the device type).
const BLOCK_IDS: [u16; 2] = [0x1001, 0x1042];
/// Capability id of vendor-specific structures, which virtio's are.
const VENDOR_CAPABILITY: u8 = 9;

/// What a driver of the function needs.
pub struct Parts {
    /// Its registers.
    pub transport: SomeTransport<'static>,
    /// Where its queues are announced.
    pub doorbells: Doorbells,
    /// Its INTx line.
    pub interrupt: Interrupt,
}

/// Whether the function is a virtio block device.
pub fn is_block(function: &Function) -> bool {
    function.vendor_id == VIRTIO_VENDOR_ID && BLOCK_IDS.contains(&function.device_id)
}

/// Finds the function's registers. The error is for the log.
pub fn open(bus: &Bus, function: &Function) -> Result<Parts, &'static str> {
    let at = DeviceFunction { bus: 0, device: function.device, function: function.function };
    let interrupt = function.interrupt.ok_or("it has no interrupt line")?;
    // SAFETY: `Bus` says that bus 0's configuration space is there, mapped for ever.
    let ecam = Ecam(unsafe { Mmio::new(bus.ecam, BUS_BYTES) });
    let mut root = PciRoot::new(ecam);
    let (_, command) = root.get_status_command(at);
    // Without memory decoding: sizing a BAR would else switch it off and on each time, which costs
    // a hypervisor a rebuilt memory map. Nothing here touches the registers.
    root.set_command(at, command - Command::MEMORY_SPACE);
    let found = find(&mut root, ecam, at);
    root.set_command(at, command | Command::MEMORY_SPACE);
    let (transport, common, notify) = found?;
    let doorbells = doorbells(ecam, at, common, notify)?;
    Ok(Parts { transport: transport.into(), doorbells, interrupt })
}

/// The transport, and its common and notification structures.
fn find(
    root: &mut PciRoot<Ecam>,
    ecam: Ecam,
    at: DeviceFunction,
) -> Result<(PciTransport, Structure, Structure), &'static str> {
    let missing = "it lacks a structure of a modern device";
    map_registers(root, at)?;
    let common = structure(root, ecam, at, VIRTIO_PCI_CAP_COMMON_CFG).ok_or(missing)?;
    let notify = structure(root, ecam, at, VIRTIO_PCI_CAP_NOTIFY_CFG).ok_or(missing)?;
    // Last, for its drop resets the device through the registers.
    let transport = PciTransport::new::<DeviceHal, Ecam>(root, at).map_err(|error| {
        log::error!("pci {at}: {error}");
        missing
    })?;
    Ok((transport, common, notify))
}

/// Makes all memory BARs reachable, so that [`DeviceHal`] has only to look them up.
fn map_registers(root: &mut PciRoot<Ecam>, at: DeviceFunction) -> Result<(), &'static str> {
    let bars = root.bars(at).map_err(|_| "it has a malformed BAR")?;
    for (address, size) in bars.iter().flatten().filter_map(|bar| bar.memory_address_size()) {
        if address != 0 {
            mmu::map_device(PhysAddr(address), size).map_err(|_| "no memory to map its registers")?;
        }
    }
    Ok(())
}

/// Finds where the queues are announced that the CPUs could use: notify structure + the queue's
/// queue_notify_off * multiplier.
fn doorbells(
    ecam: Ecam,
    at: DeviceFunction,
    common: Structure,
    notify: Structure,
) -> Result<Doorbells, &'static str> {
    let missing = "its notification register cannot be found";
    let multiplier = u64::from(ecam.read_word(at, notify.capability + 16));
    let mut addresses = Vec::new();
    for queue in 0..cpu::IN_USE as u16 {
        let Some(offset) = queue_notify_off(common, queue) else { break };
        let offset = u64::from(offset) * multiplier;
        if offset + 2 > notify.len || !(notify.address + offset).is_multiple_of(2) {
            return Err("its notification structure is too small");
        }
        let address = mmu::map_device(PhysAddr(notify.address + offset), 2).map_err(|_| missing)?;
        addresses.push(address.cast());
    }
    if addresses.is_empty() {
        return Err(missing);
    }
    // SAFETY: the transport was made, so the function decodes its BARs; the addresses are within one
    // of them, and stay mapped.
    Ok(unsafe { Doorbells::pci(addresses) })
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

/// `queue_notify_off` of a queue (4.1.4.3: queue_select at 22, queue_size at 24, queue_notify_off at
/// 30). None when there is no such queue.
fn queue_notify_off(common: Structure, queue: u16) -> Option<u16> {
    if common.len < 32 || !common.address.is_multiple_of(4) {
        return None;
    }
    let registers = mmu::map_device(PhysAddr(common.address), common.len).ok()?;
    // SAFETY: within the structure, aligned; selecting a queue harms nobody before the queue is in use.
    unsafe {
        registers.add(22).cast::<u16>().write_volatile(queue);
        let size = registers.add(24).cast::<u16>().read_volatile();
        (size > 0).then(|| registers.add(30).cast::<u16>().read_volatile())
    }
}

/// The configuration space of bus 0.
#[derive(Clone, Copy)]
struct Ecam(Mmio);

impl Ecam {
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
    fn dma_alloc(_pages: usize, _direction: BufferDirection) -> (u64, NonNull<u8>) {
        // Address 0 says that there is none.
        (0, NonNull::dangling())
    }

    unsafe fn dma_dealloc(_paddr: u64, _vaddr: NonNull<u8>, _pages: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: u64, size: usize) -> NonNull<u8> {
        // Never dangling: `map_registers` has mapped the BAR that this lies in, and the structure was
        // checked to lie in its BAR.
        mmu::map_device(PhysAddr(paddr), size as u64).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(_buffer: NonNull<[u8]>, _direction: BufferDirection) -> u64 {
        0
    }

    unsafe fn unshare(_paddr: u64, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
