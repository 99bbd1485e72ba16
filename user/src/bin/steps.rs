//! Does what its arguments say, step by step, and prints what each step answered: for tests that want
//! one call to fail, or a disk to be set up in a certain way.
//!
//! ```text
//!   set FILE TEXT       writes TEXT, a space for each _      get FILE        prints its first line
//!   open FILE FLAGS     r w for reading, writing; d O_DIRECT, s O_SYNC, c O_CREAT; the file of what follows
//!   write OFFSET LEN BYTE      read OFFSET LEN (prints the first byte too)
//!   fsync               discard OFFSET LEN                   zero OFFSET LEN
//!   size                of the block device                  grown SIZE      waits until it is at least that
//!   map                 FIEMAP: prints of each extent its first block of 1 KiB, how many, and its flags
//! ```
//! Example: `steps open /dev/vdb rwd write 0 4096 7 fsync read 0 4096` prints
//! `open: 3`, `write: 4096`, `fsync: 0`, `read: 4096 [7]`; a failed step prints `error` and the errno.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::sys;
use user::{Args, print, println, program};

program!(main);

const BUFFER: usize = 1 << 20;
/// Looks at something that takes its time, 20 ms apart.
const PATIENCE: u32 = 1500;
const BLKGETSIZE64: usize = 0x8008_1272;
const BLKDISCARD: usize = 0x1277;
const BLKZEROOUT: usize = 0x127f;
const FIEMAP: usize = 0xc020_660b;
/// FIEMAP_EXTENT_LAST.
const LAST: u64 = 1;
/// So many extents are asked for.
const EXTENTS: usize = 32;

/// The arguments that are left, and what is open.
struct Steps<'a> {
    args: &'a Args,
    next: usize,
    fd: i32,
    buffer: &'a mut [u8],
}

fn main(args: Args) -> i32 {
    let buffer = sys::mmap(0, BUFFER, 3, 0x22, -1, 0);
    if buffer < 0 {
        println!("no memory: {buffer}");
        return 1;
    }
    // SAFETY: a fresh mapping of that size that nothing else knows.
    let buffer = unsafe { core::slice::from_raw_parts_mut(buffer as *mut u8, BUFFER) };
    let mut steps = Steps { args: &args, next: 1, fd: -1, buffer };
    while steps.next < args.count() {
        let name = args.text(steps.next);
        steps.next += 1;
        match steps.step(name) {
            Some(answer) if answer < 0 => println!("{name}: error {}", -answer),
            Some(answer) if name == "read" => println!("{name}: {answer} [{}]", steps.buffer[0]),
            Some(answer) => println!("{name}: {answer}"),
            None => {
                println!("{name}: what is that?");
                return 2;
            }
        }
    }
    0
}

impl Steps<'_> {
    fn step(&mut self, name: &str) -> Option<isize> {
        Some(match name {
            "set" => self.set(),
            "get" => self.get(),
            "open" => {
                let (path, flags) = (self.path(), flags(self.text()));
                let fd = sys::open(path, flags, 0o644);
                self.fd = fd as i32;
                fd
            }
            "write" => {
                let (offset, len, byte) = (self.number(), self.number(), self.number());
                let bytes = &mut self.buffer[..len.min(BUFFER)];
                bytes.fill(byte as u8);
                sys::pwrite(self.fd, bytes, offset as i64)
            }
            "read" => {
                let (offset, len) = (self.number(), self.number());
                sys::pread(self.fd, &mut self.buffer[..len.min(BUFFER)], offset as i64)
            }
            "fsync" => sys::fsync(self.fd),
            "discard" => self.range(BLKDISCARD),
            "zero" => self.range(BLKZEROOUT),
            "size" => self.size(),
            "map" => self.map(),
            "grown" => {
                let wanted = self.number() as isize;
                (0..PATIENCE).find(|_| self.size() >= wanted || pause()).map_or(-110, |_| self.size())
            }
            _ => return None,
        })
    }

    fn size(&self) -> isize {
        let mut size = 0u64;
        match sys::ioctl(self.fd, BLKGETSIZE64, &raw mut size as usize) {
            0 => size as isize,
            error => error,
        }
    }

    /// Neighbours of one kind are one: how many extents they are is not said.
    fn map(&mut self) -> isize {
        let mut map = [0u64; 4 + 7 * EXTENTS];
        map[..4].copy_from_slice(&[0, u64::MAX, 0, EXTENTS as u64]);
        let answer = sys::ioctl(self.fd, FIEMAP, map.as_mut_ptr() as usize);
        let mapped = (map[2] >> 32) as usize;
        let mut extents =
            map[4..].chunks_exact(7).take(mapped).map(|e| (e[0] / 1024, e[2] / 1024, e[5])).peekable();
        while let Some((first, mut len, mut told)) = extents.next() {
            while let Some(next) = extents.next_if(|next| next.0 == first + len && next.2 & !LAST == told) {
                (len, told) = (len + next.1, next.2);
            }
            print!("{first}+{len}:{told:x} ");
        }
        answer
    }

    fn set(&mut self) -> isize {
        let fd = sys::open(self.path(), sys::O_WRONLY, 0);
        let text = self.text();
        if fd < 0 {
            return fd;
        }
        let bytes = &mut self.buffer[..text.len().min(BUFFER)];
        bytes
            .iter_mut()
            .zip(text.bytes())
            .for_each(|(to, byte)| *to = if byte == b'_' { b' ' } else { byte });
        let answer = sys::write(fd as i32, bytes);
        sys::close(fd as i32);
        answer
    }

    fn get(&mut self) -> isize {
        let fd = sys::open(self.path(), sys::O_RDONLY, 0);
        if fd < 0 {
            return fd;
        }
        let answer = sys::read(fd as i32, self.buffer);
        sys::close(fd as i32);
        let text = &self.buffer[..answer.max(0) as usize];
        let line = text.split(|&b| b == b'\n').next().unwrap_or(&[]);
        print!("{} ", core::str::from_utf8(line).unwrap_or("?"));
        answer
    }

    fn range(&mut self, request: usize) -> isize {
        let range = [self.number() as u64, self.number() as u64];
        sys::ioctl(self.fd, request, range.as_ptr() as usize)
    }

    fn path(&mut self) -> &'static CStr {
        self.next += 1;
        self.args.get(self.next - 1)
    }

    fn text(&mut self) -> &'static str {
        self.path().to_str().unwrap_or("")
    }

    fn number(&mut self) -> usize {
        self.text().parse().unwrap_or(0)
    }
}

/// Sleeps a little; false, for the use in a search.
fn pause() -> bool {
    let time = [0u64, 20_000_000];
    sys::nanosleep(time.as_ptr() as usize, 0);
    false
}

fn flags(text: &str) -> i32 {
    let has = |letter| text.contains(letter);
    let access = match (has('r'), has('w')) {
        (true, true) => sys::O_RDWR,
        (_, true) => sys::O_WRONLY,
        _ => sys::O_RDONLY,
    };
    let flag = |letter, value| if has(letter) { value } else { 0 };
    access | flag('d', sys::O_DIRECT) | flag('s', sys::O_SYNC) | flag('c', sys::O_CREAT)
}
