//! The interrupt controller: version 2 by memory-mapped registers, version 3 by system registers.
//!
//! All lines have one priority, go to the boot CPU, and are off until [`enable`] is called.
//! Sources: GIC Architecture Specification IHI 0048B (v2), IHI 0069 (v3 and v4).

mod v2;
mod v3;

use base::{PhysAddr, Result};
use spin::Once;

use crate::devicetree::{self, Interrupt, Irq, Trigger};
use crate::memory::regions::Region;
use crate::mmio::Mmio;
use crate::mmu;

/// INTIDs below this are per CPU.
const FIRST_SHARED: u32 = 32;
/// INTIDs from here on are no interrupts.
const SPECIAL: u32 = 1020;
/// The priority of every line: the middle.
const PRIORITY: u8 = 0xa0;

enum Controller {
    V2(v2::GicV2),
    V3(v3::GicV3),
}

static GIC: Once<Controller> = Once::new();

/// Finds and starts the controller. Fails when its registers can't be mapped.
pub fn init(gic: devicetree::Gic) -> Result<()> {
    let controller = match gic {
        devicetree::Gic::V2 { distributor, cpu } => {
            Controller::V2(v2::GicV2::new(map(distributor)?, map(cpu)?))
        }
        devicetree::Gic::V3 { distributor, redistributors } => {
            Controller::V3(v3::GicV3::new(map(distributor)?, map(redistributors)?)?)
        }
    };
    GIC.call_once(|| controller);
    Ok(())
}

/// Which version runs, for the log.
pub fn version() -> u8 {
    match GIC.get() {
        Some(Controller::V2(_)) => 2,
        Some(Controller::V3(_)) => 3,
        None => 0,
    }
}

/// Lets a line through.
pub fn enable(interrupt: Interrupt) {
    match GIC.get() {
        Some(Controller::V2(gic)) => gic.enable(interrupt),
        Some(Controller::V3(gic)) => gic.enable(interrupt),
        None => {}
    }
}

/// The most urgent pending interrupt, which becomes active. None when there is none (any more).
#[inline]
pub fn acknowledge() -> Option<Irq> {
    let intid = match GIC.get()? {
        Controller::V2(gic) => gic.acknowledge(),
        Controller::V3(gic) => gic.acknowledge(),
    };
    (intid < SPECIAL).then_some(Irq(intid))
}

/// The interrupt has been handled.
#[inline]
pub fn end(irq: Irq) {
    match GIC.get() {
        Some(Controller::V2(gic)) => gic.end(irq),
        Some(Controller::V3(gic)) => gic.end(irq),
        None => {}
    }
}

fn map(region: Region) -> Result<Mmio> {
    let base = mmu::map_device(PhysAddr(region.start), region.len())?;
    // SAFETY: the device tree says that these are the controller's registers; they were just mapped,
    // and they reach no memory.
    Ok(unsafe { Mmio::new(base, region.len() as usize) })
}

/// Distributor registers that both versions share, and that a v3 redistributor repeats for its
/// private lines.
mod distributor {
    use super::{Interrupt, Mmio, PRIORITY, Trigger};

    pub const TYPER: usize = 0x004;
    const IGROUPR: usize = 0x080;
    const ISENABLER: usize = 0x100;
    const ICENABLER: usize = 0x180;
    const IPRIORITYR: usize = 0x400;
    const ICFGR: usize = 0xc00;

    /// How many lines there are.
    pub fn lines(registers: &Mmio) -> u32 {
        ((registers.read(TYPER) & 31) + 1) * 32
    }

    /// All lines of `[first, last)` off.
    pub fn disable_all(registers: &Mmio, first: u32, last: u32) {
        for n in first / 32..last / 32 {
            registers.write(ICENABLER + 4 * n as usize, u32::MAX);
        }
    }

    /// All lines of `[first, last)` in group 1.
    pub fn group_one(registers: &Mmio, first: u32, last: u32) {
        for n in first / 32..last / 32 {
            registers.write(IGROUPR + 4 * n as usize, u32::MAX);
        }
    }

    /// Priority, trigger, on.
    pub fn enable(registers: &Mmio, Interrupt { irq, trigger }: Interrupt) {
        let line = irq.0;
        registers.write8(IPRIORITYR + line as usize, PRIORITY);
        if line >= 16 {
            let at = ICFGR + 4 * (line as usize / 16);
            let bit = 2 << (line % 16 * 2);
            let old = registers.read(at);
            registers.write(at, if trigger == Trigger::Edge { old | bit } else { old & !bit });
        }
        registers.write(ISENABLER + 4 * (line as usize / 32), 1 << (line % 32));
    }
}
