//! Raw copies through the program's table: [`base::arch::UserCopy`].
//!
//! # Why the program can't aim these at the kernel
//! Every range is cut at `TASK_SIZE` first, so the address selects TTBR0, whose pages all belong to
//! the program. What the program may not write is read-only for the kernel too (`AP[2]`), what it may
//! not read is not mapped. A fault on the program's side ends the copy at the exact byte
//! (`user_copy.S`); a fault on the kernel's side is a panic.
//!
//! With PAN the program's pages are closed to the kernel but during these copies.

use core::arch::{asm, global_asm};

use base::arch::UserCopy;
use base::user::TASK_SIZE;
use base::{Frame, PAGE_SIZE, UserAddr};

use crate::cpu;
use crate::machine::QuillMachine;

// mem.S defines the macros that keep the program's q registers.
global_asm!(include_str!("mem.S"), include_str!("user_copy.S"));

unsafe extern "C" {
    fn quill_copy_from_user(dst: *mut u8, src: u64, len: usize) -> usize;
    fn quill_copy_to_user(dst: u64, src: *const u8, len: usize) -> usize;
    fn quill_clear_user(dst: u64, len: usize) -> usize;
}

/// How many of `len` bytes from `addr` on lie below TASK_SIZE.
#[inline(always)]
fn reachable(addr: UserAddr, len: usize) -> usize {
    match TASK_SIZE.checked_sub(addr.0) {
        Some(room) => len.min(usize::try_from(room).unwrap_or(usize::MAX)),
        None => 0,
    }
}

/// Runs a copy with the program's pages open.
#[inline(always)]
fn with_user_access<R>(copy: impl FnOnce() -> R) -> R {
    let pan = cpu::has_pan();
    if pan {
        // SAFETY: PSTATE.PAN = 0; every exception sets it again and its return restores it.
        unsafe { asm!(".inst 0xd500409f", options(nostack)) };
    }
    let result = copy();
    if pan {
        // SAFETY: PSTATE.PAN = 1.
        unsafe { asm!(".inst 0xd500419f", options(nostack)) };
    }
    result
}

/// The part of a frame that a copy uses, checked.
fn within(frame: &Frame, offset: usize, len: usize) -> *mut u8 {
    assert!(offset <= PAGE_SIZE && len <= PAGE_SIZE - offset, "range leaves the frame");
    frame.as_ptr().wrapping_add(offset)
}

/// # Safety
/// `dst` is good for `len` bytes of writing.
#[inline(always)]
unsafe fn from_user(dst: *mut u8, src: UserAddr, len: usize) -> usize {
    let n = reachable(src, len);
    // SAFETY: the caller's promise; `src..src + n` is the program's half, and faults there are fixed up.
    n - with_user_access(|| unsafe { quill_copy_from_user(dst, src.0, n) })
}

/// # Safety
/// `src` is good for `len` bytes of reading.
#[inline(always)]
unsafe fn to_user(dst: UserAddr, src: *const u8, len: usize) -> usize {
    let n = reachable(dst, len);
    // SAFETY: as in `from_user`.
    n - with_user_access(|| unsafe { quill_copy_to_user(dst.0, src, n) })
}

impl UserCopy for QuillMachine {
    fn copy_from_user(&self, dst: &mut [u8], src: UserAddr) -> usize {
        // SAFETY: a slice is good for its length.
        unsafe { from_user(dst.as_mut_ptr(), src, dst.len()) }
    }

    fn copy_to_user(&self, dst: UserAddr, src: &[u8]) -> usize {
        // SAFETY: a slice is good for its length.
        unsafe { to_user(dst, src.as_ptr(), src.len()) }
    }

    fn copy_to_frame(&self, frame: &Frame, offset: usize, src: UserAddr, len: usize) -> usize {
        // SAFETY: `within` keeps it in the frame, which the caller's handle keeps alive.
        unsafe { from_user(within(frame, offset, len), src, len) }
    }

    fn copy_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        // SAFETY: as above.
        unsafe { to_user(dst, within(frame, offset, len), len) }
    }

    fn clear_user(&self, dst: UserAddr, len: usize) -> usize {
        let n = reachable(dst, len);
        // SAFETY: the program's half; faults are fixed up.
        n - with_user_access(|| unsafe { quill_clear_user(dst.0, n) })
    }
}
