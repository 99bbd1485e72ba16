//! What the hot paths cost, in ticks of the virtual counter per call. Under QEMU's
//! `-icount shift=0,sleep=off` a nanosecond is one guest instruction, so the figures are exact
//! counts. The same program runs under Linux for the comparison.
#![no_std]
#![no_main]

use core::arch::asm;

use user::sys;
use user::{Args, println, program};

program!(main);

/// Calls of each kind, unless a third argument says how many.
const ROUNDS: u64 = 20_000;

fn main(args: Args) -> i32 {
    let path = if args.count() > 1 { args.get(1) } else { c"/bench.tmp" };
    let fd = sys::open(path, sys::O_RDWR | sys::O_CREAT | sys::O_TRUNC, 0o644) as i32;
    let rounds = args.text(2).parse().unwrap_or(ROUNDS);
    let report = |what: &str, call: &mut dyn FnMut() -> isize| measure(rounds, what, call);
    let mut page = [1u8; 4096];
    if fd < 0 || sys::write(fd, &page) != 4096 {
        println!("cannot write {path:?}");
        return 1;
    }
    report("null syscall (getppid)", &mut || sys::getppid());
    report("pwrite 1 byte, cached page", &mut || sys::pwrite(fd, &page[..1], 100));
    report("pwrite 4 KiB, cached page", &mut || sys::pwrite(fd, &page, 0));
    report("pread 1 byte, cached page", &mut || {
        let mut byte = [0];
        sys::pread(fd, &mut byte, 100)
    });
    report("pread 4 KiB, cached page", &mut || sys::pread(fd, &mut page, 0));
    report("fstat", &mut || {
        let mut stat = [0u8; 128];
        sys::fstat(fd, stat.as_mut_ptr() as usize)
    });
    report("stat", &mut || {
        let mut stat = [0u8; 128];
        sys::newfstatat(sys::AT_FDCWD, path.as_ptr() as usize, stat.as_mut_ptr() as usize, 0)
    });
    sys::close(fd);
    sys::unlink(path);
    0
}

/// Instructions (under icount) or nanoseconds per call.
fn measure(rounds: u64, what: &str, call: &mut dyn FnMut() -> isize) {
    for _ in 0..rounds.min(100) {
        call();
    }
    let begin = counter();
    let mut failed = 0;
    for _ in 0..rounds {
        failed += u64::from(call() < 0);
    }
    let ticks = counter() - begin;
    let ns = ticks * 1_000_000_000 / frequency();
    println!("{what}: {} per call, {failed} failed", ns / rounds.max(1));
}

fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter that EL0 may read.
    unsafe { asm!("isb", "mrs {0}, cntvct_el0", out(reg) ticks) };
    ticks
}

fn frequency() -> u64 {
    let hz: u64;
    // SAFETY: as above.
    unsafe { asm!("mrs {0}, cntfrq_el0", out(reg) hz) };
    hz
}
