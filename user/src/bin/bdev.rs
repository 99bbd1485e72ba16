//! A disk as a file: O_DIRECT beside the cache beside a mapping, the ends, the wrong addresses, the
//! commands. `bdev DEVICE` writes over the device, of which it needs 8 MiB. At the end byte i of the
//! second MiB is [`pattern`] of i, and the third is zeros: the host looks.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::aio::{Event, Iocb};
use user::check::{equal, holds, verdict};
use user::sys::{self, EBADF, EBUSY, EFAULT, EINVAL, ENOSPC, ENOTTY, IoVec, O_DIRECT, O_EXCL, O_RDWR};
use user::{Args, program};

program!(main);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const EOPNOTSUPP: isize = -95;
const O_DSYNC: i32 = 0o10000;

const BLKROGET: usize = 0x125e;
const BLKGETSIZE: usize = 0x1260;
const BLKFLSBUF: usize = 0x1261;
const BLKRAGET: usize = 0x1263;
const BLKSSZGET: usize = 0x1268;
const BLKDISCARD: usize = 0x1277;
const BLKPBSZGET: usize = 0x127b;
const BLKSECDISCARD: usize = 0x127d;
const BLKZEROOUT: usize = 0x127f;
const BLKBSZGET: usize = 0x8008_1270;
const BLKBSZSET: usize = 0x4008_1271;
const BLKGETSIZE64: usize = 0x8008_1272;
const HDIO_GETGEO: usize = 0x0301;

fn main(args: Args) -> i32 {
    let path = if args.count() > 1 { args.get(1) } else { c"/dev/vdb" };
    let disk = Disk::open(path);
    if disk.direct < 0 || disk.cached < 0 || disk.size < 8 * MIB as u64 {
        user::println!("{path:?} is no disk of 8 MiB: {} {}", disk.direct, disk.cached);
        return 2;
    }
    alignment(&disk);
    ends(&disk);
    asynchronous(&disk);
    coherence(&disk);
    vectors(&disk);
    addresses(&disk);
    copy_on_write(&disk);
    commands(&disk, path);
    ranges(&disk);
    leave(&disk);
    verdict()
}

struct Disk {
    direct: i32,
    cached: i32,
    size: u64,
    /// Two MiB of memory, and a page behind it that is none.
    memory: usize,
}

impl Disk {
    fn open(path: &CStr) -> Disk {
        let memory = sys::mmap(0, 2 * MIB + 4 * KIB, 3, 0x22, -1, 0) as usize;
        sys::munmap(memory + 2 * MIB, 4 * KIB);
        let direct = sys::open(path, O_RDWR | O_DIRECT, 0) as i32;
        let cached = sys::open(path, O_RDWR, 0) as i32;
        let size = word(cached, BLKGETSIZE64);
        Disk { direct, cached, size, memory }
    }

    fn bytes(&self, at: usize, len: usize) -> &'static mut [u8] {
        // SAFETY: within the mapping that `open` made and nobody takes away; each test uses it alone.
        unsafe { core::slice::from_raw_parts_mut((self.memory + at) as *mut u8, len) }
    }

    fn fill(&self, at: usize, len: usize, byte: u8) -> &'static mut [u8] {
        let bytes = self.bytes(at, len);
        bytes.fill(byte);
        bytes
    }
}

/// A command's answer, up to eight bytes.
fn word(fd: i32, command: usize) -> u64 {
    let mut answer = 0u64;
    let status = sys::ioctl(fd, command, &raw mut answer as usize);
    if status < 0 { u64::MAX } else { answer }
}

fn range(fd: i32, command: usize, start: u64, len: u64) -> isize {
    let range = [start, len];
    sys::ioctl(fd, command, &raw const range as usize)
}

fn fallocate(fd: i32, mode: usize, start: usize, len: usize) -> isize {
    sys::call(47, [fd as usize, mode, start, len, 0, 0])
}

fn all(bytes: &[u8], byte: u8) -> bool {
    bytes.iter().all(|&b| b == byte)
}

fn alignment(d: &Disk) {
    for (what, at, len, pos) in [
        ("memory", 1, 512, 0),
        ("memory by 256", 256, 512, 0),
        ("length", 0, 511, 0),
        ("long and odd", 0, 4097, 0),
        ("place", 0, 512, 1),
        ("place by 256", 0, 512, 256),
    ] {
        equal(what, sys::pread(d.direct, d.bytes(at, len), pos), EINVAL);
        equal(what, sys::pwrite(d.direct, d.bytes(at, len), pos), EINVAL);
    }
    equal("sectors", sys::pwrite(d.direct, d.fill(512, 512, 1), 512), 512);
    equal("sectors", sys::pread(d.direct, d.bytes(1024, 1024), 0), 1024);
    holds("the second", all(d.bytes(1536, 512), 1));
    equal("nothing", sys::pread(d.direct, d.bytes(0, 0), 0), 0);
    equal("nothing", sys::pwrite(d.direct, d.bytes(0, 0), 0), 0);
}

fn ends(d: &Disk) {
    let size = d.size as i64;
    for fd in [d.direct, d.cached] {
        equal("across the end", sys::pread(fd, d.bytes(0, 4096), size - 1024), 1024);
        equal("at the end", sys::pread(fd, d.bytes(0, 4096), size), 0);
        equal("behind it", sys::pread(fd, d.bytes(0, 4096), size + 4096), 0);
        equal("written across", sys::pwrite(fd, d.bytes(0, 4096), size - 1024), 1024);
        equal("written at", sys::pwrite(fd, d.bytes(0, 4096), size), ENOSPC);
        equal("nothing, at", sys::pwrite(fd, d.bytes(0, 0), size), 0);
        equal("to the end", sys::lseek(fd, 0, 2), size as isize);
        equal("past it", sys::lseek(fd, 1, 2), EINVAL);
        equal("data", sys::lseek(fd, 0, 3), EINVAL);
        equal("hole", sys::lseek(fd, 0, 4), EINVAL);
        equal("back", sys::lseek(fd, 0, 0), 0);
        equal("the place moves", sys::read(fd, d.bytes(0, 1024)), 1024);
        equal("by what was read", sys::lseek(fd, 0, 1), 1024);
    }
}

/// What becomes of a request (io_submit).
fn result(context: usize, one: Iocb) -> i64 {
    let at = [&raw const one];
    equal("io_submit", sys::io_submit(context, 1, at.as_ptr() as usize), 1);
    let mut event = Event::default();
    equal("io_getevents", sys::io_getevents(context, 1, 1, &raw mut event as usize, 0), 1);
    equal("whose", event.obj, at[0] as u64);
    event.res
}

/// The same ends, and many requests at once.
fn asynchronous(d: &Disk) {
    const PREAD: u16 = 0;
    const PWRITE: u16 = 1;
    let mut context = 0usize;
    equal("io_setup", sys::io_setup(64, &raw mut context as usize), 0);
    let size = d.size as i64;
    for fd in [d.direct, d.cached] {
        let one = |opcode: u16, at: usize, len: usize, offset: i64| {
            let buf = (d.memory + at) as u64;
            result(context, Iocb { opcode, fd, buf, nbytes: len as u64, offset, ..Iocb::default() })
        };
        equal("read across the end", one(PREAD, 0, 4096, size - 1024), 1024);
        equal("read at the end", one(PREAD, 0, 4096, size), 0);
        equal("read behind it", one(PREAD, 0, 4096, size + 4096), 0);
        d.fill(0, 4096, 21);
        equal("written across", one(PWRITE, 0, 4096, size - 1024), 1024);
        equal("written at", one(PWRITE, 0, 4096, size), ENOSPC as i64);
        equal("written behind", one(PWRITE, 0, 4096, size + 4096), ENOSPC as i64);
        equal("nothing, at", one(PWRITE, 0, 0, size), 0);
        d.fill(0, 4096, 0);
        equal("read back", one(PREAD, 0, 1024, size - 1024), 1024);
        holds("what was written", all(d.bytes(0, 1024), 21) && all(d.bytes(1024, 3072), 0));
        let odd = if fd == d.direct { EINVAL as i64 } else { 511 };
        equal("half a sector", one(PREAD, 0, 511, 0), odd);
        equal("from within one", one(PREAD, 512, 512, 3), if fd == d.direct { EINVAL as i64 } else { 512 });
        equal("nowhere", one(PREAD, 2 * MIB, 512, 0), EFAULT as i64);
        for opcode in [2, 3] {
            equal("durable", result(context, Iocb { opcode, fd, ..Iocb::default() }), 0);
        }
        at_once(d, context, fd);
    }
    equal("io_destroy", sys::io_destroy(context), 0);
}

/// 32 writes on their way, then as many reads.
fn at_once(d: &Disk, context: usize, fd: i32) {
    const COUNT: usize = 32;
    for (opcode, base) in [(1, 0), (0, MIB)] {
        (0..COUNT).for_each(|i| {
            d.fill(base + i * 4096, 4096, if opcode == 1 { i as u8 + 1 } else { 0 });
        });
        let iocbs: [Iocb; COUNT] = core::array::from_fn(|i| Iocb {
            opcode,
            fd,
            buf: (d.memory + base + i * 4096) as u64,
            nbytes: 4096,
            // Every other one: they do not merge.
            offset: (6 * MIB + i * 8192) as i64,
            ..Iocb::default()
        });
        let at: [*const Iocb; COUNT] = core::array::from_fn(|i| &raw const iocbs[i]);
        equal("io_submit", sys::io_submit(context, COUNT as i64, at.as_ptr() as usize), COUNT as isize);
        let mut events = [Event::default(); COUNT];
        let mut done = 0;
        while done < COUNT {
            let room = events[done..].as_mut_ptr() as usize;
            let n = sys::io_getevents(context, 1, (COUNT - done) as i64, room, 0);
            holds("events", n > 0);
            done += n.max(1) as usize;
        }
        holds("all of them", events.iter().all(|event| event.res == 4096));
    }
    holds("each its own", (0..COUNT).all(|i| all(d.bytes(MIB + i * 4096, 4096), i as u8 + 1)));
}

/// Every way sees what every other has written.
fn coherence(d: &Disk) {
    let place = 3 * MIB as i64;
    let mapped = sys::mmap(0, 8 * KIB, 1, 1, d.cached, place);
    holds("mapped", mapped > 0);
    // SAFETY: the mapping just made; it changes under us, so it is read volatile.
    let seen = |at: usize| unsafe { ((mapped as usize + at) as *const u8).read_volatile() };
    seen(0);
    equal("cached write", sys::pwrite(d.cached, d.fill(0, 8192, 11), place), 8192);
    equal("direct read", sys::pread(d.direct, d.bytes(8192, 8192), place), 8192);
    holds("sees it", all(d.bytes(8192, 8192), 11));
    holds("the mapping too", seen(0) == 11 && seen(8191) == 11);
    equal("direct write", sys::pwrite(d.direct, d.fill(0, 1024, 12), place + 3584), 1024);
    equal("cached read", sys::pread(d.cached, d.bytes(8192, 8192), place), 8192);
    let bytes = d.bytes(8192, 8192);
    holds("sees it", all(&bytes[..3584], 11) && all(&bytes[3584..4608], 12) && all(&bytes[4608..], 11));
    holds("the mapping too", (seen(3583), seen(3584), seen(4607), seen(4608)) == (11, 12, 12, 11));
    equal("odd cached write", sys::pwrite(d.cached, d.fill(0, 3, 13), place + 510), 3);
    equal("direct read", sys::pread(d.direct, d.bytes(8192, 1024), place), 1024);
    holds("sees it", d.bytes(8192, 1024)[509..514] == [11, 13, 13, 13, 11]);
    equal("direct, synchronous", fcntl_dsync(d, place), 512);
    sys::munmap(mapped as usize, 8 * KIB);
}

/// Writes through a descriptor that F_SETFL made direct, opened with O_DSYNC.
fn fcntl_dsync(d: &Disk, place: i64) -> isize {
    let path = c"/dev/vdb";
    let fd = sys::open(path, O_RDWR | O_DSYNC, 0) as i32;
    equal("F_SETFL", sys::fcntl(fd, 4, O_DIRECT as usize), 0);
    equal("F_GETFL", sys::fcntl(fd, 3, 0) & O_DIRECT as isize, O_DIRECT as isize);
    equal("now direct", sys::pwrite(fd, d.bytes(1, 512), place), EINVAL);
    let done = sys::pwrite(fd, d.bytes(0, 512), place);
    equal("no longer", sys::fcntl(fd, 4, 0), 0);
    equal("no longer direct", sys::pread(fd, d.bytes(1, 100), place), 100);
    sys::close(fd);
    done
}

fn vectors(d: &Disk) {
    let place = 4 * MIB;
    // 64 pieces of 512 bytes, one in each of 64 pages, backwards.
    let mut pieces = [IoVec { base: 0, len: 512 }; 64];
    for (i, piece) in pieces.iter_mut().enumerate() {
        let at = (63 - i) * 4096 + 512 * (i % 8);
        d.fill(at, 512, i as u8);
        piece.base = d.memory + at;
    }
    let vec = |pieces: &[IoVec]| pieces.as_ptr() as usize;
    equal("pwritev", sys::pwritev(d.direct, vec(&pieces), 64, place as i64, 0), 64 * 512);
    let back = d.fill(MIB, 64 * 512, 0xff);
    equal("cached", sys::pread(d.cached, back, place as i64), 64 * 512);
    holds("in order", back.chunks(512).enumerate().all(|(i, piece)| all(piece, i as u8)));
    pieces.iter().for_each(|piece| {
        d.fill(piece.base - d.memory, 512, 0xee);
    });
    equal("preadv", sys::preadv(d.direct, vec(&pieces), 64, place as i64, 0), 64 * 512);
    holds("in order", pieces.iter().enumerate().all(|(i, p)| all(d.bytes(p.base - d.memory, 512), i as u8)));
    pieces[3].len = 511;
    equal("one odd length", sys::pwritev(d.direct, vec(&pieces), 64, place as i64, 0), EINVAL);
    pieces[3].len = 512;
    pieces[5].base += 1;
    equal("one odd address", sys::preadv(d.direct, vec(&pieces), 64, place as i64, 0), EINVAL);
}

fn addresses(d: &Disk) {
    let place = 5 * MIB as i64;
    let end = d.memory + 2 * MIB;
    d.fill(2 * MIB - 4096, 4096, 7);
    equal("half there", sys::pwrite_raw(d.direct, end - 1024, 4096, place), 1024);
    equal("half there", sys::pread_raw(d.direct, end - 512, 4096, place), 512);
    equal("not there", sys::pwrite_raw(d.direct, end, 512, place), EFAULT);
    equal("not there", sys::pread_raw(d.direct, end, 512, place), EFAULT);
    sys::mprotect(d.memory, 4096, 1);
    equal("to be read only", sys::pread_raw(d.direct, d.memory, 512, place), EFAULT);
    equal("to be read only", sys::pwrite_raw(d.direct, d.memory, 512, place), 512);
    sys::mprotect(d.memory, 4096, 3);
    equal("a page of zeros", never_touched(d, place), 4096);
}

/// Reads into, and writes from, memory that no one has touched.
fn never_touched(d: &Disk, place: i64) -> isize {
    let fresh = sys::mmap(0, 16 * KIB, 3, 0x22, -1, 0) as usize;
    equal("writes zeros", sys::pwrite_raw(d.direct, fresh, 8192, place), 8192);
    sys::pread_raw(d.direct, fresh + 8192, 4096, place)
}

/// A private page of a file is read into: the file keeps what it has.
fn copy_on_write(d: &Disk) {
    let (file, place) = (6 * MIB as i64, 6 * MIB as i64 + 64 * KIB as i64);
    equal("the file", sys::pwrite(d.cached, d.fill(0, 4096, 21), file), 4096);
    equal("the disk", sys::pwrite(d.direct, d.fill(0, 4096, 22), place), 4096);
    let private = sys::mmap(0, 4096, 3, 2, d.cached, file) as usize;
    // SAFETY: the mapping just made.
    let first = || unsafe { (private as *const u8).read_volatile() };
    equal("before", first(), 21);
    equal("read into it", sys::pread_raw(d.direct, private, 4096, place), 4096);
    equal("after", first(), 22);
    equal("the file", sys::pread(d.cached, d.bytes(0, 1), file), 1);
    equal("is as it was", d.bytes(0, 1)[0], 21);
    sys::munmap(private, 4096);
}

fn commands(d: &Disk, path: &CStr) {
    equal("BLKGETSIZE", word(d.cached, BLKGETSIZE), d.size / 512);
    equal("BLKSSZGET", word(d.cached, BLKSSZGET), 512);
    equal("BLKPBSZGET", word(d.cached, BLKPBSZGET), 512);
    equal("BLKROGET", word(d.cached, BLKROGET), 0);
    holds("BLKRAGET", word(d.cached, BLKRAGET) > 0);
    equal("BLKRAGET to nowhere", sys::ioctl(d.cached, BLKRAGET, 0), EINVAL);
    equal("BLKGETSIZE64 to nowhere", sys::ioctl(d.cached, BLKGETSIZE64, 8), EFAULT);
    equal("BLKFLSBUF", sys::ioctl(d.cached, BLKFLSBUF, 0), 0);
    equal("unknown", sys::ioctl(d.cached, 0x12ff, 0), ENOTTY);
    equal("a terminal's", sys::ioctl(d.cached, 0x5401, d.memory), ENOTTY);
    equal("BLKBSZGET", word(d.cached, BLKBSZGET), 4096);
    for (size, answer) in [(1024u64, 0), (512, 0), (100, EINVAL), (8192, EINVAL), (4096, 0)] {
        equal("BLKBSZSET", sys::ioctl(d.cached, BLKBSZSET, &raw const size as usize), answer);
    }
    let mut geometry = [0u8; 16];
    equal("HDIO_GETGEO", sys::ioctl(d.cached, HDIO_GETGEO, geometry.as_mut_ptr() as usize), 0);
    equal("heads, sectors, start", (geometry[0], geometry[1], geometry[8]), (16, 63, 0));
    let alone = sys::open(path, O_RDWR | O_EXCL, 0);
    holds("O_EXCL", alone >= 0);
    equal("O_EXCL twice", sys::open(path, O_EXCL, 0), EBUSY);
    holds("and once shared", sys::close(sys::open(path, O_RDWR, 0) as i32) == 0);
    sys::close(alone as i32);
}

fn ranges(d: &Disk) {
    let reader = sys::open(c"/dev/vdb", 0, 0) as i32;
    let place = 7 * MIB as u64;
    equal("cached", sys::pwrite(d.cached, d.fill(0, 16384, 33), place as i64), 16384);
    for command in [BLKDISCARD, BLKZEROOUT, BLKSECDISCARD] {
        equal("for a reader", range(reader, command, place, 512), EBADF);
    }
    equal("BLKSECDISCARD", range(d.cached, BLKSECDISCARD, place, 512), EOPNOTSUPP);
    for (start, len) in [(place + 1, 512), (place, 100), (d.size, 512), (place, d.size), (place, 0)] {
        equal("BLKZEROOUT", range(d.cached, BLKZEROOUT, start, len), EINVAL);
        equal("BLKDISCARD", range(d.cached, BLKDISCARD, start, len), EINVAL);
    }
    equal("BLKZEROOUT", range(d.cached, BLKZEROOUT, place + 512, 512), 0);
    equal("PUNCH_HOLE", fallocate(d.cached, 3, place as usize + 2048, 512), 0);
    equal("ZERO_RANGE", fallocate(d.cached, 0x10, place as usize + 4096, 4096), 0);
    equal("BLKDISCARD", range(d.cached, BLKDISCARD, place + 12288, 4096), 0);
    for fd in [d.cached, d.direct] {
        let back = d.fill(MIB, 12288, 0xff);
        equal("read", sys::pread(fd, back, place as i64), 12288);
        let zero = |i: usize| matches!(i / 512, 1 | 4 | 8..=15);
        holds("zeros there alone", back.iter().enumerate().all(|(i, &b)| b == if zero(i) { 0 } else { 33 }));
    }
    equal("plain", fallocate(d.cached, 0, 0, 4096), EOPNOTSUPP);
    equal("NO_HIDE_STALE", fallocate(d.cached, 7, 0, 4096), EOPNOTSUPP);
    equal("unaligned", fallocate(d.cached, 0x10, 1, 512), EINVAL);
    equal("at the end", fallocate(d.cached, 0x10, d.size as usize, 512), EINVAL);
    equal("across the end", fallocate(d.cached, 0x10, d.size as usize - 512, 1024), EINVAL);
    equal("cut at the end", fallocate(d.cached, 0x11, d.size as usize - 512, 1024), 0);
    equal("for a reader", fallocate(reader, 0x10, 0, 512), EBADF);
    sys::close(reader);
}

/// What the host finds.
fn pattern(i: usize) -> u8 {
    (i / 512 * 7 + i) as u8
}

fn leave(d: &Disk) {
    let bytes = d.bytes(0, MIB);
    bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(i));
    equal("half directly", sys::pwrite(d.direct, &bytes[..MIB / 2], MIB as i64), MIB as isize / 2);
    let half = &bytes[MIB / 2..];
    equal("half cached", sys::pwrite(d.cached, half, (MIB + MIB / 2) as i64), MIB as isize / 2);
    equal("the third", sys::pwrite(d.cached, d.fill(MIB, MIB, 0x77), 2 * MIB as i64), MIB as isize);
    equal("as zeros", range(d.cached, BLKZEROOUT, 2 * MIB as u64, MIB as u64), 0);
    // No fsync: the last close of a disk writes it.
    sys::close(d.direct);
    sys::close(d.cached);
}
