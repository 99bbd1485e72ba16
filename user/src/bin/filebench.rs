//! How fast a file is written and read: what `scripts/bench-files.sh` runs here and under Linux.
//!
//! ```text
//! filebench DIRECTORY [MIB [ROUNDS [KIND [KIB]]]]
//!   sequential write   a new file of MIB (64), and its fsync
//!   random overwrite   of 4 KiB each, a quarter of the file's pages, in the cache, and their fsync
//!   cold read          from the first byte to the last, nothing of it in the cache
//!   direct write       O_DIRECT, over blocks that are there
//!   direct read        O_DIRECT
//! ```
//! each in calls of one size. A line is the best of ROUNDS (3), for a busy host only ever adds. With KIND
//! (its first word) and KIB only those lines, for a profile.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::clock::Moment;
use user::sys;
use user::{Args, println, program};

program!(main);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const DONTNEED: i32 = 4;

/// What one line measures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequential,
    Random,
    Cold,
    DirectWrite,
    DirectRead,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Sequential => "sequential write",
            Kind::Random => "random overwrite",
            Kind::Cold => "cold read",
            Kind::DirectWrite => "direct write",
            Kind::DirectRead => "direct read",
        }
    }

    const fn flags(self) -> i32 {
        match self {
            Kind::Sequential => sys::O_RDWR | sys::O_CREAT | sys::O_EXCL,
            Kind::Random => sys::O_RDWR,
            Kind::Cold => sys::O_RDONLY,
            Kind::DirectWrite => sys::O_RDWR | sys::O_DIRECT,
            Kind::DirectRead => sys::O_RDONLY | sys::O_DIRECT,
        }
    }
}

/// In this order: the first lines make the file that the others use.
const LINES: [(Kind, usize); 12] = [
    (Kind::Sequential, 64),
    (Kind::Sequential, 4),
    (Kind::Random, 4),
    (Kind::Cold, 4),
    (Kind::Cold, 64),
    (Kind::Cold, 1024),
    (Kind::DirectWrite, 4),
    (Kind::DirectWrite, 64),
    (Kind::DirectWrite, 1024),
    (Kind::DirectRead, 4),
    (Kind::DirectRead, 64),
    (Kind::DirectRead, 1024),
];

fn main(args: Args) -> i32 {
    let bytes = args.text(2).parse().unwrap_or(64usize).clamp(1, 1 << 16) * MIB;
    let rounds = args.text(3).parse().unwrap_or(3u32).clamp(1, 1000);
    let buffer = sys::mmap(0, MIB, 3, 0x22, -1, 0);
    if buffer < 0 || sys::chdir(args.get(1).as_ptr() as usize) < 0 {
        println!("no memory, or no directory {:?}", args.get(1));
        return 1;
    }
    // SAFETY: a fresh mapping of 1 MiB that nothing else knows.
    let buffer = unsafe { core::slice::from_raw_parts_mut(buffer as *mut u8, MIB) };
    buffer.fill(0x5a);
    // The others' file, whatever is asked for.
    if let Err(error) = once(Kind::Sequential, buffer, bytes) {
        println!("cannot write a file of {bytes} bytes: error {error}");
        return 1;
    }
    let asked = |kind: Kind, kib: usize| {
        kind.name().starts_with(args.text(4)) && (args.text(5).is_empty() || args.text(5).parse() == Ok(kib))
    };
    for (kind, kib) in LINES.into_iter().filter(|&(kind, kib)| asked(kind, kib)) {
        // Small ones past the cache take long for each byte.
        let direct = matches!(kind, Kind::DirectWrite | Kind::DirectRead);
        let total = if direct && kib == 4 { bytes / 8 } else { bytes };
        let times = (0..rounds).map(|_| once(kind, &mut buffer[..kib * KIB], total));
        match times.reduce(|best, time| best.and_then(|best| time.map(|time| best.min(time)))) {
            Some(Ok(ns)) => report(kind, kib, moved(kind, total), ns),
            Some(Err(error)) => {
                println!("{} of {kib} KiB: error {error}", kind.name());
                return 1;
            }
            None => {}
        }
    }
    0
}

/// How many of the file's bytes a kind moves.
fn moved(kind: Kind, total: usize) -> usize {
    if kind == Kind::Random { total / 4 } else { total }
}

const FILE: &CStr = c"filebench.tmp";

/// Nanoseconds for one pass over `total` bytes in pieces of the buffer.
fn once(kind: Kind, buffer: &mut [u8], total: usize) -> Result<u64, isize> {
    if kind == Kind::Sequential {
        sys::unlink(FILE);
    }
    let fd = sys::open(FILE, kind.flags(), 0o644);
    if fd < 0 {
        return Err(fd);
    }
    let fd = fd as i32;
    let done = prepare(kind, fd).and_then(|()| pass(kind, fd, buffer, total));
    sys::close(fd);
    done
}

/// What comes before the clock starts: the cache as the kind wants it.
fn prepare(kind: Kind, fd: i32) -> Result<(), isize> {
    let done = match kind {
        Kind::Cold => sys::fadvise64(fd, 0, 0, DONTNEED),
        _ => 0,
    };
    if done < 0 { Err(done) } else { Ok(()) }
}

fn pass(kind: Kind, fd: i32, buffer: &mut [u8], total: usize) -> Result<u64, isize> {
    let pages = total / buffer.len();
    let mut random = 1u64;
    let begin = Moment::now();
    for n in 0..moved(kind, total) / buffer.len() {
        // Numbers of Knuth's generator; only the upper half of such a number is any good.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let page = if kind == Kind::Random { (random >> 33) as usize % pages } else { n };
        let at = (page * buffer.len()) as i64;
        let got = match kind {
            Kind::Cold | Kind::DirectRead => sys::pread(fd, buffer, at),
            _ => sys::pwrite(fd, buffer, at),
        };
        if got != buffer.len() as isize {
            return Err(got);
        }
    }
    let synced = if matches!(kind, Kind::Sequential | Kind::Random) { sys::fsync(fd) } else { 0 };
    let ns = begin.elapsed_ns();
    if synced < 0 { Err(synced) } else { Ok(ns) }
}

/// A line as `bench_table` in `scripts/lib.sh` reads it: kind, KiB, then the figures.
fn report(kind: Kind, kib: usize, total: usize, ns: u64) {
    let calls = (total / (kib * KIB)) as u64;
    let tenths_of_us = ns / 100 / calls.max(1);
    let mb_per_s = total as u64 * 1000 / ns.max(1);
    println!("{}, {kib} KiB: {}.{} us, {mb_per_s} MB/s", kind.name(), tenths_of_us / 10, tenths_of_us % 10);
}
