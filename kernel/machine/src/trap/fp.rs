//! The program's FP and SIMD registers.
//!
//! The kernel is built for softfloat and never touches them, so they stay in the CPU across system
//! calls, faults and interrupts. Only when another thread of the program is about to run are they
//! saved to the thread that owns them.
//!
//! # Invariants
//! 1. `OWNER` is null or the state whose values are in this CPU's registers; its memory is stale.
//! 2. A state that is dropped is nobody's owner any more.
//!
//! One CPU: with several, OWNER is per CPU, and a thread that moves is saved before it goes.

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use base::arch::FpRegs;

/// V0 to V31, FPSR, FPCR, when they are not in the CPU.
#[repr(C, align(16))]
pub struct FpState {
    v: [u128; 32],
    fpsr: u64,
    fpcr: u64,
}

static OWNER: AtomicPtr<FpState> = AtomicPtr::new(ptr::null_mut());

global_asm!(
    ".arch_extension fp",
    ".arch_extension simd",
    ".pushsection .text.fp, \"ax\"",
    ".type quill_fp_save, %function",
    ".type quill_fp_load, %function",
    "quill_fp_save:",
    "stp q0, q1, [x0]",
    "stp q2, q3, [x0, #32]",
    "stp q4, q5, [x0, #64]",
    "stp q6, q7, [x0, #96]",
    "stp q8, q9, [x0, #128]",
    "stp q10, q11, [x0, #160]",
    "stp q12, q13, [x0, #192]",
    "stp q14, q15, [x0, #224]",
    "stp q16, q17, [x0, #256]",
    "stp q18, q19, [x0, #288]",
    "stp q20, q21, [x0, #320]",
    "stp q22, q23, [x0, #352]",
    "stp q24, q25, [x0, #384]",
    "stp q26, q27, [x0, #416]",
    "stp q28, q29, [x0, #448]",
    "stp q30, q31, [x0, #480]",
    "mrs x1, fpsr",
    "mrs x2, fpcr",
    "add x0, x0, #512",
    "stp x1, x2, [x0]",
    "ret",
    "quill_fp_load:",
    "ldp q0, q1, [x0]",
    "ldp q2, q3, [x0, #32]",
    "ldp q4, q5, [x0, #64]",
    "ldp q6, q7, [x0, #96]",
    "ldp q8, q9, [x0, #128]",
    "ldp q10, q11, [x0, #160]",
    "ldp q12, q13, [x0, #192]",
    "ldp q14, q15, [x0, #224]",
    "ldp q16, q17, [x0, #256]",
    "ldp q18, q19, [x0, #288]",
    "ldp q20, q21, [x0, #320]",
    "ldp q22, q23, [x0, #352]",
    "ldp q24, q25, [x0, #384]",
    "ldp q26, q27, [x0, #416]",
    "ldp q28, q29, [x0, #448]",
    "ldp q30, q31, [x0, #480]",
    "add x0, x0, #512",
    "ldp x1, x2, [x0]",
    "msr fpsr, x1",
    "msr fpcr, x2",
    "ret",
    ".popsection",
    ".arch_extension nosimd",
    ".arch_extension nofp",
);

unsafe extern "C" {
    fn quill_fp_save(state: *mut FpState);
    fn quill_fp_load(state: *const FpState);
}

impl FpState {
    /// All zeros: round to nearest, no traps.
    pub const fn new() -> FpState {
        FpState { v: [0; 32], fpsr: 0, fpcr: 0 }
    }

    /// Puts these registers into the CPU, unless they are there.
    #[inline(always)]
    pub fn make_current(&mut self) {
        if OWNER.load(Ordering::Relaxed) != ptr::from_mut(self) {
            self.switch();
        }
    }

    /// The registers as they are now, wherever they are.
    pub fn get(&mut self) -> FpRegs {
        if OWNER.load(Ordering::Relaxed) == ptr::from_mut(self) {
            // SAFETY: this is the state whose values are in the CPU (1), and it is ours.
            unsafe { quill_fp_save(self) };
        }
        FpRegs { v: self.v, fpsr: self.fpsr as u32, fpcr: self.fpcr as u32 }
    }

    /// Other values, which the next [`FpState::make_current`] puts into the CPU.
    pub fn set(&mut self, regs: &FpRegs) {
        (self.v, self.fpsr, self.fpcr) = (regs.v, regs.fpsr.into(), regs.fpcr.into());
        // What is in the CPU is nobody's now. Fails when it was another's, which it stays.
        _ = OWNER.compare_exchange(self, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }

    #[cold]
    fn switch(&mut self) {
        let old = OWNER.swap(self, Ordering::Relaxed);
        // SAFETY: `old` is a live state (2) whose values are in the CPU (1); ours is a state of the
        // same layout. The kernel itself has nothing in these registers.
        unsafe {
            if !old.is_null() {
                quill_fp_save(old);
            }
            quill_fp_load(self);
        }
    }
}

impl Default for FpState {
    fn default() -> Self {
        FpState::new()
    }
}

impl Drop for FpState {
    fn drop(&mut self) {
        // Fails when it is somebody else's, which is as it should be.
        _ = OWNER.compare_exchange(self, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }
}
