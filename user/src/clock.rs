//! The virtual counter, for programs that measure: under QEMU's `-icount shift=0,sleep=off` a nanosecond
//! is one guest instruction, or one that the guest waited. Each look has a mark besides, an instruction that does
//! nothing, for `scripts/insns.c`, which counts what was executed alone.

use core::arch::asm;

/// A moment.
#[derive(Clone, Copy)]
pub struct Moment(u64);

impl Moment {
    /// Now. The instructions before it are over.
    #[inline]
    pub fn now() -> Moment {
        let ticks: u64;
        // SAFETY: writes nothing, and reads a counter that EL0 may read.
        unsafe { asm!("movz xzr, #0x5155", "isb", "mrs {0}, cntvct_el0", out(reg) ticks) };
        Moment(ticks)
    }

    /// Nanoseconds since then.
    #[inline]
    pub fn elapsed_ns(self) -> u64 {
        let ticks = Moment::now().0 - self.0;
        let hz: u64;
        // SAFETY: as above.
        unsafe { asm!("mrs {0}, cntfrq_el0", out(reg) hz) };
        ticks * 1_000_000_000 / hz
    }
}
