//! Replaces a file as careful programs do, and ends as in a crash: a new file is written and fsynced, renamed over the
//! old one, and the directory is fsynced.
//!
//! `replaces COUNT`: `/d/kept` is replaced so often, of 3000 letters each; another file is cut and one goes. Prints what
//! the disk wrote meanwhile and `/proc/fs/ext4/vda/fc_info`; then the file system is shut down without its journal
//! (EXT4_IOC_SHUTDOWN, NOLOGFLUSH), so that the disk has what was acknowledged and no more.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::sys;
use user::{Args, print, println, program};

program!(main);

/// `_IOR('X', 125, __u32)`, and what leaves the log as it is.
const EXT4_IOC_SHUTDOWN: usize = 0x8004_587d;
const NOLOGFLUSH: u32 = 2;
const WRITE: i32 = sys::O_WRONLY | sys::O_CREAT | sys::O_TRUNC;

fn main(args: Args) -> i32 {
    let count = args.text(1).parse().unwrap_or(20u8);
    let dir = sys::open(c"/d", sys::O_RDONLY | sys::O_DIRECTORY, 0) as i32;
    let durable = |done: bool| done && sys::fsync(dir) == 0;
    let made = written(c"/d/long", b'l') && written(c"/d/gone", b'g') && durable(true);
    let before = writes();
    let replaced = (0..count).all(|n| {
        let fresh = written(c"/d/temp", b'a' + n % 26);
        durable(fresh && sys::rename(c"/d/temp", c"/d/kept") == 0)
    });
    let after = writes();
    let cut = sys::open(c"/d/long", sys::O_WRONLY, 0) as i32;
    let less = sys::ftruncate(cut, 1000) == 0 && sys::unlink(c"/d/gone") == 0 && sys::fsync(cut) == 0;
    // In nothing that was acknowledged.
    let lost = sys::open(c"/d/lost", WRITE, 0o644) >= 0;
    if !(made && replaced && less && lost) {
        println!("failed: {made} {replaced} {less} {lost}");
        return 1;
    }
    println!("writes {}", after.saturating_sub(before));
    show(c"/proc/fs/ext4/vda/fc_info");
    let how = NOLOGFLUSH;
    let down = sys::ioctl(dir, EXT4_IOC_SHUTDOWN, (&raw const how).addr());
    println!("shutdown {down}");
    0
}

/// A new file with 3000 of a letter, durable.
fn written(path: &CStr, letter: u8) -> bool {
    let fd = sys::open(path, WRITE, 0o644) as i32;
    let done = sys::write(fd, &[letter; 3000]) == 3000 && sys::fsync(fd) == 0;
    sys::close(fd);
    done
}

/// Requests that wrote, by /sys/block/vda/stat.
fn writes() -> u64 {
    let mut bytes = [0; 512];
    let text = text_of(c"/sys/block/vda/stat", &mut bytes);
    text.split_ascii_whitespace().nth(4).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn show(path: &CStr) {
    let mut bytes = [0; 1024];
    print!("{}", text_of(path, &mut bytes));
}

fn text_of<'a>(path: &CStr, bytes: &'a mut [u8]) -> &'a str {
    let fd = sys::open(path, sys::O_RDONLY, 0) as i32;
    let len = usize::try_from(sys::read(fd, bytes)).unwrap_or(0);
    sys::close(fd);
    core::str::from_utf8(&bytes[..len]).unwrap_or("")
}
