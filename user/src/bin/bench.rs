//! What the hot paths cost, in ticks of the virtual counter per call. Under QEMU's
//! `-icount shift=0,sleep=off` a nanosecond is one guest instruction, so the figures are exact
//! counts. The same program runs under Linux for the comparison.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::clock::Moment;
use user::sys;
use user::{Args, println, program};

program!(main);

/// Calls of each kind, unless a third argument says how many.
const ROUNDS: u64 = 20_000;

fn main(args: Args) -> i32 {
    let path = if args.count() > 1 { args.get(1) } else { c"/bench.tmp" };
    let fd = sys::open(path, sys::O_RDWR | sys::O_CREAT | sys::O_TRUNC, 0o644) as i32;
    let rounds = args.text(2).parse().unwrap_or(ROUNDS);
    let report = |what: &str, call: &mut dyn FnMut() -> isize| measure(rounds, what, call);
    let mut page = [1u8; 4096];
    if fd < 0 || sys::write(fd, &page) != 4096 {
        println!("cannot write {path:?}");
        return 1;
    }
    report("null syscall (getppid)", &mut || sys::getppid());
    report("pwrite 1 byte, cached page", &mut || sys::pwrite(fd, &page[..1], 100));
    report("pwrite 4 KiB, cached page", &mut || sys::pwrite(fd, &page, 0));
    report("pread 1 byte, cached page", &mut || {
        let mut byte = [0];
        sys::pread(fd, &mut byte, 100)
    });
    report("pread 4 KiB, cached page", &mut || sys::pread(fd, &mut page, 0));
    report("fstat", &mut || {
        let mut stat = [0u8; 128];
        sys::fstat(fd, stat.as_mut_ptr() as usize)
    });
    report("stat", &mut || {
        let mut stat = [0u8; 128];
        sys::newfstatat(sys::AT_FDCWD, path.as_ptr() as usize, stat.as_mut_ptr() as usize, 0)
    });
    sys::close(fd);
    sys::unlink(path);
    growing_file(path, rounds);
    many_files(path, rounds);
    0
}

/// What 4 KiB cost that go behind the end of a new file, one call after the other: the calls alone, and with
/// their share of the writeback, as far as it is begun (blocks allocated, requests with the disk): what
/// follows is waiting.
fn growing_file(path: &CStr, rounds: u64) {
    let page = [3u8; 4096];
    let pages = rounds.min(PAGES);
    // Another before it, so that what the allocator reads from the disk is there: its wait would be counted.
    let before = sys::open(path, sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL, 0o644) as i32;
    (0..pages).for_each(|_| _ = sys::write(before, &page));
    sys::fsync(before);
    sys::close(before);
    sys::unlink(path);
    sys::sync();
    let fd = sys::open(path, sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL, 0o644) as i32;
    if fd < 0 {
        println!("cannot make {path:?}");
        return;
    }
    let begin = Moment::now();
    measure_cold(pages, "write 4 KiB, growing file", &mut || sys::write(fd, &page));
    let failed = u64::from(sys::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0);
    print_cost("write 4 KiB, growing file, with writeback", begin.elapsed_ns(), pages, failed);
    sys::close(fd);
    sys::unlink(path);
}

/// Pages of the growing file: less than makes the flusher begin by itself.
const PAGES: u64 = 4096;
const SYNC_FILE_RANGE_WRITE: u32 = 2;

/// What a file costs from its making to its end: `open` with O_CREAT, 1 KiB, `close`; `stat` of each;
/// `unlink` of each. In a directory of their own, so that it grows and shrinks as they do.
fn many_files(base: &CStr, rounds: u64) {
    let mut path = Name::new(base);
    if sys::mkdir(path.directory(), 0o755) < 0 {
        println!("cannot make a directory beside {base:?}");
        return;
    }
    let kilobyte = [7u8; 1024];
    let files = rounds.min(FILES);
    let mut each = |what: &str, call: &mut dyn FnMut(&CStr) -> isize| {
        let mut next = 0;
        measure_cold(files, what, &mut || {
            next += 1;
            call(path.numbered(next))
        });
    };
    each("create, write 1 KiB, close", &mut |name| {
        let fd = sys::open(name, sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL, 0o644) as i32;
        if fd < 0 || sys::write(fd, &kilobyte) != 1024 {
            return -1;
        }
        sys::close(fd)
    });
    each("stat of each", &mut |name| {
        let mut stat = [0u8; 128];
        sys::newfstatat(sys::AT_FDCWD, name.as_ptr() as usize, stat.as_mut_ptr() as usize, 0)
    });
    each("unlink of each", &mut |name| sys::unlink(name));
    sys::rmdir(path.directory());
}

/// Files made at most: a small disk has inodes for them.
const FILES: u64 = 2_000;

/// "BASE.d/file-00042", made anew in place.
struct Name {
    text: [u8; 128],
    base: usize,
}

impl Name {
    fn new(base: &CStr) -> Name {
        let mut text = [0; 128];
        let bytes = base.to_bytes();
        let len = bytes.len().min(100);
        text[..len].copy_from_slice(&bytes[..len]);
        text[len..len + 2].copy_from_slice(b".d");
        Name { text, base: len + 2 }
    }

    fn directory(&mut self) -> &CStr {
        self.text[self.base] = 0;
        CStr::from_bytes_until_nul(&self.text).unwrap_or(c"/")
    }

    fn numbered(&mut self, mut n: u64) -> &CStr {
        self.text[self.base..self.base + 6].copy_from_slice(b"/file-");
        for at in (self.base + 6..self.base + 11).rev() {
            self.text[at] = b'0' + (n % 10) as u8;
            n /= 10;
        }
        CStr::from_bytes_until_nul(&self.text).unwrap_or(c"/")
    }
}

/// Instructions (under icount) or nanoseconds per call.
fn measure(rounds: u64, what: &str, call: &mut dyn FnMut() -> isize) {
    for _ in 0..rounds.min(100) {
        call();
    }
    measure_cold(rounds, what, call);
}

/// The same without calls beforehand, where each call is made only once.
fn measure_cold(rounds: u64, what: &str, call: &mut dyn FnMut() -> isize) {
    let begin = Moment::now();
    let mut failed = 0;
    for _ in 0..rounds {
        failed += u64::from(call() < 0);
    }
    print_cost(what, begin.elapsed_ns(), rounds, failed);
}

fn print_cost(what: &str, ns: u64, rounds: u64, failed: u64) {
    println!("{what}: {} per call, {failed} failed", ns / rounds.max(1));
}
