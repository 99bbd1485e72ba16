//! IOCB_CMD_POLL: what is refused, what is ready at once, what waits for the other end of a pipe or for an eventfd,
//! io_cancel and io_destroy of what waits. `aiopoll FILE` polls that file too.
#![no_std]
#![no_main]

use user::aio::{Event, Iocb};
use user::check::{equal, holds, verdict};
use user::sys::{self, EBADF, EINVAL, O_CREAT, O_RDWR};
use user::{Args, program};

program!(main);

const POLL: u16 = 5;
const FSYNC: u16 = 2;
const EINPROGRESS: isize = -115;
const EAGAIN: isize = -11;
const O_NONBLOCK: i32 = 0o4000;

const IN: i64 = 0x1;
const PRI: i64 = 0x2;
const OUT: i64 = 0x4;
const ERR: i64 = 0x8;
const HUP: i64 = 0x10;
const RDNORM: i64 = 0x40;
const WRNORM: i64 = 0x100;
/// What EPOLL has above the sixteen bits, and what no poll has.
const EPOLLET: i64 = 1 << 31;
const STRANGE: i64 = 0xd800;

struct Place {
    context: usize,
}

fn main(args: Args) -> i32 {
    let mut context = 0usize;
    equal("io_setup", sys::io_setup(8, &raw mut context as usize), 0);
    let place = Place { context };
    let file = sys::open(args.get(1), O_RDWR | O_CREAT, 0o644) as i32;
    holds("open", file >= 0);
    refused(&place, file);
    ready_at_once(&place, file);
    pipes(&place);
    ends_that_go(&place);
    eventfds(&place);
    told_by_an_eventfd(&place);
    cancelled(&place);
    many(&place);
    destroyed();
    equal("io_destroy", sys::io_destroy(context), 0);
    left_at_the_end();
    verdict()
}

fn poll(fd: i32, events: i64) -> Iocb {
    Iocb { data: 5, opcode: POLL, fd, buf: events as u64, key: 99, ..Iocb::default() }
}

fn pipe() -> [i32; 2] {
    let mut ends = [0i32; 2];
    equal("pipe2", sys::pipe2(ends.as_mut_ptr() as usize, O_NONBLOCK), 0);
    ends
}

fn eventfd(count: u32) -> i32 {
    sys::eventfd2(count, O_NONBLOCK) as i32
}

fn put(fd: i32, n: u64) {
    equal("put", sys::write(fd, &n.to_ne_bytes()), 8);
}

fn take(fd: i32) -> (isize, u64) {
    let mut bytes = [0; 8];
    (sys::read(fd, &mut bytes), u64::from_ne_bytes(bytes))
}

impl Place {
    fn submit(&self, iocb: &Iocb) -> isize {
        let at = [core::ptr::from_ref(iocb)];
        sys::io_submit(self.context, 1, at.as_ptr() as usize)
    }

    /// How many events there are, at most eight, waiting for so many.
    fn events(&self, least: i64) -> (isize, [Event; 8]) {
        let mut events = [Event::default(); 8];
        (sys::io_getevents(self.context, least, 8, events.as_mut_ptr() as usize, 0), events)
    }

    fn none(&self, what: &str) {
        let mut event = Event::default();
        equal(what, sys::io_getevents(self.context, 0, 1, &raw mut event as usize, 0), 0);
    }

    /// The one event, which is this iocb's.
    fn told(&self, what: &str, iocb: &Iocb, want: i64) {
        let (n, events) = self.events(1);
        equal(what, n, 1);
        equal(what, events[0], Event { data: 5, obj: core::ptr::from_ref(iocb) as u64, res: want, res2: 0 });
    }

    fn cancel(&self, iocb: &Iocb) -> isize {
        let mut event = Event::default();
        sys::io_cancel(self.context, core::ptr::from_ref(iocb) as usize, &raw mut event as usize)
    }
}

fn refused(place: &Place, file: i32) {
    let good = poll(file, IN);
    for (what, one, want) in [
        ("an event past sixteen bits", poll(file, IN | EPOLLET), EINVAL),
        ("an offset", Iocb { offset: 1, ..good }, EINVAL),
        ("a length", Iocb { nbytes: 1, ..good }, EINVAL),
        ("flags", Iocb { rw_flags: 1, ..good }, EINVAL),
        ("reserved", Iocb { reserved2: 1, ..good }, EINVAL),
        ("no file", poll(-1, IN), EBADF),
        ("no eventfd", Iocb { flags: 1, resfd: -1, ..good }, EBADF),
        ("what a file never has", poll(file, PRI), EINVAL),
        ("nothing of a file", poll(file, 0), EINVAL),
    ] {
        equal(what, place.submit(&one), want);
    }
    place.none("no event of those");
}

fn ready_at_once(place: &Place, file: i32) {
    for (events, want) in [
        (IN, IN),
        (OUT, OUT),
        (IN | OUT | PRI, IN | OUT),
        (0x7ff, IN | OUT | RDNORM | WRNORM),
        (IN | STRANGE, IN),
    ] {
        let one = poll(file, events);
        equal("submit", place.submit(&one), 1);
        // It is there already.
        let (n, told) = place.events(0);
        equal("told at once", (n, told[0].res, told[0].data), (1, want, 5));
        equal("cancel what is over", place.cancel(&one), EINVAL);
    }
}

fn pipes(place: &Place) {
    let [reads, writes] = pipe();
    let one = poll(reads, IN);
    equal("submit", place.submit(&one), 1);
    place.none("nothing to read");
    equal("write", sys::write(writes, b"abc"), 3);
    // All that the write made ready.
    place.told("readable", &one, IN | RDNORM);
    equal("write", sys::write(writes, b"d"), 1);
    place.none("once");
    equal("submit", place.submit(&poll(reads, IN | RDNORM | OUT)), 1);
    equal("readable at once", place.events(0).1[0].res, IN | RDNORM);
    // The end to write to: full, until a page is read.
    let page = [7u8; 4096];
    let mut bytes = [0u8; 4096];
    while sys::write(writes, &page) == 4096 {}
    let one = poll(writes, OUT);
    equal("submit", place.submit(&one), 1);
    place.none("full");
    equal("read", sys::read(reads, &mut bytes[..4]), 4);
    equal("read", sys::read(reads, &mut bytes), 4096);
    place.told("writable", &one, OUT | WRNORM);
    // What is not there for this end never comes; it can be stopped.
    let one = poll(writes, IN);
    equal("submit", place.submit(&one), 1);
    equal("read", sys::read(reads, &mut bytes), 4096);
    place.none("not for writers");
    equal("cancel", place.cancel(&one), EINPROGRESS);
    place.told("nothing", &one, 0);
    equal("close", (sys::close(reads), sys::close(writes)), (0, 0));
}

fn ends_that_go(place: &Place) {
    let [reads, writes] = pipe();
    let one = poll(reads, IN);
    equal("submit", place.submit(&one), 1);
    equal("nobody writes any more", sys::close(writes), 0);
    place.told("hung up", &one, HUP);
    // No event asked for: those two come all the same.
    equal("submit", place.submit(&poll(reads, 0)), 1);
    equal("hung up", place.events(0).1[0].res, HUP);
    sys::close(reads);
    let [reads, writes] = pipe();
    let one = poll(writes, 0);
    equal("submit", place.submit(&one), 1);
    place.none("somebody reads");
    equal("nobody reads any more", sys::close(reads), 0);
    place.told("broken", &one, ERR);
    sys::close(writes);
    // The poll keeps the end open that it waits at.
    let [reads, writes] = pipe();
    let one = poll(reads, IN);
    equal("submit", place.submit(&one), 1);
    equal("close", sys::close(reads), 0);
    equal("there is a reader", sys::write(writes, b"x"), 1);
    place.told("readable", &one, IN | RDNORM);
    sys::close(writes);
}

fn eventfds(place: &Place) {
    let counter = eventfd(0);
    let one = poll(counter, IN);
    equal("submit", place.submit(&one), 1);
    place.none("zero");
    put(counter, 3);
    place.told("more", &one, IN);
    equal("it is not taken", take(counter), (8, 3));
    // Two at once, and both are told.
    let (a, b) = (poll(counter, IN), poll(counter, IN | ERR));
    equal("submit", (place.submit(&a), place.submit(&b)), (1, 1));
    put(counter, 1);
    let (n, events) = place.events(2);
    equal("both", (n, events[0].res, events[1].res), (2, IN, IN));
    // Full.
    equal("take", take(counter), (8, 1));
    put(counter, u64::MAX - 1);
    let one = poll(counter, OUT);
    equal("submit", place.submit(&one), 1);
    place.none("full");
    equal("take", take(counter), (8, u64::MAX - 1));
    place.told("room", &one, OUT);
    sys::close(counter);
}

/// The event of a poll signals an eventfd, which another poll waits for.
fn told_by_an_eventfd(place: &Place) {
    let [reads, writes] = pipe();
    let counters = [eventfd(0), eventfd(0)];
    let first = Iocb { flags: 1, resfd: counters[0], ..poll(reads, IN) };
    let second = Iocb { flags: 1, resfd: counters[1], ..poll(counters[0], IN) };
    equal("submit", (place.submit(&first), place.submit(&second)), (1, 1));
    place.none("nothing yet");
    equal("write", sys::write(writes, b"go"), 2);
    let (n, events) = place.events(2);
    equal("both", (n, events[0].res, events[1].res), (2, IN | RDNORM, IN));
    // The last signal may be under way.
    let mut last = take(counters[1]);
    while last.0 == EAGAIN {
        sys::sched_yield();
        last = take(counters[1]);
    }
    equal("signals", (take(counters[0]), last), ((8, 1), (8, 1)));
    // At once, with a signal.
    equal("submit", place.submit(&Iocb { flags: 1, resfd: counters[0], ..poll(reads, IN) }), 1);
    equal("told", place.events(1).0, 1);
    let mut one = take(counters[0]);
    while one.0 == EAGAIN {
        sys::sched_yield();
        one = take(counters[0]);
    }
    equal("signal", one, (8, 1));
    [reads, writes, counters[0], counters[1]].into_iter().for_each(|fd| {
        sys::close(fd);
    });
}

fn cancelled(place: &Place) {
    let counter = eventfd(0);
    let (one, other) = (poll(counter, IN), poll(counter, IN));
    equal("submit", (place.submit(&one), place.submit(&other)), (1, 1));
    equal("cancel", place.cancel(&one), EINPROGRESS);
    place.told("nothing was there", &one, 0);
    equal("cancel again", place.cancel(&one), EINVAL);
    put(counter, 1);
    place.told("the other stayed", &other, IN);
    equal("cancel what has come", place.cancel(&other), EINVAL);
    let sync = Iocb { opcode: FSYNC, ..poll(counter, 0) };
    equal("fsync of an eventfd", place.submit(&sync), EINVAL);
    sys::close(counter);
}

/// As many as there is room for.
fn many(place: &Place) {
    let counter = eventfd(0);
    let one = poll(counter, IN);
    let mut begun = 0;
    while place.submit(&one) == 1 {
        begun += 1;
    }
    holds("as many as fit", begun >= 8);
    equal("no more", place.submit(&one), EAGAIN);
    equal("one is stopped", place.cancel(&one), EINPROGRESS);
    put(counter, 1);
    let mut told = 0;
    while told < begun {
        let (n, _) = place.events(1);
        holds("told", n > 0);
        told += n.max(1);
    }
    equal("all", told, begun);
    place.none("and no more");
    equal("room again", place.submit(&one), 1);
    equal("told", place.events(1).0, 1);
    sys::close(counter);
}

fn destroyed() {
    let [reads, writes] = pipe();
    let counter = eventfd(0);
    let mut context = 0usize;
    equal("io_setup", sys::io_setup(4, &raw mut context as usize), 0);
    let place = Place { context };
    let (one, two) = (poll(reads, IN), Iocb { flags: 1, resfd: counter, ..poll(reads, IN) });
    equal("submit", (place.submit(&one), place.submit(&two)), (1, 1));
    equal("io_destroy", sys::io_destroy(context), 0);
    equal("it is gone", place.cancel(&one), EINVAL);
    // Stopped as by io_cancel, with its signal.
    equal("signalled", take(counter), (8, 1));
    equal("the pipe is as it was", sys::write(writes, b"x"), 1);
    [reads, writes, counter].into_iter().for_each(|fd| {
        sys::close(fd);
    });
}

/// A process that ends does not wait for what will never come.
fn left_at_the_end() {
    let mut context = 0usize;
    equal("io_setup", sys::io_setup(4, &raw mut context as usize), 0);
    let [reads, _writes] = pipe();
    equal("submit", Place { context }.submit(&poll(reads, IN)), 1);
}
