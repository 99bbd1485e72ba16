//! What machine this is, as the device tree says.
//!
//! A [`DeviceTree`] borrows the blob; each question walks it, and answers with small values of its
//! own ([`Device`], [`Interrupt`], [`PciHost`], …). Nothing is allocated: the first question is where memory
//! is. Every node is looked for by `compatible`, at any depth of two below the root, and a node that
//! says `status = "disabled"` is not there.
//!
//! The blob comes from outside: a missing or odd value is an [`Error`] or None, never a panic.
//! Sources: Devicetree Specification 0.4; Linux, Documentation/devicetree/bindings.

mod keys;
mod pci;

use arrayvec::ArrayVec;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};

pub use keys::GpioKey;
pub use pci::{PciHost, PciWindow};

use crate::memory::regions::{Region, Regions};

/// virtio-mmio transports at most; virt has 32.
pub const MAX_VIRTIO: usize = 64;

/// Why the tree can't be used. The text is for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The blob is not a well-formed device tree.
    Malformed,
    /// It lacks something without which there is no machine.
    Missing(&'static str),
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::Malformed => f.write_str("the device tree is malformed"),
            Error::Missing(what) => write!(f, "the device tree has no usable {what}"),
        }
    }
}

/// An interrupt line, by the number the GIC knows it (INTID): 16 to 31 private, 32 and up shared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Irq(pub u32);

/// How an interrupt line signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// By a change.
    Edge,
    /// By its state, until the device takes it back.
    Level,
}

/// An interrupt as a node gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupt {
    /// The line.
    pub irq: Irq,
    /// How it signals.
    pub trigger: Trigger,
}

/// The interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gic {
    /// GICv2: distributor, CPU interface.
    V2 {
        /// GICD registers.
        distributor: Region,
        /// GICC registers.
        cpu: Region,
    },
    /// GICv3: distributor, first range of redistributors.
    V3 {
        /// GICD registers.
        distributor: Region,
        /// GICR registers.
        redistributors: Region,
    },
}

/// A device with one register window and perhaps an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its registers.
    pub registers: Region,
    /// Its line, when it has one.
    pub interrupt: Option<Interrupt>,
}

/// How to call the firmware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// By `hvc #0`.
    Hvc,
    /// By `smc #0`.
    Smc,
}

/// A device tree blob, checked for form.
#[derive(Clone, Copy)]
pub struct DeviceTree<'a>(Fdt<'a>);

impl<'a> DeviceTree<'a> {
    /// How many bytes the blob says it has, from its first 8. None when it is no device tree.
    pub fn total_size(header: &[u8; 8]) -> Option<u32> {
        let [a, b, c, d, size @ ..] = *header;
        ([a, b, c, d] == [0xd0, 0x0d, 0xfe, 0xed]).then(|| u32::from_be_bytes(size))
    }

    /// Checks the blob's form.
    pub fn new(blob: &'a [u8]) -> Result<DeviceTree<'a>, Error> {
        Fdt::new(blob).map(DeviceTree).map_err(|_| Error::Malformed)
    }

    /// Bytes in the blob.
    pub fn len(self) -> usize {
        self.0.data().len()
    }

    /// Never: a tree has a header.
    pub fn is_empty(self) -> bool {
        false
    }

    /// All RAM: every node of `device_type = "memory"`.
    pub fn memory(self) -> Result<Regions, Error> {
        let mut regions = Regions::new();
        for node in self.0.root().children().filter(is_memory) {
            regs(&node).filter(|r| !r.is_empty()).for_each(|r| _ = regions.try_push(r));
        }
        if regions.is_empty() { Err(Error::Missing("memory node")) } else { Ok(regions) }
    }

    /// Memory that is RAM but somebody's: /memreserve/, /reserved-memory, the initrd.
    pub fn reserved(self) -> Regions {
        let mut regions = Regions::new();
        let mut add = |region: Region| {
            if !region.is_empty() {
                _ = regions.try_push(region);
            }
        };
        self.0.memory_reservations().for_each(|r| add(Region::new(r.address(), r.size())));
        if let Some(parent) = self.0.find_node("/reserved-memory") {
            parent.children().for_each(|node| regs(&node).for_each(&mut add));
        }
        self.initrd().into_iter().for_each(add);
        regions
    }

    /// Where the boot loader put the initial RAM disk, if it did.
    pub fn initrd(self) -> Option<Region> {
        let (start, end) = (self.chosen_int("linux,initrd-start")?, self.chosen_int("linux,initrd-end")?);
        Some(Region { start, end }).filter(|region| !region.is_empty())
    }

    /// The kernel's command line; empty when there is none.
    pub fn bootargs(self) -> &'a str {
        self.chosen("bootargs").and_then(|p| p.value_as::<&str>().ok()).unwrap_or("")
    }

    /// Random bytes from the boot loader; empty when there are none.
    pub fn rng_seed(self) -> &'a [u8] {
        self.chosen("rng-seed").and_then(|p| p.value_as::<&[u8]>().ok()).unwrap_or(&[])
    }

    /// How many CPUs there are, at least one.
    pub fn cpu_count(self) -> usize {
        let is_cpu = |node: &FdtNode<'_>| node.property("device_type").is_some_and(|p| p.value() == b"cpu\0");
        let cpus = self.0.find_node("/cpus").map_or(0, |cpus| cpus.children().filter(is_cpu).count());
        cpus.max(1)
    }

    /// How to call PSCI, version 0.2 or later.
    pub fn psci(self) -> Option<Conduit> {
        let node = self.find(&["arm,psci-1.0", "arm,psci-0.2"])?;
        match node.property("method")?.value() {
            b"hvc\0" => Some(Conduit::Hvc),
            b"smc\0" => Some(Conduit::Smc),
            _ => None,
        }
    }

    /// The interrupt controller.
    pub fn gic(self) -> Result<Gic, Error> {
        let missing = Error::Missing("interrupt controller");
        if let Some(node) = self.find(&["arm,gic-v3"]) {
            let mut regs = regs(&node);
            let (distributor, redistributors) = (regs.next().ok_or(missing)?, regs.next().ok_or(missing)?);
            return Ok(Gic::V3 { distributor, redistributors });
        }
        let node = self.find(&["arm,cortex-a15-gic", "arm,gic-400"]).ok_or(missing)?;
        let mut regs = regs(&node);
        let (distributor, cpu) = (regs.next().ok_or(missing)?, regs.next().ok_or(missing)?);
        Ok(Gic::V2 { distributor, cpu })
    }

    /// The virtual timer's interrupt: the third of the four.
    pub fn timer(self) -> Result<Interrupt, Error> {
        let node = self.find(&["arm,armv8-timer", "arm,armv7-timer"]);
        node.and_then(|node| interrupt(&node, 2)).ok_or(Error::Missing("timer"))
    }

    /// The console.
    pub fn uart(self) -> Option<Device> {
        self.find(&["arm,pl011"]).and_then(|node| device(&node))
    }

    /// The clock that knows the date.
    pub fn rtc(self) -> Option<Device> {
        self.find(&["arm,pl031"]).and_then(|node| device(&node))
    }

    /// Every virtio-mmio transport, with or without a device behind it, by ascending address.
    pub fn virtio_mmio(self) -> ArrayVec<Device, MAX_VIRTIO> {
        let mut found = ArrayVec::new();
        for node in self.nodes().filter(|node| is_compatible(node, &["virtio,mmio"])) {
            if let Some(device) = device(&node) {
                _ = found.try_push(device);
            }
        }
        base::sort::by_key(&mut found, |d: &Device| d.registers.start);
        found
    }

    /// The PCI host, if it is of the generic kind.
    pub fn pci(self) -> Option<PciHost<'a>> {
        let node = self.find(&["pci-host-ecam-generic"])?;
        let gic = self.find(&["arm,gic-v3", "arm,cortex-a15-gic", "arm,gic-400"])?;
        let gic_address_cells =
            gic.property("#address-cells").and_then(|p| p.value_as::<u32>().ok()).unwrap_or(0);
        PciHost::parse(node, regs(&node).next()?, gic_address_cells)
    }

    fn find(self, compatible: &[&str]) -> Option<FdtNode<'a>> {
        self.nodes().find(|node| is_compatible(node, compatible))
    }

    /// The nodes below the root and their children: all that a virt machine has.
    fn nodes(self) -> impl Iterator<Item = FdtNode<'a>> {
        self.0
            .root()
            .children()
            .flat_map(|node| core::iter::once(node).chain(node.children()))
            .filter(is_enabled)
    }

    fn chosen(self, name: &str) -> Option<dtoolkit::fdt::FdtProperty<'a>> {
        self.0.find_node("/chosen")?.property(name)
    }

    /// A number of one or two cells.
    fn chosen_int(self, name: &str) -> Option<u64> {
        let property = self.chosen(name)?;
        property.value_as::<u64>().ok().or_else(|| property.value_as::<u32>().ok().map(u64::from))
    }
}

fn is_memory(node: &FdtNode<'_>) -> bool {
    is_enabled(node) && node.property("device_type").is_some_and(|p| p.value() == b"memory\0")
}

fn is_enabled(node: &FdtNode<'_>) -> bool {
    node.property("status").is_none_or(|p| matches!(p.value(), b"okay\0" | b"ok\0"))
}

fn is_compatible(node: &FdtNode<'_>, with: &[&str]) -> bool {
    with.iter().any(|name| node.is_compatible(name))
}

/// The register windows of a node.
fn regs<'a>(node: &FdtNode<'a>) -> impl Iterator<Item = Region> + use<'a> {
    let windows = node.reg().ok().flatten().into_iter().flatten();
    windows.filter_map(|reg| Some(Region::new(reg.address::<u64>().ok()?, reg.size::<u64>().ok()?)))
}

fn device(node: &FdtNode<'_>) -> Option<Device> {
    Some(Device { registers: regs(node).next()?, interrupt: interrupt(node, 0) })
}

/// The n-th interrupt of a node whose parent is the GIC: three cells each.
fn interrupt(node: &FdtNode<'_>, n: usize) -> Option<Interrupt> {
    let property = node.property("interrupts")?;
    let cells = property.value().get(n * 12..n * 12 + 12)?;
    gic_interrupt([be32(cells, 0)?, be32(cells, 1)?, be32(cells, 2)?])
}

/// Kind (0 shared, 1 private), number, flags: bindings/interrupt-controller/arm,gic.yaml.
fn gic_interrupt([kind, number, flags]: [u32; 3]) -> Option<Interrupt> {
    let irq = match kind {
        0 if number < 988 => Irq(number + 32),
        1 if number < 16 => Irq(number + 16),
        _ => return None,
    };
    let trigger = if flags & 3 != 0 { Trigger::Edge } else { Trigger::Level };
    Some(Interrupt { irq, trigger })
}

/// The n-th big-endian cell of a property's bytes.
fn be32(bytes: &[u8], n: usize) -> Option<u32> {
    bytes.get(n * 4..n * 4 + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests;
