//! O_DIRECT on a file: what is aligned and what is not, growing, holes, reserved blocks, the end, the cache
//! beside it, RWF_NOWAIT. `direct FILE` works on that file and leaves it
//! with 1 MiB whose byte i is [`pattern`] of i.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds, verdict};
use user::sys::{self, EFBIG, EINVAL, EOPNOTSUPP, IoVec, O_APPEND, O_CREAT, O_DIRECT, O_RDWR, O_TRUNC};
use user::{Args, program};

program!(main);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const EAGAIN: isize = -11;
const O_DSYNC: i32 = 0o10000;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;
const RWF_HIPRI: i32 = 1;
const RWF_DSYNC: i32 = 2;
const RWF_NOWAIT: i32 = 8;
const RWF_APPEND: i32 = 16;
const RLIMIT_FSIZE: i32 = 1;
const SIGXFSZ: i32 = 25;
const STATX_DIOALIGN: u32 = 0x2000;

/// Byte `i` of what is left.
fn pattern(i: usize) -> u8 {
    (i / 512) as u8 ^ (i as u8).wrapping_mul(7)
}

/// An open file, once with O_DIRECT and once without, and 1 MiB of memory.
struct Place {
    direct: i32,
    cached: i32,
    memory: usize,
}

impl Place {
    fn open(path: &CStr) -> Place {
        let memory = sys::mmap(0, MIB, 3, 0x22, -1, 0) as usize;
        let direct = sys::open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0o644) as i32;
        let cached = sys::open(path, O_RDWR, 0) as i32;
        holds("open", direct >= 0 && cached >= 0);
        Place { direct, cached, memory }
    }

    fn bytes(&self) -> &'static mut [u8] {
        // SAFETY: mapped in `open`, and used by one thread for one call at a time.
        unsafe { core::slice::from_raw_parts_mut(self.memory as *mut u8, MIB) }
    }

    fn fill(&self, byte: u8) {
        self.bytes().fill(byte);
    }

    fn write(&self, from: usize, len: usize, at: usize) -> isize {
        sys::pwrite_raw(self.direct, self.memory + from, len, at as i64)
    }

    fn read(&self, to: usize, len: usize, at: usize) -> isize {
        sys::pread_raw(self.direct, self.memory + to, len, at as i64)
    }

    fn all(&self, len: usize, byte: u8) -> bool {
        self.bytes()[..len].iter().all(|&b| b == byte)
    }

    fn size(&self) -> u64 {
        let mut stat = [0u64; 16];
        equal("fstat", sys::fstat(self.cached, stat.as_mut_ptr() as usize), 0);
        stat[6]
    }

    /// Empties the file.
    fn clear(&self) {
        equal("ftruncate", sys::ftruncate(self.cached, 0), 0);
    }

    /// Both ways of reading find this in `at..at + len`.
    #[track_caller]
    fn shows(&self, at: usize, len: usize, byte: u8) {
        self.fill(!byte);
        equal("read around", self.read(0, len, at), len as isize);
        holds("around", self.all(len, byte));
        self.fill(!byte);
        equal("read through", sys::pread_raw(self.cached, self.memory, len, at as i64), len as isize);
        holds("through", self.all(len, byte));
    }
}

fn main(args: Args) -> i32 {
    let place = Place::open(args.get(1));
    flags(&place);
    alignment(&place);
    growing(&place);
    holes(&place);
    reserved(&place);
    the_end(&place);
    beside_the_cache(&place);
    durable(args.get(1));
    limits(&place);
    flags_of_a_call(&place);
    leave(&place);
    verdict()
}

fn flags(place: &Place) {
    let direct = O_DIRECT as isize;
    equal("F_GETFL", sys::fcntl(place.direct, F_GETFL, 0) & direct, direct);
    equal("F_SETFL on", sys::fcntl(place.cached, F_SETFL, O_DIRECT as usize), 0);
    equal("is on", sys::fcntl(place.cached, F_GETFL, 0) & direct, direct);
    equal("F_SETFL off", sys::fcntl(place.cached, F_SETFL, 0), 0);
    equal("is off", sys::fcntl(place.cached, F_GETFL, 0) & direct, 0);
    let mut statx = [0u32; 64];
    let at = statx.as_mut_ptr() as usize;
    equal("statx", sys::statx(place.direct, c"".as_ptr() as usize, 0x1000, STATX_DIOALIGN, at), 0);
    equal("STATX_DIOALIGN", statx[0] & STATX_DIOALIGN, STATX_DIOALIGN);
    equal("its alignments", (statx[38], statx[39]), (512, 512));
}

fn alignment(place: &Place) {
    place.fill(1);
    equal("16 KiB", place.write(0, 16 * KIB, 0), 16 * KIB as isize);
    for (from, len, at, want) in [
        (0, 512, 0, 512),
        (512, 512, 512, 512),
        (512, 1536, 3584, 1536),
        (256, 512, 0, EINVAL),
        (0, 256, 0, EINVAL),
        (0, 512, 256, EINVAL),
        (0, 513, 0, EINVAL),
        (1, 4096, 0, EINVAL),
        (0, 4096, 4097, EINVAL),
        (0, 0, 0, 0),
        (3, 0, 77, 0),
    ] {
        equal("write", (from, len, at, place.write(from, len, at)), (from, len, at, want));
        equal("read", (from, len, at, place.read(from, len, at)), (from, len, at, want));
    }
    let vec = |parts: &[(usize, usize)]| {
        let mut iov = [IoVec { base: 0, len: 0 }; 4];
        iov.iter_mut().zip(parts).for_each(|(v, p)| *v = IoVec { base: place.memory + p.0, len: p.1 });
        let at = iov.as_ptr() as usize;
        (sys::pwritev(place.direct, at, parts.len(), 0, 0), sys::preadv(place.direct, at, parts.len(), 0, 0))
    };
    equal("three parts", vec(&[(512, 512), (8192, 1024), (0, 512)]), (2048, 2048));
    equal("an odd part", vec(&[(512, 512), (8192, 100), (0, 412)]), (EINVAL, EINVAL));
    equal("an odd place", vec(&[(512, 512), (8100, 512)]), (EINVAL, EINVAL));
}

fn growing(place: &Place) {
    place.clear();
    let mut size = 0;
    for (byte, len) in [(1, 4096), (2, 512), (3, 3584), (4, 64 * KIB), (5, 1024), (6, MIB)] {
        place.fill(byte);
        equal("append", place.write(0, len, size), len as isize);
        size += len;
        equal("size", place.size(), size as u64);
        place.shows(size - 512, 512, byte);
        place.shows(size - len, 512, byte);
    }
    // Behind a gap.
    place.fill(7);
    equal("behind a gap", place.write(0, 1536, size + 10_240), 1536);
    equal("size", place.size(), (size + 11_776) as u64);
    place.shows(size, 10_240, 0);
    place.shows(size + 10_240, 1536, 7);
    // Cut within the last block, and grown again: zeros.
    equal("cut", sys::ftruncate(place.cached, size as i64 + 10_240 + 512), 0);
    equal("grow", sys::ftruncate(place.cached, size as i64 + 20_480), 0);
    place.shows(size + 10_240, 512, 7);
    place.shows(size + 10_752, 9216, 0);
}

fn holes(place: &Place) {
    place.clear();
    equal("a hole", sys::ftruncate(place.cached, MIB as i64), 0);
    for (byte, at, len) in
        [(1, 0, 512), (2, 8192 + 512, 512), (3, 65_536, 8192), (4, 131_072 + 1024, 131_072)]
    {
        place.fill(byte);
        equal("into it", place.write(0, len, at), len as isize);
        place.shows(at, len, byte);
    }
    for at in [512, 4096, 8192, 9216, 61_440, 73_728, 131_072, 263_168] {
        place.shows(at, 512, 0);
    }
    // All of a hole may be read at any place.
    place.fill(9);
    equal("an odd place", place.read(1, 777, 700_001), 777);
    holds("zeros", place.bytes()[1..778].iter().all(|&b| b == 0) && place.bytes()[778] == 9);
    equal("size", place.size(), MIB as u64);
}

fn reserved(place: &Place) {
    place.clear();
    equal("fallocate", sys::fallocate(place.cached, 0, 0, 256 * KIB as i64), 0);
    for (byte, at, len) in [(1, 4096, 4096), (2, 20_480 + 512, 1024), (3, 65_536, 65_536)] {
        place.fill(byte);
        equal("into it", place.write(0, len, at), len as isize);
        place.shows(at, len, byte);
    }
    for at in [0, 8192, 20_480, 22_016, 61_440, 131_072] {
        place.shows(at, 512, 0);
    }
    equal("behind the end", sys::fallocate(place.cached, 1, 256 * KIB as i64, 64 * KIB as i64), 0);
    place.fill(4);
    equal("there", place.write(0, 8192, 256 * KIB), 8192);
    equal("size", place.size(), 264 * KIB as u64);
    place.shows(256 * KIB, 8192, 4);
    equal("punch", sys::fallocate(place.cached, 3, 65_536, 16_384), 0);
    place.shows(65_536, 16_384, 0);
    place.shows(81_920, 16_384, 3);
}

fn the_end(place: &Place) {
    place.clear();
    place.fill(5);
    equal("through", sys::pwrite_raw(place.cached, place.memory, 10_000, 0), 10_000);
    for (len, at, want) in
        [(4096, 8192, 1808), (512, 9728, 272), (4096, 10_240, 0), (512, 12_345, 0), (100, 20_000, 0)]
    {
        equal("read", (len, at, place.read(0, len, at)), (len, at, want));
    }
    equal("to the end", place.read(0, 64 * KIB, 0), 10_000);
    equal("an odd length", place.read(0, 10_000, 0), EINVAL);
    place.fill(6);
    equal("over the end", place.write(0, 4096, 8192), 4096);
    equal("size", place.size(), 12_288);
    place.shows(0, 8192, 5);
    place.shows(8192, 4096, 6);
}

fn beside_the_cache(place: &Place) {
    place.clear();
    place.fill(1);
    equal("dirty", sys::pwrite_raw(place.cached, place.memory, 32 * KIB, 0), 32 * KIB as isize);
    place.shows(0, 32 * KIB, 1);
    place.fill(2);
    equal("around", place.write(0, 8 * KIB, 4096), 8 * KIB as isize);
    place.shows(4096, 8 * KIB, 2);
    place.fill(3);
    equal("dirty again", sys::pwrite_raw(place.cached, place.memory, 100, 5000), 100);
    place.fill(4);
    equal("around a part", place.write(0, 512, 4096), 512);
    place.fill(0);
    equal("all", place.read(0, 32 * KIB, 0), 32 * KIB as isize);
    let bytes = place.bytes();
    let runs = [
        (0, 4096, 1),
        (4096, 4608, 4),
        (4608, 5000, 2),
        (5000, 5100, 3),
        (5100, 12_288, 2),
        (12_288, 32_768, 1),
    ];
    for (from, to, byte) in runs {
        holds("its part", bytes[from..to].iter().all(|&b| b == byte));
    }
    // A mapping sees what goes around the cache.
    let map = sys::mmap(0, 32 * KIB, 1, 1, place.cached, 0);
    holds("mmap", map > 0);
    // SAFETY: mapped just now, 32 KiB.
    let look = |at: usize| unsafe { core::ptr::read_volatile((map as usize + at) as *const u8) };
    equal("before", (look(0), look(20_000)), (1, 1));
    place.fill(7);
    equal("around", place.write(0, 4096, 16_384), 4096);
    equal("after", (look(0), look(16_384), look(20_479), look(20_480)), (1, 7, 7, 1));
    equal("munmap", sys::munmap(map as usize, 32 * KIB), 0);
}

fn durable(path: &CStr) {
    for flags in [O_DSYNC, sys::O_SYNC, O_APPEND, O_APPEND | O_DSYNC] {
        let fd = sys::open(path, O_RDWR | O_TRUNC | O_DIRECT | flags, 0) as i32;
        let place = Place { direct: fd, cached: fd, memory: sys::mmap(0, MIB, 3, 0x22, -1, 0) as usize };
        place.fill(1);
        equal("it grows", place.write(0, 8192, 0), 8192);
        place.fill(2);
        equal("over it", place.write(0, 4096, 0), 4096);
        let appends = flags & O_APPEND != 0;
        equal("size", place.size(), if appends { 12_288 } else { 8192 });
        place.fill(0);
        equal("read", place.read(0, 16_384, 0), if appends { 12_288 } else { 8192 });
        equal("first", place.bytes()[0], if appends { 1 } else { 2 });
        equal("munmap", sys::munmap(place.memory, MIB), 0);
        equal("close", sys::close(fd), 0);
    }
}

fn limits(place: &Place) {
    place.clear();
    let action = [1usize, 0, 0, 0];
    equal("SIGXFSZ ignored", sys::rt_sigaction(SIGXFSZ, action.as_ptr() as usize, 0, 8), 0);
    let mut old = [0u64; 2];
    equal("getrlimit", sys::prlimit64(0, RLIMIT_FSIZE, 0, old.as_mut_ptr() as usize), 0);
    let new = [8192u64, old[1]];
    equal("setrlimit", sys::prlimit64(0, RLIMIT_FSIZE, new.as_ptr() as usize, 0), 0);
    equal("cut there", place.write(0, 16_384, 4096), 4096);
    equal("at it", place.write(0, 512, 8192), EFBIG);
    equal("size", place.size(), 8192);
    equal("setrlimit", sys::prlimit64(0, RLIMIT_FSIZE, old.as_ptr() as usize, 0), 0);
}

fn flags_of_a_call(place: &Place) {
    place.clear();
    place.fill(1);
    equal("16 KiB", place.write(0, 16_384, 0), 16_384);
    let iov = |len| IoVec { base: place.memory, len };
    let put = |fd, len, at: i64, flags| {
        let iov = iov(len);
        sys::pwritev2(fd, &raw const iov as usize, 1, at, 0, flags)
    };
    let get = |fd, len, at: i64, flags| {
        let iov = iov(len);
        sys::preadv2(fd, &raw const iov as usize, 1, at, 0, flags)
    };
    equal(
        "a flag that is none",
        (put(place.direct, 512, 0, 0x400), get(place.direct, 512, 0, 0x400)),
        (EOPNOTSUPP, EOPNOTSUPP),
    );
    equal(
        "HIPRI",
        (put(place.direct, 4096, 0, RWF_HIPRI), get(place.direct, 4096, 0, RWF_HIPRI)),
        (4096, 4096),
    );
    equal("DSYNC", put(place.direct, 4096, 4096, RWF_DSYNC), 4096);
    equal("APPEND", put(place.direct, 4096, 0, RWF_APPEND), 4096);
    equal("size", place.size(), 20_480);
    equal("NOWAIT over blocks", put(place.direct, 8192, 4096, RWF_NOWAIT), 8192);
    equal("NOWAIT reads", get(place.direct, 8192, 4096, RWF_NOWAIT), 8192);
    equal("NOWAIT would grow it", put(place.direct, 4096, 20_480, RWF_NOWAIT), EAGAIN);
    equal("NOWAIT a part", put(place.direct, 512, 512, RWF_NOWAIT), EAGAIN);
    equal("a hole", sys::ftruncate(place.cached, MIB as i64), 0);
    equal("NOWAIT a hole", put(place.direct, 4096, 65_536, RWF_NOWAIT), EAGAIN);
    equal("NOWAIT through the cache", put(place.cached, 100, 0, RWF_NOWAIT), EOPNOTSUPP);
    equal("what is not cached", get(place.cached, 4096, 8192, RWF_NOWAIT), EAGAIN);
    equal("read it", get(place.cached, 4096, 8192, 0), 4096);
    equal("what is", get(place.cached, 4096, 8192, RWF_NOWAIT), 4096);
    equal("at the end", get(place.cached, 4096, MIB as i64, RWF_NOWAIT), 0);
}

/// Leaves a file that was written in a little of every way.
fn leave(place: &Place) {
    place.clear();
    for (i, byte) in place.bytes().iter_mut().enumerate() {
        *byte = pattern(i);
    }
    let at = |from: usize, len: usize| {
        equal("leave", sys::pwrite_raw(place.direct, place.memory + from, len, from as i64), len as isize);
    };
    equal("reserve", sys::fallocate(place.cached, 0, 128 * KIB as i64, 64 * KIB as i64), 0);
    at(512 * KIB, 64 * KIB);
    at(0, 4096);
    at(4096, 512);
    at(4608, 130 * KIB - 512);
    at(132 * KIB + 4096, 300 * KIB);
    at(132 * KIB, 8192);
    at(256 * KIB, 256 * KIB);
    at(576 * KIB, MIB - 576 * KIB);
    equal("size", place.size(), MIB as u64);
    equal("fsync", sys::fsync(place.direct), 0);
}
