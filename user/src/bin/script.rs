//! Does the steps of a file, one system call or nearly each, and marks on another disk when each began
//! and how it ended: for tests that cut the power in between.
//!
//! ```text
//! script FILE PREFIX MARKS      PREFIX goes before each path; MARKS is a block device, or -
//! ```
//! A mark is a sector, written past all caches to sector 0 of the device: `QMRK`, the number of the step
//! (u32), 0 for its begin or 1 for its end (u32), what the system call returned (i64). The verbs are those
//! of `kernel/sim/src/crash/booted.rs`, which writes the file; what is written into files are the cells of
//! `pattern.rs` there.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::sys;
use user::{Args, println, program};

program!(main);

const BUFFER: usize = 1 << 20;
const CELL: usize = 16;

#[repr(align(4096))]
struct Sector([u8; 512]);

struct Script<'a> {
    prefix: &'a str,
    /// The device of marks; negative for none.
    marks: i32,
    buffer: &'a mut [u8],
    /// The file that is held open.
    held: i32,
}

/// A path with the prefix, as the kernel wants it.
struct PathName([u8; 4096]);

impl PathName {
    fn of(prefix: &str, path: &str) -> PathName {
        let mut name = PathName([0; 4096]);
        let bytes = prefix.bytes().chain(path.bytes());
        name.0[..4095].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        name
    }

    fn c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }

    fn word(&self) -> usize {
        self.0.as_ptr() as usize
    }
}

fn map(len: usize) -> Option<&'static mut [u8]> {
    let at = sys::mmap(0, len, 3, 0x22, -1, 0);
    // SAFETY: a fresh mapping of that size that nothing else knows.
    (at > 0).then(|| unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) })
}

fn main(args: Args) -> i32 {
    let (Some(text), Some(buffer)) = (map(BUFFER), map(BUFFER)) else { return 3 };
    let fd = sys::open(args.get(1), sys::O_RDONLY, 0) as i32;
    let len = sys::read(fd, text);
    let marks = match args.text(3) {
        "-" => -1,
        _ => sys::open(args.get(3), sys::O_WRONLY | sys::O_DIRECT, 0) as i32,
    };
    if len < 0 || (marks < 0 && args.text(3) != "-") {
        println!("script: {len}, marks: {marks}");
        return 3;
    }
    let text = core::str::from_utf8(&text[..len as usize]).unwrap_or("");
    let mut script = Script { prefix: args.text(2), marks, buffer, held: -1 };
    for (number, line) in (1..).zip(text.lines()) {
        script.mark(number, 0, 0);
        let answer = script.step(line);
        script.mark(number, 1, answer);
    }
    println!("done");
    0
}

impl Script<'_> {
    fn mark(&self, number: u32, phase: u32, answer: isize) {
        if self.marks < 0 {
            return;
        }
        let mut sector = Sector([0; 512]);
        sector.0[..4].copy_from_slice(b"QMRK");
        sector.0[4..8].copy_from_slice(&number.to_le_bytes());
        sector.0[8..12].copy_from_slice(&phase.to_le_bytes());
        sector.0[12..20].copy_from_slice(&(answer as i64).to_le_bytes());
        let done = sys::pwrite(self.marks, &sector.0, 0);
        if done != 512 {
            println!("a mark: {done}");
            sys::exit(4);
        }
    }

    fn step(&mut self, line: &str) -> isize {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or("");
        let arguments = [words.next(), words.next(), words.next(), words.next(), words.next(), words.next()];
        let word = |i: usize| arguments[i].unwrap_or("");
        let number = |i: usize| word(i).parse::<i64>().unwrap_or(0);
        let path = |i: usize| PathName::of(self.prefix, word(i));
        let with = |flags: i32, f: &mut dyn FnMut(i32) -> isize| {
            let fd = sys::open(path(0).c(), flags, 0);
            if fd < 0 {
                return fd;
            }
            let answer = f(fd as i32);
            sys::close(fd as i32);
            answer
        };
        match verb {
            "create" => {
                let fd = sys::open(path(0).c(), sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL, 0o644);
                if fd < 0 { fd } else { sys::close(fd as i32) }
            }
            // PATH POS LEN FLAGS FILE STAMP
            "write" => {
                let fd = sys::open(path(0).c(), sys::O_WRONLY | number(3) as i32, 0) as i32;
                let (pos, len, file, stamp) = (number(1), number(2), number(4), number(5));
                let answer = if fd < 0 { fd as isize } else { self.write(fd, pos, len, file, stamp) };
                sys::close(fd);
                answer
            }
            // PATH POS LEN MSYNC FILE STAMP
            "store" => with(sys::O_RDWR, &mut |fd| {
                store(fd, [number(1), number(2)].map(|n| n as usize), number(3) != 0, number(4), number(5))
            }),
            // POS LEN FILE STAMP
            "writeheld" => self.write(self.held, number(0), number(1), number(2), number(3)),
            "truncate" => sys::truncate(path(0).word(), number(1)),
            "fallocate" => {
                with(sys::O_RDWR, &mut |fd| sys::fallocate(fd, number(1) as i32, number(2), number(3)))
            }
            "fsync" => with(sys::O_RDONLY, &mut sys::fsync),
            "fdatasync" => with(sys::O_RDONLY, &mut sys::fdatasync),
            "sync" => sys::sync(),
            "pass" => 0,
            "mkdir" => sys::mkdir(path(0).c(), 0o755),
            "rmdir" => sys::rmdir(path(0).c()),
            "unlink" => sys::unlink(path(0).c()),
            "rename" => sys::rename(path(0).c(), path(1).c()),
            "exchange" => sys::renameat2(sys::AT_FDCWD, path(0).word(), sys::AT_FDCWD, path(1).word(), 2),
            "link" => sys::linkat(sys::AT_FDCWD, path(0).word(), sys::AT_FDCWD, path(1).word(), 0),
            "symlink" => sys::symlinkat(PathName::of("", word(0)).word(), sys::AT_FDCWD, path(1).word()),
            // PATH NAME LEN
            "setxattr" => {
                let len = number(2).clamp(0, 4096) as usize;
                fill(&mut self.buffer[..len], 0xffff, len as u32, 0);
                let value = self.buffer.as_ptr() as usize;
                sys::setxattr(path(0).c(), PathName::of("", word(1)).c(), value, len, 0)
            }
            "removexattr" => sys::removexattr(path(0).c(), PathName::of("", word(1)).c()),
            "chmod" => sys::fchmodat(sys::AT_FDCWD, path(0).word(), number(1) as u32),
            "hold" => {
                let fd = sys::open(path(0).c(), sys::O_RDWR, 0);
                if fd >= 0 {
                    sys::close(self.held);
                    self.held = fd as i32;
                }
                fd.min(0)
            }
            "fsyncheld" => sys::fsync(self.held),
            "letgo" => {
                sys::close(self.held);
                self.held = -1;
                0
            }
            _ => sys::ENOSYS,
        }
    }

    /// The bytes of a file's own pattern; how many were taken.
    fn write(&mut self, fd: i32, pos: i64, len: i64, file: i64, stamp: i64) -> isize {
        let len = len.clamp(0, BUFFER as i64) as usize;
        fill(&mut self.buffer[..len], file as u16, stamp as u32, pos as usize);
        let mut done = 0;
        while done < len {
            match sys::pwrite(fd, &self.buffer[done..len], pos + done as i64) {
                error if error <= 0 && done == 0 => return error,
                error if error <= 0 => break,
                n => done += n as usize,
            }
        }
        done as isize
    }
}

/// Stores a file's own pattern to a shared mapping of it, and syncs that.
fn store(fd: i32, [pos, len]: [usize; 2], synced: bool, file: i64, stamp: i64) -> isize {
    const PAGE: usize = 4096;
    let skip = pos % PAGE;
    let at = sys::mmap(0, skip + len, 3, 1, fd, (pos - skip) as i64);
    if at < 0 {
        return at;
    }
    // SAFETY: a mapping of that size that nothing else knows.
    let bytes = unsafe { core::slice::from_raw_parts_mut(at as *mut u8, skip + len) };
    fill(&mut bytes[skip..], file as u16, stamp as u32, pos);
    let answer = if synced { sys::msync(at as usize, skip + len, 4) } else { 0 };
    sys::munmap(at as usize, skip + len);
    if answer < 0 { answer } else { len as isize }
}

/// `pattern::fill` of the laboratory.
fn fill(bytes: &mut [u8], file: u16, stamp: u32, pos: usize) {
    let (mut number, mut skip, mut done) = (pos / CELL, pos % CELL, 0);
    while done < bytes.len() {
        let cell = cell(file, stamp, number as u16);
        let part = &cell[skip..(skip + bytes.len() - done).min(CELL)];
        bytes[done..done + part.len()].copy_from_slice(part);
        (done, skip, number) = (done + part.len(), 0, number + 1);
    }
}

fn cell(file: u16, stamp: u32, number: u16) -> [u8; CELL] {
    let mut cell = [0; CELL];
    cell[..2].copy_from_slice(b"Qf");
    cell[2..4].copy_from_slice(&file.to_le_bytes());
    cell[4..8].copy_from_slice(&stamp.to_le_bytes());
    cell[8..10].copy_from_slice(&number.to_le_bytes());
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in &cell[..10] {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    cell[10..].copy_from_slice(&(hash ^ (hash >> 31)).to_le_bytes()[..6]);
    cell
}
