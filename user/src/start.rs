//! From the ELF entry point to the program's function.
//!
//! At entry sp points at argc, the argument pointers, NULL, the environment pointers, NULL and the
//! auxiliary vector (ELF gABI, "Process Initialization"; System V ABI for AArch64).

use core::arch::global_asm;
use core::ffi::CStr;

use crate::sys;

global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "and sp, x0, #-16",
    "bl {entry}",
    "brk #1",
    entry = sym entry,
);

unsafe extern "Rust" {
    /// What `program!` defines.
    safe fn user_main(args: Args) -> i32;
}

extern "C" fn entry(stack: *const usize) -> ! {
    // SAFETY: `stack` is the initial stack pointer; the kernel put argc there.
    let count = unsafe { *stack };
    sys::exit(user_main(Args { stack, count }))
}

/// Names the program's function.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn user_main(args: $crate::Args) -> i32 {
            $main(args)
        }
    };
}

/// The program's arguments and what lies above them on the initial stack.
#[derive(Clone, Copy)]
pub struct Args {
    stack: *const usize,
    count: usize,
}

impl Args {
    /// argc.
    pub fn count(&self) -> usize {
        self.count
    }

    /// argv\[i\]; the empty string past the end.
    pub fn get(&self, i: usize) -> &'static CStr {
        if i >= self.count {
            return c"";
        }
        // SAFETY: the kernel put `count` string pointers above argc.
        unsafe { CStr::from_ptr(*self.stack.add(1 + i) as *const core::ffi::c_char) }
    }

    /// argv\[i\] as text; `"?"` when it is not UTF-8.
    pub fn text(&self, i: usize) -> &'static str {
        self.get(i).to_str().unwrap_or("?")
    }

    /// The environment.
    pub fn env(&self) -> Env {
        // SAFETY: past argc, the arguments and their NULL.
        Env { at: unsafe { self.stack.add(2 + self.count) } }
    }

    /// The value of an entry of the auxiliary vector.
    pub fn aux(&self, wanted: usize) -> Option<usize> {
        let mut env = self.env();
        while env.next().is_some() {}
        // SAFETY: the auxiliary vector follows the environment's NULL and ends with AT_NULL.
        let mut at = unsafe { env.at.add(1) };
        loop {
            // SAFETY: as above.
            let (kind, value) = unsafe { (*at, *at.add(1)) };
            match kind {
                0 => return None,
                kind if kind == wanted => return Some(value),
                // SAFETY: not the last entry.
                _ => at = unsafe { at.add(2) },
            }
        }
    }
}

/// Walks the environment's `NAME=value` strings.
pub struct Env {
    at: *const usize,
}

impl Iterator for Env {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: `at` is within the environment or at its NULL.
        let pointer = unsafe { *self.at };
        if pointer == 0 {
            return None;
        }
        // SAFETY: as above; not at the NULL.
        self.at = unsafe { self.at.add(1) };
        // SAFETY: the kernel put a NUL-terminated string there.
        Some(unsafe { CStr::from_ptr(pointer as *const core::ffi::c_char) })
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::println!("{info}");
    sys::exit(101)
}
