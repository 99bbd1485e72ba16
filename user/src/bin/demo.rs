//! The demonstration that `make run` boots: files made, written in three ways, read back, synced.
#![no_std]
#![no_main]

use user::sys::{self, IoVec};
use user::{Args, println, program};

program!(main);

const LINES: [&str; 3] = [
    "write:  the first line went through vfs_write into the page cache\n",
    "pwrite: this one was placed by offset, over what was there before\n",
    "writev: and this one was gathered from two pieces of memory\n",
];

fn main(args: Args) -> i32 {
    println!("{}: pid {}, {} argument(s)", args.text(0), sys::getpid(), args.count());
    for i in 1..args.count() {
        println!("  argument {i}: {}", args.text(i));
    }
    match run() {
        Ok(()) => {
            println!("done: everything is on the disk");
            0
        }
        Err((what, errno)) => {
            println!("{what} failed: error {errno}");
            1
        }
    }
}

type Step = Result<isize, (&'static str, isize)>;

fn step(what: &'static str, result: isize) -> Step {
    if result < 0 { Err((what, -result)) } else { Ok(result) }
}

fn run() -> Result<(), (&'static str, isize)> {
    match sys::mkdir(c"/demo", 0o755) {
        0 | sys::EEXIST => {}
        error => return Err(("mkdir /demo", -error)),
    }
    letter()?;
    numbers()?;
    step(
        "symlink",
        sys::symlinkat(c"letter.txt".as_ptr() as usize, sys::AT_FDCWD, c"/demo/link".as_ptr() as usize),
    )
    .or_else(|e| if -e.1 == sys::EEXIST { Ok(0) } else { Err(e) })?;
    sys::sync();
    Ok(())
}

/// Three lines by three calls, read back and compared.
fn letter() -> Result<(), (&'static str, isize)> {
    let flags = sys::O_RDWR | sys::O_CREAT | sys::O_TRUNC;
    let fd = step("open letter.txt", sys::open(c"/demo/letter.txt", flags, 0o644))? as i32;
    step("write", sys::write(fd, LINES[0].as_bytes()))?;
    let at = LINES[0].len() as i64;
    step("pwrite", sys::pwrite(fd, &[b'.'; 200], at))?;
    step("pwrite", sys::pwrite(fd, LINES[1].as_bytes(), at))?;
    let end = at + LINES[1].len() as i64;
    step("lseek", sys::lseek(fd, end, 0))?;
    let (head, tail) = LINES[2].as_bytes().split_at(20);
    let pieces = [IoVec::of(head), IoVec::of(tail)];
    step("writev", sys::writev(fd, pieces.as_ptr() as usize, pieces.len()))?;
    step("ftruncate", sys::ftruncate(fd, end + LINES[2].len() as i64))?;
    step("fsync", sys::fsync(fd))?;

    let mut back = [0u8; 512];
    let n = step("pread", sys::pread(fd, &mut back, 0))? as usize;
    let mut at = 0;
    for line in LINES {
        if back.get(at..at + line.len()) != Some(line.as_bytes()) {
            return Err(("comparing what was read", 0));
        }
        at += line.len();
    }
    println!("/demo/letter.txt: {n} bytes written, synced, read back and compared");
    step("close", sys::close(fd)).map(|_| ())
}

/// A file of one MiB, large enough to be several requests.
fn numbers() -> Result<(), (&'static str, isize)> {
    let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_TRUNC;
    let fd = step("open numbers.bin", sys::open(c"/demo/numbers.bin", flags, 0o600))? as i32;
    let mut page = [0u8; 4096];
    for i in 0..256u32 {
        page.fill(i as u8);
        step("write", sys::write(fd, &page))?;
    }
    step("fdatasync", sys::fdatasync(fd))?;
    println!("/demo/numbers.bin: 256 pages written and synced");
    step("close", sys::close(fd)).map(|_| ())
}
