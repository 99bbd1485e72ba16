//! Loads for the block layer, and what the disk did under each, from its `/proc/diskstats`.
//!
//! ```text
//! blockload PATH LOAD...       LOAD: fill, random, mixed, or a name for queue/scheduler after "="
//! fill      8 MiB in a row, then fsync
//! random    512 pages of it in no order, then fsync
//! mixed     64 pages written, and in turns 64 of the disk itself read past the cache, then fsync
//! =noop     from now on that elevator, by /sys/block/vda/queue/scheduler
//! ```
//! After each load a line: `LOAD: R reads, W writes, M merges, T ms, depth D`. The depth is how many
//! requests the disk had on average while it had any: time summed over requests by time at work.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::{Args, println, program, sys};

program!(main);

const PAGE: usize = 4096;
const PAGES: u64 = 2048;

/// Fields of `/proc/diskstats`, by Linux's Documentation/admin-guide/iostats.rst.
#[derive(Clone, Copy, Default)]
struct Stats {
    reads: u64,
    writes: u64,
    merges: u64,
    busy_ms: u64,
    queue_ms: u64,
}

fn main(args: Args) -> i32 {
    let path = args.get(1);
    for index in 2..args.count() {
        let load = args.text(index);
        let before = stats();
        let ok = match load.strip_prefix('=') {
            Some(name) => switch(name),
            None => run(load, path),
        };
        if !ok {
            println!("{load}: failed");
            return 1;
        }
        if !load.starts_with('=') {
            report(load, before, stats());
        }
    }
    0
}

fn report(load: &str, a: Stats, b: Stats) {
    let (busy, queue) = (b.busy_ms - a.busy_ms, b.queue_ms - a.queue_ms);
    println!(
        "{load}: {} reads, {} writes, {} merges, {busy} ms, depth {}",
        b.reads - a.reads,
        b.writes - a.writes,
        b.merges - a.merges,
        queue / busy.max(1),
    );
}

fn run(load: &str, path: &CStr) -> bool {
    let create = if load == "fill" { sys::O_CREAT | sys::O_TRUNC } else { 0 };
    let fd = sys::open(path, sys::O_RDWR | create, 0o644) as i32;
    let direct = sys::open(c"/dev/vda", sys::O_RDONLY | sys::O_DIRECT, 0) as i32;
    let done = fd >= 0
        && direct >= 0
        && match load {
            "fill" => (0..PAGES).all(|page| write(fd, page, 1)),
            "random" => scattered(512).all(|page| write(fd, page, 2)),
            "mixed" => scattered(64).all(|page| write(fd, page, 3) && read(direct, PAGES - 1 - page)),
            _ => false,
        }
        && sys::fsync(fd) == 0;
    sys::close(fd);
    sys::close(direct);
    done
}

/// So many pages of the file, no two alike and none after its neighbour.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    // Odd, so that it meets each of a power of two once; far from any small multiple.
    (0..count).map(|n| n * 1237 % PAGES)
}

fn write(fd: i32, page: u64, byte: u8) -> bool {
    let data = [byte; PAGE];
    sys::pwrite(fd, &data, page as i64 * PAGE as i64) == PAGE as isize
}

/// A page that the device can write to.
#[repr(align(4096))]
struct Aligned([u8; PAGE]);

fn read(fd: i32, page: u64) -> bool {
    let mut data = Aligned([0; PAGE]);
    sys::pread(fd, &mut data.0, page as i64 * PAGE as i64) == PAGE as isize
}

fn switch(name: &str) -> bool {
    let fd = sys::open(c"/sys/block/vda/queue/scheduler", sys::O_WRONLY, 0) as i32;
    let written = sys::write(fd, name.as_bytes());
    sys::close(fd);
    written == name.len() as isize
}

fn stats() -> Stats {
    let mut buffer = [0; 4096];
    let fd = sys::open(c"/proc/diskstats", sys::O_RDONLY, 0) as i32;
    let len = sys::read(fd, &mut buffer).max(0) as usize;
    sys::close(fd);
    let text = core::str::from_utf8(&buffer[..len]).unwrap_or("");
    let Some(line) = text.lines().find(|line| line.split_whitespace().nth(2) == Some("vda")) else {
        println!("no vda in /proc/diskstats");
        return Stats::default();
    };
    let field = |n: usize| line.split_whitespace().nth(n).and_then(|word| word.parse().ok()).unwrap_or(0);
    Stats {
        reads: field(3),
        writes: field(7),
        merges: field(4) + field(8),
        busy_ms: field(12),
        queue_ms: field(13),
    }
}
