//! Waits to be ended, or ends the machine: for tests of the power key and of reboot(2).
//!
//! ```text
//!   power catch FILE    writes FILE, says "ready", sleeps; at SIGTERM writes FILE.bye and exits with 7
//!   power spin FILE     the same, but busy, and SIGTERM does what it does by default
//!   power read FILE     the same, waiting for input that does not come
//!   power deaf FILE     sleeps, SIGTERM blocked
//!   power flood FILE    says "ready" for ever
//!   power reboot FILE COMMAND    writes FILE, checks reboot's errors, then does COMMAND (hexadecimal)
//! ```
//! What it writes it does not sync: that is the kernel's business at the end.
#![no_std]
#![no_main]

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use user::check::{equal, verdict};
use user::sys::{self, EFAULT, EINVAL, EPERM};
use user::{Args, println, program};

program!(main);

const SIGTERM: i32 = 15;
const SIG_BLOCK: i32 = 0;
const MAGIC1: u32 = 0xfee1_dead;
const MAGIC2: u32 = 672_274_793;
const CAD_OFF: u32 = 0;
const CAD_ON: u32 = 0x89ab_cdef;
const RESTART2: u32 = 0xa1b2_c3d4;

static TERMINATED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_term(_: i32) {
    TERMINATED.store(true, Ordering::Relaxed);
}

fn main(args: Args) -> i32 {
    write_file(args.get(2));
    match args.text(1) {
        "catch" => catch(),
        "spin" => spin(),
        "read" => read(),
        "deaf" => deaf(),
        "flood" => flood(),
        "reboot" => reboot(u32::from_str_radix(args.text(3), 16).unwrap_or(1)),
        _ => 2,
    }
}

/// 300,000 bytes of the same letter.
fn write_file(path: &CStr) {
    let fd = sys::open(path, sys::O_CREAT | sys::O_WRONLY | sys::O_TRUNC, 0o644) as i32;
    for _ in 0..300 {
        equal("write", sys::write(fd, &[b'x'; 1000]), 1000);
    }
    equal("close", sys::close(fd), 0);
}

fn catch() -> i32 {
    let action = [on_term as *const () as usize, 0, 0, 0];
    equal("sigaction", sys::rt_sigaction(SIGTERM, action.as_ptr() as usize, 0, 8), 0);
    println!("ready");
    // In naps: the signal may come before the sleep, and would not end that.
    while !TERMINATED.load(Ordering::Relaxed) {
        sleep(1);
    }
    equal("the handler ran", TERMINATED.load(Ordering::Relaxed), true);
    write_file(c"/bye");
    println!("bye");
    if verdict() == 0 { 7 } else { 1 }
}

/// So many seconds, or until a handler has run.
fn sleep(seconds: i64) {
    let time = [seconds, 0];
    sys::nanosleep(time.as_ptr() as usize, 0);
}

fn spin() -> i32 {
    println!("ready");
    while !TERMINATED.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
    1
}

fn read() -> i32 {
    println!("ready");
    println!("read: {}", sys::read(0, &mut [0; 100]));
    1
}

fn deaf() -> i32 {
    let set = 1u64 << (SIGTERM - 1);
    equal("sigprocmask", sys::rt_sigprocmask(SIG_BLOCK, &raw const set as usize, 0, 8), 0);
    println!("ready");
    loop {
        sleep(600);
    }
}

fn flood() -> i32 {
    loop {
        println!("ready");
    }
}

fn reboot(command: u32) -> i32 {
    let bad = 8;
    equal("first magic", sys::reboot(1, MAGIC2, command, 0), EINVAL);
    equal("second magic", sys::reboot(MAGIC1, 1, command, 0), EINVAL);
    equal("no such command", sys::reboot(MAGIC1, MAGIC2, 5, 0), EINVAL);
    equal("an unreadable word", sys::reboot(MAGIC1, MAGIC2, RESTART2, bad), EFAULT);
    for magic in [0x0512_1996, 0x1604_1998, 0x2011_2000, MAGIC2] {
        equal("Ctrl-Alt-Del off", sys::reboot(MAGIC1, magic, CAD_OFF, 0), 0);
    }
    equal("Ctrl-Alt-Del on", sys::reboot(MAGIC1, MAGIC2, CAD_ON, 0), 0);
    equal("seteuid", sys::setresuid(0, 1000, 0), 0);
    equal("not root", sys::reboot(1, MAGIC2, 5, 0), EPERM);
    equal("seteuid back", sys::setresuid(0, 0, 0), 0);
    if verdict() != 0 {
        return 1;
    }
    equal("reboot", sys::reboot(MAGIC1, MAGIC2, command, c"word".as_ptr() as usize), 0);
    println!("still there");
    1
}
