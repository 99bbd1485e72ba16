//! Changes the root file system, which is on a RAM disk, and copies that disk to another: what is in
//! memory alone gets to where a host's tools can look at it.
//! usage: ramcopy RAMDISK DISK, such as /dev/ram0 /dev/vda
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, print, println, program};

program!(main);

/// Bytes that move at once.
const BUFFER: usize = 64 << 10;
/// Of the file that is written first.
const CHUNKS: i64 = 24;

static mut BYTES: [u8; BUFFER] = [0; BUFFER];

fn main(args: Args) -> i32 {
    if args.count() != 3 {
        println!("usage: ramcopy RAMDISK DISK");
        return 2;
    }
    let bytes = &raw mut BYTES;
    // SAFETY: the program has one thread, and this is the only use.
    let bytes = unsafe { &mut *bytes };
    change(bytes);
    equal("sync", sys::sync(), 0);
    copy(args.get(1), args.get(2), bytes);
    user::check::verdict()
}

/// A file of many blocks, one that goes again, and a directory.
fn change(bytes: &mut [u8]) {
    equal("mkdir", sys::mkdir(c"/made", 0o755), 0);
    let file = sys::open(c"/made/numbers", O_RDWR | O_CREAT, 0o644) as i32;
    for chunk in 0..CHUNKS {
        bytes.fill(chunk as u8 + 1);
        equal("pwrite", sys::pwrite(file, bytes, chunk * BUFFER as i64), BUFFER as isize);
    }
    equal("fsync", sys::fsync(file), 0);
    for chunk in 0..CHUNKS {
        equal("pread", sys::pread(file, bytes, chunk * BUFFER as i64), BUFFER as isize);
        holds("what was written", bytes.iter().all(|&byte| byte == chunk as u8 + 1));
    }
    equal("close", sys::close(file), 0);
    let gone = sys::open(c"/made/gone", O_RDWR | O_CREAT, 0o644) as i32;
    equal("write", sys::write(gone, bytes), BUFFER as isize);
    equal("close", sys::close(gone), 0);
    equal("unlink", sys::unlink(c"/made/gone"), 0);
}

/// All of one disk to another.
fn copy(from: &CStr, to: &CStr, bytes: &mut [u8]) {
    let (from, to) = (sys::open(from, O_RDONLY, 0) as i32, sys::open(to, O_WRONLY, 0) as i32);
    holds("both disks open", from >= 0 && to >= 0);
    let mut total = 0;
    loop {
        let n = sys::read(from, bytes);
        if n <= 0 {
            equal("the end of the RAM disk", n, 0);
            break;
        }
        equal("write", sys::write(to, &bytes[..n as usize]), n);
        total += n;
    }
    equal("fsync of the copy", sys::fsync(to), 0);
    print!("copied {total} bytes\n");
}
