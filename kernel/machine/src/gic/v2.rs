//! GICv2: a distributor and a CPU interface, both memory-mapped.

use super::{FIRST_SHARED, distributor};
use crate::devicetree::{Interrupt, Irq};
use crate::mmio::Mmio;

const GICD_CTLR: usize = 0x000;
const GICD_ITARGETSR: usize = 0x800;
const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_IAR: usize = 0x0c;
const GICC_EOIR: usize = 0x10;

pub struct GicV2 {
    distributor: Mmio,
    cpu: Mmio,
}

impl GicV2 {
    /// Takes the controller over: everything off, then the distributor and this CPU's interface on.
    pub fn new(distributor: Mmio, cpu: Mmio) -> GicV2 {
        distributor.write(GICD_CTLR, 0);
        distributor::disable_all(&distributor, 0, distributor::lines(&distributor));
        distributor.write(GICD_CTLR, 1);
        cpu.write(GICC_PMR, 0xff);
        cpu.write(GICC_CTLR, 1);
        GicV2 { distributor, cpu }
    }

    pub fn enable(&self, interrupt: Interrupt) {
        if interrupt.irq.0 >= FIRST_SHARED {
            // The register of a private line tells this CPU's own bit.
            let this_cpu = self.distributor.read(GICD_ITARGETSR) as u8;
            self.distributor.write8(GICD_ITARGETSR + interrupt.irq.0 as usize, this_cpu.max(1));
        }
        distributor::enable(&self.distributor, interrupt);
    }

    pub fn acknowledge(&self) -> u32 {
        self.cpu.read(GICC_IAR) & 0x3ff
    }

    pub fn end(&self, irq: Irq) {
        self.cpu.write(GICC_EOIR, irq.0);
    }
}
