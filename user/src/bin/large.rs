//! Large files and full disks.
//!
//! ```text
//! large file PATH MIB STEP      64 KiB at every STEP KiB of MIB MiB (64: no holes), synced and read back
//! large fill DIR ROUNDS         fills the disk with files to its last block, reads them, and removes them
//! large full DIR 1              the same, once, and leaves them there
//! ```
//! Every page says where it belongs, so that one in a wrong place is seen.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, println, program};

program!(main);

/// Bytes in a call.
const CHUNK: usize = 64 << 10;
const PAGE: usize = 4096;
/// Bytes in each of the files that fill the disk.
const FILE: i64 = 3 << 20;
/// Files that are made at most.
const MOST: usize = 1000;

fn main(args: Args) -> i32 {
    let number = |at: usize| args.text(at).parse::<i64>().unwrap_or(0);
    match args.text(1) {
        "file" if number(3) > 0 && number(4) >= 64 => file(args.get(2), number(3) << 20, number(4) << 10),
        verb @ ("fill" | "full") if number(3) > 0 => {
            for round in 0..number(3) {
                fill(args.get(2), round, verb == "full");
            }
        }
        _ => {
            println!("usage: large file PATH MIB STEP | large fill DIR ROUNDS | large full DIR 1");
            return 2;
        }
    }
    user::check::verdict()
}

/// One call's bytes, each page of which says whose it is.
struct Chunk([u8; CHUNK]);

impl Chunk {
    fn mark(&mut self, file: i64, pos: i64) {
        for (page, at) in self.0.chunks_exact_mut(PAGE).zip((pos..).step_by(PAGE)) {
            page[..8].copy_from_slice(&at.to_le_bytes());
            page[PAGE - 8..].copy_from_slice(&(file ^ at << 20).to_le_bytes());
        }
    }

    /// Whether the first `len` bytes are those of that place; whole pages of them are looked at.
    fn is_marked(&self, len: usize, file: i64, pos: i64) -> bool {
        self.0[..len].chunks_exact(PAGE).zip((pos..).step_by(PAGE)).all(|(page, at)| {
            page[..8] == at.to_le_bytes() && page[PAGE - 8..] == (file ^ at << 20).to_le_bytes()
        })
    }
}

fn file(path: &CStr, size: i64, step: i64) {
    let fd = sys::open(path, O_RDWR | O_CREAT | O_EXCL, 0o644) as i32;
    holds("the file is made", fd >= 0);
    let mut chunk = Chunk([3; CHUNK]);
    let places = || (0..size).step_by(step as usize);
    for pos in places() {
        chunk.mark(1, pos);
        equal("write", sys::pwrite(fd, &chunk.0, pos), CHUNK as isize);
    }
    equal("fsync", sys::fsync(fd), 0);
    for pos in places() {
        equal("read", sys::pread(fd, &mut chunk.0, pos), CHUNK as isize);
        holds("what was written is read", chunk.is_marked(CHUNK, 1, pos));
    }
    let end = sys::lseek(fd, 0, 2) as i64;
    equal("the size", end, places().last().unwrap_or(0) + CHUNK as i64);
    if step > CHUNK as i64 {
        equal("a hole is read", sys::pread(fd, &mut chunk.0, CHUNK as i64), CHUNK as isize);
        holds("as zeros", chunk.0.iter().all(|&byte| byte == 0));
    }
    equal("close", sys::close(fd), 0);
}

/// `f` and four digits.
fn name(mut number: usize) -> [u8; 6] {
    let mut name = *b"f0000\0";
    for digit in name[1..5].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    name
}

fn path(name: &[u8; 6]) -> &CStr {
    CStr::from_bytes_until_nul(name).unwrap_or(c"")
}

/// Blocks that nobody has, and how many of them programs may have.
fn free() -> (u64, u64) {
    let mut statfs = [0u64; 16];
    equal("statfs", sys::statfs(c".".as_ptr() as usize, statfs.as_mut_ptr() as usize), 0);
    (statfs[3], statfs[4])
}

fn fill(dir: &CStr, round: i64, stay: bool) {
    equal("chdir", sys::chdir(c"/".as_ptr() as usize), 0);
    let before = free();
    equal("mkdir", sys::mkdir(dir, 0o755), 0);
    equal("chdir", sys::chdir(dir.as_ptr() as usize), 0);
    let mut chunk = Chunk([5; CHUNK]);
    let mut files = 0;
    while files < MOST && write(&mut chunk, files, round) == FILE {
        files += 1;
    }
    // The one that did not become whole.
    let files = files + 1;
    last_block(files - 1);
    equal("nothing is left for programs", free().1, 0);
    equal("sync", sys::sync(), 0);
    println!("round {round}: {files} files, {} blocks free of {}", free().0, before.0);
    for i in 0..files {
        read(&mut chunk, i, round);
    }
    if stay {
        return;
    }
    for i in 0..files {
        equal("unlink", sys::unlink(path(&name(i))), 0);
    }
    equal("chdir", sys::chdir(c"/".as_ptr() as usize), 0);
    equal("rmdir", sys::rmdir(dir), 0);
    equal("free as before", free(), before);
}

/// Makes a file; its size when it is whole or the disk full.
fn write(chunk: &mut Chunk, i: usize, round: i64) -> i64 {
    let fd = sys::open(path(&name(i)), O_WRONLY | O_CREAT | O_EXCL, 0o644) as i32;
    holds("a file is made", fd >= 0);
    let mut pos = 0;
    while pos < FILE {
        chunk.mark(i as i64 + round, pos);
        let done = sys::write(fd, &chunk.0);
        if done <= 0 {
            equal("the disk is full", done, ENOSPC);
            break;
        }
        pos += done as i64;
    }
    equal("close", sys::close(fd), 0);
    pos
}

/// On a full disk: a block given back can be taken again, and no more than that. Where blocks come later than
/// the bytes, the trees have grown since, and some more has to be given back first.
fn last_block(i: usize) {
    let page = [0u8; PAGE];
    let fd = sys::open(path(&name(i)), O_RDWR, 0) as i32;
    let size = sys::lseek(fd, 0, 2) as i64;
    equal("nothing goes behind the end", sys::pwrite(fd, &page, size), ENOSPC);
    let other = sys::open(path(&name(0)), O_RDWR, 0) as i32;
    let mut last = [0u8; PAGE];
    let (mut at, mut taken) = (FILE, ENOSPC);
    while taken == ENOSPC && at > FILE - 8 * PAGE as i64 {
        at -= PAGE as i64;
        equal("the last page of another", sys::pread(other, &mut last, at), PAGE as isize);
        equal("is given back", sys::ftruncate(other, at), 0);
        taken = sys::pwrite(other, &last, at);
    }
    equal("and taken again", taken, PAGE as isize);
    // A node of a tree may have come free with what was given back; not many.
    let more = (0..8).take_while(|n| sys::pwrite(fd, &page, size + n * PAGE as i64) == PAGE as isize).count();
    equal("hardly more than that", (more < 8) as isize, 1);
    equal("what it took is given back", sys::ftruncate(fd, size), 0);
    equal("close", sys::close(other), 0);
    equal("close", sys::close(fd), 0);
}

fn read(chunk: &mut Chunk, i: usize, round: i64) {
    let fd = sys::open(path(&name(i)), O_RDONLY, 0) as i32;
    let mut pos = 0;
    loop {
        let got = sys::pread(fd, &mut chunk.0, pos);
        if got <= 0 {
            equal("the end of a file", got, 0);
            break;
        }
        holds("what was written is read", chunk.is_marked(got as usize, i as i64 + round, pos));
        pos += got as i64;
    }
    equal("close", sys::close(fd), 0);
}
