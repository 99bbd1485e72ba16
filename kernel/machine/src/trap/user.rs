//! The program's thread as a call: [`UserThread::run`] enters EL0 and returns at the next svc, fault
//! or interrupt.
//!
//! # Cost
//! Into EL0 and back about 100 instructions: 31 registers each way, five system registers. FP and
//! SIMD registers stay where they are until another thread's are needed ([`fp`](super::fp)).
//!
//! # Invariants
//! 1. `context` does not move while EL0 runs: SP_EL1 points at it. (`run` borrows it.)
//! 2. What of PSTATE the program (or a signal frame) may choose is `USER_PSTATE`; the mode is EL0t
//!    and no interrupt is masked, whatever `regs` says.

use core::arch::asm;

use base::arch::{FpRegs, Trap, UserCpu, UserRegs};

use super::esr::{self, Event};
use super::fp::FpState;
use super::id_registers;
use crate::irq;

/// N Z C V, TCO, DIT, SSBS, BTYPE.
const USER_PSTATE: u64 = 0xf000_0000 | 1 << 25 | 1 << 24 | 1 << 12 | 3 << 10;
/// What `quill_enter_user` returns for an interrupt.
const INTERRUPT: u64 = u64::MAX;

/// What `vectors.S` knows of a thread.
#[repr(C, align(16))]
struct UserContext {
    regs: UserRegs,
    kernel_sp: u64,
}

const _: () = assert!(
    core::mem::offset_of!(UserContext, kernel_sp) == 280
        && core::mem::offset_of!(UserRegs, sp) == 248
        && core::mem::offset_of!(UserRegs, tpidr) == 272
);

unsafe extern "C" {
    fn quill_enter_user(context: *mut UserContext, pstate: u64) -> u64;
}

/// One thread of the program on this machine.
pub struct UserThread {
    context: UserContext,
    fp: FpState,
}

impl UserThread {
    /// A thread that starts with these registers, and zeros in FP and SIMD.
    pub fn new(regs: UserRegs) -> UserThread {
        UserThread { context: UserContext { regs, kernel_sp: 0 }, fp: FpState::new() }
    }

    /// What a syndrome other than svc means; `far` is FAR_EL1.
    #[cold]
    fn exception(&mut self, syndrome: u64, far: u64) -> Trap {
        let regs = &mut self.context.regs;
        match esr::decode(syndrome, far, regs.pc) {
            Event::Trap(trap) => trap,
            Event::Wait => {
                regs.pc += 4;
                Trap::Interrupt
            }
            Event::Undefined => id_registers::emulate(syndrome, regs),
        }
    }
}

impl UserCpu for UserThread {
    fn regs(&mut self) -> &mut UserRegs {
        &mut self.context.regs
    }

    fn fp(&mut self) -> Option<FpRegs> {
        Some(self.fp.get())
    }

    fn set_fp(&mut self, regs: &FpRegs) {
        self.fp.set(regs);
    }

    fn run(&mut self) -> Trap {
        self.fp.make_current();
        let pstate = self.context.regs.pstate & USER_PSTATE;
        // SAFETY: masks interrupts: from here to the `eret` SP is not a stack.
        unsafe { asm!("msr daifset, #3", options(nostack)) };
        // SAFETY: the context is ours and stays where it is (1); the vectors are installed; the
        // routine keeps the callee-saved registers and the stack.
        let syndrome = unsafe { quill_enter_user(&raw mut self.context, pstate) };
        if syndrome == INTERRUPT {
            irq::dispatch();
            unmask();
            return Trap::Interrupt;
        }
        if syndrome >> 26 == esr::Class::SVC64.0.into() {
            unmask();
            return Trap::Syscall;
        }
        let far: u64;
        // SAFETY: reads a register that only an exception writes; interrupts are still masked.
        unsafe { asm!("mrs {0}, far_el1", out(reg) far, options(nomem, nostack)) };
        unmask();
        self.exception(syndrome, far)
    }
}

#[inline(always)]
fn unmask() {
    // SAFETY: the kernel's stack is in place again; `run` is called with interrupts on.
    unsafe { asm!("msr daifclr, #3", options(nostack)) };
}
