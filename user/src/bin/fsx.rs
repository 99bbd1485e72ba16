//! Random operations on one file, each checked against a copy in memory: read, write, stores and loads
//! through mappings, truncate, punch, zero, collapse, insert, fsync, msync, close and open, O_DIRECT where
//! the file system has it. The same seed does the same.
//!
//! Arguments: the file, the seed, the number of operations, and `zeros` where what was stored behind the end
//! is gone when the file grows (under Linux since 6.13). After the idea of Apple's fsx; own code.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::sys::{self, *};
use user::{Args, println, program};

program!(main);

const PAGE: usize = 4096;
/// The largest the file becomes.
const MOST: usize = 256 << 10;
/// Most bytes in one operation.
const PART: usize = 64 << 10;
const READ: i32 = 1;
const RW: i32 = 3;
const SHARED: i32 = 1;
const PRIVATE_ANON: i32 = 0x22;
const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;
const COLLAPSE: i32 = 8;
const ZERO_RANGE: i32 = 16;
const INSERT: i32 = 32;

fn main(args: Args) -> i32 {
    let (seed, count) = (number(args.get(2)), number(args.get(3)));
    let Some(mut run) = Run::new(args.get(1), seed, args.get(4) == c"zeros") else {
        println!("no file");
        return 1;
    };
    for n in 0..count {
        let step = run.step();
        if let Err(trouble) = step {
            println!("operation {n} of seed {seed}: {trouble:?}, size {}", run.size);
            return 1;
        }
    }
    match run.check_all() {
        Ok(()) => println!("{count} operations of seed {seed}: size {}, sum {:x}", run.size, run.sum()),
        Err(trouble) => {
            println!("at the end: {trouble:?}");
            return 1;
        }
    }
    0
}

fn number(text: &CStr) -> u64 {
    text.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
enum Trouble {
    /// The call, what it answered, where, how much.
    Call(&'static str, isize, usize, usize),
    /// What was done last there, where, got, want.
    Differs(&'static str, usize, u8, u8),
    Size(u64, usize),
}

type Step = Result<(), Trouble>;

struct Run {
    path: &'static CStr,
    random: u64,
    fd: i32,
    /// The same file, opened with O_DIRECT; negative where that is refused.
    direct: i32,
    size: usize,
    /// What the file shall hold, zeros behind its end.
    good: &'static mut [u8],
    part: &'static mut [u8],
    /// All of the file, and more, mapped for long.
    mapped: usize,
    /// Whether to store behind the end.
    zeros: bool,
}

/// Fresh memory on a page boundary.
fn memory(len: usize) -> &'static mut [u8] {
    let at = sys::mmap(0, len, RW, PRIVATE_ANON, -1, 0) as usize;
    // SAFETY: just mapped, and nobody else's.
    unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) }
}

impl Run {
    fn new(path: &'static CStr, seed: u64, zeros: bool) -> Option<Run> {
        let fd = sys::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
        let (good, part) = (memory(MOST), memory(PART + PAGE));
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut run = Run { path, random, fd, direct: -1, size: 0, good, part, mapped: 0, zeros };
        run.direct = sys::open(path, O_RDWR | O_DIRECT, 0) as i32;
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

    fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n.max(1)
    }

    /// Some bytes of a file of `limit` bytes, perhaps none.
    fn range(&mut self, limit: usize) -> (usize, usize) {
        let at = self.below(limit.max(1));
        let most = if self.below(4) == 0 { PART } else { 3 * PAGE };
        let len = 1 + self.below(most);
        (at.min(limit), len.min(limit - at.min(limit)))
    }

    fn step(&mut self) -> Step {
        match self.below(100) {
            0..14 => self.read(),
            14..30 => self.write(),
            30..42 => self.load(),
            42..62 => self.store(),
            62..70 => self.truncate(),
            70..75 => self.punch(PUNCH_HOLE | KEEP_SIZE, "punch"),
            75..77 => self.punch(ZERO_RANGE | KEEP_SIZE, "zero"),
            77..79 => self.shift(COLLAPSE),
            79..81 => self.shift(INSERT),
            81..83 => self.allocate(),
            83..86 => self.call("fsync", sys::fsync(self.fd)),
            86..89 => self.sync_mapping(),
            89..91 => self.reopen(),
            91..93 => self.forget(),
            93..95 => self.copy_from_mapping(),
            95..97 => self.read_direct(),
            97..99 => self.write_direct(),
            _ => self.check_all(),
        }
    }

    fn call(&self, name: &'static str, answer: isize) -> Step {
        self.expect(name, answer, 0, 0, 0)
    }

    fn expect(&self, name: &'static str, answer: isize, want: usize, at: usize, len: usize) -> Step {
        if answer == want as isize { Ok(()) } else { Err(Trouble::Call(name, answer, at, len)) }
    }

    fn compare(&self, what: &'static str, at: usize, got: &[u8]) -> Step {
        let want = &self.good[at..at + got.len()];
        match got.iter().zip(want).position(|(a, b)| a != b) {
            Some(n) => Err(Trouble::Differs(what, at + n, got[n], want[n])),
            None => Ok(()),
        }
    }

    /// Fresh bytes for a range, into `good` and `part`; the file grows to its end if need be.
    fn fill(&mut self, at: usize, len: usize) {
        let start = self.next() as u8;
        for n in 0..len {
            let byte = start.wrapping_add(n as u8).max(1);
            self.good[at + n] = byte;
            self.part[n] = byte;
        }
        self.size = self.size.max(at + len);
    }

    fn read(&mut self) -> Step {
        let (at, len) = self.range(self.size);
        let done = sys::pread(self.fd, &mut self.part[..len], at as i64);
        self.expect("pread", done, len, at, len)?;
        self.compare("pread", at, &self.part[..len])
    }

    fn write(&mut self) -> Step {
        let (at, len) = self.range(MOST);
        self.fill(at, len);
        let done = sys::pwrite(self.fd, &self.part[..len], at as i64);
        self.expect("pwrite", done, len, at, len)
    }

    // ---- mappings

    fn map(&mut self) {
        if self.mapped != 0 {
            sys::munmap(self.mapped, MOST);
        }
        self.mapped = sys::mmap(0, MOST, RW, SHARED, self.fd, 0) as usize;
    }

    /// Bytes of the file through the long mapping, or through one made for it alone. Within the pages that
    /// the file has.
    fn with_mapping(
        &mut self,
        at: usize,
        len: usize,
        write: bool,
        f: impl FnOnce(&mut Run, &mut [u8]),
    ) -> Step {
        let first = at / PAGE * PAGE;
        let span = at + len - first;
        let short = self.below(3) == 0;
        let base = if short {
            let prot = if write { RW } else { READ };
            let base = sys::mmap(0, span, prot, SHARED, self.fd, first as i64);
            if base < 0 {
                return Err(Trouble::Call("mmap", base, first, span));
            }
            base as usize
        } else {
            self.mapped + first
        };
        // SAFETY: mapped, within the file's pages, and referred to by nobody else meanwhile.
        let bytes = unsafe { core::slice::from_raw_parts_mut((base + at - first) as *mut u8, len) };
        f(self, bytes);
        if short { self.call("munmap", sys::munmap(base, span)) } else { Ok(()) }
    }

    fn load(&mut self) -> Step {
        let (at, len) = self.range(self.size);
        if len == 0 {
            return Ok(());
        }
        let mut done = Ok(());
        self.with_mapping(at, len, false, |run, bytes| done = run.compare("load", at, bytes))?;
        done
    }

    fn store(&mut self) -> Step {
        let limit = if self.below(8) == 0 { MOST } else { self.size };
        let (at, len) = self.range(limit);
        if len == 0 {
            return Ok(());
        }
        if at + len > self.size {
            self.call("ftruncate", sys::ftruncate(self.fd, (at + len) as i64))?;
        }
        self.fill(at, len);
        self.with_mapping(at, len, true, |run, bytes| bytes.copy_from_slice(&run.part[..len]))?;
        // Behind the end nothing is kept; it must not be seen later.
        let tail = self.size % PAGE;
        if self.below(3) == 0 && self.zeros && tail != 0 {
            let end = self.size;
            self.with_mapping(end, PAGE - tail, true, |_, bytes| bytes.fill(0xee))?;
        }
        Ok(())
    }

    fn sync_mapping(&mut self) -> Step {
        const MS_ASYNC: i32 = 1;
        const MS_SYNC: i32 = 4;
        let flags = if self.below(3) == 0 { MS_ASYNC } else { MS_SYNC };
        let at = self.below(MOST / PAGE) * PAGE;
        self.call("msync", sys::msync(self.mapped + at, MOST - at, flags))
    }

    /// Pages out of the page table, or out of the cache, or the mapping made anew.
    fn forget(&mut self) -> Step {
        const DONTNEED: i32 = 4;
        match self.below(3) {
            0 => self.call("madvise", sys::madvise(self.mapped, MOST, DONTNEED)),
            1 => self.call("fadvise", sys::fadvise64(self.fd, 0, 0, DONTNEED)),
            _ => {
                self.map();
                Ok(())
            }
        }
    }

    /// write(2) whose source is the mapping, of the same page or of another.
    fn copy_from_mapping(&mut self) -> Step {
        let (from, len) = self.range(self.size);
        if len == 0 {
            return Ok(());
        }
        let to = if self.below(3) == 0 { from } else { self.below(MOST - len) };
        if from < to + len && to < from + len && from != to {
            // What an overlapping copy leaves is nobody's to say.
            return Ok(());
        }
        let done = sys::pwrite_raw(self.fd, self.mapped + from, len, to as i64);
        self.expect("pwrite from the mapping", done, len, to, len)?;
        self.good.copy_within(from..from + len, to);
        self.size = self.size.max(to + len);
        Ok(())
    }

    // ---- size and blocks

    fn truncate(&mut self) -> Step {
        let size = self.below(MOST);
        self.call("ftruncate", sys::ftruncate(self.fd, size as i64))?;
        let (a, b) = (self.size.min(size), self.size.max(size));
        self.good[a..b].fill(0);
        self.size = size;
        Ok(())
    }

    fn punch(&mut self, mode: i32, name: &'static str) -> Step {
        let (at, len) = self.range(self.size);
        if len == 0 {
            return Ok(());
        }
        let done = sys::fallocate(self.fd, mode, at as i64, len as i64);
        self.expect(name, done, 0, at, len)?;
        self.good[at..at + len].fill(0);
        Ok(())
    }

    /// Collapse and insert, by whole pages.
    fn shift(&mut self, mode: i32) -> Step {
        let pages = self.size / PAGE;
        if pages < 3 {
            return Ok(());
        }
        let at = self.below(pages - 1) * PAGE;
        let len = (1 + self.below(4)) * PAGE;
        let size = self.size;
        if mode == COLLAPSE && at + len < size {
            let done = sys::fallocate(self.fd, mode, at as i64, len as i64);
            self.expect("collapse", done, 0, at, len)?;
            self.good.copy_within(at + len..size, at);
            self.good[size - len..size].fill(0);
            self.size = size - len;
        } else if mode == INSERT && size + len <= MOST {
            let done = sys::fallocate(self.fd, mode, at as i64, len as i64);
            self.expect("insert", done, 0, at, len)?;
            self.good.copy_within(at..size, at + len);
            self.good[at..at + len].fill(0);
            self.size = size + len;
        }
        Ok(())
    }

    fn allocate(&mut self) -> Step {
        let (at, len) = self.range(MOST);
        if len == 0 {
            return Ok(());
        }
        let mode = if self.below(2) == 0 { KEEP_SIZE } else { 0 };
        let done = sys::fallocate(self.fd, mode, at as i64, len as i64);
        self.expect("fallocate", done, 0, at, len)?;
        if mode == 0 {
            self.size = self.size.max(at + len);
        }
        Ok(())
    }

    fn reopen(&mut self) -> Step {
        self.call("close", sys::close(self.fd))?;
        self.fd = sys::open(self.path, O_RDWR, 0) as i32;
        if self.fd < 0 { Err(Trouble::Call("open", self.fd as isize, 0, 0)) } else { Ok(()) }
    }

    // ---- O_DIRECT

    fn read_direct(&mut self) -> Step {
        let (at, len) = (self.below(MOST / PAGE) * PAGE, (1 + self.below(PART / PAGE)) * PAGE);
        if self.direct < 0 || at >= self.size {
            return Ok(());
        }
        let done = sys::pread(self.direct, &mut self.part[..len], at as i64);
        let want = len.min(self.size - at);
        self.expect("direct pread", done, want, at, len)?;
        self.compare("direct pread", at, &self.part[..want])
    }

    fn write_direct(&mut self) -> Step {
        let (at, len) = (self.below(MOST / PAGE) * PAGE, (1 + self.below(PART / PAGE)) * PAGE);
        if self.direct < 0 || at + len > MOST {
            return Ok(());
        }
        self.fill(at, len);
        let done = sys::pwrite(self.direct, &self.part[..len], at as i64);
        self.expect("direct pwrite", done, len, at, len)
    }

    // ---- the whole

    fn check_all(&mut self) -> Step {
        let mut stat = [0u64; 16];
        self.call("fstat", sys::fstat(self.fd, stat.as_mut_ptr() as usize))?;
        if stat[6] != self.size as u64 {
            return Err(Trouble::Size(stat[6], self.size));
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
    fn sum(&self) -> u64 {
        self.good[..self.size]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
