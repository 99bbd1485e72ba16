//! A machine with little memory and a busy flusher.

use core::ffi::CStr;

use user::sys::{self, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use crate::model::{PAGE, memory};

const CHUNK: usize = 64 << 10;
/// What is left of the memory that was available.
const LEFT: usize = 6 << 20;
/// How long the other file is: more than is left.
const ELSE: usize = 24 << 20;

/// The memory that is taken, and the file that goes through the rest.
pub struct Squeeze {
    file: i32,
    chunk: &'static mut [u8],
    at: usize,
}

impl Squeeze {
    /// Nothing of it.
    pub fn none() -> Squeeze {
        Squeeze { file: -1, chunk: &mut [], at: 0 }
    }

    /// Takes what is available but for some MiB.
    pub fn new(path: &CStr) -> Squeeze {
        let mut name = [0; 256];
        let bytes = path.to_bytes();
        name[..bytes.len()].copy_from_slice(bytes);
        name[bytes.len()..bytes.len() + 5].copy_from_slice(b".else");
        let name = CStr::from_bytes_until_nul(&name).unwrap_or(c"/else");
        let file = sys::open(name, O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
        let taken = available().saturating_sub(LEFT) / PAGE * PAGE;
        if taken > 0 {
            memory(taken).chunks_mut(PAGE).for_each(|page| page[0] = 1);
        }
        Squeeze { file, chunk: memory(CHUNK), at: 0 }
    }

    /// Some more of the other file, every now and then: written the first time, read the second, and so on.
    pub fn step(&mut self, n: u64) {
        if self.file < 0 || !n.is_multiple_of(4) {
            return;
        }
        let at = (self.at % ELSE) as i64;
        match self.at / ELSE % 2 {
            0 => sys::pwrite(self.file, self.chunk, at),
            _ => sys::pread(self.file, self.chunk, at),
        };
        self.at += CHUNK;
    }
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn available() -> usize {
    let mut text = [0; 4096];
    let fd = sys::open(c"/proc/meminfo", O_RDONLY, 0) as i32;
    let len = sys::read(fd, &mut text).max(0) as usize;
    sys::close(fd);
    let line = text[..len].split(|&b| b == b'\n').find(|line| line.starts_with(b"MemAvailable:"));
    let digits = line.unwrap_or_default().iter().filter(|b| b.is_ascii_digit());
    digits.fold(0, |number, digit| 10 * number + usize::from(digit - b'0')) << 10
}

/// Whatever is dirty is old enough for the flusher, which looks every 10 ms.
pub fn flush_at_once() -> bool {
    [c"/proc/sys/vm/dirty_expire_centisecs", c"/proc/sys/vm/dirty_writeback_centisecs"].iter().all(|path| {
        let fd = sys::open(path, O_WRONLY, 0) as i32;
        let done = sys::write(fd, b"1\n");
        sys::close(fd);
        done == 2
    })
}
