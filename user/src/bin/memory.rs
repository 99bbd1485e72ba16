//! Memory as a program sees it: brk, anonymous and private file mappings, protections, the stack.
#![no_std]
#![no_main]

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const PAGE: usize = 4096;
const RW: i32 = 3;
const PRIVATE: i32 = 2;
const ANON: i32 = 0x22;
const FIXED: i32 = 0x10;
const NORESERVE: i32 = 0x4000;

fn main(args: Args) -> i32 {
    auxv(args);
    heap();
    anonymous();
    protections();
    files();
    remapping();
    stack(64);
    user::check::verdict()
}

fn map(len: usize, protection: i32) -> usize {
    let at = sys::mmap(0, len, protection, ANON, -1, 0);
    holds("mmap", at > 0 && (at as usize).is_multiple_of(PAGE));
    at as usize
}

fn peek(at: usize) -> u8 {
    // SAFETY: the callers name memory that they mapped.
    unsafe { (at as *const u8).read_volatile() }
}

fn poke(at: usize, value: u8) {
    // SAFETY: as in `peek`.
    unsafe { (at as *mut u8).write_volatile(value) }
}

fn auxv(args: Args) {
    equal("AT_PAGESZ", args.aux(6), Some(PAGE));
    equal("AT_PHENT", args.aux(4), Some(56));
    holds("AT_PHDR", args.aux(3).is_some_and(|at| at != 0));
    holds("AT_RANDOM", args.aux(25).is_some_and(|at| at != 0));
    holds("AT_HWCAP has fp and asimd", args.aux(16).is_some_and(|caps| caps & 3 == 3));
    equal("AT_CLKTCK", args.aux(17), Some(100));
    equal("AT_SECURE", args.aux(23), Some(0));
    equal("AT_UID", args.aux(11), Some(0));
    let platform = args.aux(15).unwrap_or(0);
    equal("AT_PLATFORM", [peek(platform), peek(platform + 6), peek(platform + 7)], [b'a', b'4', 0]);
    let entry = args.aux(9).unwrap_or(0);
    holds("AT_ENTRY", entry != 0);
}

fn heap() {
    let start = sys::brk(0) as usize;
    equal("grow", sys::brk(start + 3 * PAGE + 5) as usize, start + 3 * PAGE + 5);
    equal("fresh memory is zero", peek(start + 2 * PAGE), 0);
    poke(start + 2 * PAGE, 9);
    equal("shrink", sys::brk(start + PAGE) as usize, start + PAGE);
    equal("grow again", sys::brk(start + 3 * PAGE) as usize, start + 3 * PAGE);
    equal("what came back is zero", peek(start + 2 * PAGE), 0);
    equal("below the start nothing moves", sys::brk(start - 1) as usize, start + 3 * PAGE);
    equal("too far nothing moves", sys::brk(1 << 47) as usize, start + 3 * PAGE);
    equal("back", sys::brk(start) as usize, start);
}

fn anonymous() {
    let at = map(64 * PAGE, RW);
    for i in 0..64 {
        equal("zero at first", peek(at + i * PAGE + i), 0);
        poke(at + i * PAGE + i, i as u8);
    }
    for i in 0..64 {
        equal("kept", peek(at + i * PAGE + i), i as u8);
    }
    equal("a hole in the middle", sys::munmap(at + 8 * PAGE, 8 * PAGE), 0);
    equal("munmap of nothing is fine", sys::munmap(at + 8 * PAGE, 8 * PAGE), 0);
    equal(
        "fixed into the hole",
        sys::mmap(at + 8 * PAGE, PAGE, RW, ANON | FIXED, -1, 0),
        (at + 8 * PAGE) as isize,
    );
    equal("fresh", peek(at + 8 * PAGE), 0);
    equal("neighbours kept", (peek(at + 7 * PAGE + 7), peek(at + 16 * PAGE + 16)), (7, 16));
    equal("fixed, not over another", sys::mmap(at, PAGE, RW, ANON | 0x100000, -1, 0), EEXIST);
    equal("length 0", sys::mmap(0, 0, RW, ANON, -1, 0), EINVAL);
    equal("neither shared nor private", sys::mmap(0, PAGE, RW, 0x20, -1, 0), EINVAL);
    equal("fixed off a page", sys::mmap(at + 1, PAGE, RW, ANON | FIXED, -1, 0), EINVAL);
    equal("too much", sys::mmap(0, 1 << 48, RW, ANON, -1, 0), ENOMEM);
    equal("munmap off a page", sys::munmap(at + 1, PAGE), EINVAL);
    equal("munmap of nothing", sys::munmap(at, 0), EINVAL);
    equal("munmap", sys::munmap(at, 64 * PAGE), 0);
    let huge = sys::mmap(0, 1 << 36, RW, ANON | NORESERVE, -1, 0) as usize;
    poke(huge + (1 << 35), 5);
    equal("a huge one costs what is touched", peek(huge + (1 << 35)), 5);
    equal("munmap", sys::munmap(huge, 1 << 36), 0);
    let at = map(4 * PAGE, RW);
    poke(at + PAGE, 5);
    equal("MADV_DONTNEED", sys::madvise(at, 4 * PAGE, 4), 0);
    equal("is zero again", peek(at + PAGE), 0);
    equal("advice that is none", sys::madvise(at, PAGE, 9999), EINVAL);
}

fn protections() {
    let at = map(4 * PAGE, RW);
    poke(at + PAGE, 1);
    equal("mprotect", sys::mprotect(at + PAGE, PAGE, 1), 0);
    equal("still readable", peek(at + PAGE), 1);
    let fd = sys::open(c"/dev/zero", O_RDONLY, 0) as i32;
    equal("the kernel may not write there either", sys::read_raw(fd, at + PAGE, 8), EFAULT);
    equal("back", sys::mprotect(at + PAGE, PAGE, RW), 0);
    poke(at + PAGE, 2);
    equal("writable", peek(at + PAGE), 2);
    equal("mprotect off a page", sys::mprotect(at + 1, PAGE, 1), EINVAL);
    sys::munmap(at + 2 * PAGE, PAGE);
    equal("mprotect across a hole", sys::mprotect(at, 4 * PAGE, 1), ENOMEM);
    sys::close(fd);
    // Code written by the program runs: `mov w0, #42; ret`.
    let code = map(PAGE, RW);
    for (i, byte) in [0x40u8, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6].into_iter().enumerate() {
        poke(code + i, byte);
    }
    clean_to_unification(code);
    equal("make it executable", sys::mprotect(code, PAGE, 5), 0);
    // SAFETY: two instructions of this program's own making, made visible above.
    let answer = unsafe { core::mem::transmute::<usize, extern "C" fn() -> i32>(code)() };
    equal("it ran", answer, 42);
}

/// As a JIT does it at EL0: clean the data cache and throw away the instruction cache.
fn clean_to_unification(at: usize) {
    // SAFETY: cache maintenance on mapped memory.
    unsafe {
        core::arch::asm!("mrs {1}, ctr_el0", "dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) at, out(reg) _)
    }
}

fn files() {
    let fd = sys::open(c"/memory.tmp", O_RDWR | O_CREAT | O_TRUNC, 0o600) as i32;
    let mut text = [b'.'; PAGE + 100];
    text[..5].copy_from_slice(b"first");
    text[PAGE..PAGE + 6].copy_from_slice(b"second");
    equal("write", sys::write(fd, &text), text.len() as isize);
    let at = sys::mmap(0, 2 * PAGE, RW, PRIVATE, fd, 0) as usize;
    equal("first page", (peek(at), peek(at + 4)), (b'f', b't'));
    equal("second page", peek(at + PAGE), b's');
    equal("past the end of the file, in its page", peek(at + PAGE + 100), 0);
    poke(at, b'F');
    let mut back = [0];
    equal("a private write stays private", (sys::pread(fd, &mut back, 0), back[0]), (1, b'f'));
    equal("and is kept", peek(at), b'F');
    let second = sys::mmap(0, PAGE, 1, PRIVATE, fd, PAGE as i64) as usize;
    equal("by offset", peek(second), b's');
    equal("write from a mapping of the same file", sys::pwrite_raw(fd, second, 6, 0), 6);
    equal("arrived", (sys::pread(fd, &mut back, 0), back[0]), (1, b's'));
    equal("offset off a page", sys::mmap(0, PAGE, 1, PRIVATE, fd, 1), EINVAL);
    equal("of nothing", sys::mmap(0, PAGE, 1, PRIVATE, 77, 0), EBADF);
    let writer = sys::open(c"/memory.tmp", O_WRONLY, 0) as i32;
    equal("of a file not open for reading", sys::mmap(0, PAGE, 1, PRIVATE, writer, 0), EACCES);
    for fd in [fd, writer] {
        sys::close(fd);
    }
    equal("unlink", sys::unlink(c"/memory.tmp"), 0);
    equal("the mapping outlives the file", peek(at + PAGE), b's');
    equal("munmap", sys::munmap(at, 2 * PAGE), 0);
}

fn remapping() {
    let at = map(2 * PAGE, RW);
    poke(at + PAGE, 77);
    let moved = sys::mremap(at, 2 * PAGE, 64 * PAGE, 1, 0);
    holds("mremap", moved > 0);
    let moved = moved as usize;
    equal("its content moved along", peek(moved + PAGE), 77);
    equal("the rest is zero", peek(moved + 63 * PAGE), 0);
    equal("shrink", sys::mremap(moved, 64 * PAGE, PAGE, 0, 0), moved as isize);
    equal("mremap of nothing", sys::mremap(moved + 8 * PAGE, PAGE, 2 * PAGE, 1, 0), EFAULT);
}

/// The stack grows by itself.
fn stack(depth: usize) {
    let room = [depth as u8; 32 * 1024];
    core::hint::black_box(&room);
    if depth > 0 {
        stack(depth - 1);
    }
    equal("the stack is kept", core::hint::black_box(&room)[1000], depth as u8);
}
