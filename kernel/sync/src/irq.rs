//! Interrupts off and back to what they were. On the host there are none and this does nothing.
//!
//! Source: Arm ARM C5.2.2, DAIF. IRQ and FIQ are masked together.

/// What the mask was, to be given back to [`restore`].
#[derive(Clone, Copy, Debug)]
pub struct Saved(#[cfg(target_os = "none")] u64);

/// Masks interrupts on this CPU and returns the mask as it was.
#[inline(always)]
pub fn save() -> Saved {
    #[cfg(target_os = "none")]
    {
        let daif: u64;
        // SAFETY: reads and raises the interrupt mask of this CPU; no memory but the barrier that
        // keeps the accesses of a critical section after it (no `nomem`).
        unsafe { core::arch::asm!("mrs {0}, daif", "msr daifset, #3", out(reg) daif, options(nostack)) };
        Saved(daif)
    }
    #[cfg(not(target_os = "none"))]
    Saved()
}

/// Puts the mask back. Restores nest like brackets.
#[inline(always)]
pub fn restore(saved: Saved) {
    #[cfg(target_os = "none")]
    // SAFETY: `saved.0` was read from DAIF by `save`; no `nomem`, so the critical section stays before.
    unsafe {
        core::arch::asm!("msr daif, {0}", in(reg) saved.0, options(nostack))
    };
    #[cfg(not(target_os = "none"))]
    let Saved() = saved;
}

/// Whether this CPU takes interrupts now. True on the host.
#[inline]
pub fn enabled() -> bool {
    #[cfg(target_os = "none")]
    {
        let daif: u64;
        // SAFETY: only reads the mask.
        unsafe { core::arch::asm!("mrs {0}, daif", out(reg) daif, options(nostack, nomem)) };
        daif & (1 << 7) == 0
    }
    #[cfg(not(target_os = "none"))]
    true
}

/// Unmasks interrupts: a thread's beginning.
#[cfg(target_os = "none")]
pub(crate) fn enable() {
    // SAFETY: the handlers are installed before any thread is spawned.
    unsafe { core::arch::asm!("msr daifclr, #3", options(nostack)) };
}
