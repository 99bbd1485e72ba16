//! The file, its copy in memory, and what was done to both.

use core::ffi::CStr;

use user::sys::{self, O_CREAT, O_DIRECT, O_RDWR, O_TRUNC};

use crate::trouble::{History, Step, Trouble};

pub const PAGE: usize = 4096;
/// The largest the file becomes.
pub const MOST: usize = 256 << 10;
/// Most bytes in one operation.
pub const PART: usize = 64 << 10;
/// PROT_READ | PROT_WRITE.
pub const RW: i32 = 3;
const PRIVATE_ANON: i32 = 0x22;

/// A run of operations.
pub struct Run {
    path: &'static CStr,
    random: u64,
    pub fd: i32,
    /// The same file, opened with O_DIRECT; negative where that is refused.
    pub direct: i32,
    pub size: usize,
    /// What the file shall hold, zeros behind its end.
    pub good: &'static mut [u8],
    pub part: &'static mut [u8],
    /// All of the file, and more, mapped for long.
    pub mapped: usize,
    /// Whether to store behind the end.
    pub zeros: bool,
    /// Whether block pointers map the file.
    pub pointers: bool,
    /// For several at once; 0 where there is none.
    pub context: usize,
    pub history: History,
}

/// Fresh memory on a page boundary.
pub fn memory(len: usize) -> &'static mut [u8] {
    let at = sys::mmap(0, len, RW, PRIVATE_ANON, -1, 0) as usize;
    // SAFETY: just mapped, and nobody else's.
    unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) }
}

impl Run {
    pub fn new(path: &'static CStr, seed: u64, zeros: bool, pointers: bool) -> Option<Run> {
        let fd = sys::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
        let mut context = 0;
        sys::io_setup(8, &raw mut context as usize);
        let mut run = Run {
            path,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            fd,
            direct: sys::open(path, O_RDWR | O_DIRECT, 0) as i32,
            size: 0,
            good: memory(MOST),
            part: memory(PART + PAGE),
            mapped: 0,
            zeros,
            pointers,
            context,
            history: History::new(),
        };
        run.map();
        (fd >= 0).then_some(run)
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n.max(1)
    }

    /// Some bytes of a file of `limit` bytes, perhaps none.
    pub fn range(&mut self, limit: usize) -> (usize, usize) {
        let at = self.below(limit.max(1));
        let most = if self.below(4) == 0 { PART } else { 3 * PAGE };
        let len = 1 + self.below(most);
        (at.min(limit), len.min(limit - at.min(limit)))
    }

    /// What a call on a range answered, and should.
    pub fn expect(&mut self, name: &'static str, answer: isize, want: usize, at: usize, len: usize) -> Step {
        self.history.add(name, at, len);
        let want = want as isize;
        if answer == want { Ok(()) } else { Err(Trouble::Call { name, answer, want }) }
    }

    /// The same for one that shall answer 0.
    pub fn call(&mut self, name: &'static str, answer: isize) -> Step {
        self.expect(name, answer, 0, 0, 0)
    }

    /// Whether that is what lies at `at`.
    pub fn compare(&self, name: &'static str, at: usize, got: &[u8]) -> Step {
        let good = &self.good[at..at + got.len()];
        // By words first: most of the time goes by here.
        if got == good {
            return Ok(());
        }
        match got.iter().zip(good).position(|(a, b)| a != b) {
            Some(n) => Err(Trouble::Differs { name, at: at + n, got: got[n], want: good[n] }),
            None => Err(Trouble::Changing { name, at }),
        }
    }

    /// Fresh bytes for a range, into `good` and `part`; the file grows to its end if need be.
    pub fn fill(&mut self, at: usize, len: usize) {
        self.fill_part(0, at, len);
    }

    /// The same, `from` where they lie in `part`.
    pub fn fill_part(&mut self, from: usize, at: usize, len: usize) {
        // No byte is 0, and no two words are the same.
        let mut word = self.next() | 0x0101_0101_0101_0101;
        let part = &mut self.part[from..from + len];
        for eight in part.chunks_mut(8) {
            eight.copy_from_slice(&word.to_le_bytes()[..eight.len()]);
            word = word.wrapping_add(0x0202) | 0x0101_0101_0101_0101;
        }
        self.good[at..at + len].copy_from_slice(part);
        self.size = self.size.max(at + len);
    }

    pub fn read(&mut self) -> Step {
        let (at, len) = self.range(self.size);
        let done = sys::pread(self.fd, &mut self.part[..len], at as i64);
        self.expect("pread", done, len, at, len)?;
        self.compare("pread", at, &self.part[..len])
    }

    pub fn write(&mut self) -> Step {
        let (at, len) = self.range(MOST);
        self.fill(at, len);
        let done = sys::pwrite(self.fd, &self.part[..len], at as i64);
        self.expect("pwrite", done, len, at, len)
    }

    pub fn fsync(&mut self) -> Step {
        let done = if self.below(2) == 0 { sys::fsync(self.fd) } else { sys::fdatasync(self.fd) };
        self.call("fsync", done)
    }

    pub fn reopen(&mut self) -> Step {
        let done = sys::close(self.fd);
        self.call("close", done)?;
        self.fd = sys::open(self.path, O_RDWR, 0) as i32;
        if self.fd < 0 { self.call("open", self.fd as isize) } else { Ok(()) }
    }

    /// Size and content of the whole.
    pub fn check_all(&mut self) -> Step {
        let mut stat = [0u64; 16];
        let done = sys::fstat(self.fd, stat.as_mut_ptr() as usize);
        self.call("fstat", done)?;
        if stat[6] != self.size as u64 {
            return Err(Trouble::Size { got: stat[6], want: self.size });
        }
        let mut at = 0;
        while at < self.size {
            let len = PART.min(self.size - at);
            let done = sys::pread(self.fd, &mut self.part[..len], at as i64);
            self.expect("pread of all", done, len, at, len)?;
            self.compare("pread of all", at, &self.part[..len])?;
            at += len;
        }
        Ok(())
    }

    /// FNV-1a of the content.
    pub fn sum(&self) -> u64 {
        self.good[..self.size]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
