//! The stack frame of a signal handler, as Linux/arm64 lays it out, and the way back.
//!
//! ```text
//!   old sp (or the alternate stack's top), rounded down to 16
//!   -16    frame record: x29, x30                        <- x29 in the handler
//!   -4688  struct rt_sigframe                            <- sp in the handler
//!            0     siginfo                     128 bytes <- x1
//!            128   ucontext                              <- x2
//!              +0    uc_flags, uc_link           16
//!              +16   uc_stack: sp, flags, size   24
//!              +40   uc_sigmask                   8, and room for 120 more
//!              +176  mcontext: fault_address, x0-x30, sp, pc, pstate
//!              +464  __reserved, 4096 bytes: records of magic, size, content; here
//!                      fpsimd_context (magic "FPS\x01", 528 bytes: fpsr, fpcr, v0-v31), and an end of 0, 0
//! ```
//! Source: `arch/arm64/include/uapi/asm/sigcontext.h`, sigreturn(2).

use alloc::boxed::Box;
use alloc::vec;

use base::arch::{FpRegs, UserCpu, UserRegs};
use base::{Errno, Result, UserAddr, UserMemory};

use super::info::{Detail, SigInfo, SigSet, Signal};
use super::state::{AltStack, Next, Signals, flags};
use crate::mm::Mm;

const INFO: usize = 0;
const UCONTEXT: usize = 128;
const UC_STACK: usize = UCONTEXT + 16;
const UC_SIGMASK: usize = UCONTEXT + 40;
const FAULT_ADDRESS: usize = UCONTEXT + 176;
const REGS: usize = FAULT_ADDRESS + 8;
const SP: usize = REGS + 31 * 8;
const PC: usize = SP + 8;
const PSTATE: usize = PC + 8;
const RESERVED: usize = UCONTEXT + 464;
const SIZE: usize = RESERVED + 4096;
const RECORD: u64 = 16;

const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_SIZE: usize = 528;
const FPSR: usize = 8;
const VREGS: usize = 16;

/// What a program may choose of its pstate: N Z C V, TCO, DIT, SSBS, BTYPE.
const USER_PSTATE: u64 = 0xf000_0000 | TCO | 1 << 24 | 1 << 12 | BTYPE;
/// Tag checks off; a handler starts with them on.
const TCO: u64 = 1 << 25;
/// What kind of branch came last; a handler was not branched to.
const BTYPE: u64 = 3 << 10;
/// Mode and execution state: all zero at EL0 in 64 bits.
const MODE: u64 = 0x1f;

/// Bytes on the stack that a handler needs (AT_MINSIGSTKSZ).
pub const FRAME_SIZE: u64 = SIZE as u64 + RECORD;

/// Puts the frame of `next` on the program's stack and sends it to the handler. EFAULT when the stack
/// cannot take it.
pub(super) fn push(
    signals: &Signals,
    mm: &Mm,
    cpu: &mut dyn UserCpu,
    next: &Next,
    restorer: u64,
) -> Result<()> {
    let fp = cpu.fp();
    let regs = cpu.regs();
    let alt = signals.alt_stack();
    let on_alt = next.action.flags & flags::SA_ONSTACK != 0 && alt.size > 0 && !alt.holds(regs.sp);
    let top = if on_alt { alt.base.wrapping_add(alt.size) } else { regs.sp } & !15;
    let record = top.wrapping_sub(RECORD);
    let sp = record.wrapping_sub(SIZE as u64);

    let mut frame = Frame(vec![0; SIZE].into_boxed_slice());
    frame.fill(regs, next, &alt, fp.as_ref());
    mm.write_all(UserAddr(sp), &frame.0)?;
    let mut link = [0; 16];
    link[..8].copy_from_slice(&regs.x[29].to_le_bytes());
    link[8..].copy_from_slice(&regs.x[30].to_le_bytes());
    mm.write_all(UserAddr(record), &link)?;

    let has_restorer = next.action.flags & flags::SA_RESTORER != 0;
    regs.x[0] = next.info.signal.number().into();
    if next.action.flags & flags::SA_SIGINFO != 0 {
        regs.x[1] = sp + INFO as u64;
        regs.x[2] = sp + UCONTEXT as u64;
    }
    regs.x[29] = record;
    regs.x[30] = if has_restorer { next.action.restorer } else { restorer };
    regs.sp = sp;
    regs.pc = next.action.handler;
    regs.pstate &= !(TCO | BTYPE);
    Ok(())
}

/// rt_sigreturn(2): the registers as they were, from the frame at the stack pointer. A frame that makes
/// no sense is a SIGSEGV. The floating-point registers reach the CPU by the next delivery.
pub fn sigreturn(signals: &Signals, mm: &Mm, regs: &mut UserRegs) -> core::result::Result<(), SigInfo> {
    let at = UserAddr(regs.sp);
    let mut frame = Frame(vec![0; SIZE].into_boxed_slice());
    let read = if regs.sp & 15 == 0 { mm.read_exact(at, &mut frame.0) } else { Err(Errno::EFAULT) };
    let pstate = frame.u64(PSTATE);
    if read.is_err() || pstate & MODE != 0 {
        return Err(SigInfo::kernel(Signal::SEGV));
    }
    for (i, x) in regs.x.iter_mut().enumerate() {
        *x = frame.u64(REGS + 8 * i);
    }
    regs.sp = frame.u64(SP);
    regs.pc = frame.u64(PC);
    regs.pstate = pstate & USER_PSTATE;
    let alt = AltStack {
        base: frame.u64(UC_STACK),
        flags: frame.u64(UC_STACK + 8) as u32,
        size: frame.u64(UC_STACK + 16),
    };
    signals.restore(SigSet(frame.u64(UC_SIGMASK)), alt, regs.sp, frame.fp());
    Ok(())
}

/// The bytes of `struct rt_sigframe`.
struct Frame(Box<[u8]>);

impl Frame {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn u64(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_le_bytes(bytes)
    }

    fn u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    fn fill(&mut self, regs: &UserRegs, next: &Next, alt: &AltStack, fp: Option<&FpRegs>) {
        self.put(INFO, &next.info.to_bytes());
        self.put_u64(UC_STACK, alt.base);
        self.put_u64(UC_STACK + 8, alt.told_flags(regs.sp).into());
        self.put_u64(UC_STACK + 16, alt.size);
        self.put_u64(UC_SIGMASK, next.blocked.0);
        if let Detail::Address(addr) = next.info.detail {
            self.put_u64(FAULT_ADDRESS, addr.0);
        }
        for (i, x) in regs.x.iter().enumerate() {
            self.put_u64(REGS + 8 * i, *x);
        }
        self.put_u64(SP, regs.sp);
        self.put_u64(PC, regs.pc);
        self.put_u64(PSTATE, regs.pstate);
        let Some(fp) = fp else { return };
        self.put(RESERVED, &FPSIMD_MAGIC.to_le_bytes());
        self.put(RESERVED + 4, &(FPSIMD_SIZE as u32).to_le_bytes());
        self.put(RESERVED + FPSR, &fp.fpsr.to_le_bytes());
        self.put(RESERVED + FPSR + 4, &fp.fpcr.to_le_bytes());
        for (i, v) in fp.v.iter().enumerate() {
            self.put(RESERVED + VREGS + 16 * i, &v.to_le_bytes());
        }
    }

    /// The floating-point record, if it is still the first.
    fn fp(&self) -> Option<Box<FpRegs>> {
        if self.u32(RESERVED) != FPSIMD_MAGIC || self.u32(RESERVED + 4) as usize != FPSIMD_SIZE {
            return None;
        }
        let mut fp = Box::new(FpRegs {
            v: [0; 32],
            fpsr: self.u32(RESERVED + FPSR),
            fpcr: self.u32(RESERVED + FPSR + 4),
        });
        for (i, v) in fp.v.iter_mut().enumerate() {
            let at = RESERVED + VREGS + 16 * i;
            *v = u128::from(self.u64(at)) | u128::from(self.u64(at + 8)) << 64;
        }
        Some(fp)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
