//! MRS of identification registers at EL0, which trap: answered here with what [`features`] tells the
//! program, so that HWCAP_CPUID may be advertised.
//!
//! Older CPUs report such an MRS as an undefined instruction, so the instruction itself is read.
//! Anything else that comes here is SIGILL, as in Linux. Source: Arm ARM C6.2.228 (MRS); Linux,
//! Documentation/arch/arm64/cpu-feature-registers.

use base::UserAddr;
use base::arch::{Trap, UserCopy as _, UserRegs};

use super::esr::Class;
use crate::features;
use crate::machine::QuillMachine;

const SIGILL: u8 = 4;
const ILL_ILLOPC: i32 = 1;

/// `mrs Xt, S3_op1_Cn_Cm_op2`
const MRS_MASK: u32 = 0xfff8_0000;
const MRS: u32 = 0xd538_0000;

/// Answers the access and steps over it, or says what signal it is.
pub fn emulate(esr: u64, regs: &mut UserRegs) -> Trap {
    if let Some((register, value)) = answer(regs.pc) {
        if let Some(slot) = regs.x.get_mut(register) {
            *slot = value;
        }
        regs.pc += 4;
        // The program goes on at once; to its loop this is like an interrupt.
        return Trap::Interrupt;
    }
    let what = Class::of(esr).name();
    Trap::Exception { signal: SIGILL, code: ILL_ILLOPC, addr: UserAddr(regs.pc), what, esr }
}

/// The register that the instruction at `pc` wants filled, and with what.
fn answer(pc: u64) -> Option<(usize, u64)> {
    let mut bytes = [0; 4];
    if QuillMachine.copy_from_user(&mut bytes, UserAddr(pc)) != 4 {
        return None;
    }
    let word = u32::from_le_bytes(bytes);
    let field = |shift: u32, bits: u32| word >> shift & ((1 << bits) - 1);
    let (op1, crn, crm, op2) = (field(16, 3), field(12, 4), field(8, 4), field(5, 3));
    if word & MRS_MASK != MRS || (op1, crn) != (0, 0) {
        return None;
    }
    // 31 is xzr, which has no slot.
    Some((field(0, 5) as usize, features::id_register(crm, op2)?))
}
