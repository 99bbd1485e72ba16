//! System calls, as thin as they come: each returns what the kernel left in x0.
//!
//! Failures are negative error numbers, `-9` for EBADF. Pointers are raw on purpose: half of these
//! programs exist to pass wrong ones.
#![allow(missing_docs, reason = "each function is the system call of its name, man section 2")]

use core::arch::asm;
use core::ffi::CStr;

pub const AT_FDCWD: i32 = -100;
pub const O_RDONLY: i32 = 0;
pub const O_WRONLY: i32 = 1;
pub const O_RDWR: i32 = 2;
pub const O_CREAT: i32 = 0o100;
pub const O_EXCL: i32 = 0o200;
pub const O_TRUNC: i32 = 0o1000;
pub const O_APPEND: i32 = 0o2000;
pub const O_DIRECTORY: i32 = 0o40000;
pub const O_DIRECT: i32 = 0o200000;
pub const O_NOFOLLOW: i32 = 0o100000;
pub const O_CLOEXEC: i32 = 0o2000000;
pub const O_SYNC: i32 = 0o4010000;
pub const O_PATH: i32 = 0o10000000;

pub const EPERM: isize = -1;
pub const ENOENT: isize = -2;
pub const ESRCH: isize = -3;
pub const ENXIO: isize = -6;
pub const E2BIG: isize = -7;
pub const EBADF: isize = -9;
pub const ENOMEM: isize = -12;
pub const EACCES: isize = -13;
pub const EFAULT: isize = -14;
pub const EBUSY: isize = -16;
pub const EEXIST: isize = -17;
pub const EXDEV: isize = -18;
pub const ENOTDIR: isize = -20;
pub const EISDIR: isize = -21;
pub const EINVAL: isize = -22;
pub const EMFILE: isize = -24;
pub const ENOTTY: isize = -25;
pub const EFBIG: isize = -27;
pub const ENOSPC: isize = -28;
pub const ESPIPE: isize = -29;
pub const EROFS: isize = -30;
pub const ERANGE: isize = -34;
pub const ENAMETOOLONG: isize = -36;
pub const ENOSYS: isize = -38;
pub const ENOTEMPTY: isize = -39;
pub const ELOOP: isize = -40;
pub const ENODATA: isize = -61;
pub const EOPNOTSUPP: isize = -95;

/// A system call with up to six arguments.
#[inline(always)]
pub fn call(nr: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: `svc` clobbers x0 only; whatever memory the kernel writes was named by the caller.
    unsafe {
        asm!(
            "svc #0",
            in("x8") nr,
            inlateout("x0") args[0] => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3], in("x4") args[4], in("x5") args[5],
            options(nostack),
        );
    }
    result
}

macro_rules! calls {
    ($($name:ident($($arg:ident: $ty:ty),*) = $nr:literal;)*) => {
        $(
            #[inline]
            pub fn $name($($arg: $ty),*) -> isize {
                let given: &[usize] = &[$($arg.word()),*];
                let mut args = [0; 6];
                args[..given.len()].copy_from_slice(given);
                call($nr, args)
            }
        )*
    };
}

/// What fits a register.
pub trait Word {
    fn word(self) -> usize;
}

macro_rules! words {
    ($($ty:ty)*) => { $(impl Word for $ty { fn word(self) -> usize { self as usize } })* };
}
words! { i32 u32 i64 u64 usize isize }

impl<T> Word for *const T {
    fn word(self) -> usize {
        self as usize
    }
}
impl<T> Word for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}
impl Word for &CStr {
    fn word(self) -> usize {
        self.as_ptr() as usize
    }
}

calls! {
    io_setup(count: u32, at: usize) = 0;
    io_destroy(context: usize) = 1;
    io_submit(context: usize, count: i64, iocbs: usize) = 2;
    io_cancel(context: usize, iocb: usize, result: usize) = 3;
    io_getevents(context: usize, least: i64, most: i64, events: usize, timeout: usize) = 4;
    setxattr(path: &CStr, name: &CStr, value: usize, size: usize, flags: i32) = 5;
    lsetxattr(path: &CStr, name: &CStr, value: usize, size: usize, flags: i32) = 6;
    fsetxattr(fd: i32, name: &CStr, value: usize, size: usize, flags: i32) = 7;
    getxattr(path: &CStr, name: &CStr, value: usize, size: usize) = 8;
    lgetxattr(path: &CStr, name: &CStr, value: usize, size: usize) = 9;
    fgetxattr(fd: i32, name: &CStr, value: usize, size: usize) = 10;
    listxattr(path: &CStr, list: usize, size: usize) = 11;
    llistxattr(path: &CStr, list: usize, size: usize) = 12;
    flistxattr(fd: i32, list: usize, size: usize) = 13;
    removexattr(path: &CStr, name: &CStr) = 14;
    lremovexattr(path: &CStr, name: &CStr) = 15;
    fremovexattr(fd: i32, name: &CStr) = 16;
    getcwd(buf: usize, size: usize) = 17;
    eventfd2(count: u32, flags: i32) = 19;
    dup(fd: i32) = 23;
    dup3(old: i32, new: i32, flags: i32) = 24;
    fcntl(fd: i32, cmd: i32, arg: usize) = 25;
    flock(fd: i32, command: i32) = 32;
    ioctl(fd: i32, cmd: usize, arg: usize) = 29;
    ioprio_set(which: i32, who: i32, prio: u32) = 30;
    ioprio_get(which: i32, who: i32) = 31;
    mknodat(fd: i32, path: usize, mode: u32, dev: u64) = 33;
    mkdirat(fd: i32, path: usize, mode: u32) = 34;
    unlinkat(fd: i32, path: usize, flags: i32) = 35;
    symlinkat(target: usize, fd: i32, path: usize) = 36;
    linkat(old_fd: i32, old: usize, new_fd: i32, new: usize, flags: i32) = 37;
    renameat2(old_fd: i32, old: usize, new_fd: i32, new: usize, flags: u32) = 276;
    statfs(path: usize, buf: usize) = 43;
    fstatfs(fd: i32, buf: usize) = 44;
    truncate(path: usize, len: i64) = 45;
    ftruncate(fd: i32, len: i64) = 46;
    fallocate(fd: i32, mode: i32, offset: i64, len: i64) = 47;
    faccessat(fd: i32, path: usize, mode: i32) = 48;
    chdir(path: usize) = 49;
    fchdir(fd: i32) = 50;
    fchmod(fd: i32, mode: u32) = 52;
    fchmodat(fd: i32, path: usize, mode: u32) = 53;
    fchownat(fd: i32, path: usize, uid: u32, gid: u32, flags: i32) = 54;
    fchown(fd: i32, uid: u32, gid: u32) = 55;
    openat(fd: i32, path: usize, flags: i32, mode: u32) = 56;
    close(fd: i32) = 57;
    pipe2(ends: usize, flags: i32) = 59;
    getdents64(fd: i32, buf: usize, len: usize) = 61;
    lseek(fd: i32, offset: i64, whence: i32) = 62;
    read_raw(fd: i32, buf: usize, len: usize) = 63;
    write_raw(fd: i32, buf: usize, len: usize) = 64;
    readv(fd: i32, iov: usize, count: usize) = 65;
    writev(fd: i32, iov: usize, count: usize) = 66;
    pread_raw(fd: i32, buf: usize, len: usize, pos: i64) = 67;
    pwrite_raw(fd: i32, buf: usize, len: usize, pos: i64) = 68;
    preadv(fd: i32, iov: usize, count: usize, pos: i64, pos_high: usize) = 69;
    pwritev(fd: i32, iov: usize, count: usize, pos: i64, pos_high: usize) = 70;
    sendfile(out: i32, from: i32, offset: usize, count: usize) = 71;
    pselect6(n: i32, r: usize, w: usize, e: usize, timeout: usize, mask: usize) = 72;
    ppoll(fds: usize, n: usize, timeout: usize, mask: usize, size: usize) = 73;
    vmsplice(fd: i32, iov: usize, count: usize, flags: u32) = 75;
    splice(from: i32, off_in: usize, to: i32, off_out: usize, len: usize, flags: u32) = 76;
    tee(from: i32, to: i32, len: usize, flags: u32) = 77;
    readlinkat(fd: i32, path: usize, buf: usize, len: usize) = 78;
    newfstatat(fd: i32, path: usize, buf: usize, flags: i32) = 79;
    fstat(fd: i32, buf: usize) = 80;
    sync() = 81;
    fsync(fd: i32) = 82;
    sync_file_range(fd: i32, offset: i64, len: i64, flags: u32) = 84;
    fdatasync(fd: i32) = 83;
    utimensat(fd: i32, path: usize, times: usize, flags: i32) = 88;
    set_tid_address(at: usize) = 96;
    nanosleep(req: usize, rem: usize) = 101;
    setitimer(which: i32, new: usize, old: usize) = 103;
    clock_gettime(clock: i32, at: usize) = 113;
    clock_getres(clock: i32, at: usize) = 114;
    clock_nanosleep(clock: i32, flags: i32, req: usize, rem: usize) = 115;
    sched_yield() = 124;
    kill(pid: i32, signal: i32) = 129;
    sigaltstack(new: usize, old: usize) = 132;
    rt_sigaction(signal: i32, new: usize, old: usize, size: usize) = 134;
    rt_sigprocmask(how: i32, new: usize, old: usize, size: usize) = 135;
    rt_sigpending(set: usize, size: usize) = 136;
    setpriority(which: i32, who: i32, nice: i32) = 140;
    reboot(magic1: u32, magic2: u32, command: u32, word: usize) = 142;
    setresuid(real: u32, effective: u32, saved: u32) = 147;
    getgroups(size: i32, list: usize) = 158;
    uname(buf: usize) = 160;
    getrusage(who: i32, buf: usize) = 165;
    umask(mask: u32) = 166;
    gettimeofday(tv: usize, tz: usize) = 169;
    getpid() = 172;
    getppid() = 173;
    getuid() = 174;
    sysinfo(buf: usize) = 179;
    brk(at: usize) = 214;
    munmap(at: usize, len: usize) = 215;
    mremap(at: usize, old: usize, new: usize, flags: i32, to: usize) = 216;
    mmap(at: usize, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) = 222;
    mprotect(at: usize, len: usize, prot: i32) = 226;
    msync(at: usize, len: usize, flags: i32) = 227;
    mlock(at: usize, len: usize) = 228;
    munlock(at: usize, len: usize) = 229;
    mlockall(flags: i32) = 230;
    munlockall() = 231;
    mincore(at: usize, len: usize, out: usize) = 232;
    readahead(fd: i32, offset: i64, count: usize) = 213;
    fadvise64(fd: i32, offset: i64, len: i64, advice: i32) = 223;
    madvise(at: usize, len: usize, advice: i32) = 233;
    prlimit64(pid: i32, what: i32, new: usize, old: usize) = 261;
    syncfs(fd: i32) = 267;
    mlock2(at: usize, len: usize, flags: u32) = 284;
    getrandom(buf: usize, len: usize, flags: u32) = 278;
    copy_file_range(from: i32, off_in: usize, to: i32, off_out: usize, len: usize, flags: u32) = 285;
    preadv2(fd: i32, iov: usize, count: usize, pos: i64, pos_high: usize, flags: i32) = 286;
    pwritev2(fd: i32, iov: usize, count: usize, pos: i64, pos_high: usize, flags: i32) = 287;
    statx(fd: i32, path: usize, flags: i32, mask: u32, buf: usize) = 291;
    io_pgetevents(context: usize, least: i64, most: i64, events: usize, timeout: usize, mask: usize) = 292;
}

/// `struct iovec`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct IoVec {
    pub base: usize,
    pub len: usize,
}

impl IoVec {
    pub fn of(bytes: &[u8]) -> IoVec {
        IoVec { base: bytes.as_ptr() as usize, len: bytes.len() }
    }
}

pub fn exit(status: i32) -> ! {
    call(94, [status as usize, 0, 0, 0, 0, 0]);
    loop {
        call(93, [status as usize, 0, 0, 0, 0, 0]);
    }
}

pub fn open(path: &CStr, flags: i32, mode: u32) -> isize {
    openat(AT_FDCWD, path.word(), flags, mode)
}

pub fn write(fd: i32, bytes: &[u8]) -> isize {
    write_raw(fd, bytes.as_ptr() as usize, bytes.len())
}

pub fn read(fd: i32, bytes: &mut [u8]) -> isize {
    read_raw(fd, bytes.as_mut_ptr() as usize, bytes.len())
}

pub fn pwrite(fd: i32, bytes: &[u8], pos: i64) -> isize {
    pwrite_raw(fd, bytes.as_ptr() as usize, bytes.len(), pos)
}

pub fn pread(fd: i32, bytes: &mut [u8], pos: i64) -> isize {
    pread_raw(fd, bytes.as_mut_ptr() as usize, bytes.len(), pos)
}

pub fn mkdir(path: &CStr, mode: u32) -> isize {
    mkdirat(AT_FDCWD, path.word(), mode)
}

pub fn unlink(path: &CStr) -> isize {
    unlinkat(AT_FDCWD, path.word(), 0)
}

pub fn rmdir(path: &CStr) -> isize {
    unlinkat(AT_FDCWD, path.word(), 0x200)
}

pub fn rename(old: &CStr, new: &CStr) -> isize {
    renameat2(AT_FDCWD, old.word(), AT_FDCWD, new.word(), 0)
}
