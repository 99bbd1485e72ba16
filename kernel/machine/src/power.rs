//! The end: QEMU stops with a status of our choosing, or starts again, or stands still.
//!
//! First semihosting's SYS_EXIT_EXTENDED, which carries the status; where that is off, its HLT is an
//! undefined instruction, which the fix-up table steps over, and PSCI switches the machine off with
//! QEMU's status 0 (the launcher has the status from the console's last frame).
//! Sources: Arm semihosting specification, SYS_EXIT_EXTENDED; Arm DEN0022 (PSCI), SYSTEM_OFF and SYSTEM_RESET.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU8, Ordering};

use crate::cpu;
use crate::devicetree::Conduit;

const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;
const PSCI_SYSTEM_RESET: u64 = 0x8400_0009;
const SYS_EXIT_EXTENDED: u64 = 0x20;
const ADP_STOPPED_APPLICATION_EXIT: u64 = 0x2_0026;

const NO_PSCI: u8 = 0;
const HVC: u8 = 1;
const SMC: u8 = 2;

static PSCI: AtomicU8 = AtomicU8::new(NO_PSCI);

global_asm!(
    ".pushsection .text.semihosting, \"ax\"",
    ".global quill_semihosting",
    ".type quill_semihosting, %function",
    "quill_semihosting:",
    "1: hlt #0xf000",
    "2: ret",
    ".pushsection .extable, \"a\"",
    ".long 1b - ., 2b - .",
    ".popsection",
    ".popsection",
);

unsafe extern "C" {
    fn quill_semihosting(operation: u64, argument: *const u64) -> u64;
}

/// Says how PSCI is called.
pub fn set_psci(conduit: Option<Conduit>) {
    let how = match conduit {
        Some(Conduit::Hvc) => HVC,
        Some(Conduit::Smc) => SMC,
        None => NO_PSCI,
    };
    PSCI.store(how, Ordering::Relaxed);
}

/// Ends QEMU with this status, or at least switches the machine off.
pub fn exit(status: u8) -> ! {
    cpu::mask_interrupts();
    let block = [ADP_STOPPED_APPLICATION_EXIT, u64::from(status)];
    // SAFETY: `block` is the two words the operation reads; where the host does not listen, the
    // instruction's fix-up returns.
    unsafe { quill_semihosting(SYS_EXIT_EXTENDED, block.as_ptr()) };
    firmware(PSCI_SYSTEM_OFF);
    halt()
}

/// Starts the machine again; one that can't be is switched off with this status. QEMU ends instead when
/// it was told `-no-reboot`.
pub fn restart(status: u8) -> ! {
    cpu::mask_interrupts();
    firmware(PSCI_SYSTEM_RESET);
    exit(status)
}

/// Stands still, switched on.
pub fn halt() -> ! {
    cpu::mask_interrupts();
    loop {
        cpu::wait_for_interrupt();
    }
}

/// Calls PSCI, if there is one.
fn firmware(function: u64) {
    match PSCI.load(Ordering::Relaxed) {
        // SAFETY: the firmware's call to switch off or to reset; it does not come back.
        HVC => unsafe { asm!("hvc #0", in("x0") function, clobber_abi("C"), options(nostack)) },
        // SAFETY: as above.
        SMC => unsafe { asm!("smc #0", in("x0") function, clobber_abi("C"), options(nostack)) },
        _ => {}
    }
}
