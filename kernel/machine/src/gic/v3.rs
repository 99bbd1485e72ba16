//! GICv3: a distributor, a redistributor per CPU, and the CPU interface in system registers.

use core::arch::asm;

use base::{Errno, Result};

use super::{FIRST_SHARED, distributor};
use crate::cpu;
use crate::devicetree::{Interrupt, Irq};
use crate::mmio::Mmio;

const GICD_CTLR: usize = 0x0000;
/// Affinity routing and group 1, as seen without security (virt) or from the non-secure side.
const CTLR_ON: u32 = 1 << 4 | 1 << 5 | 1 << 1 | 1;
const GICD_IROUTER: usize = 0x6000;
const GICR_TYPER: usize = 0x0008;
const GICR_WAKER: usize = 0x0014;
const WAKER_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 2;
/// A redistributor: control frame, then the frame of its private lines.
const FRAME: usize = 0x1_0000;
/// How often a register is asked before it counts as dead.
const PATIENCE: u32 = 1_000_000;

pub struct GicV3 {
    distributor: Mmio,
    private: Mmio,
    /// This CPU, as IROUTER wants it.
    affinity: u64,
}

impl GicV3 {
    /// Takes the controller over. ENODEV when this CPU has no redistributor or it does not wake.
    pub fn new(distributor: Mmio, redistributors: Mmio) -> Result<GicV3> {
        let lines = distributor::lines(&distributor);
        distributor.write(GICD_CTLR, 0);
        distributor::disable_all(&distributor, FIRST_SHARED, lines);
        distributor::group_one(&distributor, FIRST_SHARED, lines);
        distributor.write(GICD_CTLR, CTLR_ON);

        let mine = own_redistributor(&redistributors)?;
        mine.write(GICR_WAKER, mine.read(GICR_WAKER) & !WAKER_SLEEP);
        wait(|| mine.read(GICR_WAKER) & WAKER_ASLEEP == 0)?;
        let private = mine.part(FRAME, FRAME);
        distributor::disable_all(&private, 0, FIRST_SHARED);
        distributor::group_one(&private, 0, FIRST_SHARED);

        // SAFETY: ICC_SRE_EL1, PMR, BPR1, CTLR, IGRPEN1: this CPU's interrupt interface, which nothing
        // uses before; interrupts are masked.
        unsafe {
            asm!(
                "msr S3_0_C12_C12_5, {one}", "isb",
                "msr S3_0_C4_C6_0, {all}",
                "msr S3_0_C12_C12_3, xzr",
                "msr S3_0_C12_C12_4, xzr",
                "msr S3_0_C12_C12_7, {one}", "isb",
                one = in(reg) 1u64, all = in(reg) 0xffu64, options(nostack),
            );
        }
        Ok(GicV3 { distributor, private, affinity: cpu::affinity() })
    }

    pub fn enable(&self, interrupt: Interrupt) {
        if interrupt.irq.0 < FIRST_SHARED {
            return distributor::enable(&self.private, interrupt);
        }
        self.distributor.write64(GICD_IROUTER + 8 * interrupt.irq.0 as usize, self.affinity);
        distributor::enable(&self.distributor, interrupt);
    }

    pub fn acknowledge(&self) -> u32 {
        let intid: u64;
        // SAFETY: reading ICC_IAR1_EL1 makes the interrupt active, which `end` undoes.
        unsafe { asm!("mrs {0}, S3_0_C12_C12_0", "dsb sy", out(reg) intid, options(nostack)) };
        intid as u32 & 0xff_ffff
    }

    pub fn end(&self, irq: Irq) {
        // SAFETY: ICC_EOIR1_EL1 of the interrupt that this CPU has acknowledged.
        unsafe { asm!("msr S3_0_C12_C12_1, {0}", "isb", in(reg) u64::from(irq.0), options(nostack)) }
    }
}

/// The redistributor whose affinity is this CPU's.
fn own_redistributor(all: &Mmio) -> Result<Mmio> {
    let mine = cpu::affinity();
    let packed = mine & 0xff_ffff | mine >> 8 & 0xff00_0000;
    let mut at = 0;
    while at + 2 * FRAME <= all.len() {
        let typer = all.read64(at + GICR_TYPER);
        if typer >> 32 == packed {
            return Ok(all.part(at, 2 * FRAME));
        }
        let (last, with_virtual) = (typer & 1 << 4 != 0, typer & 1 << 1 != 0);
        if last {
            break;
        }
        at += if with_virtual { 4 * FRAME } else { 2 * FRAME };
    }
    Err(Errno::ENODEV)
}

fn wait(done: impl Fn() -> bool) -> Result<()> {
    if (0..PATIENCE).any(|_| done()) { Ok(()) } else { Err(Errno::ENODEV) }
}
