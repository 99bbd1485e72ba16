//! Every call that takes a buffer, with pointers that are not the program's: each answers EFAULT,
//! and a range that begins well and ends badly gives a short count where the man page promises one.
#![no_std]
#![no_main]

use user::check::equal;
use user::sys::{self, AT_FDCWD, EFAULT, IoVec};
use user::{Args, program};

program!(main);

/// Unmapped, kernel, beyond 48 bits, the last byte of all.
const BAD: [usize; 5] = [0x10, 0x7000_0000_0000, 0xffff_0000_0008_0000, 0x0001_0000_0000_0000, usize::MAX];

const PAGE: usize = 4096;

fn main(_: Args) -> i32 {
    let file = sys::open(c"/badptr.tmp", sys::O_RDWR | sys::O_CREAT | sys::O_TRUNC, 0o644) as i32;
    equal("a file to work on", sys::write(file, &[7; 2 * PAGE]), 2 * PAGE as isize);
    for bad in BAD {
        paths(bad);
        outputs(file, bad);
        inputs(file, bad);
    }
    read_only_targets(file);
    short_counts(file);
    iovecs(file);
    equal("the file goes", sys::unlink(c"/badptr.tmp"), 0);
    user::check::verdict()
}

fn path() -> usize {
    c"/badptr.tmp".as_ptr() as usize
}

/// Calls whose path is bad.
fn paths(bad: usize) {
    let cwd = AT_FDCWD;
    let mut room = [0u8; 512];
    let buf = room.as_mut_ptr() as usize;
    equal("openat", sys::openat(cwd, bad, 0, 0), EFAULT);
    equal("mkdirat", sys::mkdirat(cwd, bad, 0), EFAULT);
    equal("mknodat", sys::mknodat(cwd, bad, 0o100644, 0), EFAULT);
    equal("unlinkat", sys::unlinkat(cwd, bad, 0), EFAULT);
    equal("rmdir", sys::unlinkat(cwd, bad, 0x200), EFAULT);
    equal("symlinkat target", sys::symlinkat(bad, cwd, path()), EFAULT);
    equal("symlinkat path", sys::symlinkat(path(), cwd, bad), EFAULT);
    equal("linkat old", sys::linkat(cwd, bad, cwd, path(), 0), EFAULT);
    equal("linkat new", sys::linkat(cwd, path(), cwd, bad, 0), EFAULT);
    equal("renameat2 old", sys::renameat2(cwd, bad, cwd, path(), 0), EFAULT);
    equal("renameat2 new", sys::renameat2(cwd, path(), cwd, bad, 0), EFAULT);
    equal("truncate", sys::truncate(bad, 0), EFAULT);
    equal("chdir", sys::chdir(bad), EFAULT);
    equal("faccessat", sys::faccessat(cwd, bad, 0), EFAULT);
    equal("fchmodat", sys::fchmodat(cwd, bad, 0), EFAULT);
    equal("fchownat", sys::fchownat(cwd, bad, 0, 0, 0), EFAULT);
    equal("readlinkat", sys::readlinkat(cwd, bad, buf, 10), EFAULT);
    equal("newfstatat", sys::newfstatat(cwd, bad, buf, 0), EFAULT);
    equal("statx", sys::statx(cwd, bad, 0, 0x7ff, buf), EFAULT);
    equal("statfs", sys::statfs(bad, buf), EFAULT);
    equal("utimensat", sys::utimensat(cwd, bad, 0, 0), EFAULT);
}

/// Calls that would write through the pointer.
fn outputs(file: i32, bad: usize) {
    let cwd = AT_FDCWD;
    let one = [IoVec { base: bad, len: 16 }];
    let iov = one.as_ptr() as usize;
    equal(
        "read",
        {
            sys::lseek(file, 0, 0);
            sys::read_raw(file, bad, 16)
        },
        EFAULT,
    );
    equal("pread64", sys::pread_raw(file, bad, 16, 0), EFAULT);
    equal(
        "readv",
        {
            sys::lseek(file, 0, 0);
            sys::readv(file, iov, 1)
        },
        EFAULT,
    );
    equal("preadv", sys::preadv(file, iov, 1, 0, 0), EFAULT);
    equal("preadv2", sys::preadv2(file, iov, 1, 0, 0, 0), EFAULT);
    equal("fstat", sys::fstat(file, bad), EFAULT);
    equal("newfstatat", sys::newfstatat(cwd, path(), bad, 0), EFAULT);
    equal("statx", sys::statx(cwd, path(), 0, 0x7ff, bad), EFAULT);
    equal("statfs", sys::statfs(path(), bad), EFAULT);
    equal("fstatfs", sys::fstatfs(file, bad), EFAULT);
    equal("getcwd", sys::getcwd(bad, 100), EFAULT);
    let root = sys::open(c"/", sys::O_RDONLY | sys::O_DIRECTORY, 0) as i32;
    equal("getdents64", sys::getdents64(root, bad, 1024), EFAULT);
    equal("close", sys::close(root), 0);
    equal("clock_gettime", sys::clock_gettime(1, bad), EFAULT);
    equal("clock_getres", sys::clock_getres(1, bad), EFAULT);
    equal("gettimeofday", sys::gettimeofday(bad, 0), EFAULT);
    equal("getrandom", sys::getrandom(bad, 16, 0), EFAULT);
    equal("uname", sys::uname(bad), EFAULT);
    equal("sysinfo", sys::sysinfo(bad), EFAULT);
    equal("getrusage", sys::getrusage(0, bad), EFAULT);
    equal("prlimit64 old", sys::prlimit64(0, 7, 0, bad), EFAULT);
    equal("rt_sigaction old", sys::rt_sigaction(10, 0, bad, 8), EFAULT);
    equal("rt_sigprocmask old", sys::rt_sigprocmask(0, 0, bad, 8), EFAULT);
    equal("sigaltstack old", sys::sigaltstack(0, bad), EFAULT);
    equal("rt_sigpending", sys::call(136, [bad, 8, 0, 0, 0, 0]), EFAULT);
    equal("times", sys::call(153, [bad, 0, 0, 0, 0, 0]), EFAULT);
    equal("getresuid", sys::call(148, [bad, bad, bad, 0, 0, 0]), EFAULT);
    equal("getresgid", sys::call(150, [bad, bad, bad, 0, 0, 0]), EFAULT);
    equal("getrlimit", sys::call(163, [7, bad, 0, 0, 0, 0]), EFAULT);
    equal("sched_getaffinity", sys::call(123, [0, 128, bad, 0, 0, 0]), EFAULT);
    equal("sched_getparam", sys::call(121, [0, bad, 0, 0, 0, 0]), EFAULT);
    equal("getcpu", sys::call(168, [bad, 0, 0, 0, 0, 0]), EFAULT);
    equal("prctl PR_GET_NAME", sys::call(167, [16, bad, 0, 0, 0, 0]), EFAULT);
    equal("mincore", sys::call(232, [room_of_a_page(), PAGE, bad, 0, 0, 0]), EFAULT);
    equal(
        "/dev/zero read",
        {
            let z = sys::open(c"/dev/zero", 0, 0) as i32;
            let r = sys::read_raw(z, bad, 64);
            sys::close(z);
            r
        },
        EFAULT,
    );
}

/// An address that is mapped.
fn room_of_a_page() -> usize {
    main as *const () as usize & !(PAGE - 1)
}

/// Calls that would read through the pointer.
fn inputs(file: i32, bad: usize) {
    let one = [IoVec { base: bad, len: 16 }];
    let iov = one.as_ptr() as usize;
    equal("write", sys::write_raw(file, bad, 16), EFAULT);
    equal("pwrite64", sys::pwrite_raw(file, bad, 16, 0), EFAULT);
    equal("writev", sys::writev(file, iov, 1), EFAULT);
    equal("pwritev", sys::pwritev(file, iov, 1, 0, 0), EFAULT);
    equal("pwritev2", sys::pwritev2(file, iov, 1, 0, 0, 0), EFAULT);
    equal("readv array", sys::readv(file, bad, 1), EFAULT);
    equal("writev array", sys::writev(file, bad, 1), EFAULT);
    equal("nanosleep", sys::nanosleep(bad, 0), EFAULT);
    equal("clock_nanosleep", sys::clock_nanosleep(1, 0, bad, 0), EFAULT);
    equal("utimensat times", sys::utimensat(AT_FDCWD, path(), bad, 0), EFAULT);
    equal("prlimit64 new", sys::prlimit64(0, 7, bad, 0), EFAULT);
    equal("rt_sigaction new", sys::rt_sigaction(10, bad, 0, 8), EFAULT);
    equal("sendfile offset", sys::sendfile(file, file, bad, 1), EFAULT);
    equal("sigaltstack new", sys::sigaltstack(bad, 0), EFAULT);
    equal("setrlimit", sys::call(164, [7, bad, 0, 0, 0, 0]), EFAULT);
    equal("sched_setaffinity", sys::call(122, [0, 8, bad, 0, 0, 0]), EFAULT);
    equal("setgroups", sys::call(159, [1, bad, 0, 0, 0, 0]), EFAULT);
    equal("prctl PR_SET_NAME", sys::call(167, [15, bad, 0, 0, 0, 0]), EFAULT);
    equal("ppoll", sys::ppoll(bad, 1, 0, 0, 8), EFAULT);
    equal("ppoll timeout", sys::ppoll(0, 0, bad, 0, 8), EFAULT);
    equal("pselect6", sys::pselect6(1, bad, 0, 0, 0, 0), EFAULT);
    equal("pselect6 timeout", sys::pselect6(0, 0, 0, 0, bad, 0), EFAULT);
    equal("fcntl F_SETLK", sys::fcntl(file, 6, bad), EFAULT);
    equal("fcntl F_GETLK", sys::fcntl(file, 5, bad), EFAULT);
    equal("ioctl FIONBIO", sys::ioctl(file, 0x5421, bad), EFAULT);
    equal("futex", sys::call(98, [bad & !3, 0, 0, 0, 0, 0]), EFAULT);
    equal("rt_sigprocmask new", sys::rt_sigprocmask(0, bad, 0, 8), EFAULT);
}

fn map(pages: usize, protection: i32) -> usize {
    let at = sys::mmap(0, pages * PAGE, protection, 0x22, -1, 0);
    user::check::holds("mmap", at > 0);
    at as usize
}

/// A page that may be read but not written is no target.
fn read_only_targets(file: i32) {
    let at = map(1, 1);
    equal("read into a read-only page", sys::pread_raw(file, at, 16, 0), EFAULT);
    equal("fstat into a read-only page", sys::fstat(file, at), EFAULT);
    equal("write from a read-only page", sys::pwrite_raw(file, at, 16, 0), 16);
    let none = map(1, 0);
    equal("write from PROT_NONE", sys::pwrite_raw(file, none, 16, 0), EFAULT);
    equal("read into PROT_NONE", sys::pread_raw(file, none, 16, 0), EFAULT);
    let text = main as *const () as usize;
    equal("read into the program's text", sys::pread_raw(file, text, 16, 0), EFAULT);
}

/// Two pages, the second taken away: what lies in the first still counts.
fn short_counts(file: i32) {
    let at = map(2, 3);
    equal("munmap", sys::munmap(at + PAGE, PAGE), 0);
    let edge = at + PAGE - 100;
    equal("pwrite across the edge", sys::pwrite_raw(file, edge, 300, 0), 100);
    equal("pread across the edge", sys::pread_raw(file, edge, 300, 0), 100);
    equal("a path across the edge", sys::openat(AT_FDCWD, at + PAGE - 1, 0, 0), sys::ENOENT);
    // SAFETY: the last byte of a page this program mapped.
    unsafe { ((at + PAGE - 1) as *mut u8).write(b'x') };
    equal("an unfinished path at the edge", sys::openat(AT_FDCWD, at + PAGE - 1, 0, 0), EFAULT);
    equal("stat across the edge", sys::fstat(file, at + PAGE - 64), EFAULT);
}

/// A good segment, then a bad one.
fn iovecs(file: i32) {
    let good = [1u8; 50];
    let mixed = [IoVec::of(&good), IoVec { base: 0x10, len: 50 }];
    let iov = mixed.as_ptr() as usize;
    equal("pwritev stops at the bad segment", sys::pwritev(file, iov, 2, 0, 0), 50);
    let mut room = [0u8; 50];
    let mixed = [IoVec { base: room.as_mut_ptr() as usize, len: 50 }, IoVec { base: 0x10, len: 50 }];
    let iov = mixed.as_ptr() as usize;
    equal("preadv stops at the bad segment", sys::preadv(file, iov, 2, 0, 0), 50);
    equal("readv of a negative count", sys::readv(file, iov, usize::MAX), sys::EINVAL);
    equal("readv of too many", sys::readv(file, iov, 1025), sys::EINVAL);
    equal("readv of none", sys::readv(file, iov, 0), 0);
    let negative = [IoVec { base: room.as_mut_ptr() as usize, len: 1 << 63 }];
    equal("a negative length", sys::readv(file, negative.as_ptr() as usize, 1), sys::EINVAL);
    let kernel = [IoVec { base: 0xffff_0000_0000_0000, len: 0 }];
    let length_zero = sys::writev(file, kernel.as_ptr() as usize, 1);
    user::check::holds("an empty kernel segment", length_zero == 0 || length_zero == EFAULT);
}
