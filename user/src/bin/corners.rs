//! What file systems answer at the corners: whiteouts, limits with their signal, the file of a program that
//! runs, FIEMAP where there is none, locks on whole files. `corners DIR` makes the directory and checks every answer; it holds on
//! any ext4.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const NOREPLACE: u32 = 1;
const EXCHANGE: u32 = 2;
const WHITEOUT: u32 = 4;
const ETXTBSY: isize = -26;
const KEEP_SIZE: i32 = 1;
const ZERO_RANGE: i32 = 0x10;
const FIGETBSZ: usize = 2;
const FIEMAP: usize = 0xc020_660b;
const RLIMIT_FSIZE: i32 = 1;
const SIGXFSZ: i32 = 25;
const LIMIT: i64 = 8192;

fn at(path: &CStr) -> usize {
    path.as_ptr() as usize
}

fn main(args: Args) -> i32 {
    equal("mkdir", sys::mkdir(args.get(1), 0o755), 0);
    equal("chdir", sys::chdir(at(args.get(1))), 0);
    whiteouts();
    limits();
    running(args.get(0));
    mapping();
    locks();
    user::check::verdict()
}

fn make(path: &CStr) -> i32 {
    let fd = sys::open(path, O_RDWR | O_CREAT | O_EXCL, 0o644);
    holds("a file is made", fd >= 0);
    fd as i32
}

fn rename(old: &CStr, new: &CStr, flags: u32) -> isize {
    sys::renameat2(AT_FDCWD, at(old), AT_FDCWD, at(new), flags)
}

/// Mode, links and device of a name.
fn look(path: &CStr) -> (u32, u32, u64) {
    let mut stat = [0u64; 16];
    equal("stat", sys::newfstatat(AT_FDCWD, at(path), stat.as_mut_ptr() as usize, 0x100), 0);
    // st_mode and st_nlink share the third word; st_rdev is the fifth.
    (stat[2] as u32, (stat[2] >> 32) as u32, stat[4])
}

fn whiteouts() {
    sys::close(make(c"a"));
    sys::close(make(c"b"));
    equal("with EXCHANGE", rename(c"a", c"b", WHITEOUT | EXCHANGE), EINVAL);
    equal("over a name that shall not be", rename(c"a", c"b", WHITEOUT | NOREPLACE), EEXIST);
    equal("a flag of no meaning", rename(c"a", c"b", 8), EINVAL);
    equal("a whiteout stays", rename(c"a", c"b", WHITEOUT), 0);
    holds("what it is", look(c"a") == (0o020000, 1, 0));
    equal("it opens nothing", sys::open(c"a", O_RDONLY, 0), ENXIO);
    equal("it is a name", rename(c"a", c"c", WHITEOUT), 0);
    holds("and so is its own", look(c"a") == look(c"c"));
    equal("mkdir", sys::mkdir(c"d", 0o755), 0);
    equal("of a directory", rename(c"d", c"e", WHITEOUT), 0);
    holds("it was one", look(c"e").0 == 0o040755 && look(c"d").0 == 0o020000);
    equal("unlink", sys::unlink(c"d"), 0);
    equal("anybody's device", sys::mknodat(AT_FDCWD, at(c"w"), 0o020600, 0), 0);
}

/// Whether SIGXFSZ came since the last call. It is blocked; setting it to be ignored forgets it.
fn signalled() -> bool {
    let mut pending = 0u64;
    equal("rt_sigpending", sys::rt_sigpending(&raw mut pending as usize, 8), 0);
    for handler in [1u64, 0] {
        let action = [handler, 0, 0, 0];
        equal("rt_sigaction", sys::rt_sigaction(SIGXFSZ, action.as_ptr() as usize, 0, 8), 0);
    }
    pending & (1 << (SIGXFSZ - 1)) != 0
}

fn limits() {
    let set = 1u64 << (SIGXFSZ - 1);
    equal("rt_sigprocmask", sys::rt_sigprocmask(0, &raw const set as usize, 0, 8), 0);
    let limit = [LIMIT as u64, u64::MAX];
    equal("RLIMIT_FSIZE", sys::prlimit64(0, RLIMIT_FSIZE, limit.as_ptr() as usize, 0), 0);
    let fd = make(c"f");
    let row = |what: &str, answer: isize, want: isize, signal: bool| {
        equal(what, answer, want);
        equal(what, signalled().into(), isize::from(signal));
    };
    row("ftruncate to it", sys::ftruncate(fd, LIMIT), 0, false);
    row("ftruncate past it", sys::ftruncate(fd, LIMIT + 1), EFBIG, true);
    row("truncate past it", sys::truncate(at(c"f"), LIMIT + 1), EFBIG, true);
    row("fallocate past it", sys::fallocate(fd, 0, 0, LIMIT + 1), EFBIG, true);
    row("zero past it", sys::fallocate(fd, ZERO_RANGE, LIMIT, 1), EFBIG, true);
    row("fallocate behind the end", sys::fallocate(fd, KEEP_SIZE, LIMIT, 4096), 0, false);
    row("past the largest file too", sys::fallocate(fd, 0, 0, i64::MAX), EFBIG, false);
    row("write across it", sys::pwrite(fd, b"abcd", LIMIT - 2), 2, false);
    row("write past it", sys::pwrite(fd, b"abcd", LIMIT), EFBIG, true);
    row("cut", sys::ftruncate(fd, 1), 0, false);
    let none = [u64::MAX, u64::MAX];
    equal("no limit", sys::prlimit64(0, RLIMIT_FSIZE, none.as_ptr() as usize, 0), 0);
    row("past the largest file", sys::ftruncate(fd, i64::MAX), EFBIG, false);
    sys::close(fd);
}

/// The program's own file. Where its name leads nowhere, /proc knows it.
fn running(name: &CStr) {
    let named = sys::open(name, O_RDONLY, 0);
    let own = if named >= 0 { name } else { c"/proc/self/exe" };
    sys::close(named as i32);
    equal("write to what runs", sys::open(own, O_WRONLY, 0), ETXTBSY);
    equal("cut it", sys::truncate(at(own), 0), ETXTBSY);
    equal("cut it by open", sys::open(own, O_RDONLY | O_TRUNC, 0), ETXTBSY);
}

fn mapping() {
    let null = sys::open(c"/dev/null", O_RDONLY, 0) as i32;
    let map = [0u64; 4];
    if null >= 0 {
        equal("FIEMAP of a device", sys::ioctl(null, FIEMAP, map.as_ptr() as usize), EOPNOTSUPP);
        sys::close(null);
    }
    let here = sys::open(c".", O_RDONLY, 0) as i32;
    let mut size = 0u32;
    equal("FIGETBSZ", sys::ioctl(here, FIGETBSZ, &raw mut size as usize), 0);
    equal("a block", size as isize, 4096);
    sys::close(here);
}

/// flock(2) within one process: a lock is an open file's.
fn locks() {
    const SHARED: i32 = 1;
    const EXCLUSIVE: i32 = 2;
    const NOW: i32 = 4;
    const UNLOCK: i32 = 8;
    const EAGAIN: isize = -11;
    let open = || sys::open(c"locked", O_RDWR | O_CREAT, 0o644) as i32;
    let (a, b) = (open(), open());
    let other = sys::open(c"locked too", O_RDONLY | O_CREAT, 0o644) as i32;
    equal("no lock to give up", sys::flock(a, UNLOCK), 0);
    equal("exclusive", sys::flock(a, EXCLUSIVE), 0);
    equal("again", sys::flock(a, EXCLUSIVE | NOW), 0);
    equal("taken", sys::flock(b, SHARED | NOW), EAGAIN);
    equal("another file", sys::flock(other, EXCLUSIVE | NOW), 0);
    let same = sys::dup(a) as i32;
    equal("its own by another number", sys::flock(same, SHARED | NOW), 0);
    equal("shared", sys::flock(b, SHARED), 0);
    equal("no longer alone", sys::flock(same, EXCLUSIVE | NOW), EAGAIN);
    // What failed has cost the lock that was there.
    equal("the other is", sys::flock(b, EXCLUSIVE | NOW), 0);
    equal("close", sys::close(b), 0);
    equal("closed is given up", sys::flock(a, EXCLUSIVE | NOW), 0);
    let b = open();
    equal("close one of two", sys::close(a), 0);
    equal("held by the other", sys::flock(b, EXCLUSIVE | NOW), EAGAIN);
    equal("nothing asked", sys::flock(b, NOW), EINVAL);
    equal("two at once", sys::flock(b, SHARED | EXCLUSIVE), EINVAL);
    equal("no file", sys::flock(99, SHARED), EBADF);
    equal("nonsense about no file", sys::flock(99, 0), EINVAL);
    let path = sys::open(c"locked", O_PATH, 0) as i32;
    equal("O_PATH", sys::flock(path, SHARED), EBADF);
    let directory = sys::open(c".", O_RDONLY | O_DIRECTORY, 0) as i32;
    equal("a directory", sys::flock(directory, EXCLUSIVE), 0);
    [same, b, other, path, directory].into_iter().for_each(|fd| equal("close", sys::close(fd), 0));
}
