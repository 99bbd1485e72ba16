//! What it costs to have bytes on the medium: time and operations of the disk for each append, overwrite
//! and new file that is waited for.
//!
//! `syncbench DIRECTORY DISK [ROUNDS]`: DISK is the name under /sys/block whose counters are read. Each line
//! of time is the best of twenty runs of ROUNDS (25), for a busy host only ever adds; the operations are
//! those of that run. It runs under Linux for the comparison (`scripts/bench-fsync.sh`).
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::clock::Moment;
use user::sys;
use user::{Args, println, program};

program!(main);

const RUNS: u32 = 20;
const PAGE: [u8; 4096] = [0x5a; 4096];

/// What the disk has done so far, as `/sys/block/DISK/stat` counts it.
#[derive(Clone, Copy, Default)]
struct Counts {
    reads: u64,
    writes: u64,
    written_sectors: u64,
    flushes: u64,
}

/// A run: nanoseconds and what the disk did.
#[derive(Clone, Copy)]
struct Run {
    ns: u64,
    did: Counts,
}

fn main(args: Args) -> i32 {
    let mut path = Name::new(args.text(1), "/sync-00000");
    let stat = Name::new("/sys/block/", args.text(2)).then("/stat");
    let rounds = args.text(3).parse().unwrap_or(25u32).clamp(1, 10_000);
    let file = sys::open(path.text(), sys::O_RDWR | sys::O_CREAT | sys::O_TRUNC, 0o644) as i32;
    if file < 0 || counts(stat.text()).is_none() {
        println!("cannot make {:?}, or read {:?}", path.text(), stat.text());
        return 1;
    }
    let measure = |what: &str, step: &mut dyn FnMut(u32) -> bool| {
        let runs = (0..RUNS).map(|run| once(stat.text(), rounds, &mut |n| step(run * rounds + n)));
        let best = runs.reduce(|best, run| best.and_then(|b| run.map(|r| if r.ns < b.ns { r } else { b })));
        match best.flatten() {
            Some(best) => report(what, best, u64::from(rounds)),
            None => println!("{what}: failed"),
        }
    };
    measure("append 4 KiB, fsync", &mut |_| sys::write(file, &PAGE) == 4096 && sys::fsync(file) == 0);
    measure("append 4 KiB, fdatasync", &mut |_| sys::write(file, &PAGE) == 4096 && sys::fdatasync(file) == 0);
    measure("overwrite 4 KiB, fdatasync", &mut |_| {
        sys::pwrite(file, &PAGE, 0) == 4096 && sys::fdatasync(file) == 0
    });
    measure("overwrite 4 KiB, fsync", &mut |_| sys::pwrite(file, &PAGE, 0) == 4096 && sys::fsync(file) == 0);
    measure("create, 4 KiB, fsync", &mut |n| {
        path.number(n + 1);
        let new = sys::open(path.text(), sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL, 0o644) as i32;
        new >= 0 && sys::write(new, &PAGE) == 4096 && sys::fsync(new) == 0 && sys::close(new) == 0
    });
    0
}

/// So many steps, from counters to counters. None when one fails.
fn once(stat: &CStr, rounds: u32, step: &mut dyn FnMut(u32) -> bool) -> Option<Run> {
    let before = counts(stat)?;
    let begin = Moment::now();
    for n in 0..rounds {
        if !step(n) {
            return None;
        }
    }
    let ns = begin.elapsed_ns();
    let after = counts(stat)?;
    let did = Counts {
        reads: after.reads - before.reads,
        writes: after.writes - before.writes,
        written_sectors: after.written_sectors - before.written_sectors,
        flushes: after.flushes - before.flushes,
    };
    Some(Run { ns, did })
}

/// The columns that `scripts/bench-fsync.sh` reads: microseconds, then reads, writes, KiB written and
/// flushes, for each step.
fn report(what: &str, run: Run, rounds: u64) {
    let us = run.ns / rounds / 100;
    let each = |count: u64| (count * 100 / rounds / 100, count * 100 / rounds % 100);
    let (reads, writes, flushes) = (each(run.did.reads), each(run.did.writes), each(run.did.flushes));
    let kib = each(run.did.written_sectors / 2);
    println!(
        "{what}: {}.{} us {}.{:02} reads {}.{:02} writes {}.{:02} KiB {}.{:02} flushes",
        us / 10,
        us % 10,
        reads.0,
        reads.1,
        writes.0,
        writes.1,
        kib.0,
        kib.1,
        flushes.0,
        flushes.1
    );
}

/// The disk's counters. None when they cannot be read.
fn counts(stat: &CStr) -> Option<Counts> {
    let fd = sys::open(stat, sys::O_RDONLY, 0) as i32;
    let mut bytes = [0; 512];
    let len = sys::read(fd, &mut bytes);
    sys::close(fd);
    let text = core::str::from_utf8(bytes.get(..usize::try_from(len).ok()?)?).ok()?;
    let field = |n: usize| text.split_ascii_whitespace().nth(n)?.parse().ok();
    Some(Counts {
        reads: field(0)?,
        writes: field(4)?,
        written_sectors: field(6)?,
        flushes: field(15).unwrap_or(0),
    })
}

/// A path made in place.
struct Name {
    bytes: [u8; 128],
    len: usize,
}

impl Name {
    fn new(first: &str, second: &str) -> Name {
        Name { bytes: [0; 128], len: 0 }.then(first).then(second)
    }

    /// With this behind it, as far as there is room.
    fn then(mut self, more: &str) -> Name {
        let end = (self.len + more.len()).min(self.bytes.len() - 1);
        self.bytes[self.len..end].copy_from_slice(&more.as_bytes()[..end - self.len]);
        self.len = end;
        self
    }

    /// Puts a number into the last five places.
    fn number(&mut self, mut n: u32) {
        for at in (self.len - 5..self.len).rev() {
            self.bytes[at] = b'0' + (n % 10) as u8;
            n /= 10;
        }
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"/")
    }
}
