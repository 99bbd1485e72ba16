//! Shared mappings of files: stores, the end of the file, truncation, holes, who may write, moves.
//! Needs a folder as its argument, which it leaves with `kept`: a file stored to and never synced; and
//! `zeros` where what was stored behind the end is gone when the file grows, as under Linux since 6.13, and then
//! `journal` with data=journal; or `large`: a mapping larger than memory and nothing else.
#![no_std]
#![no_main]

mod advice;

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use user::check::{equal, holds, verdict};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const PAGE: usize = 4096;
const READ: i32 = 1;
const RW: i32 = 3;
const SHARED: i32 = 1;
const PRIVATE: i32 = 2;
const VALIDATE: i32 = 3;
const FIXED: i32 = 0x10;
const ANON: i32 = 0x20;
const POPULATE: i32 = 0x8000;
const MAYMOVE: i32 = 1;
const MREMAP_FIXED: i32 = 2;
const DONTUNMAP: i32 = 4;
const MS_ASYNC: i32 = 1;
const MS_INVALIDATE: i32 = 2;
const MS_SYNC: i32 = 4;
const SIGBUS: i32 = 7;
const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;
const COLLAPSE: i32 = 8;
const ZERO_RANGE: i32 = 16;

fn main(args: Args) -> i32 {
    catch_bus();
    equal("chdir", sys::chdir(args.get(1).as_ptr() as usize), 0);
    if args.get(2) == c"large" {
        larger_than_memory();
        return verdict();
    }
    advice::set_journal(args.get(3));
    ZEROS.store(args.get(2) == c"zeros", Ordering::Relaxed);
    stores();
    beyond_the_end();
    growth_shows_zeros();
    truncation();
    holes();
    copies();
    times();
    own_bytes();
    rights();
    moves();
    advice::in_core();
    syncing();
    advice::advice();
    advice::advice_for();
    advice::faults();
    advice::locking();
    advice::locking_as_a_user();
    advice::giving_up();
    kept();
    verdict()
}

// ---- SIGBUS: counted, and answered with a page of zeros where it happened

static BUSES: AtomicUsize = AtomicUsize::new(0);
static ZEROS: AtomicBool = AtomicBool::new(false);

extern "C" fn on_bus(_signal: i32, info: *const usize, _context: usize) {
    BUSES.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the kernel has put a siginfo there; the third word is the address.
    let at = unsafe { info.add(2).read() };
    sys::mmap(at & !(PAGE - 1), PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
}

fn catch_bus() {
    const SA_SIGINFO: usize = 4;
    let action = [on_bus as *const () as usize, SA_SIGINFO, 0, 0];
    equal("sigaction", sys::rt_sigaction(SIGBUS, action.as_ptr() as usize, 0, 8), 0);
}

/// How many SIGBUS came while `f` ran.
fn buses(f: impl FnOnce()) -> usize {
    let before = BUSES.load(Ordering::Relaxed);
    f();
    BUSES.load(Ordering::Relaxed) - before
}

// ---- memory and files

fn peek(at: usize) -> u8 {
    // SAFETY: the callers name memory that they mapped.
    unsafe { (at as *const u8).read_volatile() }
}

fn poke(at: usize, value: u8) {
    // SAFETY: as in `peek`.
    unsafe { (at as *mut u8).write_volatile(value) }
}

/// A fresh file of `len` bytes of `value`, open for reading and writing.
fn file(path: &CStr, len: usize, value: u8) -> i32 {
    let fd = sys::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
    holds("open", fd >= 0);
    let part = [value; 1000];
    let mut at = 0;
    while at < len {
        let n = part.len().min(len - at);
        equal("write", sys::pwrite(fd, &part[..n], at as i64), n as isize);
        at += n;
    }
    fd
}

fn map(fd: i32, len: usize, prot: i32, flags: i32) -> usize {
    let at = sys::mmap(0, len, prot, flags, fd, 0);
    holds("mmap", at > 0);
    at as usize
}

fn byte(fd: i32, pos: usize) -> u8 {
    let mut one = [0xff];
    equal("pread", sys::pread(fd, &mut one, pos as i64), 1);
    one[0]
}

fn unmap(at: usize, len: usize) {
    equal("munmap", sys::munmap(at, len), 0);
}

/// size, blocks, mtime seconds, mtime nanoseconds
fn stat(fd: i32) -> [u64; 4] {
    let mut out = [0u64; 16];
    equal("fstat", sys::fstat(fd, out.as_mut_ptr() as usize), 0);
    [out[6], out[8], out[11], out[12]]
}

/// What was stored behind the end is zero, where it is.
fn zeros(what: &str, bytes: &[u8]) {
    if ZEROS.load(Ordering::Relaxed) {
        holds(what, bytes.iter().all(|&b| b == 0));
    }
}

// ---- what is checked

fn stores() {
    let fd = file(c"stores", 3 * PAGE, 1);
    let at = map(fd, 3 * PAGE, RW, SHARED);
    poke(at + 5, 50);
    equal("read(2) sees a store", byte(fd, 5), 50);
    equal("write(2)", sys::pwrite(fd, &[60], 5), 1);
    equal("a load sees a write(2)", peek(at + 5), 60);
    poke(at + PAGE, 70);
    let again = map(fd, 3 * PAGE, READ, SHARED);
    equal("two mappings are one", peek(again + PAGE), 70);
    poke(at + PAGE, 71);
    equal("and stay one", peek(again + PAGE), 71);
    for round in 0..4 {
        poke(at + 2 * PAGE, round);
        equal("fsync", sys::fsync(fd), 0);
        poke(at + 2 * PAGE + 1, round);
        equal("a store after writeback", (byte(fd, 2 * PAGE), byte(fd, 2 * PAGE + 1)), (round, round));
    }
    equal("close", sys::close(fd), 0);
    poke(at + 2 * PAGE, 80);
    unmap(at, 3 * PAGE);
    unmap(again, 3 * PAGE);
    let fd = sys::open(c"stores", O_RDONLY, 0) as i32;
    equal("a store after close", byte(fd, 2 * PAGE), 80);
    sys::close(fd);
}

fn beyond_the_end() {
    let fd = file(c"end", PAGE + 100, 1);
    let at = map(fd, 4 * PAGE, RW, SHARED);
    equal("a store within", buses(|| poke(at + PAGE + 99, 2)), 0);
    equal("a store in the last page, behind the end", buses(|| poke(at + PAGE + 200, 3)), 0);
    equal("a copy from behind the end", sys::pwrite_raw(fd, at + 2 * PAGE, 10, 0), EFAULT);
    equal("a copy to behind the end", sys::pread_raw(fd, at + 2 * PAGE, 10, 0), EFAULT);
    equal("the size is as before", stat(fd)[0], (PAGE + 100) as u64);
    equal("a load behind the end", buses(|| equal("zeros of the handler", peek(at + 2 * PAGE), 0)), 1);
    equal("a store behind the end", buses(|| poke(at + 3 * PAGE, 3)), 1);
    unmap(at, 4 * PAGE);
    let at = map(fd, 4 * PAGE, RW, PRIVATE);
    equal("a load behind the end, private", buses(|| equal("zeros", peek(at + 2 * PAGE), 0)), 1);
    equal("a store behind the end, private", buses(|| poke(at + 3 * PAGE, 3)), 1);
    unmap(at, 4 * PAGE);
    sys::close(fd);
}

/// What was stored behind the end is not there when the file reaches it.
fn growth_shows_zeros() {
    let fd = file(c"growth", 100, 1);
    let at = map(fd, 2 * PAGE, RW, SHARED);
    poke(at + 10, 9);
    poke(at + 2000, 9);
    equal("ftruncate up", sys::ftruncate(fd, 3000), 0);
    equal("zeros to the old end", (byte(fd, 10), byte(fd, 100)), (9, 0));
    zeros("what was stored behind it", &[byte(fd, 2000), peek(at + 2000)]);
    poke(at + 2000, 8);
    equal("stored where the file has grown", byte(fd, 2000), 8);
    poke(at + 3500, 7);
    equal("a write behind a gap", sys::pwrite(fd, &[5], 3900), 1);
    equal("around the gap", (byte(fd, 2000), byte(fd, 3900)), (8, 5));
    zeros("the gap", &[byte(fd, 3500)]);
    poke(at + 3500, 6);
    equal("fsync", sys::fsync(fd), 0);
    poke(at + 4000, 4);
    equal("one page more", sys::ftruncate(fd, 5000), 0);
    zeros("up to the end of the page", &[byte(fd, 4000)]);
    equal("and behind it", byte(fd, 4500), 0);
    poke(at + 4999, 3);
    equal("the second page can be stored to now", byte(fd, 4999), 3);
    unmap(at, 2 * PAGE);
    equal("fsync", sys::fsync(fd), 0);
    equal("kept", (byte(fd, 3500), byte(fd, 2000), byte(fd, 3900), byte(fd, 4999)), (6, 8, 5, 3));
    sys::close(fd);
}

fn truncation() {
    let fd = file(c"truncated", 4 * PAGE, 1);
    let shared = map(fd, 4 * PAGE, RW, SHARED);
    let private = map(fd, 4 * PAGE, RW, PRIVATE);
    for n in 0..4 {
        poke(shared + n * PAGE + 5, 2);
        poke(private + n * PAGE + 5, 3);
    }
    equal("ftruncate", sys::ftruncate(fd, PAGE as i64 + 3), 0);
    equal("the first pages stay", (peek(shared + 5), peek(private + 5)), (2, 3));
    equal("the tail is zeros", peek(shared + PAGE + 5), 0);
    equal("of a copy it stays", peek(private + PAGE + 5), 3);
    equal("gone: copying from it", sys::pwrite_raw(fd, shared + 2 * PAGE, 1, 0), EFAULT);
    equal("gone: copying from the copy", sys::pwrite_raw(fd, private + 3 * PAGE, 1, 0), EFAULT);
    poke(shared + PAGE + 5, 77);
    equal("ftruncate back", sys::ftruncate(fd, 4 * PAGE as i64), 0);
    zeros("what was stored behind the end", &[peek(shared + PAGE + 5)]);
    equal("zeros come back", peek(shared + 2 * PAGE + 5), 0);
    equal("also where a copy was", peek(private + 2 * PAGE + 5), 0);
    poke(shared + 2 * PAGE + 5, 4);
    equal("and can be stored to", byte(fd, 2 * PAGE + 5), 4);
    equal("punch", sys::fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 3 * PAGE as i64), 0);
    equal("punched", (peek(shared + 5), peek(shared + 2 * PAGE + 5), peek(private + 5)), (0, 0, 3));
    poke(shared + 5, 6);
    equal("stored into the hole", byte(fd, 5), 6);
    equal("punch a part", sys::fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 1000, 2100), 0);
    poke(shared + 2000, 7);
    poke(shared + 4000, 7);
    equal("fsync", sys::fsync(fd), 0);
    equal(
        "stored around the hole",
        (byte(fd, 5), byte(fd, 1500), byte(fd, 2000), byte(fd, 4000)),
        (6, 0, 7, 7),
    );
    if sys::fallocate(fd, ZERO_RANGE | KEEP_SIZE, 3 * PAGE as i64, PAGE as i64) == 0 {
        poke(shared + 3 * PAGE, 8);
        equal("stored into a zeroed range", (byte(fd, 3 * PAGE), byte(fd, 3 * PAGE + 5)), (8, 0));
    }
    poke(shared + 2 * PAGE, 33);
    if sys::fallocate(fd, COLLAPSE, 0, PAGE as i64) == 0 {
        equal("collapsed", (peek(shared + PAGE), peek(shared + 5)), (33, 0));
        poke(shared + PAGE, 34);
        equal("stored after it", byte(fd, PAGE), 34);
    }
    unmap(shared, 4 * PAGE);
    unmap(private, 4 * PAGE);
    sys::close(fd);
}

fn holes() {
    const PAGES: usize = 64;
    let fd = file(c"holes", 0, 0);
    equal("ftruncate", sys::ftruncate(fd, (PAGES * PAGE) as i64), 0);
    let at = map(fd, PAGES * PAGE, RW, SHARED);
    for n in 0..PAGES {
        equal("a hole is zeros", peek(at + n * PAGE), 0);
    }
    equal("fsync", sys::fsync(fd), 0);
    equal("loads take no blocks", stat(fd)[1], 0);
    for n in (0..PAGES).step_by(2) {
        poke(at + n * PAGE + n, n as u8 + 1);
    }
    equal("fsync", sys::fsync(fd), 0);
    holds("stores do", stat(fd)[1] >= (PAGES / 2 * PAGE / 512) as u64);
    for n in 0..PAGES {
        let want = if n % 2 == 0 { n as u8 + 1 } else { 0 };
        equal("what was stored", byte(fd, n * PAGE + n), want);
    }
    unmap(at, PAGES * PAGE);
    sys::close(fd);
}

fn copies() {
    let fd = file(c"copies", 2 * PAGE, 1);
    let shared = map(fd, 2 * PAGE, RW, SHARED);
    let private = map(fd, 2 * PAGE, RW, PRIVATE);
    equal("the same at first", peek(private), 1);
    poke(shared, 2);
    equal("a page not copied follows", peek(private), 2);
    poke(private, 3);
    poke(shared, 4);
    equal("a copy does not", (peek(private), peek(shared), byte(fd, 0)), (3, 4, 4));
    equal("madvise(DONTNEED)", sys::madvise(private, PAGE, 4), 0);
    equal("takes the copy away", peek(private), 4);
    equal("madvise(DONTNEED)", sys::madvise(shared, 2 * PAGE, 4), 0);
    equal("and leaves the file alone", (peek(shared), byte(fd, 0)), (4, 4));
    unmap(shared, 2 * PAGE);
    unmap(private, 2 * PAGE);
    sys::close(fd);
}

fn times() {
    let fd = file(c"times", PAGE, 1);
    let at = map(fd, PAGE, RW, SHARED);
    let old = [1_000_000_000u64, 5, 1_000_000_000, 5];
    equal("utimensat", sys::utimensat(fd, 0, old.as_ptr() as usize, 0), 0);
    let before = peek(at);
    equal("a load leaves mtime", stat(fd)[2], 1_000_000_000);
    poke(at, before + 1);
    holds("a store does not", stat(fd)[2] > 1_000_000_000);
    unmap(at, PAGE);
    sys::close(fd);
}

/// Calls whose memory is a mapping of the file that they work on.
fn own_bytes() {
    let fd = file(c"own", 4 * PAGE, 1);
    let at = map(fd, 4 * PAGE, RW, SHARED);
    for n in 0..4 * PAGE {
        poke(at + n, (n % 251) as u8);
    }
    equal("write a page from itself", sys::pwrite_raw(fd, at, PAGE, 0), PAGE as isize);
    equal("write one from another", sys::pwrite_raw(fd, at + PAGE, PAGE, 2 * PAGE as i64), PAGE as isize);
    holds("is there", (0..PAGE).all(|n| peek(at + 2 * PAGE + n) == ((PAGE + n) % 251) as u8));
    equal("read a page into another", sys::pread_raw(fd, at + 3 * PAGE, PAGE, 0), PAGE as isize);
    holds("is there too", (0..PAGE).all(|n| byte(fd, 3 * PAGE + n) == (n % 251) as u8));
    equal("madvise(DONTNEED)", sys::madvise(at, 4 * PAGE, 4), 0);
    equal("write what is not present", sys::pwrite_raw(fd, at + PAGE, PAGE, 0), PAGE as isize);
    equal("append from the mapping", sys::pwrite_raw(fd, at, 3 * PAGE, 4 * PAGE as i64), 3 * PAGE as isize);
    equal("its last byte", byte(fd, 7 * PAGE - 1), ((2 * PAGE - 1) % 251) as u8);
    unmap(at, 4 * PAGE);
    sys::close(fd);
}

fn rights() {
    let fd = file(c"rights", PAGE, 1);
    sys::close(fd);
    let fd = sys::open(c"rights", O_RDONLY, 0) as i32;
    equal("writable, opened for reading", sys::mmap(0, PAGE, RW, SHARED, fd, 0), EACCES);
    let at = map(fd, PAGE, READ, SHARED);
    equal("made writable", sys::mprotect(at, PAGE, RW), EACCES);
    unmap(at, PAGE);
    let at = map(fd, PAGE, READ, PRIVATE);
    equal("made writable, private", sys::mprotect(at, PAGE, RW), 0);
    poke(at, 2);
    equal("the file does not see it", byte(fd, 0), 1);
    unmap(at, PAGE);
    sys::close(fd);
    let fd = sys::open(c"rights", O_WRONLY, 0) as i32;
    equal("opened for writing", sys::mmap(0, PAGE, RW, SHARED, fd, 0), EACCES);
    sys::close(fd);
    let fd = sys::open(c"rights", O_RDWR, 0) as i32;
    let at = map(fd, PAGE, READ, SHARED);
    equal("made writable", sys::mprotect(at, PAGE, RW), 0);
    poke(at, 3);
    equal("made readable", sys::mprotect(at, PAGE, READ), 0);
    equal("copying to it", sys::pread_raw(fd, at, 1, 0), EFAULT);
    equal("it is the file", byte(fd, 0), 3);
    unmap(at, PAGE);
    let at = map(fd, PAGE, RW, VALIDATE);
    poke(at, 4);
    equal("MAP_SHARED_VALIDATE", byte(fd, 0), 4);
    unmap(at, PAGE);
    equal("and what it does not know", sys::mmap(0, PAGE, RW, VALIDATE | 1 << 22, fd, 0), EOPNOTSUPP);
    sys::close(fd);
}

fn moves() {
    let fd = file(c"moves", 4 * PAGE, 1);
    let at = map(fd, 2 * PAGE, RW, SHARED);
    poke(at, 10);
    poke(at + PAGE, 11);
    let to = sys::mmap(0, 8 * PAGE, 0, PRIVATE | ANON, -1, 0) as usize;
    let flags = MAYMOVE | MREMAP_FIXED;
    equal("move", sys::mremap(at, 2 * PAGE, 4 * PAGE, flags, to), to as isize);
    equal("moved", (peek(to), peek(to + PAGE), peek(to + 2 * PAGE)), (10, 11, 1));
    equal("nothing is left", sys::pwrite_raw(fd, at, 1, 0), EFAULT);
    poke(to + PAGE, 12);
    poke(to + 3 * PAGE, 13);
    equal("fsync", sys::fsync(fd), 0);
    poke(to + PAGE, 14);
    equal("stores after the move", (byte(fd, PAGE), byte(fd, 3 * PAGE)), (14, 13));
    equal("shrink", sys::mremap(to, 4 * PAGE, PAGE, 0, 0), to as isize);
    equal("is shorter", sys::pwrite_raw(fd, to + PAGE, 1, 0), EFAULT);
    let twin = sys::mremap(to, 0, 2 * PAGE, MAYMOVE, 0) as usize;
    holds("an old length of 0 duplicates", twin as isize > 0 && twin != to);
    poke(to, 20);
    equal("the same page twice", (peek(twin), peek(twin + PAGE)), (20, 14));
    let moved = sys::mremap(twin, 2 * PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP, 0) as usize;
    holds("DONTUNMAP", moved as isize > 0 && moved != twin);
    poke(moved, 21);
    equal("both map the file", (peek(twin), peek(moved)), (21, 21));
    equal("DONTUNMAP of another length", sys::mremap(moved, PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP, 0), EINVAL);
    equal("DONTUNMAP alone", sys::mremap(moved, PAGE, PAGE, DONTUNMAP, 0), EINVAL);
    equal("FIXED alone", sys::mremap(moved, PAGE, PAGE, MREMAP_FIXED, to), EINVAL);
    let anonymous = sys::mmap(0, 2 * PAGE, RW, PRIVATE | ANON, -1, 0) as usize;
    poke(anonymous, 5);
    equal("0 of a private one", sys::mremap(anonymous, 0, PAGE, MAYMOVE, 0), EINVAL);
    let moved_anonymous = sys::mremap(anonymous, 2 * PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP, 0) as usize;
    equal("DONTUNMAP, anonymous", (peek(anonymous), peek(moved_anonymous)), (0, 5));
    sys::munmap(to, 8 * PAGE);
    sys::munmap(twin, 2 * PAGE);
    sys::munmap(moved, 2 * PAGE);
    sys::close(fd);
}

fn syncing() {
    let fd = file(c"sync", 4 * PAGE, 1);
    let at = map(fd, 4 * PAGE, RW, SHARED);
    for flags in [MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, 0] {
        poke(at + PAGE, peek(at + PAGE) + 1);
        equal("msync", sys::msync(at, 4 * PAGE, flags), 0);
    }
    equal("both", sys::msync(at, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    equal("a flag that is none", sys::msync(at, PAGE, 8), EINVAL);
    equal("off a page", sys::msync(at + 1, PAGE, MS_SYNC), EINVAL);
    equal("nothing", sys::msync(at, 0, MS_SYNC), 0);
    unmap(at + 2 * PAGE, PAGE);
    equal("over a hole", sys::msync(at, 4 * PAGE, MS_SYNC), ENOMEM);
    equal("the file has it", byte(fd, PAGE), 5);
    unmap(at, 4 * PAGE);
    sys::close(fd);
}

/// A mapping that is larger than the machine's memory, stored to and looked at from front to back.
fn larger_than_memory() {
    const LARGE: usize = 48 << 20;
    let fd = file(c"large", 0, 0);
    equal("ftruncate", sys::ftruncate(fd, LARGE as i64), 0);
    let at = map(fd, LARGE, RW, SHARED);
    let value = |page: usize| (page * 7 + page / 256) as u8;
    (0..LARGE / PAGE).for_each(|page| poke(at + page * PAGE + page % PAGE, value(page)));
    for round in 0..2 {
        let wrong =
            (0..LARGE / PAGE).filter(|&page| peek(at + page * PAGE + page % PAGE) != value(page)).count();
        equal("pages that lost what was stored", (round, wrong), (round, 0));
    }
    unmap(at, LARGE);
    sys::close(fd);
}

/// Stored to, and left as it is when the program ends.
fn kept() {
    let fd = file(c"kept", 3 * PAGE + 17, b'.');
    let at = map(fd, 4 * PAGE, RW, SHARED);
    sys::close(fd);
    for (n, &letter) in b"stored and never synced".iter().enumerate() {
        poke(at + PAGE - 10 + n, letter);
    }
    poke(at + 3 * PAGE + 16, b'!');
}
