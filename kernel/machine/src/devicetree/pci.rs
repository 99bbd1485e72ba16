//! The generic PCI host: where its configuration space, its windows and its four interrupt lines are.
//!
//! Source: bindings/pci/host-generic-pci.yaml; IEEE 1275 PCI bus binding for `ranges` (7 cells with
//! a 64-bit parent: 3 of PCI address, 2 of CPU address, 2 of size) and `interrupt-map`.

use arrayvec::ArrayVec;
use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property};

use super::{Interrupt, be32, gic_interrupt};
use crate::memory::regions::Region;

/// A window of memory that PCI devices can be placed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciWindow {
    /// What a base address register says.
    pub bus: u64,
    /// Where the CPU sees it.
    pub cpu: Region,
    /// Whether it is the one above 4 GiB (ss = 11), else the 32-bit one (ss = 10).
    pub wide: bool,
}

/// A host bridge.
#[derive(Clone, Debug)]
pub struct PciHost<'a> {
    /// The configuration space: 1 MiB per bus.
    pub ecam: Region,
    /// Memory windows; the I/O window is left out.
    pub windows: ArrayVec<PciWindow, 4>,
    map: &'a [u8],
    mask: [u32; 4],
    /// Cells of an entry of `map`.
    entry: usize,
}

impl<'a> PciHost<'a> {
    pub(super) fn parse(node: FdtNode<'a>, ecam: Region, gic_address_cells: u32) -> Option<PciHost<'a>> {
        let ranges = node.property("ranges")?;
        let mut windows = ArrayVec::new();
        for entry in bytes(&ranges).chunks_exact(28) {
            let space = be32(entry, 0)? >> 24 & 3;
            let window = PciWindow {
                bus: be64(entry, 1)?,
                cpu: Region::new(be64(entry, 3)?, be64(entry, 5)?),
                wide: space == 3,
            };
            if space >= 2 {
                _ = windows.try_push(window);
            }
        }
        let map = node.property("interrupt-map").map_or(&[][..], |p| bytes(&p));
        let mask = node.property("interrupt-map-mask").and_then(|p| p.value_as::<[u32; 4]>().ok());
        // An entry: PCI address (3), pin (1), the GIC's phandle (1), its unit address, the interrupt (3).
        let entry = 8 + gic_address_cells.min(2) as usize;
        Some(PciHost { entry, ecam, windows, map, mask: mask.unwrap_or([0x1800, 0, 0, 7]) })
    }

    /// The interrupt of a device's pin (1 = INTA to 4 = INTD).
    pub fn interrupt(&self, bus: u8, device: u8, function: u8, pin: u8) -> Option<Interrupt> {
        let address = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
        let wanted = [address & self.mask[0], u32::from(pin) & self.mask[3]];
        for entry in self.map.chunks_exact(self.entry * 4) {
            if [be32(entry, 0)? & self.mask[0], be32(entry, 3)? & self.mask[3]] == wanted {
                let at = self.entry - 3;
                return gic_interrupt([be32(entry, at)?, be32(entry, at + 1)?, be32(entry, at + 2)?]);
            }
        }
        None
    }
}

fn bytes<'a>(property: &dtoolkit::fdt::FdtProperty<'a>) -> &'a [u8] {
    property.value_as::<&'a [u8]>().unwrap_or(&[])
}

fn be64(bytes: &[u8], n: usize) -> Option<u64> {
    Some(u64::from(be32(bytes, n)?) << 32 | u64::from(be32(bytes, n + 1)?))
}
