//! What `make trace` runs: 8 KiB written to a fresh file and made durable, and nothing else.
#![no_std]
#![no_main]

use user::{Args, program, sys};

program!(main);

fn main(_args: Args) -> i32 {
    // On the stack: nothing of the program must be read from the disk in the middle of the write.
    let bytes = core::hint::black_box([b'q'; 8192]);
    let fd = sys::open(c"/file", sys::O_WRONLY | sys::O_CREAT | sys::O_TRUNC, 0o644) as i32;
    let written = sys::pwrite(fd, &bytes, 0);
    let synced = sys::fsync(fd);
    i32::from(fd < 0 || written != 8192 || synced != 0)
}
