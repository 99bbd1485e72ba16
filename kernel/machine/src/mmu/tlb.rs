//! Telling the CPUs that a translation has changed.
//!
//! Each function waits until the change is seen everywhere. Source: Arm ARM D8.14 and its rule of
//! break before make: an entry that changes its address goes through "not valid" and a TLBI.

use core::arch::asm;

/// An address space identifier: tags the program's entries in the TLB. 0 is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asid(pub u16);

/// Makes new entries visible to table walks; enough after "not valid" became valid.
pub fn publish() {
    // SAFETY: barriers only.
    unsafe { asm!("dsb ishst", "isb", options(nostack)) }
}

/// Drops what is cached for the page at a kernel address.
pub fn flush_kernel_page(addr: u64) {
    // SAFETY: dropping cached translations is always allowed; the tables say what is true.
    unsafe {
        asm!("dsb ishst", "tlbi vaae1is, {0}", "dsb ish", "isb", in(reg) (addr >> 12) & 0xfff_ffff_ffff, options(nostack))
    }
}

/// Drops what is cached for the page at one of the program's addresses.
pub fn flush_user_page(asid: Asid, addr: u64) {
    let operand = u64::from(asid.0) << 48 | (addr >> 12) & 0xfff_ffff_ffff;
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi vae1is, {0}", "dsb ish", "isb", in(reg) operand, options(nostack)) }
}

/// Drops everything cached for an address space.
pub fn flush_asid(asid: Asid) {
    // SAFETY: as above.
    unsafe {
        asm!("dsb ishst", "tlbi aside1is, {0}", "dsb ish", "isb", in(reg) u64::from(asid.0) << 48, options(nostack))
    }
}
