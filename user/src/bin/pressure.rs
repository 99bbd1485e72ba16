//! More file than memory: nothing runs out, what is used often stays, and advice about the cache is taken.
//!
//! ```text
//! pressure memory PATH MIB     PATH.hot (2 MiB) is read again and again, PATH (so many MiB) once
//! pressure advice PATH         posix_fadvise, readahead, sync_file_range
//! ```
//! Needs /proc mounted.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds, verdict};
use user::sys::{self, *};
use user::{Args, println, program};

program!(main);

const PAGE: usize = 4096;
const CHUNK: usize = 64 << 10;
const HOT: i64 = 2 << 20;
const MIB: i64 = 1 << 20;

fn main(args: Args) -> i32 {
    let mib = args.text(3).parse::<i64>().unwrap_or(0);
    match args.text(1) {
        "memory" if mib > 0 => memory(args.get(2), mib * MIB),
        "advice" => advice(args.get(2)),
        _ => {
            println!("usage: pressure memory PATH MIB | pressure advice PATH");
            return 2;
        }
    }
    verdict()
}

/// The number behind a word in a file of /proc.
fn field(path: &CStr, word: &str) -> i64 {
    let mut room = [0; 16384];
    let fd = sys::open(path, O_RDONLY, 0) as i32;
    let mut len = 0;
    while let n @ 1.. = sys::read(fd, &mut room[len..]) {
        len += n as usize;
    }
    sys::close(fd);
    for line in room[..len].split(|&b| b == b'\n') {
        let mut words = line.split(|&b| b == b' ' || b == b':').filter(|w| !w.is_empty());
        if words.next() == Some(word.as_bytes()) {
            let number = words.next().and_then(|w| core::str::from_utf8(w).ok()?.parse().ok());
            return number.unwrap_or(-1);
        }
    }
    holds(word, false);
    0
}

fn vm(word: &str) -> i64 {
    field(c"/proc/vmstat", word)
}

/// What was fetched from disks for this program.
fn fetched() -> i64 {
    field(c"/proc/self/io", "read_bytes")
}

/// Each page says where it belongs.
fn mark(chunk: &mut [u8; CHUNK], pos: i64) {
    for (page, at) in chunk.chunks_exact_mut(PAGE).zip((pos..).step_by(PAGE)) {
        page[..8].copy_from_slice(&at.to_le_bytes());
        page[PAGE - 8..].copy_from_slice(&(!at).to_le_bytes());
    }
}

fn is_marked(chunk: &[u8; CHUNK], pos: i64) -> bool {
    chunk
        .chunks_exact(PAGE)
        .zip((pos..).step_by(PAGE))
        .all(|(page, at)| page[..8] == at.to_le_bytes() && page[PAGE - 8..] == (!at).to_le_bytes())
}

/// Calls `f` with each chunk's position.
fn each_chunk(len: i64, f: impl FnMut(i64)) {
    (0..len).step_by(CHUNK).for_each(f);
}

fn create(path: &CStr, len: i64) -> i32 {
    let fd = sys::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
    holds("a file", fd >= 0);
    let mut chunk = [0; CHUNK];
    each_chunk(len, |pos| {
        mark(&mut chunk, pos);
        equal("pwrite", sys::pwrite(fd, &chunk, pos), CHUNK as isize);
        if pos % (4 * MIB) == 0 {
            // A page or two may be under way between the two looks.
            let unwritten = vm("nr_dirty") + vm("nr_writeback");
            let limit = vm("nr_dirty_threshold");
            holds("dirty pages stay under their limit", unwritten <= limit + limit / 8 + 64);
        }
    });
    equal("fsync", sys::fsync(fd), 0);
    fd
}

fn read(fd: i32, len: i64) {
    let mut chunk = [0; CHUNK];
    let mut wrong = 0;
    each_chunk(len, |pos| {
        let got = sys::pread(fd, &mut chunk, pos);
        wrong += i32::from(got != CHUNK as isize || !is_marked(&chunk, pos));
    });
    equal("chunks that are wrong", wrong, 0);
}

fn memory(path: &CStr, len: i64) {
    let mut name = [0; 256];
    let bytes = path.to_bytes();
    name[..bytes.len()].copy_from_slice(bytes);
    name[bytes.len()..bytes.len() + 4].copy_from_slice(b".hot");
    let hot = create(CStr::from_bytes_until_nul(&name).unwrap_or(c"/hot"), HOT);
    read(hot, HOT);
    read(hot, HOT);
    let large = create(path, len);
    let before = fetched();
    read(hot, HOT);
    println!("of what is used often {} KiB came from the disk again", (fetched() - before) / 1024);
    holds("what is used often stays under writing", fetched() - before < HOT / 4);
    read(large, len);
    let before = fetched();
    read(hot, HOT);
    println!("after reading {} KiB", (fetched() - before) / 1024);
    holds("what is used often stays under reading", fetched() - before < HOT / 4);
    holds("pages were reclaimed", vm("pgsteal_kswapd") + vm("pgsteal_direct") > 0);
    holds("some are active", vm("nr_active_file") >= HOT / PAGE as i64);
    equal("both lists are all", vm("nr_active_file") + vm("nr_inactive_file"), vm("nr_file_pages"));
    for fd in [hot, large] {
        equal("close", sys::close(fd), 0);
    }
}

const RANDOM: i32 = 1;
const SEQUENTIAL: i32 = 2;
const WILLNEED: i32 = 3;
const DONTNEED: i32 = 4;

const EBADF: isize = -9;
const EINVAL: isize = -22;
const ESPIPE: isize = -29;

/// What a read of one page in the middle brings in.
fn brought_in(fd: i32, pos: i64) -> i64 {
    let before = fetched();
    equal("pread", sys::pread(fd, &mut [0; PAGE], pos), PAGE as isize);
    fetched() - before
}

fn drop_all(fd: i32) {
    equal("fsync", sys::fsync(fd), 0);
    equal("DONTNEED", sys::fadvise64(fd, 0, 0, DONTNEED), 0);
}

fn advice(path: &CStr) {
    let fd = create(path, 4 * MIB);
    drop_all(fd);
    equal("nothing is cached", brought_in(fd, MIB), PAGE as i64);

    equal("RANDOM", sys::fadvise64(fd, 0, 0, RANDOM), 0);
    drop_all(fd);
    equal("the first page alone", brought_in(fd, 0), PAGE as i64);
    equal("the second alone", brought_in(fd, PAGE as i64), PAGE as i64);
    equal("SEQUENTIAL", sys::fadvise64(fd, 0, 0, SEQUENTIAL), 0);
    drop_all(fd);
    holds("the first page and more", brought_in(fd, 0) > PAGE as i64);

    drop_all(fd);
    let before = fetched();
    equal("WILLNEED", sys::fadvise64(fd, MIB, 64 << 10, WILLNEED), 0);
    equal("readahead", sys::readahead(fd, 2 * MIB, 64 << 10), 0);
    equal("both began to read", fetched() - before, 128 << 10);
    equal("what was read in advance", brought_in(fd, MIB) + brought_in(fd, 2 * MIB), 0);
    sync_file_range(fd);
    errors(fd, path);
    equal("close", sys::close(fd), 0);
}

fn sync_file_range(fd: i32) {
    const PAGES: i64 = 512;
    let written = || vm("nr_written");
    let len = PAGES * PAGE as i64;
    each_chunk(len, |pos| equal("pwrite", sys::pwrite(fd, &[1; CHUNK], pos), CHUNK as isize));
    let (dirty, before) = (vm("nr_dirty"), written());
    equal("no flags", sys::sync_file_range(fd, 0, 0, 0), 0);
    equal("another range", sys::sync_file_range(fd, 3 * MIB, 0, 7), 0);
    // Counters that other processors keep back.
    let about = |got: i64, want: i64| (got - want).abs() < PAGES / 4;
    holds("nothing was written", about(written() - before, 0));
    equal("the range", sys::sync_file_range(fd, 0, len, 7), 0);
    holds("its pages were written", about(written() - before, PAGES));
    holds("they are clean", about(dirty - vm("nr_dirty"), PAGES));
}

fn errors(fd: i32, path: &CStr) {
    for (offset, len, flags) in [(-1, 0, 2), (0, -1, 2), (i64::MAX, 1, 2), (0, 0, 8)] {
        equal("sync_file_range", sys::sync_file_range(fd, offset, len, flags), EINVAL);
    }
    equal("to the largest position", sys::sync_file_range(fd, i64::MAX - 1, 1, 2), 0);
    equal("no such descriptor", sys::sync_file_range(99, 0, 0, 2), EBADF);
    let mut ends = [0i32; 2];
    equal("pipe2", sys::pipe2(ends.as_mut_ptr() as usize, 0), 0);
    equal("a pipe has no pages", sys::sync_file_range(ends[0], 0, 0, 2), ESPIPE);
    equal("and no advice", sys::fadvise64(ends[0], 0, 0, WILLNEED), ESPIPE);
    equal("nor readahead", sys::readahead(ends[0], 0, 1), EINVAL);
    equal("an unknown advice", sys::fadvise64(fd, 0, 0, 6), EINVAL);
    equal("a negative length", sys::fadvise64(fd, 0, -1, WILLNEED), EINVAL);
    equal("a negative offset", sys::fadvise64(fd, -1, 0, WILLNEED), 0);
    equal("readahead without a file", sys::readahead(99, 0, 1), EBADF);
    let writer = sys::open(path, O_WRONLY, 0) as i32;
    equal("readahead for a writer", sys::readahead(writer, 0, 1), EBADF);
    equal("close", sys::close(writer), 0);
}
