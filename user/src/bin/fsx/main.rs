//! Random operations on one file, each checked against a copy in memory: read, write, stores and loads
//! through mappings, truncate, punch, zero, collapse, insert, fsync, msync, advice, close and open, O_DIRECT
//! where the file system has it, one at a time and several at once by io_submit. The same seed does the same.
//!
//! ```text
//! fsx FILE SEED OPERATIONS [WORD...]
//!   zeros     what was stored behind the end is gone when the file grows (Linux since 6.13)
//!   pointers  block pointers map FILE, not extents: of fallocate there is only the punch
//!   squeeze   most of the machine's memory is taken, and FILE.else goes through the rest
//!   flush     what is dirty goes to the disk at once, whenever that is; needs /proc
//! ```
//! What went wrong is printed with the seed, the number of the operation and the operations before it.
//!
//! * this file: the arguments, the choice of operations;
//! * `model`: the file, its copy, what was done; reading and writing;
//! * `mapped`, `blocks`, `direct`: operations through mappings, on size and blocks, around the cache;
//! * `trouble`: what is printed;
//! * `squeeze`: a machine with little memory, a busy flusher.
//!
//! After the idea of Apple's fsx; own code.
#![no_std]
#![no_main]

mod blocks;
mod direct;
mod mapped;
mod model;
mod squeeze;
mod trouble;

use core::ffi::CStr;

use model::Run;
use squeeze::Squeeze;
use trouble::Step;
use user::{Args, println, program};

program!(main);

fn main(args: Args) -> i32 {
    let (path, seed, count) = (args.get(1), number(args.get(2)), number(args.get(3)));
    let asked = |word: &CStr| (4..10).any(|n| args.get(n) == word);
    let Some(mut run) = Run::new(path, seed, asked(c"zeros"), asked(c"pointers")) else {
        println!("no file");
        return 1;
    };
    if asked(c"flush") && !squeeze::flush_at_once() {
        println!("no /proc/sys/vm");
        return 1;
    }
    let mut squeeze = if asked(c"squeeze") { Squeeze::new(path) } else { Squeeze::none() };
    for n in 0..count {
        squeeze.step(n);
        let done = step(&mut run);
        if let Err(trouble) = done {
            println!("operation {n} of seed {seed}: {trouble}; the file has {} bytes", run.size);
            run.history.print();
            return 1;
        }
    }
    match run.check_all() {
        Ok(()) => println!("{count} operations of seed {seed}: size {}, sum {:x}", run.size, run.sum()),
        Err(trouble) => {
            println!("at the end of seed {seed}: {trouble}");
            run.history.print();
            return 1;
        }
    }
    0
}

fn number(text: &CStr) -> u64 {
    text.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn step(run: &mut Run) -> Step {
    match run.below(100) {
        0..14 => run.read(),
        14..30 => run.write(),
        30..42 => run.load(),
        42..61 => run.store(),
        61..69 => run.truncate(),
        69..73 => run.punch(),
        73..75 => run.zero(),
        75..77 => run.collapse(),
        77..79 => run.insert(),
        79..81 => run.allocate(),
        81..84 => run.fsync(),
        84..87 => run.sync_mapping(),
        87..89 => run.reopen(),
        89..91 => run.advise(),
        91..93 => run.copy_from_mapping(),
        93..95 => run.read_direct(),
        95..97 => run.write_direct(),
        97..99 => run.several_at_once(),
        _ => run.check_all(),
    }
}
