//! This CPU: what it can do, and the switches that decide what EL0 may.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use aarch64_cpu::registers::{
    CNTKCTL_EL1, CPACR_EL1, ID_AA64ISAR0_EL1, ID_AA64MMFR1_EL1, MPIDR_EL1, Readable, Writeable,
};

/// CPUs that run threads: the one that booted. The others stay off.
pub const IN_USE: usize = 1;

static HAS_PAN: AtomicBool = AtomicBool::new(false);
static HAS_RNDR: AtomicBool = AtomicBool::new(false);

/// Sets the registers that hold for all of the kernel's life. Once per CPU, early.
pub fn init() {
    // FP and SIMD at EL0 (and EL1, where only `trap::fp` uses them, to save them for the program).
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapNothing);
    // EL0 reads CNTVCT and CNTFRQ; everything else of the timer traps.
    CNTKCTL_EL1.write(CNTKCTL_EL1::EL0VCTEN::SET);
    // SAFETY: no performance counters for EL0, no debug traps but those of the kernel itself.
    unsafe { asm!("msr pmuserenr_el0, xzr", "msr mdscr_el1, xzr", "isb", options(nomem, nostack)) };

    let pan = ID_AA64MMFR1_EL1.read(ID_AA64MMFR1_EL1::PAN) != 0;
    HAS_PAN.store(pan, Ordering::Relaxed);
    HAS_RNDR.store(ID_AA64ISAR0_EL1.get() >> 60 & 15 != 0, Ordering::Relaxed);
    if pan {
        // SAFETY: PSTATE.PAN = 1: from here the kernel reaches the program's pages only between
        // `user_access_begin` and `user_access_end`.
        unsafe { asm!(".inst 0xd500419f", options(nostack)) };
    }
}

/// Whether the kernel is kept from the program's pages (privileged access never).
#[inline(always)]
pub fn has_pan() -> bool {
    HAS_PAN.load(Ordering::Relaxed)
}

/// The number of this CPU among those that run threads.
#[inline]
pub fn index() -> usize {
    // Of one, it is the first.
    IN_USE - 1
}

/// Aff3, 2, 1, 0 of this CPU, as MPIDR_EL1 and GICD_IROUTER place them.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & 0xff_00ff_ffff
}

/// A random number from the CPU, when it has a generator and the generator has one to give.
pub fn random() -> Option<u64> {
    if !HAS_RNDR.load(Ordering::Relaxed) {
        return None;
    }
    let (value, ok): (u64, u64);
    // SAFETY: RNDR exists (ID_AA64ISAR0_EL1.RNDR); Z is set when it failed.
    unsafe { asm!("mrs {0}, S3_3_C2_C4_0", "cset {1}, ne", out(reg) value, out(reg) ok, options(nostack)) };
    (ok != 0).then_some(value)
}

/// Lets interrupts in. The boot thread does so once, when every handler's ground is laid.
pub fn enable_interrupts() {
    // SAFETY: vectors, stack and GIC are set up; what must not be interrupted holds a SpinLock.
    unsafe { asm!("msr daifclr, #3", options(nostack)) };
}

/// Everything before is done when this returns; a pending interrupt that is not masked is taken.
pub fn synchronize() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack)) };
}

/// Masks interrupts on this CPU.
pub fn disable_interrupts() {
    // SAFETY: only raises this CPU's mask.
    unsafe { asm!("msr daifset, #3", options(nostack)) };
}

/// Masks everything for good: the way into a panic or power-off.
pub fn mask_interrupts() {
    // SAFETY: only raises this CPU's mask.
    unsafe { asm!("msr daifset, #15", options(nostack)) };
}

/// Stands still until something happens.
pub fn wait_for_interrupt() {
    // SAFETY: a hint; `dsb` lets earlier stores to devices finish first.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}
