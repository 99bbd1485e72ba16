//! What /proc tells of writing and reading: /proc/self/io, /proc/meminfo, /proc/vmstat, and the numbers of
//! /proc/sys/vm that can be set. Needs /proc mounted, and a file name as its argument.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds, verdict};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const PAGE: u64 = 4096;
const PAGES: u64 = 2048;
const SIZE: u64 = PAGES * PAGE;
/// Metadata that comes along, and counters that other processors keep back.
const SLACK: u64 = SIZE / 8;

fn main(args: Args) -> i32 {
    let path = args.get(1);
    let fd = sys::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
    holds("a file", fd >= 0);
    writing(fd);
    reading(fd);
    cancelling(fd);
    equal("close", sys::close(fd), 0);
    settings();
    verdict()
}

/// The whole text of a file of /proc.
fn text<'a>(path: &CStr, room: &'a mut [u8]) -> &'a [u8] {
    let fd = sys::open(path, O_RDONLY, 0) as i32;
    let mut len = 0;
    loop {
        match sys::read(fd, &mut room[len..]) {
            n if n > 0 => len += n as usize,
            _ => break,
        }
    }
    sys::close(fd);
    &room[..len]
}

/// The number in the line that begins with a word.
fn field(path: &CStr, word: &str) -> u64 {
    let mut room = [0; 16384];
    for line in text(path, &mut room).split(|&b| b == b'\n') {
        let mut words = line.split(|&b| b == b' ' || b == b':').filter(|w| !w.is_empty());
        if words.next() == Some(word.as_bytes()) {
            let number = words.next().and_then(|w| core::str::from_utf8(w).ok()?.parse().ok());
            return number.unwrap_or(u64::MAX);
        }
    }
    holds(word, false);
    0
}

fn io(word: &str) -> u64 {
    field(c"/proc/self/io", word)
}

fn vm(word: &str) -> u64 {
    field(c"/proc/vmstat", word)
}

fn memory(word: &str) -> u64 {
    field(c"/proc/meminfo", word) * 1024
}

#[track_caller]
fn about(what: &str, got: u64, want: u64) {
    holds(what, got.saturating_add(SLACK) >= want && got <= want + SLACK);
    if got.abs_diff(want) > SLACK {
        user::println!("{what}: {got}, about {want} expected");
    }
}

fn write_all(fd: i32, len: u64) {
    let page = [b'a'; PAGE as usize];
    for n in 0..len / PAGE {
        equal("pwrite", sys::pwrite(fd, &page, (n * PAGE) as i64), PAGE as isize);
    }
}

fn writing(fd: i32) {
    let before = [io("wchar"), io("syscw"), io("write_bytes"), vm("nr_dirtied") * PAGE];
    let (written, out) = (vm("nr_written") * PAGE, vm("pgpgout") * 1024);
    sys::sync();
    let clean = memory("Dirty");
    write_all(fd, SIZE);
    about("wchar", io("wchar") - before[0], SIZE);
    holds("syscw", io("syscw") - before[1] >= PAGES);
    about("write_bytes", io("write_bytes") - before[2], SIZE);
    about("nr_dirtied", vm("nr_dirtied") * PAGE - before[3], SIZE);
    about("Dirty", memory("Dirty") - clean.min(memory("Dirty")), SIZE);
    about("nr_dirty", vm("nr_dirty") * PAGE, memory("Dirty"));
    sys::sync();
    about("Dirty after sync", memory("Dirty"), 0);
    equal("Writeback after sync", memory("Writeback"), 0);
    holds("nr_written", vm("nr_written") * PAGE - written >= SIZE - SLACK);
    holds("pgpgout", vm("pgpgout") * 1024 - out >= SIZE - SLACK);
    equal("nothing was thrown away", io("cancelled_write_bytes"), 0);
}

fn read_all(fd: i32) {
    let mut page = [0; PAGE as usize];
    for n in 0..PAGES {
        equal("pread", sys::pread(fd, &mut page, (n * PAGE) as i64), PAGE as isize);
    }
}

fn reading(fd: i32) {
    let cached = memory("Cached");
    equal("drop_caches", set(c"/proc/sys/vm/drop_caches", b"3\n"), 2);
    about("Cached is dropped", cached - memory("Cached"), SIZE);
    let before = [io("rchar"), io("read_bytes"), vm("pgpgin") * 1024, vm("pgmajfault")];
    read_all(fd);
    about("rchar", io("rchar") - before[0], SIZE);
    about("read_bytes", io("read_bytes") - before[1], SIZE);
    about("pgpgin", vm("pgpgin") * 1024 - before[2], SIZE);
    holds("pgfault", vm("pgfault") >= vm("pgmajfault") && vm("pgmajfault") >= before[3]);
    let before = io("read_bytes");
    read_all(fd);
    equal("nothing is read twice", io("read_bytes") - before, 0);
}

/// A page that is truncated before it was written takes its write back.
fn cancelling(fd: i32) {
    let before = io("write_bytes");
    write_all(fd, SIZE);
    about("write_bytes", io("write_bytes") - before, SIZE);
    equal("ftruncate", sys::ftruncate(fd, 0), 0);
    equal("cancelled_write_bytes", io("cancelled_write_bytes"), SIZE);
}

/// write(2) to a file of /proc/sys, or what open(2) said.
fn set(path: &CStr, text: &[u8]) -> isize {
    let fd = sys::open(path, O_WRONLY, 0) as i32;
    if fd < 0 {
        return fd as isize;
    }
    let done = sys::write(fd, text);
    sys::close(fd);
    done
}

fn says(path: &CStr, want: &str) {
    let mut room = [0; 64];
    equal("what it says", core::str::from_utf8(text(path, &mut room)), Ok(want));
}

fn settings() {
    let (ratio, bytes) = (c"/proc/sys/vm/dirty_ratio", c"/proc/sys/vm/dirty_bytes");
    let threshold = vm("nr_dirty_threshold");
    says(ratio, "20\n");
    says(bytes, "0\n");
    for text in [&b"101\n"[..], b"-1\n", b"x\n", b"\n", b"12x"] {
        equal("a wrong ratio", set(ratio, text), EINVAL);
    }
    equal("bytes", set(bytes, b" 0x100000 \n"), 11);
    says(bytes, "1048576\n");
    says(ratio, "0\n");
    equal("the threshold", vm("nr_dirty_threshold"), 256);
    equal("too few bytes", set(bytes, b"8191"), EINVAL);
    equal("ratio", set(ratio, b"20"), 2);
    says(bytes, "0\n");
    about("the threshold again", vm("nr_dirty_threshold") * PAGE, threshold * PAGE);
    let background = c"/proc/sys/vm/dirty_background_bytes";
    equal("background", set(background, b"409600"), 6);
    says(c"/proc/sys/vm/dirty_background_ratio", "0\n");
    equal("its threshold", vm("nr_dirty_background_threshold"), 100);
    equal("no background", set(background, b"0"), EINVAL);
    equal("background again", set(c"/proc/sys/vm/dirty_background_ratio", b"10\n"), 3);
    for (name, text) in [
        (c"/proc/sys/vm/dirty_expire_centisecs", "3000\n"),
        (c"/proc/sys/vm/dirty_writeback_centisecs", "500\n"),
        (c"/proc/sys/kernel/ctrl-alt-del", "1\n"),
    ] {
        says(name, text);
        equal("set", set(name, b"7\n"), 2);
        says(name, "7\n");
        equal("set back", set(name, text.as_bytes()), text.len() as isize);
    }
    equal("older than new", set(c"/proc/sys/vm/dirty_expire_centisecs", b"-1"), EINVAL);
    for text in [b"0", b"5", b"x"] {
        equal("drop_caches", set(c"/proc/sys/vm/drop_caches", text), EINVAL);
    }
    equal("who reads drop_caches", sys::open(c"/proc/sys/vm/drop_caches", O_RDONLY, 0), EACCES);
}
