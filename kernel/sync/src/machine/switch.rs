//! From one stack to another.
//!
//! A switch is a function call to the compiler: only what a callee must keep is saved (AAPCS64: x19 to
//! x29, x30, sp). The kernel has no floating-point registers to save, it is built without.
//!
//! ```text
//!   sp ->  x19 x20 | x21 x22 | x23 x24 | x25 x26 | x27 x28 | x29 x30      96 bytes
//! ```

use core::arch::naked_asm;
use core::ptr;

use crate::platform::Stack;
use crate::tcb::Tcb;

const FRAME: usize = 96;
const X19: usize = 0;
const X30: usize = 11;

/// Saves this thread's registers on its stack and the stack pointer in `*save`; goes on where the
/// thread whose stack pointer is `load` called this, or at its beginning.
///
/// # Safety
/// The scheduler's lock is held, interrupts are masked, `save` is writable, and `load` was saved by
/// this function or made by [`first_frame`], and is used once.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *mut usize, load: usize) {
    naked_asm!(
        "sub sp, sp, #96",
        "stp x19, x20, [sp, #0]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "ldp x19, x20, [sp, #0]",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp x29, x30, [sp, #80]",
        "add sp, sp, #96",
        "ret",
    )
}

/// A new thread's first instructions: its block is in x19. x29 is zero, so a backtrace ends here.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() {
    naked_asm!("mov x0, x19", "mov x30, xzr", "bl {begin}", "brk #1", begin = sym super::begin)
}

/// Prepares a stack so that [`switch`] to it begins the thread. Returns the stack pointer.
///
/// # Safety
/// The stack is writable, and nothing on it is in use.
pub unsafe fn first_frame(stack: Stack, tcb: &'static Tcb) -> usize {
    let sp = (stack.top & !15) - FRAME;
    let frame = ptr::with_exposed_provenance_mut::<usize>(sp);
    // SAFETY: 96 bytes below the top of a stack that is ours to write, aligned to 16.
    unsafe {
        ptr::write_bytes(frame, 0, FRAME / size_of::<usize>());
        frame.add(X19).write(ptr::from_ref(tcb).expose_provenance());
        frame.add(X30).write(trampoline as *const () as usize);
    }
    sp
}
