//! What an exception syndrome says.
//!
//! [`decode`] turns ESR_EL1 (with FAR_EL1 and the pc) of an exception from EL0 into the event the
//! program's loop acts on. Pure, so that every class is tested on the host. Linux's answers are the
//! model (signal and `si_code` of each class). Source: Arm ARM D24.2.40.

use base::UserAddr;
use base::arch::{Access, Trap};

/// The exception class, `ESR_EL1[31:26]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class(pub u8);

impl Class {
    /// WFI, WFE and their timed forms.
    pub const WAIT: Class = Class(0x01);
    /// `svc` from AArch64.
    pub const SVC64: Class = Class(0x15);
    /// MSR, MRS or a system instruction that EL0 may not use.
    pub const SYSTEM: Class = Class(0x18);
    /// An instruction abort from EL0.
    pub const INSTRUCTION_ABORT: Class = Class(0x20);
    /// A data abort from EL0.
    pub const DATA_ABORT: Class = Class(0x24);
    /// A data abort of the kernel.
    pub const KERNEL_DATA_ABORT: Class = Class(0x25);

    /// Of a syndrome.
    pub const fn of(esr: u64) -> Class {
        Class((esr >> 26) as u8 & 0x3f)
    }

    /// In words, for the log.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x00 => "undefined instruction",
            0x01 => "WFI or WFE",
            0x07 => "FP access trapped",
            0x0a => "LD64B or ST64B trapped",
            0x0c => "MRRC trapped",
            0x0d => "branch target exception",
            0x0e => "illegal execution state",
            0x15 => "svc",
            0x16 => "hvc",
            0x17 => "smc",
            0x18 => "system register trapped",
            0x19 => "SVE access",
            0x1c => "pointer authentication failure",
            0x1d => "SME access",
            0x20 | 0x21 => "instruction abort",
            0x22 => "pc alignment",
            0x24 | 0x25 => "data abort",
            0x26 => "sp alignment",
            0x27 => "memory copy exception",
            0x2c => "floating-point exception",
            0x2f => "SError",
            0x30 | 0x31 => "hardware breakpoint",
            0x32 | 0x33 => "single step",
            0x34 | 0x35 => "watchpoint",
            0x3c => "brk",
            _ => "unknown exception class",
        }
    }
}

/// What to do about an exception from EL0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The program's loop decides.
    Trap(Trap),
    /// WFI or WFE: step over it, let others run.
    Wait,
    /// The instruction may be an MRS that is emulated (older CPUs call it undefined), else SIGILL.
    Undefined,
}

// Signals and codes, signal(7) and sigaction(2).
const SIGILL: u8 = 4;
const SIGTRAP: u8 = 5;
const SIGBUS: u8 = 7;
const SIGFPE: u8 = 8;
const ILL_ILLOPC: i32 = 1;
const ILL_ILLOPN: i32 = 2;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_HWBKPT: i32 = 4;
const BUS_ADRALN: i32 = 1;
const BUS_OBJERR: i32 = 3;

/// WnR: the abort was a store.
const WRITE: u64 = 1 << 6;
/// CM: it was cache maintenance, which counts as a load whatever WnR says.
const CACHE_MAINTENANCE: u64 = 1 << 8;

/// The event behind a syndrome.
pub const fn decode(esr: u64, far: u64, pc: u64) -> Event {
    let class = Class::of(esr);
    let (signal, code, addr) = match class.0 {
        0x15 => return Event::Trap(Trap::Syscall),
        0x01 => return Event::Wait,
        0x00 | 0x18 => return Event::Undefined,
        0x20 => return abort(esr, far, Access::Execute),
        0x24 => {
            let store = esr & WRITE != 0 && esr & CACHE_MAINTENANCE == 0;
            return abort(esr, far, if store { Access::Write } else { Access::Read });
        }
        0x1c => (SIGILL, ILL_ILLOPN, pc),
        0x22 => (SIGBUS, BUS_ADRALN, far),
        0x26 => (SIGBUS, BUS_ADRALN, pc),
        0x2c => (SIGFPE, fp_code(esr), pc),
        0x30 => (SIGTRAP, TRAP_HWBKPT, pc),
        0x32 => (SIGTRAP, TRAP_TRACE, pc),
        0x34 => (SIGTRAP, TRAP_HWBKPT, far),
        0x3c => (SIGTRAP, TRAP_BRKPT, pc),
        _ => (SIGILL, ILL_ILLOPC, pc),
    };
    exception(signal, code, addr, class.name(), esr)
}

const fn exception(signal: u8, code: i32, addr: u64, what: &'static str, esr: u64) -> Event {
    Event::Trap(Trap::Exception { signal, code, addr: UserAddr(untag(addr)), what, esr })
}

/// A data or instruction abort by its fault status code.
const fn abort(esr: u64, far: u64, access: Access) -> Event {
    let addr = UserAddr(untag(far));
    let kernel_half = far >> 55 & 1 == 1;
    match esr & 0x3f {
        // Translation (with level -1), access flag: no page is there.
        0x04..=0x0b | 0x2b => Event::Trap(Trap::PageFault { addr, access, permission: false }),
        // What the kernel has mapped is none of the program's business.
        0x0c..=0x0f => Event::Trap(Trap::PageFault { addr, access, permission: !kernel_half }),
        0x21 => exception(SIGBUS, BUS_ADRALN, far, "alignment fault", esr),
        0x10 => exception(SIGBUS, BUS_OBJERR, far, "external abort", esr),
        0x13..=0x17 => exception(SIGBUS, BUS_OBJERR, far, "external abort on a table walk", esr),
        0x18..=0x1f => exception(SIGBUS, BUS_OBJERR, far, "memory parity error", esr),
        0x00..=0x03 => exception(SIGBUS, BUS_OBJERR, far, "address size fault", esr),
        0x35 => exception(SIGBUS, BUS_OBJERR, far, "unsupported exclusive access", esr),
        _ => exception(SIGBUS, BUS_OBJERR, far, "abort of unknown kind", esr),
    }
}

/// FPE_* by the flags of a trapped exception; FPE_FLTUNK when they are not valid.
const fn fp_code(esr: u64) -> i32 {
    const VALID: u64 = 1 << 23;
    if esr & VALID == 0 {
        return 14;
    }
    match esr & 0x1f {
        flags if flags & 1 != 0 => 7,
        flags if flags & 2 != 0 => 3,
        flags if flags & 4 != 0 => 4,
        flags if flags & 8 != 0 => 5,
        flags if flags & 16 != 0 => 6,
        _ => 14,
    }
}

/// Takes the tag (bits 56 to 63) off an address of the lower half, as TBI makes the CPU do.
pub const fn untag(addr: u64) -> u64 {
    if addr >> 55 & 1 == 0 { addr & ((1 << 56) - 1) } else { addr }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn esr(class: u64, iss: u64) -> u64 {
        class << 26 | 1 << 25 | iss
    }

    fn signal(event: Event) -> Option<(u8, i32)> {
        match event {
            Event::Trap(Trap::Exception { signal, code, .. }) => Some((signal, code)),
            _ => None,
        }
    }

    #[test]
    fn system_calls_whatever_the_immediate() {
        for imm in [0, 1, 0xffff] {
            assert_eq!(decode(esr(0x15, imm), 0, 0), Event::Trap(Trap::Syscall));
        }
    }

    #[test]
    fn page_faults_say_what_was_tried() {
        let at = UserAddr(0x1000);
        for (class, iss, access, permission) in [
            (0x24, 0x07, Access::Read, false),
            (0x24, 0x47, Access::Write, false),
            (0x24, 0x4f, Access::Write, true),
            (0x24, 0x147, Access::Read, false),
            (0x20, 0x0f, Access::Execute, true),
            (0x20, 0x06, Access::Execute, false),
            (0x24, 0x0b, Access::Read, false),
        ] {
            let got = decode(esr(class, iss), 0x1000, 0);
            assert_eq!(got, Event::Trap(Trap::PageFault { addr: at, access, permission }), "{iss:#x}");
        }
    }

    #[test]
    fn kernel_addresses_tell_nothing_and_tags_go() {
        let kernel = 0xffff_8000_0000_0000;
        let got = decode(esr(0x24, 0x0d), kernel, 0);
        assert_eq!(
            got,
            Event::Trap(Trap::PageFault { addr: UserAddr(kernel), access: Access::Read, permission: false })
        );
        assert_eq!(untag(0xab00_0000_0000_1234), 0x1234);
    }

    #[test]
    fn other_aborts_are_bus_errors() {
        for (dfsc, code) in [(0x21, 1), (0x10, 3), (0x14, 3), (0x18, 3), (0x00, 3), (0x35, 3), (0x3f, 3)] {
            assert_eq!(signal(decode(esr(0x24, dfsc), 0, 0)), Some((7, code)), "{dfsc:#x}");
        }
    }

    #[test]
    fn each_class_its_signal() {
        for (class, want) in [
            (0x07, (4, 1)),
            (0x0d, (4, 1)),
            (0x0e, (4, 1)),
            (0x19, (4, 1)),
            (0x1c, (4, 2)),
            (0x1d, (4, 1)),
            (0x22, (7, 1)),
            (0x26, (7, 1)),
            (0x30, (5, 4)),
            (0x32, (5, 2)),
            (0x3c, (5, 1)),
            (0x3f, (4, 1)),
        ] {
            assert_eq!(signal(decode(esr(class, 0), 0, 0)), Some(want), "{class:#x}");
        }
        assert_eq!(decode(esr(0x01, 1), 0, 0), Event::Wait);
        assert_eq!(decode(esr(0x18, 1), 0, 0), Event::Undefined);
        assert_eq!(decode(esr(0x00, 0), 0, 0), Event::Undefined);
    }

    #[test]
    fn floating_point_flags() {
        for (flags, code) in [(1, 7), (2, 3), (4, 4), (8, 5), (16, 6), (0, 14)] {
            assert_eq!(signal(decode(esr(0x2c, 1 << 23 | flags), 0, 0)), Some((8, code)));
        }
        assert_eq!(signal(decode(esr(0x2c, 1), 0, 0)), Some((8, 14)));
    }
}
