//! `base::Clock` of the machine: the generic timer, and the date from the PL031 at boot.

use core::sync::atomic::{AtomicU64, Ordering};

use base::time::NSEC_PER_SEC;
use base::{Clock, PhysAddr, Result};

use crate::devicetree::Device;
use crate::mmio::Mmio;
use crate::{mmu, timer};

/// CLOCK_REALTIME minus CLOCK_MONOTONIC.
static OFFSET_NS: AtomicU64 = AtomicU64::new(0);

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
}

/// Sets the date from the real-time clock. Without one it is 1970.
pub fn set_from_rtc(rtc: Device) -> Result<()> {
    let base = mmu::map_device(PhysAddr(rtc.registers.start), rtc.registers.len())?;
    // SAFETY: the device tree says that this is a PL031; it was just mapped and reaches no memory.
    let registers = unsafe { Mmio::new(base, rtc.registers.len() as usize) };
    let now = u64::from(registers.read(RTCDR)) * NSEC_PER_SEC;
    OFFSET_NS.store(now.saturating_sub(timer::monotonic_ns()), Ordering::Relaxed);
    Ok(())
}
