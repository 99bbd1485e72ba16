//! The generic timer: the monotonic clock, and one deadline.
//!
//! The virtual counter (CNTVCT_EL0) counts at CNTFRQ_EL0 from the machine's start; EL0 may read it
//! too. The virtual timer raises one interrupt at the deadline that `sync` asks for.
//! Source: Arm ARM D12 and D24.10.

use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable, Writeable};
use base::time::NSEC_PER_SEC;

/// Nanoseconds per tick, in 32.32 fixed point.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);
/// Ticks per second; 62.5 MHz where the register says nothing.
static FREQUENCY: AtomicU64 = AtomicU64::new(62_500_000);

/// Reads the frequency; the timer is off.
pub fn init() {
    let frequency = CNTFRQ_EL0.get();
    if frequency != 0 {
        FREQUENCY.store(frequency, Ordering::Relaxed);
    }
    let frequency = FREQUENCY.load(Ordering::Relaxed);
    NS_PER_TICK.store(((u128::from(NSEC_PER_SEC) << 32) / u128::from(frequency)) as u64, Ordering::Relaxed);
    CNTV_CTL_EL0.set(0);
}

/// Ticks of the counter per second.
pub fn frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed)
}

/// The counter as it is.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: a barrier, so that the counter is not read ahead of what came before.
    unsafe { core::arch::asm!("isb", options(nostack)) };
    CNTVCT_EL0.get()
}

/// The counter, perhaps as it was some instructions ago: for times that need not be ordered with memory.
#[inline]
pub fn ticks_about() -> u64 {
    CNTVCT_EL0.get()
}

/// Nanoseconds since the counter's zero.
#[inline]
pub fn monotonic_ns() -> u64 {
    to_ns(ticks())
}

/// Raises the timer's interrupt at this moment, at once when it is past; never for None.
pub fn set_deadline(deadline_ns: Option<u64>) {
    match deadline_ns {
        Some(ns) => {
            CNTV_CVAL_EL0.set(to_ticks(ns));
            CNTV_CTL_EL0.set(1);
        }
        None => CNTV_CTL_EL0.set(0),
    }
}

/// Takes the interrupt back until the next deadline is set.
pub fn quiet() {
    CNTV_CTL_EL0.set(0);
}

fn to_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(NS_PER_TICK.load(Ordering::Relaxed))) >> 32) as u64
}

/// The counter's value at a moment, rounded up: when the counter has it, the moment has come.
pub fn to_ticks(ns: u64) -> u64 {
    let frequency = u128::from(FREQUENCY.load(Ordering::Relaxed));
    let ticks = (u128::from(ns) * frequency).div_ceil(u128::from(NSEC_PER_SEC));
    u64::try_from(ticks + 1).unwrap_or(u64::MAX)
}
