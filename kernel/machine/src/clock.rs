//! `base::Clock` of the machine: the generic timer, and the date from the PL031 at boot.

use core::sync::atomic::{AtomicU64, Ordering};

use base::time::{COARSE_NS, NSEC_PER_SEC};
use base::{Clock, PhysAddr, Result};

use crate::devicetree::Device;
use crate::mmio::Mmio;
use crate::{mmu, timer};

/// CLOCK_REALTIME minus CLOCK_MONOTONIC.
static OFFSET_NS: AtomicU64 = AtomicU64::new(0);

/// CLOCK_REALTIME_COARSE, and the counter's value from which on it may be another: so that a look within
/// the tick computes nothing. The time is stored first: who sees the new end sees the new time, or a
/// later one.
static COARSE: AtomicU64 = AtomicU64::new(0);
static COARSE_UNTIL: AtomicU64 = AtomicU64::new(0);

/// PL031 RTCDR: seconds since 1970. Source: Arm DDI 0224.
const RTCDR: usize = 0;

/// The machine's clocks.
pub struct MachineClock;

impl Clock for MachineClock {
    fn monotonic_ns(&self) -> u64 {
        timer::monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        timer::monotonic_ns() + OFFSET_NS.load(Ordering::Relaxed)
    }

    fn coarse_ns(&self) -> u64 {
        if timer::ticks_about() < COARSE_UNTIL.load(Ordering::Acquire) {
            COARSE.load(Ordering::Relaxed)
        } else {
            next_coarse_ns()
        }
    }
}

#[cold]
fn next_coarse_ns() -> u64 {
    let offset = OFFSET_NS.load(Ordering::Relaxed);
    let ns = timer::monotonic_ns() + offset;
    let tick = ns - ns % COARSE_NS;
    // Two CPUs may come here at once: the time does not go back.
    let before = COARSE.fetch_max(tick, Ordering::Relaxed);
    COARSE_UNTIL.fetch_max(timer::to_ticks(tick + COARSE_NS - offset), Ordering::Release);
    tick.max(before)
}

/// Sets the date from the real-time clock. Without one it is 1970.
pub fn set_from_rtc(rtc: Device) -> Result<()> {
    let base = mmu::map_device(PhysAddr(rtc.registers.start), rtc.registers.len())?;
    // SAFETY: the device tree says that this is a PL031; it was just mapped and reaches no memory.
    let registers = unsafe { Mmio::new(base, rtc.registers.len() as usize) };
    let now = u64::from(registers.read(RTCDR)) * NSEC_PER_SEC;
    OFFSET_NS.store(now.saturating_sub(timer::monotonic_ns()), Ordering::Relaxed);
    COARSE_UNTIL.store(0, Ordering::Release);
    Ok(())
}
