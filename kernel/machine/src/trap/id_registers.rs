//! MRS of identification registers at EL0, which trap: answered here with what [`features`] tells the
//! program, so that HWCAP_CPUID may be advertised.
//!
//! Anything else of this class (MSR, other registers, system instructions) is SIGILL, as in Linux.
//! Source: Arm ARM D24.2.40 (ISS of class 0x18); Linux, Documentation/arch/arm64/cpu-feature-registers.

use base::UserAddr;
use base::arch::{Trap, UserRegs};

use crate::features;

const SIGILL: u8 = 4;
const ILL_ILLOPC: i32 = 1;

/// Answers the access and steps over it, or says what signal it is.
pub fn emulate(esr: u64, regs: &mut UserRegs) -> Trap {
    let field = |shift: u32, bits: u32| esr >> shift & ((1 << bits) - 1);
    let (op0, op2, op1, crn) = (field(20, 2), field(17, 3), field(14, 3), field(10, 4));
    let (rt, crm, is_read) = (field(5, 5), field(1, 4), field(0, 1) == 1);
    if is_read
        && (op0, op1, crn) == (3, 0, 0)
        && let Some(value) = features::id_register(crm, op2)
    {
        if let Some(register) = regs.x.get_mut(rt as usize) {
            *register = value;
        }
        regs.pc += 4;
        // The program goes on at once; to its loop this is like an interrupt.
        return Trap::Interrupt;
    }
    let what = "system register or instruction that is not the program's";
    Trap::Exception { signal: SIGILL, code: ILL_ILLOPC, addr: UserAddr(regs.pc), what, esr }
}
