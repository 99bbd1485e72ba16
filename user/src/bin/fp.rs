//! The floating-point and SIMD registers are the program's, whatever happens in between: system
//! calls, page faults, sleeps, and the timer.
#![no_std]
#![no_main]

use core::arch::asm;

use user::check::equal;
use user::sys;
use user::{Args, program};

program!(main);

fn main(_: Args) -> i32 {
    for round in 1..=50u64 {
        equal("across a sleep", across_sleep(round), 0);
        equal("across a page fault", across_fault(round), 0);
    }
    equal("across two hundred ms of the timer", across_time(), 0);
    equal("the modes of FPCR", across_fpcr(), 0);
    user::check::verdict()
}

/// Fills v0, v15 and v31, runs a system call, and counts what changed.
fn across_sleep(seed: u64) -> u64 {
    let nap = [0u64, 100_000];
    let changed: u64;
    // SAFETY: touches only the registers it names.
    unsafe {
        asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            "dup v0.2d, {seed}",
            "dup v15.2d, {seed}",
            "dup v31.2d, {seed}",
            "svc #0",
            "mov x9, #0",
            "fmov x10, d0", "eor x10, x10, {seed}", "orr x9, x9, x10",
            "mov x10, v15.d[1]", "eor x10, x10, {seed}", "orr x9, x9, x10",
            "mov x10, v31.d[1]", "eor x10, x10, {seed}", "orr x9, x9, x10",
            seed = in(reg) seed,
            inout("x0") nap.as_ptr() => _,
            in("x1") 0,
            in("x8") 101,
            out("x9") changed,
            out("x10") _,
        );
    }
    changed
}

/// The same with a first touch of a fresh page instead of a call.
fn across_fault(seed: u64) -> u64 {
    let page = sys::mmap(0, 4096, 3, 0x22, -1, 0);
    let changed: u64;
    // SAFETY: writes to a page that was just mapped, and touches only the registers it names.
    unsafe {
        asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            "dup v7.2d, {seed}",
            "str {seed}, [{page}]",
            "mov x9, v7.d[1]", "eor x9, x9, {seed}",
            seed = in(reg) seed,
            page = in(reg) page,
            out("x9") changed,
        );
    }
    sys::munmap(page as usize, 4096);
    changed
}

/// Holds a value in a register while the timer strikes.
fn across_time() -> u64 {
    let changed: u64;
    // SAFETY: touches only the registers it names.
    unsafe {
        asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            "mov x9, #0x1234",
            "dup v20.2d, x9",
            "mrs x10, cntfrq_el0",
            "mov x11, #5",
            "udiv x10, x10, x11",
            "mrs x11, cntvct_el0",
            "add x10, x10, x11",
            "1: mrs x11, cntvct_el0",
            "cmp x11, x10",
            "b.lo 1b",
            "mov x10, v20.d[1]",
            "eor x9, x9, x10",
            out("x9") changed,
            out("x10") _,
            out("x11") _,
        );
    }
    changed
}

/// Rounding mode and status flags stay as set.
fn across_fpcr() -> u64 {
    let changed: u64;
    // SAFETY: restores FPCR, and touches only the registers it names.
    unsafe {
        asm!(
            ".arch_extension fp",
            "mov x9, #0xc00000",
            "msr fpcr, x9",
            "mov x8, #124",
            "svc #0",
            "mrs x10, fpcr",
            "msr fpcr, xzr",
            "eor x9, x9, x10",
            out("x0") _,
            out("x8") _,
            out("x9") changed,
            out("x10") _,
        );
    }
    changed
}
