//! How fast a disk is when nothing but the block layer lies in between: O_DIRECT writes and reads of
//! 4 KiB, 64 KiB and 1 MiB one after the other, and cold reads through the cache.
//!
//! `ddbench DEVICE [MIB [ROUNDS [KIND [KIB]]]]` writes over the first MIB (16) of the device. Each line
//! is the best of ROUNDS (5), for a busy host only ever adds. With KIND (`cold`, `direct`) and KIB only
//! those lines, for a profile. It runs under Linux for the comparison (`scripts/bench-direct.sh`).
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::clock::Moment;
use user::sys;
use user::{Args, println, program};

program!(main);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What one line measures.
#[derive(Clone, Copy)]
struct Kind {
    what: &'static str,
    flags: i32,
    write: bool,
}

const DIRECT_WRITE: Kind = Kind { what: "direct write", flags: sys::O_RDWR | sys::O_DIRECT, write: true };
const DIRECT_READ: Kind = Kind { what: "direct read", flags: sys::O_RDONLY | sys::O_DIRECT, write: false };
const COLD_READ: Kind = Kind { what: "cold read", flags: sys::O_RDONLY, write: false };

fn main(args: Args) -> i32 {
    let path = if args.count() > 1 { args.get(1) } else { c"/dev/vdb" };
    let bytes = args.text(2).parse().unwrap_or(16usize).clamp(1, 1 << 20) * MIB;
    let rounds = args.text(3).parse().unwrap_or(5u32).clamp(1, 1000);
    let buffer = sys::mmap(0, MIB, 3, 0x22, -1, 0);
    if buffer < 0 {
        println!("no memory: {buffer}");
        return 1;
    }
    // SAFETY: a fresh mapping of 1 MiB that nothing else knows.
    let buffer = unsafe { core::slice::from_raw_parts_mut(buffer as *mut u8, MIB) };
    buffer.fill(0x5a);
    for kind in [DIRECT_WRITE, DIRECT_READ, COLD_READ] {
        for size in [4 * KIB, 64 * KIB, MIB] {
            if !wanted(&args, kind, size) {
                continue;
            }
            // Small ones take long for each byte.
            let total = if size == 4 * KIB { bytes / 8 } else { bytes };
            let times = (0..rounds).map(|_| once(path, kind, &mut buffer[..size], total));
            match times.reduce(|best, time| best.and_then(|best| time.map(|time| best.min(time)))) {
                Some(Ok(ns)) => report(kind.what, size, total, ns),
                Some(Err(error)) => {
                    println!("{path:?}: {} of {size}: error {error}", kind.what);
                    return 1;
                }
                None => {}
            }
        }
    }
    0
}

/// Whether the command line asks for this line.
fn wanted(args: &Args, kind: Kind, size: usize) -> bool {
    kind.what.starts_with(args.text(4)) && args.text(5).parse().is_ok_and(|kib: usize| kib * KIB == size)
        || args.text(5).is_empty() && kind.what.starts_with(args.text(4))
}

/// Nanoseconds for `total` bytes in pieces of the buffer. Opened anew, so that nothing is cached.
fn once(path: &CStr, kind: Kind, buffer: &mut [u8], total: usize) -> Result<u64, isize> {
    let fd = sys::open(path, kind.flags, 0);
    if fd < 0 {
        return Err(fd);
    }
    let fd = fd as i32;
    let begin = Moment::now();
    let mut at = 0;
    let mut done = Ok(());
    while at < total && done.is_ok() {
        let n =
            if kind.write { sys::pwrite(fd, buffer, at as i64) } else { sys::pread(fd, buffer, at as i64) };
        done = if n == buffer.len() as isize { Ok(()) } else { Err(n) };
        at += buffer.len();
    }
    let ns = begin.elapsed_ns();
    sys::close(fd);
    done.map(|()| ns)
}

/// The columns that `scripts/bench-direct.sh` reads: kind, KiB, then the figures.
fn report(what: &str, size: usize, total: usize, ns: u64) {
    let ops = (total / size) as u64;
    let tenths_of_us = ns / 100 / ops.max(1);
    let mb_per_s = total as u64 * 1000 / ns.max(1);
    println!("{what}, {} KiB: {}.{} us, {mb_per_s} MB/s", size / KIB, tenths_of_us / 10, tenths_of_us % 10);
}
