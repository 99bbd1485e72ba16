//! Looks at every place where a virtio block device can be, and takes those that are there into use.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use virtio_drivers::transport::mmio::{MmioError, MmioTransport};
use virtio_drivers::transport::{DeviceType, SomeTransport, Transport};

use super::blk::VirtioBlk;
use super::doorbell::Doorbells;
use super::pci;
use crate::devicetree::{Device, Interrupt};
use crate::mmu;
use crate::pci::{Bus, Function};

/// All block devices, in the order in which they are named: vda, vdb, …. A device that cannot be used
/// is named in the log and left out.
pub fn disks(mmio: &[Device], pci: Option<&Bus>) -> Vec<Arc<VirtioBlk>> {
    let mut slots: Vec<Device> = mmio.to_vec();
    base::sort::by_key(&mut slots, |slot| core::cmp::Reverse(slot.registers.start));
    let mut found: Vec<_> = slots.into_iter().filter_map(mmio_disk).collect();
    if let Some(bus) = pci {
        found.extend(bus.functions.iter().filter(|f| pci::is_block(f)).filter_map(|f| pci_disk(bus, f)));
    }
    found
}

fn pci_disk(bus: &Bus, function: &Function) -> Option<Arc<VirtioBlk>> {
    let name = format!("pci 00:{:02x}.{}", function.device, function.function);
    match pci::open(bus, function) {
        Ok(parts) => start(name, parts.transport, parts.doorbells, parts.interrupt),
        Err(why) => {
            log::error!("{name}: a disk that cannot be used: {why}");
            None
        }
    }
}

/// The block device behind an MMIO transport. None when there is none.
fn mmio_disk(slot: Device) -> Option<Arc<VirtioBlk>> {
    let registers = slot.registers;
    let name = format!("virtio-mmio {:#x}", registers.start);
    let base = mmu::map_device(base::PhysAddr(registers.start), registers.len()).ok()?;
    // SAFETY: the device tree says that a transport's registers are there; they stay mapped.
    let transport = match unsafe { MmioTransport::new(base.cast(), registers.len() as usize) } {
        Ok(transport) => SomeTransport::from(transport),
        // An empty slot.
        Err(MmioError::InvalidDeviceID(_)) => return None,
        Err(error) => {
            log::error!("{name}: {error}");
            return None;
        }
    };
    if transport.device_type() != DeviceType::Block {
        return None;
    }
    let Some(interrupt) = slot.interrupt else {
        log::error!("{name}: it has no interrupt line");
        return None;
    };
    // SAFETY: as above.
    let doorbells = unsafe { Doorbells::mmio(base) };
    start(name, transport, doorbells, interrupt)
}

fn start(
    name: String,
    transport: SomeTransport<'static>,
    doorbells: Doorbells,
    interrupt: Interrupt,
) -> Option<Arc<VirtioBlk>> {
    let started = VirtioBlk::start(&name, transport, doorbells, interrupt);
    started.inspect_err(|why| log::error!("{name}: a disk that cannot be used: {why}")).ok()
}
