//! A program that does what no program should: `wild WAY`. The kernel ends it with a message and
//! 128 + signal, and is none the worse for it.
#![no_std]
#![no_main]

use core::arch::asm;

use user::sys;
use user::{Args, println, program};

program!(main);

fn main(args: Args) -> i32 {
    let way = args.text(1);
    println!("going wild: {way}");
    // SAFETY: none of this is; that is the point. Each way ends this program alone.
    unsafe {
        match way {
            "jump-null" => asm!("br {0}", in(reg) 0usize),
            "jump-kernel" => asm!("br {0}", in(reg) 0xffff_0000_0008_0000usize),
            "jump-odd" => asm!("br {0}", in(reg) main as *const () as usize + 2),
            "read-null" => asm!("ldr {0}, [{0}]", inout(reg) 0usize => _),
            "write-null" => asm!("str {0}, [{0}]", in(reg) 0usize),
            "read-kernel" => asm!("ldr {0}, [{0}]", inout(reg) 0xffff_0000_0008_0000usize => _),
            "write-kernel" => asm!("str {0}, [{0}]", in(reg) 0xffff_0000_0008_0000usize),
            "write-high" => asm!("str {0}, [{0}]", in(reg) 0x0001_0000_0000_0000usize),
            "write-text" => asm!("str {0}, [{0}]", in(reg) main as *const () as usize),
            "execute-data" => {
                let code = [0xd65f_03c0u32; 4];
                asm!("br {0}", in(reg) code.as_ptr());
            }
            "privileged" => asm!("msr vbar_el1, {0}", in(reg) 0usize),
            "daif" => asm!("msr daifset, #2", "1: b 1b"),
            "hlt" => asm!("hlt #0xf000"),
            "hvc" => asm!(".inst 0xd4000002"),
            "undefined" => asm!("udf #0"),
            "breakpoint" => asm!("brk #1"),
            "bad-stack" => asm!("mov sp, {0}", "str xzr, [sp, #-16]!", in(reg) 0x1001usize),
            "overflow" => recurse(0),
            "loop" => asm!("1: b 1b"),
            "cache" => asm!("dc ivac, {0}", in(reg) way.as_ptr()),
            "svc-bad-sp" => asm!("mov sp, {0}", "mov x8, #172", "svc #0", "str xzr, [sp]", in(reg) 0usize),
            _ => return 2,
        }
    }
    sys::exit(3)
}

/// Fills the stack down to its limit.
#[inline(never)]
fn recurse(depth: usize) {
    let room = [depth as u8; 1024];
    core::hint::black_box(&room);
    if depth < usize::MAX {
        recurse(depth + 1);
    }
    core::hint::black_box(&room);
}
