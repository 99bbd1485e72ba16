//! Making written instructions visible to fetch.
//!
//! Source: Arm ARM B2.4.4 (self-modifying code) and CTR_EL0.

use core::arch::asm;

use base::{Frame, PAGE_SIZE};

/// CTR_EL0.IDC: no clean to the point of unification is needed; DIC: no invalidate is.
const IDC: u64 = 1 << 28;
const DIC: u64 = 1 << 29;

/// Cleans a page out of the data cache and drops it from the instruction caches, as far as this CPU
/// needs that.
pub fn sync_instructions(frame: &Frame) {
    let ctr: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {0}, ctr_el0", out(reg) ctr, options(nomem, nostack, pure)) };
    let start = frame.as_ptr() as usize;
    if ctr & IDC == 0 {
        let line = 4 << (ctr >> 16 & 15);
        for at in (start..start + PAGE_SIZE).step_by(line) {
            // SAFETY: cleaning a line of a mapped page changes no data.
            unsafe { asm!("dc cvau, {0}", in(reg) at, options(nostack)) };
        }
    }
    // SAFETY: barriers, and dropping instructions that memory still has.
    unsafe {
        asm!("dsb ish", options(nostack));
        if ctr & DIC == 0 {
            asm!("ic ialluis", "dsb ish", options(nostack));
        }
        asm!("isb", options(nostack));
    }
}
