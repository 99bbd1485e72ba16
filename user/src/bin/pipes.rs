//! Pipes and what moves bytes without the program: pipe2, splice, tee, vmsplice, copy_file_range, sendfile;
//! what each answers, right or wrong. Needs a directory to write in as its argument's prefix, as in `pipes /x`.
#![no_std]
#![no_main]

use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, Ordering};

use user::check::{equal, holds, verdict};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const EINTR: isize = -4;
const EAGAIN: isize = -11;
const EPIPE: isize = -32;
const EOVERFLOW: isize = -75;
const O_NONBLOCK: i32 = 0o4000;
const F_GETFD: i32 = 1;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;
const F_SETPIPE_SZ: i32 = 1031;
const F_GETPIPE_SZ: i32 = 1032;
const FIONREAD: usize = 0x541b;
const FICLONE: usize = 0x4004_9409;
const FICLONERANGE: usize = 0x4020_940d;
const FIDEDUPERANGE: usize = 0xc018_9436;
const SIGPIPE: i32 = 13;
const SIGALRM: i32 = 14;
const SA_RESTART: usize = 0x1000_0000;
const BAD: usize = 8;

static PIPES: AtomicU32 = AtomicU32::new(0);
static ALARMS: AtomicU32 = AtomicU32::new(0);
/// What the handler writes a byte to, if it is not 0.
static WAKES: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(signal: i32) {
    let count = if signal == SIGPIPE { &PIPES } else { &ALARMS };
    count.fetch_add(1, Ordering::Relaxed);
    match WAKES.load(Ordering::Relaxed) {
        0 => {}
        end => _ = sys::write(end, b"!"),
    }
}

fn main(args: Args) -> i32 {
    catch(SIGPIPE, 0);
    catch(SIGALRM, 0);
    making();
    moving();
    waiting();
    let file = sys::open(args.get(1), O_CREAT | O_RDWR | O_TRUNC, 0o644) as i32;
    holds("a file", file >= 0);
    splicing(file, args.get(1));
    copying(file);
    verdict()
}

fn catch(signal: i32, flags: usize) {
    let action = [on_signal as *const () as usize, flags, 0, 0];
    equal("sigaction", sys::rt_sigaction(signal, action.as_ptr() as usize, 0, 8), 0);
}

fn pipe(flags: i32) -> [i32; 2] {
    let mut ends = [-1; 2];
    equal("pipe2", sys::pipe2(ends.as_mut_ptr() as usize, flags), 0);
    ends
}

fn close(ends: [i32; 2]) {
    for end in ends {
        equal("close", sys::close(end), 0);
    }
}

fn making() {
    equal("a flag that is none", sys::pipe2(BAD, O_APPEND), EINVAL);
    equal("nowhere to put them", sys::pipe2(BAD, 0), EFAULT);
    let [r, w] = pipe(O_CLOEXEC | O_NONBLOCK);
    equal("the lowest numbers", w, r + 1);
    equal("close-on-exec", (sys::fcntl(r, F_GETFD, 0), sys::fcntl(w, F_GETFD, 0)), (1, 1));
    // O_LARGEFILE is a 32-bit program's: not told of a pipe.
    equal("reads", sys::fcntl(r, F_GETFL, 0), O_NONBLOCK as isize);
    equal("writes", sys::fcntl(w, F_GETFL, 0), (O_NONBLOCK | O_WRONLY) as isize);
    let mut stat = [0u32; 32];
    equal("fstat", sys::fstat(r, stat.as_mut_ptr() as usize), 0);
    equal("a FIFO", stat[4], 0o010600);
    equal("lseek", sys::lseek(r, 0, 0), ESPIPE);
    equal("pread", sys::pread(r, &mut [0], 0), ESPIPE);
    equal("fsync", sys::fsync(w), EINVAL);
    equal("ftruncate", sys::ftruncate(w, 0), EINVAL);
    equal("fallocate", sys::fallocate(w, 0, 0, 1), ESPIPE);
    equal("read of the writing end", sys::read(w, &mut [0]), EBADF);
    equal("write of the reading end", sys::write(r, b"x"), EBADF);
    equal("its size", sys::fcntl(r, F_GETPIPE_SZ, 0), 65536);
    equal("another", sys::fcntl(w, F_SETPIPE_SZ, 5000), 8192);
    equal("none", sys::fcntl(w, F_SETPIPE_SZ, 0), 4096);
    equal("of no pipe", sys::fcntl(0, F_GETPIPE_SZ, 0), EBADF);
    equal("of a descriptor that is closed", sys::fcntl(77, F_SETPIPE_SZ, 0), EBADF);
    close([r, w]);
}

fn ready(fd: i32, events: u16) -> u16 {
    let mut poll = [fd as u64 as u32 as u64 | (events as u64) << 32];
    let none = [0i64; 2];
    sys::ppoll(poll.as_mut_ptr() as usize, 1, none.as_ptr() as usize, 0, 0);
    (poll[0] >> 48) as u16
}

fn moving() {
    let [r, w] = pipe(O_NONBLOCK);
    let mut room = [0u8; 70000];
    equal("nothing there", sys::read(r, &mut room), EAGAIN);
    equal("nothing to poll", (ready(r, 1), ready(w, 4)), (0, 4));
    equal("write", sys::write(w, b"hello"), 5);
    equal("something to poll", ready(r, 1), 1);
    let mut there = [0i32];
    equal("FIONREAD", sys::ioctl(r, FIONREAD, there.as_mut_ptr() as usize), 0);
    equal("how much", there, [5]);
    equal("read", sys::read(r, &mut room[..3]), 3);
    equal("read into nowhere", sys::read_raw(r, BAD, 2), EFAULT);
    equal("the rest", sys::read(r, &mut room), 2);
    equal("all it holds", sys::write(w, &room), 65536);
    equal("full", (sys::write(w, b"x"), ready(w, 4)), (EAGAIN, 0));
    equal("too small now", sys::fcntl(w, F_SETPIPE_SZ, 4096), EBUSY);
    equal("empty it", sys::read(r, &mut room), 65536);
    equal("nobody writes", sys::close(w), 0);
    equal("the end", (sys::read(r, &mut room), ready(r, 1)), (0, 0x10));
    equal("close", sys::close(r), 0);
    let [r, w] = pipe(0);
    equal("nobody reads", sys::close(r), 0);
    equal("broken", sys::write(w, b"x"), EPIPE);
    equal("SIGPIPE", PIPES.load(Ordering::Relaxed), 1);
    equal("poll", ready(w, 4), 0xc);
    equal("close", sys::close(w), 0);
    let [r, w] = pipe(O_DIRECT | O_NONBLOCK);
    equal("a packet", (sys::write(w, b"one"), sys::write(w, b"two")), (3, 3));
    equal("a part of it", (sys::read(r, &mut room[..2]), sys::read(r, &mut room)), (2, 3));
    equal("write from nowhere", sys::write_raw(w, BAD, 2), EFAULT);
    close([r, w]);
}

/// A timer's signal ends a read that would wait for ever.
fn waiting() {
    let [r, w] = pipe(0);
    let timer = [0i64, 0, 0, 20_000];
    equal("setitimer", sys::setitimer(0, timer.as_ptr() as usize, 0), 0);
    equal("interrupted", sys::read(r, &mut [0]), EINTR);
    equal("SIGALRM", ALARMS.load(Ordering::Relaxed), 1);
    equal("fill", sys::write(w, &[0; 65536]), 65536);
    equal("setitimer", sys::setitimer(0, timer.as_ptr() as usize, 0), 0);
    equal("interrupted", sys::write(w, &[0]), EINTR);
    close([r, w]);
    let [r, w] = pipe(0);
    WAKES.store(w, Ordering::Relaxed);
    catch(SIGALRM, SA_RESTART);
    equal("setitimer", sys::setitimer(0, timer.as_ptr() as usize, 0), 0);
    let mut byte = [0];
    equal("done again", sys::read(r, &mut byte), 1);
    equal("what the handler wrote", byte, *b"!");
    equal("setitimer", sys::setitimer(0, timer.as_ptr() as usize, 0), 0);
    equal("never done again", sys::ppoll(0, 0, 0, 0, 0), EINTR);
    WAKES.store(0, Ordering::Relaxed);
    catch(SIGALRM, 0);
    close([r, w]);
}

fn get(number: &AtomicI64) -> i64 {
    number.load(Ordering::Relaxed)
}

fn splicing(file: i32, path: &CStr) {
    let content: [u8; 10000] = core::array::from_fn(|i| (i / 3) as u8);
    equal("write", sys::pwrite(file, &content, 0), 10000);
    let ([r, w], [r2, w2]) = (pipe(O_NONBLOCK), pipe(O_NONBLOCK));
    let at = AtomicI64::new(100);
    let off = at.as_ptr() as usize;
    equal("from the file", sys::splice(file, off, w, 0, 20000, 0), 9900);
    equal("where it is now", get(&at), 10000);
    equal("at the end", sys::splice(file, off, w, 0, 1, 0), 0);
    equal("tee", sys::tee(r, w2, 5000, 0), 5000);
    equal("to the other", sys::splice(r, 0, w2, 0, 100, 0), 100);
    at.store(20000, Ordering::Relaxed);
    equal("into the file", sys::splice(r, 0, file, off, 20000, 0), 9800);
    equal("where it is then", get(&at), 29800);
    let mut back = [0u8; 9800];
    equal("read it", sys::pread(file, &mut back, 20000), 9800);
    holds("the same", back == content[200..]);
    equal("what was shared", sys::read(r2, &mut back), 5100);
    holds("the same too", back[..5000] == content[100..5100] && back[5000..5100] == content[100..200]);
    equal(
        "the file's own place",
        (sys::lseek(file, 9000, 0), sys::splice(file, 0, w, 0, 600, 0)),
        (9000, 600),
    );
    equal("moved on", sys::lseek(file, 0, 1), 9600);
    equal("drop it", sys::read(r, &mut back), 600);

    equal("nothing", sys::splice(99, 0, 99, 0, 0, 99), 0);
    equal("a flag that is none", sys::splice(r, 0, w2, 0, 1, 16), EINVAL);
    equal("no such file", sys::splice(r, 0, 99, 0, 1, 0), EBADF);
    equal("an offset in a pipe", sys::splice(r, off, file, 0, 1, 0), ESPIPE);
    equal("an offset nowhere", sys::splice(r, 0, file, BAD, 1, 0), EFAULT);
    equal("no pipe", sys::splice(file, 0, file, 0, 1, 0), EINVAL);
    equal("the wrong end", sys::splice(w, 0, w2, 0, 1, 0), EBADF);
    equal("a pipe to itself", sys::splice(r, 0, w, 0, 1, 0), EINVAL);
    equal("nothing there", sys::splice(r, 0, w2, 0, 1, 0), EAGAIN);
    at.store(-1, Ordering::Relaxed);
    sharing(file);
    equal("below the start", sys::splice(file, off, w, 0, 1, 0), EINVAL);
    let append = sys::open(path, O_WRONLY | O_APPEND, 0) as i32;
    equal("one byte", sys::write(w, b"y"), 1);
    equal("to the end of a file", sys::splice(r, 0, append, 0, 1, 0), EINVAL);
    equal("close", sys::close(append), 0);
    equal("tee needs pipes", sys::tee(file, w2, 1, 0), EINVAL);
    equal("two of them", sys::tee(r, w, 1, 0), EINVAL);

    let vec = [IoVec::of(b"abc"), IoVec::of(b"defg")];
    let list = vec.as_ptr() as usize;
    equal("vmsplice", sys::vmsplice(w, list, 2, 0), 7);
    equal("what it gave", (sys::read(r, &mut back), &back[..8]), (8, &b"yabcdefg"[..]));
    equal("vmsplice to a file", sys::vmsplice(file, list, 2, 0), EBADF);
    equal("vmsplice, a flag", sys::vmsplice(w, list, 2, 16), EINVAL);
    equal("write", sys::write(w, b"12345"), 5);
    let into = [IoVec { base: back.as_ptr() as usize, len: 4 }];
    equal("vmsplice out", sys::vmsplice(r, into.as_ptr() as usize, 1, 0), 4);
    at.store(0, Ordering::Relaxed);
    equal("sendfile", sys::sendfile(w, file, off, 3), 3);
    equal("what is there", sys::read(r, &mut back), 4);
    equal("sendfile from a pipe", sys::sendfile(file, r, off, 1), ESPIPE);
    close([r, w]);
    close([r2, w2]);
}

/// Blocks that files share: ext4 has none.
fn sharing(file: i32) {
    let ioctl = |command: usize, arg: usize| sys::ioctl(file, command, arg);
    equal("FICLONE", ioctl(FICLONE, file as usize), EOPNOTSUPP);
    equal("FICLONE of nothing", ioctl(FICLONE, 99), EBADF);
    let range: [u64; 4] = [file as u64, 0, 0, 0];
    equal("FICLONERANGE", ioctl(FICLONERANGE, range.as_ptr() as usize), EOPNOTSUPP);
    equal("FICLONERANGE nowhere", ioctl(FICLONERANGE, BAD), EFAULT);
    for (count, answer) in [(1, EOPNOTSUPP), (200, ENOMEM), (1 << 16, EINVAL)] {
        let range: [u64; 7] = [0, 4096, count, 0, 0, 0, 0];
        equal("FIDEDUPERANGE", ioctl(FIDEDUPERANGE, range.as_ptr() as usize), answer);
    }
    let root = sys::open(c"/", O_RDONLY, 0) as i32;
    equal("FICLONE of a directory", ioctl(FICLONE, root as usize), EISDIR);
    equal("close", sys::close(root), 0);
}

fn copying(file: i32) {
    equal("shorten", sys::ftruncate(file, 10000), 0);
    let (a, b) = (AtomicI64::new(5000), AtomicI64::new(20000));
    let (from, to) = (a.as_ptr() as usize, b.as_ptr() as usize);
    equal("copy", sys::copy_file_range(file, from, file, to, 90000, 0), 5000);
    equal("where it is", (get(&a), get(&b)), (10000, 25000));
    a.store(7, Ordering::Relaxed);
    b.store(1000, Ordering::Relaxed);
    equal("an overlap", sys::copy_file_range(file, from, file, to, 1000, 0), EINVAL);
    a.store(25000, Ordering::Relaxed);
    equal("at the end", sys::copy_file_range(file, from, file, to, 1000, 0), 0);
    equal("a flag", sys::copy_file_range(file, from, file, to, 1, 1), EINVAL);
    equal("no such file", sys::copy_file_range(file, from, 99, to, 1, 0), EBADF);
    equal("an offset nowhere", sys::copy_file_range(file, BAD, file, to, 1, 0), EFAULT);
    a.store(-1, Ordering::Relaxed);
    equal("below the start", sys::copy_file_range(file, from, file, to, 1, 0), EOVERFLOW);
    a.store(-20, Ordering::Relaxed);
    equal("far below it", sys::copy_file_range(file, from, file, to, 1, 0), EINVAL);
    let [r, w] = pipe(0);
    equal("a pipe", sys::copy_file_range(r, 0, file, 0, 1, 0), EINVAL);
    close([r, w]);
    let root = sys::open(c"/", O_RDONLY, 0) as i32;
    a.store(0, Ordering::Relaxed);
    equal("a directory", sys::copy_file_range(root, from, file, to, 1, 0), EISDIR);
    equal("close", sys::close(root), 0);
    equal("by the files' own place", sys::lseek(file, 24000, 0), 24000);
    b.store(30000, Ordering::Relaxed);
    equal("copy", sys::copy_file_range(file, 0, file, to, 9000, 0), 1000);
    equal("moved on", (sys::lseek(file, 0, 1), get(&b)), (25000, 31000));
    equal("flags stay", sys::fcntl(file, F_SETFL, O_APPEND as usize), 0);
    a.store(0, Ordering::Relaxed);
    equal("a file that appends", sys::copy_file_range(file, from, file, to, 1, 0), EBADF);
}
