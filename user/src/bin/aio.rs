//! Linux AIO by its system calls: what is refused and in which order, reads and writes around the cache and
//! through it, fsync, eventfd, the ring that the program may read itself. `aio FILE` works on that file.
#![no_std]
#![no_main]

use core::ffi::CStr;
use core::ptr::{read_volatile, write_volatile};

use user::aio::{Event, Iocb};
use user::check::{equal, holds, verdict};
use user::sys::{
    self, EBADF, EFAULT, EINVAL, EOPNOTSUPP, IoVec, O_CREAT, O_DIRECT, O_RDONLY, O_RDWR, O_TRUNC,
};
use user::{Args, program};

program!(main);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const EINTR: isize = -4;
const EAGAIN: isize = -11;
const O_NONBLOCK: i32 = 0o4000;
const BAD: usize = 8;

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const NOOP: u16 = 6;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;

fn iocb(opcode: u16, fd: i32, buf: usize, len: usize, offset: i64) -> Iocb {
    Iocb { data: 77, opcode, fd, buf: buf as u64, nbytes: len as u64, offset, key: 99, ..Iocb::default() }
}

struct Place {
    direct: i32,
    cached: i32,
    memory: usize,
    context: usize,
}

fn main(args: Args) -> i32 {
    setup();
    let place = Place::open(args.get(1));
    refused(&place, args.get(1));
    one_by_one(&place);
    many(&place);
    synced(&place);
    eventfds(&place);
    full(&place);
    waiting(&place);
    the_ring(&place);
    at_the_end(&place);
    verdict()
}

fn new_context(requests: u32) -> usize {
    let mut context = 0usize;
    equal("io_setup", sys::io_setup(requests, &raw mut context as usize), 0);
    context
}

fn setup() {
    let mut context = 0usize;
    let at = &raw mut context as usize;
    equal("nowhere", sys::io_setup(1, BAD), EFAULT);
    equal("for none", sys::io_setup(0, at), EINVAL);
    equal("for too many", sys::io_setup(u32::MAX, at), EINVAL);
    equal("for more than there may be", sys::io_setup(70_000, at), EAGAIN);
    equal("for one", sys::io_setup(1, at), 0);
    equal("again", sys::io_setup(1, at), EINVAL);
    holds("it is an address", context != 0 && context.is_multiple_of(4096));
    // SAFETY: the kernel mapped a ring there.
    let header = unsafe { read_volatile(context as *const [u32; 8]) };
    equal("nr, head, tail", (header[1], header[2], header[3]), (127, 0, 0));
    equal("magic, features, length", (header[4], header[5], header[6], header[7]), (0xa10a_10a1, 1, 0, 32));
    equal("destroy", sys::io_destroy(context), 0);
    equal("twice", sys::io_destroy(context), EINVAL);
    equal("nobody's", (sys::io_destroy(BAD), sys::io_submit(BAD, 0, 0)), (EINVAL, EINVAL));
    equal("nobody's events", sys::io_getevents(BAD, 0, 1, BAD, 0), EINVAL);
    equal("eventfd2", sys::eventfd2(0, 4), EINVAL);
}

impl Place {
    fn open(path: &CStr) -> Place {
        let memory = sys::mmap(0, 2 * MIB, 3, 0x22, -1, 0) as usize;
        let direct = sys::open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0o644) as i32;
        let cached = sys::open(path, O_RDWR, 0) as i32;
        holds("open", direct >= 0 && cached >= 0);
        Place { direct, cached, memory, context: new_context(64) }
    }

    fn bytes(&self) -> &'static mut [u8] {
        // SAFETY: mapped in `open`, and looked at when no request is under way.
        unsafe { core::slice::from_raw_parts_mut(self.memory as *mut u8, 2 * MIB) }
    }

    fn submit(&self, iocbs: &[*const Iocb]) -> isize {
        sys::io_submit(self.context, iocbs.len() as i64, iocbs.as_ptr() as usize)
    }

    /// What io_submit says to one.
    fn says(&self, one: Iocb) -> isize {
        self.submit(&[&raw const one])
    }

    /// What becomes of one.
    fn result(&self, one: Iocb) -> i64 {
        let at = &raw const one;
        equal("submit", self.submit(&[at]), 1);
        let mut event = Event::default();
        equal("getevents", sys::io_getevents(self.context, 1, 1, &raw mut event as usize, 0), 1);
        equal("whose", (event.data, event.obj, event.res2), (77, at as u64, 0));
        // SAFETY: its own, which the kernel has written to.
        equal("key", unsafe { read_volatile(&raw const (*at).key) }, 0);
        event.res
    }
}

fn refused(place: &Place, path: &CStr) {
    let good = iocb(PREAD, place.cached, place.memory, 512, 0);
    let reads = sys::open(path, O_RDONLY, 0) as i32;
    equal("none", place.submit(&[]), 0);
    equal("fewer than none", sys::io_submit(place.context, -1, 0), EINVAL);
    equal("nowhere", sys::io_submit(place.context, 1, BAD), EFAULT);
    equal("at nowhere", place.submit(&[BAD as *const Iocb]), EFAULT);
    for (what, one, want) in [
        ("reserved", Iocb { reserved2: 1, fd: -1, ..good }, EINVAL),
        ("too long", Iocb { nbytes: 1 << 63, fd: -1, ..good }, EINVAL),
        ("no file", Iocb { fd: -1, opcode: 99, ..good }, EBADF),
        ("no eventfd", Iocb { flags: 1, resfd: -1, opcode: 99, ..good }, EBADF),
        ("a file for an eventfd", Iocb { flags: 1, resfd: place.cached, opcode: 99, ..good }, EINVAL),
        ("an operation that is none", Iocb { opcode: 99, ..good }, EINVAL),
        ("NOOP", Iocb { opcode: NOOP, ..good }, EINVAL),
        ("a flag that is none", Iocb { rw_flags: 0x400, ..good }, EOPNOTSUPP),
        ("a priority that is none", Iocb { flags: 2, reqprio: i16::MIN, ..good }, EINVAL),
        ("not for writing", Iocb { opcode: PWRITE, fd: reads, buf: BAD as u64, ..good }, EBADF),
        ("memory beyond all", Iocb { buf: u64::MAX - 100, ..good }, EFAULT),
        ("too many parts", Iocb { opcode: PREADV, nbytes: 1025, ..good }, EINVAL),
        ("parts nowhere", Iocb { opcode: PREADV, buf: BAD as u64, nbytes: 1, ..good }, EFAULT),
        ("before the start", Iocb { offset: -1, ..good }, EINVAL),
        ("fsync of a range", Iocb { opcode: FSYNC, ..good }, EINVAL),
        ("fsync with flags", Iocb { opcode: FDSYNC, buf: 0, nbytes: 0, rw_flags: 2, ..good }, EINVAL),
    ] {
        equal(what, place.says(one), want);
    }
    let mut ends = [0i32; 2];
    equal("pipe2", sys::pipe2(ends.as_mut_ptr() as usize, 0), 0);
    equal("fsync of a pipe", place.says(iocb(FSYNC, ends[1], 0, 0, 0)), EINVAL);
    // The first that is wrong ends it.
    let wrong = Iocb { fd: -1, ..good };
    let (good, wrong) = (&raw const good, &raw const wrong);
    equal("two of four", place.submit(&[good, good, wrong, good]), 2);
    let mut events = [Event::default(); 4];
    equal("both", sys::io_getevents(place.context, 2, 4, events.as_mut_ptr() as usize, 0), 2);
    equal("cancel nowhere", sys::io_cancel(place.context, BAD, 0), EFAULT);
    let mut over = iocb(PREAD, place.cached, place.memory, 512, 0);
    over.key = 0;
    equal("cancel what is over", sys::io_cancel(place.context, &raw const over as usize, 0), EINVAL);
    over.key = 1;
    equal("cancel what never was", sys::io_cancel(place.context, &raw const over as usize, 0), EINVAL);
}

fn one_by_one(place: &Place) {
    let memory = place.memory;
    for fd in [place.direct, place.cached] {
        equal("cut", sys::ftruncate(place.cached, 0), 0);
        place.bytes().fill(1);
        equal("it grows", place.result(iocb(PWRITE, fd, memory, 8192, 0)), 8192);
        place.bytes().fill(2);
        equal("over it", place.result(iocb(PWRITE, fd, memory, 4096, 4096)), 4096);
        place.bytes().fill(0);
        equal("read", place.result(iocb(PREAD, fd, memory, 64 * KIB, 0)), 8192);
        holds("both halves", place.bytes()[..4096].iter().all(|&b| b == 1));
        holds("both halves", place.bytes()[4096..8192].iter().all(|&b| b == 2));
        equal("the end", place.result(iocb(PREAD, fd, memory, 512, 8192)), 0);
        equal("a hole", sys::ftruncate(place.cached, 1 << 20), 0);
        place.bytes().fill(3);
        equal("into it", place.result(iocb(PWRITE, fd, memory, 8192, 65_536)), 8192);
        let parts = [IoVec { base: memory + 4096, len: 512 }, IoVec { base: memory, len: 1536 }];
        let vec = parts.as_ptr() as usize;
        place.bytes().fill(4);
        equal("parts", place.result(iocb(PWRITEV, fd, vec, 2, 4096)), 2048);
        place.bytes().fill(0);
        equal("parts", place.result(iocb(PREADV, fd, vec, 2, 4096)), 2048);
        equal("where they go", (place.bytes()[4096], place.bytes()[0], place.bytes()[1536]), (4, 4, 0));
        equal("read", place.result(iocb(PREAD, fd, memory, 16_384, 61_440)), 16_384);
        equal(
            "around it",
            (place.bytes()[4095], place.bytes()[4096], place.bytes()[12_287], place.bytes()[12_288]),
            (0, 3, 3, 0),
        );
        equal("durable", place.result(Iocb { rw_flags: 2, ..iocb(PWRITE, fd, memory, 4096, 0) }), 4096);
        equal("at the end", place.result(Iocb { rw_flags: 16, ..iocb(PWRITE, fd, memory, 4096, 0) }), 4096);
        equal("nothing", place.result(iocb(PWRITE, fd, memory, 0, 0)), 0);
        // What is found wrong later is told by the event.
        equal("nowhere", place.result(iocb(PREAD, fd, 4096, 512, 0)), EFAULT as i64);
    }
    equal("not aligned", place.result(iocb(PREAD, place.direct, memory + 1, 512, 0)), EINVAL as i64);
    equal("not aligned", place.result(iocb(PWRITE, place.direct, memory, 100, 0)), EINVAL as i64);
}

/// 32 at once over blocks, into reserved ones and into holes; then 32 reads.
fn many(place: &Place) {
    equal("cut", sys::ftruncate(place.cached, 0), 0);
    equal("reserve", sys::fallocate(place.cached, 0, 0, MIB as i64), 0);
    equal("a hole", sys::fallocate(place.cached, 3, 512 * KIB as i64, 256 * KIB as i64), 0);
    for (i, chunk) in place.bytes().chunks_mut(32 * KIB).enumerate() {
        chunk.fill(i as u8 + 1);
    }
    let mut iocbs = [Iocb::default(); 32];
    for round in 0..2 {
        for (i, one) in iocbs.iter_mut().enumerate() {
            let at = i * 32 * KIB;
            *one = iocb(PWRITE, place.direct, place.memory + at, 32 * KIB, at as i64);
            one.data = i as u64;
        }
        all(place, &iocbs, 32 * KIB as i64);
        if round == 0 {
            place.bytes().iter_mut().for_each(|b| *b ^= 0x80);
        }
    }
    for (i, one) in iocbs.iter_mut().enumerate() {
        let at = (31 - i) * 32 * KIB;
        *one = iocb(PREAD, place.direct, place.memory + MIB + at, 32 * KIB, at as i64);
        one.data = i as u64;
    }
    all(place, &iocbs, 32 * KIB as i64);
    let (written, read) = place.bytes().split_at(MIB);
    holds("all of it", written == read);
}

fn all(place: &Place, iocbs: &[Iocb; 32], want: i64) {
    let at: [*const Iocb; 32] = core::array::from_fn(|i| &raw const iocbs[i]);
    equal("submit", place.submit(&at), 32);
    let mut events = [Event::default(); 40];
    equal("getevents", sys::io_getevents(place.context, 32, 40, events.as_mut_ptr() as usize, 0), 32);
    let mut seen = 0u32;
    for event in &events[..32] {
        equal("all of each", event.res, want);
        seen |= 1 << event.data;
    }
    equal("each once", seen, u32::MAX);
}

fn synced(place: &Place) {
    for fd in [place.direct, place.cached] {
        equal("write", sys::pwrite_raw(place.cached, place.memory, 100, 0), 100);
        equal("fsync", place.result(iocb(FSYNC, fd, 0, 0, 0)), 0);
        equal("write", sys::pwrite_raw(place.cached, place.memory, 100, 0), 100);
        equal("fdsync", place.result(iocb(FDSYNC, fd, 0, 0, 0)), 0);
    }
}

fn eventfds(place: &Place) {
    let fd = sys::eventfd2(2, O_NONBLOCK) as i32;
    holds("eventfd", fd >= 0);
    let mut count = 0u64;
    let at = &raw mut count as usize;
    let mut get = || (sys::read_raw(fd, at, 8), core::mem::take(&mut count));
    equal("read", get(), (8, 2));
    equal("empty", get(), (EAGAIN, 0));
    equal("too short", sys::read_raw(fd, at, 7), EINVAL);
    let told = |opcode, len| Iocb { flags: 1, resfd: fd, ..iocb(opcode, place.direct, place.memory, len, 0) };
    equal("write", place.result(told(PWRITE, 4096)), 4096);
    equal("odd read", place.result(told(PREAD, 100)), EINVAL as i64);
    let one = Iocb { flags: 1, resfd: fd, ..iocb(FSYNC, place.direct, 0, 0, 0) };
    equal("fsync", place.result(one), 0);
    equal("three ends", get(), (8, 3));
    // Refused at once: none.
    equal("refused", place.says(Iocb { opcode: NOOP, ..told(PREAD, 512) }), EINVAL);
    equal("no end", get(), (EAGAIN, 0));
    equal("close", sys::close(fd), 0);
}

/// A context without room.
fn full(place: &Place) {
    let context = new_context(1);
    let one = iocb(PREAD, place.cached, place.memory, 512, 0);
    let at = [&raw const one];
    let mut begun = 0;
    loop {
        match sys::io_submit(context, 1, at.as_ptr() as usize) {
            1 => begun += 1,
            end => break equal("full", end, EAGAIN),
        }
    }
    // Linux gives them out in batches.
    holds("as many as the ring has", (120..=126).contains(&begun));
    let mut events = [Event::default(); 128];
    let got = sys::io_getevents(context, 1, 128, events.as_mut_ptr() as usize, 0);
    equal("all of them", got, begun);
    equal("room again", sys::io_submit(context, 1, at.as_ptr() as usize), 1);
    equal("destroy", sys::io_destroy(context), 0);
}

fn waiting(place: &Place) {
    let mut event = Event::default();
    let at = &raw mut event as usize;
    let (none, short) = ([0i64, 0], [0i64, 20_000_000]);
    let get = |least, most, timeout: usize| sys::io_getevents(place.context, least, most, at, timeout);
    equal("more than asked for", get(2, 1, 0), EINVAL);
    equal("fewer than none", get(-1, 1, 0), EINVAL);
    equal("a bad time", get(1, 1, BAD), EFAULT);
    equal("none yet", get(0, 1, 0), 0);
    equal("no time", get(1, 1, none.as_ptr() as usize), 0);
    equal("a little", get(1, 1, short.as_ptr() as usize), 0);
    // A signal ends it.
    let action = [on_alarm as *const () as usize, 0, 0, 0];
    equal("sigaction", sys::rt_sigaction(14, action.as_ptr() as usize, 0, 8), 0);
    let timer = [0i64, 0, 0, 30_000];
    equal("setitimer", sys::setitimer(0, timer.as_ptr() as usize, 0), 0);
    equal("a signal", get(1, 1, 0), EINTR);
    equal("setitimer", sys::setitimer(0, timer.as_ptr() as usize, 0), 0);
    let blocked = 1u64 << 13;
    let mask = [&raw const blocked as usize, 8];
    let masked = |size: usize| {
        let mask = [mask[0], size];
        let (short, mask) = ([0i64, 60_000_000], mask.as_ptr() as usize);
        sys::io_pgetevents(place.context, 1, 1, at, short.as_ptr() as usize, mask)
    };
    equal("a mask of no size", masked(7), EINVAL);
    equal("masked", masked(8), 0);
    let one = iocb(PREAD, place.cached, place.memory, 512, 0);
    equal("submit", place.says(one), 1);
    equal("nowhere", sys::io_getevents(place.context, 1, 1, BAD, 0), EFAULT);
    equal("still there", get(1, 1, 0), 1);
}

extern "C" fn on_alarm(_signal: i32) {}

/// As libaio does: without a system call.
fn the_ring(place: &Place) {
    let one = iocb(PREAD, place.cached, place.memory, 512, 0);
    equal("submit", place.says(one), 1);
    let ring = place.context as *mut u32;
    // SAFETY: the ring of a context that lives; its words lie as `aio_ring` says.
    unsafe {
        let (nr, head, tail) =
            (read_volatile(ring.add(1)), read_volatile(ring.add(2)), read_volatile(ring.add(3)));
        equal("one waits", (head + 1) % nr, tail);
        let event = read_volatile(ring.add(8 + 8 * head as usize).cast::<Event>());
        equal("which", (event.data, event.res, event.res2), (77, 512, 0));
        write_volatile(ring.add(2), tail);
    }
    equal("madvise(DONTNEED)", sys::madvise(place.context, 4096, 4), 0);
    // SAFETY: as above.
    let words = unsafe { (read_volatile(ring.add(1)), read_volatile(ring.add(4))) };
    equal("it comes back as it was", words, (255, 0xa10a_10a1));
    let mut event = Event::default();
    equal("none left", sys::io_getevents(place.context, 0, 1, &raw mut event as usize, 0), 0);
}

/// The process ends with requests under way: they end first.
fn at_the_end(place: &Place) {
    let iocbs: [Iocb; 16] =
        core::array::from_fn(|i| iocb(PWRITE, place.direct, place.memory, 32 * KIB, (i * 32 * KIB) as i64));
    let at: [*const Iocb; 16] = core::array::from_fn(|i| &raw const iocbs[i]);
    equal("submit", place.submit(&at), 16);
    equal("close", (sys::close(place.direct), sys::close(place.cached)), (0, 0));
}
