//! Random system calls on a file system, one line each: the same seed asks for the same, whatever the kernel, so
//! that the output of two kernels can be compared line by line (tests/qemu/diff.rs: Quill and Linux).
//!
//! ```text
//! diff FOLDER SEED SEEDS CALLS
//! ```
//! Each of SEEDS seeds from SEED makes a folder `FOLDER.seed`, some files, pipes, an eventfd and mappings, CALLS
//! calls on them, and ends with a description of all files. A line is the call, its arguments and what came of it:
//! a number or an errno, a checksum of what was read, the signals that came.
//!
//! Nothing is printed that depends on the kernel's taste: addresses are given (`world`), times, inode numbers,
//! places on the disk and what happens to be in the cache are left out; blocks are told after an fsync alone. What
//! else is left out or avoided is said where.
//!
//! * this file: the arguments, the choice of calls;
//! * `world`: descriptors, names, memory; edges of numbers; `report`: the lines, checksums, signals;
//! * `data`, `sizes`, `names`, `memory`, `pipes`, `requests` (io_submit), `together`: calls of a
//!   kind.
#![no_std]
#![no_main]

mod data;
mod memory;
mod names;
mod pipes;
mod report;
mod requests;
mod sizes;
mod together;
mod world;

use core::ffi::CStr;

use user::{Args, println, program, sys};
use world::World;

program!(main);

fn main(args: Args) -> i32 {
    let (first, seeds, calls) = (number(args.get(2)), number(args.get(3)), number(args.get(4)));
    report::catch_signals();
    // Whatever the shell left open.
    for fd in 3..100 {
        sys::close(fd);
    }
    for seed in first..first + seeds {
        println!("== seed {seed}");
        report::begin(0);
        let Some(mut world) = World::new(args.get(1), seed) else {
            println!("no folder");
            return 1;
        };
        for n in 0..calls {
            report::begin(n);
            call(&mut world);
        }
        world.end();
    }
    println!("== {seeds} seeds of {calls} calls from {first}");
    0
}

fn number(text: &CStr) -> u64 {
    text.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// One call of a random kind.
fn call(world: &mut World) {
    match world.below(100) {
        0..34 => data::call(world),
        34..50 => sizes::call(world),
        50..63 => names::call(world),
        63..78 => memory::call(world),
        78..92 => pipes::call(world),
        92..97 => requests::call(world),
        _ => together::call(world),
    }
}
