//! The file calls, one family after the other, with the error numbers of their man pages. Runs in a
//! directory given as its argument (default `/files.tmp`), which it makes and takes away again.
#![no_std]
#![no_main]

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

fn main(args: Args) -> i32 {
    let place = if args.count() > 1 { args.get(1) } else { c"/files.tmp" };
    sys::umask(0o022);
    equal("mkdir", sys::mkdir(place, 0o755), 0);
    equal("chdir", sys::chdir(place.as_ptr() as usize), 0);
    opening();
    writing();
    positions();
    appending();
    vectors();
    sizes();
    names();
    links();
    renames();
    directories();
    descriptors();
    modes();
    times();
    special();
    sending();
    equal("chdir /", sys::chdir(c"/".as_ptr() as usize), 0);
    equal("rmdir", sys::rmdir(place), 0);
    user::check::verdict()
}

fn at(path: &core::ffi::CStr) -> usize {
    path.as_ptr() as usize
}

/// A field of `struct stat`, by its byte offset.
fn stat_field(path: &core::ffi::CStr, offset: usize, bytes: usize) -> u64 {
    let mut stat = [0u8; 128];
    if sys::newfstatat(AT_FDCWD, at(path), stat.as_mut_ptr() as usize, 0x100) != 0 {
        return u64::MAX;
    }
    let mut value = [0; 8];
    value[..bytes].copy_from_slice(&stat[offset..offset + bytes]);
    u64::from_le_bytes(value)
}

fn size(path: &core::ffi::CStr) -> u64 {
    stat_field(path, 48, 8)
}

fn mode(path: &core::ffi::CStr) -> u64 {
    stat_field(path, 16, 4)
}

fn nlink(path: &core::ffi::CStr) -> u64 {
    stat_field(path, 20, 4)
}

fn create(path: &core::ffi::CStr) -> i32 {
    let fd = sys::open(path, O_RDWR | O_CREAT | O_EXCL, 0o644);
    holds("a file is made", fd >= 0);
    fd as i32
}

fn remove(path: &core::ffi::CStr) {
    equal("unlink", sys::unlink(path), 0);
}

fn opening() {
    equal("open nothing", sys::open(c"none", O_RDONLY, 0), ENOENT);
    equal("open the empty name", sys::open(c"", O_RDONLY, 0), ENOENT);
    let fd = create(c"f");
    equal("create twice", sys::open(c"f", O_RDWR | O_CREAT | O_EXCL, 0o644), EEXIST);
    equal("a file is no directory", sys::open(c"f", O_RDONLY | O_DIRECTORY, 0), ENOTDIR);
    equal("a path through a file", sys::open(c"f/g", O_RDONLY, 0), ENOTDIR);
    equal("a file with a slash", sys::open(c"f/", O_RDONLY, 0), ENOTDIR);
    equal("create with a slash", sys::open(c"new/", O_RDWR | O_CREAT, 0o644), EISDIR);
    equal("write a directory", sys::open(c".", O_RDWR, 0), EISDIR);
    equal("create over a directory", sys::open(c".", O_RDONLY | O_CREAT, 0), EISDIR);
    equal("mode through the umask", mode(c"f"), 0o100644);
    equal("dirfd that is none", sys::openat(77, at(c"f"), O_RDONLY, 0), EBADF);
    equal("dirfd that is a file", sys::openat(fd, at(c"f"), O_RDONLY, 0), ENOTDIR);
    let long = [b'n'; 256];
    let mut name = [0u8; 257];
    name[..256].copy_from_slice(&long);
    equal(
        "a name of 256",
        sys::openat(AT_FDCWD, name.as_ptr() as usize, O_RDWR | O_CREAT, 0o644),
        ENAMETOOLONG,
    );
    name[255] = 0;
    let longest = sys::openat(AT_FDCWD, name.as_ptr() as usize, O_RDWR | O_CREAT, 0o644);
    holds("a name of 255", longest >= 0);
    sys::close(longest as i32);
    equal("unlink it", sys::unlinkat(AT_FDCWD, name.as_ptr() as usize, 0), 0);
    equal("close", sys::close(fd), 0);
    equal("close twice", sys::close(fd), EBADF);
    equal("write after close", sys::write(fd, b"x"), EBADF);
    remove(c"f");
}

fn writing() {
    let fd = create(c"w");
    equal("write nothing", sys::write(fd, b""), 0);
    equal("write", sys::write(fd, b"hello"), 5);
    equal("pwrite past the end", sys::pwrite(fd, b"far", 10_000), 3);
    equal("size", size(c"w"), 10_003);
    let mut back = [9u8; 16];
    equal("a hole reads as zeros", sys::pread(fd, &mut back, 5), 16);
    equal("zeros", back, [0; 16]);
    equal("read at the end", sys::pread(fd, &mut back, 10_003), 0);
    equal("read past the end", sys::pread(fd, &mut back, 1 << 40), 0);
    equal("read across the end", sys::pread(fd, &mut back, 10_000), 3);
    equal("negative position", sys::pwrite(fd, b"x", -1), EINVAL);
    equal("negative position", sys::pread(fd, &mut back, -1), EINVAL);
    equal("position past the largest file", sys::pwrite(fd, b"x", i64::MAX - 1), EFBIG);
    equal("position overflow", sys::pwrite(fd, b"xyz", i64::MAX), EINVAL);
    let reader = sys::open(c"w", O_RDONLY, 0) as i32;
    equal("write to a reader", sys::write(reader, b"x"), EBADF);
    equal("pwrite to a reader", sys::pwrite(reader, b"x", 0), EBADF);
    equal("ftruncate a reader", sys::ftruncate(reader, 0), EINVAL);
    let writer = sys::open(c"w", O_WRONLY, 0) as i32;
    equal("read from a writer", sys::read(writer, &mut back), EBADF);
    equal("fsync", sys::fsync(fd), 0);
    equal("fdatasync", sys::fdatasync(reader), 0);
    equal("syncfs", sys::syncfs(fd), 0);
    equal("fsync of nothing", sys::fsync(77), EBADF);
    let path_only = sys::open(c"w", O_PATH, 0) as i32;
    equal("write to O_PATH", sys::write(path_only, b"x"), EBADF);
    equal("fsync of O_PATH", sys::fsync(path_only), EBADF);
    for fd in [fd, reader, writer, path_only] {
        equal("close", sys::close(fd), 0);
    }
    let again = sys::open(c"w", O_RDWR | O_TRUNC, 0) as i32;
    equal("O_TRUNC", size(c"w"), 0);
    sys::close(again);
    remove(c"w");
}

fn positions() {
    let fd = create(c"p");
    equal("write", sys::write(fd, &[1; 100]), 100);
    equal("SEEK_CUR", sys::lseek(fd, 0, 1), 100);
    equal("SEEK_END", sys::lseek(fd, -10, 2), 90);
    equal("SEEK_SET past the end", sys::lseek(fd, 5000, 0), 5000);
    equal("negative", sys::lseek(fd, -1, 0), EINVAL);
    equal("negative by CUR", sys::lseek(fd, -6000, 1), EINVAL);
    equal("a whence that is none", sys::lseek(fd, 0, 9), EINVAL);
    equal("SEEK_DATA", sys::lseek(fd, 0, 3), 0);
    equal("SEEK_HOLE", sys::lseek(fd, 0, 4), 100);
    equal("SEEK_DATA past the end", sys::lseek(fd, 100, 3), ENXIO);
    equal("SEEK_HOLE past the end", sys::lseek(fd, 101, 4), ENXIO);
    equal(
        "pread leaves the position",
        {
            sys::lseek(fd, 7, 0);
            sys::pread(fd, &mut [0; 4], 0)
        },
        4,
    );
    equal("position", sys::lseek(fd, 0, 1), 7);
    equal("lseek of nothing", sys::lseek(77, 0, 0), EBADF);
    sys::close(fd);
    remove(c"p");
}

fn appending() {
    let fd = sys::open(c"a", O_RDWR | O_CREAT | O_APPEND, 0o600) as i32;
    let other = sys::open(c"a", O_RDWR, 0) as i32;
    equal("append", sys::write(fd, b"one"), 3);
    equal("another end", sys::pwrite(other, b"two", 3), 3);
    equal("seek does not matter", sys::lseek(fd, 0, 0), 0);
    equal("append", sys::write(fd, b"three"), 5);
    equal("position after", sys::lseek(fd, 0, 1), 11);
    equal("pwrite appends too, as under Linux", sys::pwrite(fd, b"!", 0), 1);
    let mut back = [0; 12];
    equal("read", sys::pread(fd, &mut back, 0), 12);
    equal("content", &back, b"onetwothree!");
    equal("F_SETFL takes O_APPEND away", sys::fcntl(fd, 4, 0), 0);
    equal("pwrite", sys::pwrite(fd, b"O", 0), 1);
    equal("size", size(c"a"), 12);
    sys::close(fd);
    sys::close(other);
    remove(c"a");
}

fn vectors() {
    let fd = create(c"v");
    let parts = [IoVec::of(b"ab"), IoVec::of(b""), IoVec::of(b"cdef")];
    let iov = parts.as_ptr() as usize;
    equal("writev", sys::writev(fd, iov, 3), 6);
    equal("pwritev", sys::pwritev(fd, iov, 3, 100, 0), 6);
    let mut back = [0u8; 6];
    let (one, two) = back.split_at_mut(1);
    let into = [IoVec::of(one), IoVec::of(two)];
    equal("preadv", sys::preadv(fd, into.as_ptr() as usize, 2, 100, 0), 6);
    equal("content", &back, b"abcdef");
    equal("pwritev2 at the position", sys::pwritev2(fd, iov, 3, -1, 0, 0), 6);
    equal("position", sys::lseek(fd, 0, 1), 12);
    equal("pwritev2 with a flag that is none", sys::pwritev2(fd, iov, 3, 0, 0, 0x4000_0000), -95);
    equal("size", size(c"v"), 106);
    sys::close(fd);
    remove(c"v");
}

fn sizes() {
    let fd = create(c"s");
    equal("write", sys::write(fd, &[0xff; 9000]), 9000);
    equal("shrink", sys::ftruncate(fd, 4100), 0);
    equal("grow", sys::ftruncate(fd, 9000), 0);
    let mut back = [1u8; 8];
    equal("read across the old end", sys::pread(fd, &mut back, 4096), 8);
    equal("the tail is zero", back, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    equal("negative", sys::ftruncate(fd, -1), EINVAL);
    equal("by path", sys::truncate(at(c"s"), 10), 0);
    equal("size", size(c"s"), 10);
    equal("of a directory", sys::truncate(at(c"."), 0), EISDIR);
    equal("of nothing", sys::truncate(at(c"none"), 0), ENOENT);
    equal("sparse", sys::ftruncate(fd, 1 << 40), 0);
    equal("write at the far end", sys::pwrite(fd, b"z", (1 << 40) - 1), 1);
    holds("blocks of a sparse file", stat_field(c"s", 64, 8) < 64);
    sys::close(fd);
    remove(c"s");
}

fn names() {
    equal("dot", sys::mkdir(c".", 0o755), EEXIST);
    equal("dot dot", sys::mkdir(c"..", 0o755), EEXIST);
    equal("mkdir with slashes", sys::mkdir(c"d//", 0o755), 0);
    equal("mkdir twice", sys::mkdir(c"d", 0o755), EEXIST);
    equal("mkdir nowhere", sys::mkdir(c"none/d", 0o755), ENOENT);
    equal("unlink a directory", sys::unlink(c"d"), EISDIR);
    sys::close(create(c"d/f"));
    equal("rmdir a full one", sys::rmdir(c"d"), ENOTEMPTY);
    equal("rmdir a file", sys::rmdir(c"d/f"), ENOTDIR);
    equal("rmdir dot", sys::rmdir(c"d/."), EINVAL);
    equal("rmdir dot dot", sys::rmdir(c"d/.."), ENOTEMPTY);
    equal("unlink through dots", sys::unlink(c"d/../d/./f"), 0);
    equal("unlink nothing", sys::unlink(c"d/f"), ENOENT);
    equal("flags that are none", sys::unlinkat(AT_FDCWD, at(c"d"), 0x1), EINVAL);
    equal("rmdir", sys::rmdir(c"d/"), 0);
    equal("rmdir nothing", sys::rmdir(c"d"), ENOENT);
    equal("rmdir the root", sys::rmdir(c"/"), -16);
}

fn links() {
    let fd = create(c"l");
    equal("link", sys::linkat(AT_FDCWD, at(c"l"), AT_FDCWD, at(c"l2"), 0), 0);
    equal("two links", nlink(c"l"), 2);
    equal("link over", sys::linkat(AT_FDCWD, at(c"l"), AT_FDCWD, at(c"l2"), 0), EEXIST);
    equal("link a directory", sys::linkat(AT_FDCWD, at(c"."), AT_FDCWD, at(c"l3"), 0), EPERM);
    equal("write by one name", sys::write(fd, b"same"), 4);
    equal("see by the other", size(c"l2"), 4);
    remove(c"l");
    equal("one link", nlink(c"l2"), 1);
    remove(c"l2");
    let mut back = [0; 4];
    equal("open without a name", sys::pread(fd, &mut back, 0), 4);
    sys::close(fd);

    equal("symlink", sys::symlinkat(at(c"target"), AT_FDCWD, at(c"y")), 0);
    equal("symlink over", sys::symlinkat(at(c"target"), AT_FDCWD, at(c"y")), EEXIST);
    equal("symlink to nothing said", sys::symlinkat(at(c""), AT_FDCWD, at(c"z")), ENOENT);
    let mut text = [0u8; 16];
    equal("readlink", sys::readlinkat(AT_FDCWD, at(c"y"), text.as_mut_ptr() as usize, 16), 6);
    equal("its text", &text[..6], b"target");
    equal("readlink cut", sys::readlinkat(AT_FDCWD, at(c"y"), text.as_mut_ptr() as usize, 3), 3);
    equal("readlink of none", sys::readlinkat(AT_FDCWD, at(c"."), text.as_mut_ptr() as usize, 16), EINVAL);
    equal("readlink size 0", sys::readlinkat(AT_FDCWD, at(c"y"), text.as_mut_ptr() as usize, 0), EINVAL);
    equal("dangling", sys::open(c"y", O_RDONLY, 0), ENOENT);
    equal("not followed", sys::open(c"y", O_RDONLY | O_NOFOLLOW, 0), ELOOP);
    let made = sys::open(c"y", O_RDWR | O_CREAT, 0o644);
    holds("created through the link", made >= 0);
    equal("exclusive through the link", sys::open(c"y", O_RDWR | O_CREAT | O_EXCL, 0o644), EEXIST);
    sys::close(made as i32);
    remove(c"target");
    remove(c"y");
    equal("a loop", sys::symlinkat(at(c"loop"), AT_FDCWD, at(c"loop")), 0);
    equal("ELOOP", sys::open(c"loop", O_RDONLY, 0), ELOOP);
    equal("ELOOP in a path", sys::open(c"loop/x", O_RDONLY, 0), ELOOP);
    remove(c"loop");
}

fn renames() {
    sys::close(create(c"r1"));
    sys::close(create(c"r2"));
    equal("NOREPLACE", sys::renameat2(AT_FDCWD, at(c"r1"), AT_FDCWD, at(c"r2"), 1), EEXIST);
    equal("rename over", sys::rename(c"r1", c"r2"), 0);
    equal("the old name", sys::rename(c"r1", c"r3"), ENOENT);
    equal("onto itself", sys::rename(c"r2", c"r2"), 0);
    equal("mkdir", sys::mkdir(c"d1", 0o755), 0);
    equal("mkdir", sys::mkdir(c"d1/d2", 0o755), 0);
    equal("file over directory", sys::rename(c"r2", c"d1"), EISDIR);
    equal("directory over file", sys::rename(c"d1", c"r2"), ENOTDIR);
    equal("into itself", sys::rename(c"d1", c"d1/d2/d3"), EINVAL);
    equal("over its parent", sys::rename(c"d1/d2", c"d1"), ENOTEMPTY);
    equal("a directory up", sys::rename(c"d1/d2", c"d2"), 0);
    equal("links of the parent", nlink(c"d1"), 2);
    equal("over an empty one", sys::rename(c"d2", c"d1"), 0);
    equal("EXCHANGE", sys::renameat2(AT_FDCWD, at(c"r2"), AT_FDCWD, at(c"d1"), 2), 0);
    equal("exchanged", mode(c"d1") & 0o170000, 0o100000);
    equal("both flags", sys::renameat2(AT_FDCWD, at(c"r2"), AT_FDCWD, at(c"d1"), 3), EINVAL);
    equal("EXCHANGE with nothing", sys::renameat2(AT_FDCWD, at(c"r2"), AT_FDCWD, at(c"no"), 2), ENOENT);
    remove(c"d1");
    equal("rmdir", sys::rmdir(c"r2"), 0);
}

fn directories() {
    equal("mkdir", sys::mkdir(c"many", 0o755), 0);
    let mut name = *b"many/file-000\0";
    for i in 0..500u32 {
        let digits = [(i / 100) as u8, (i / 10 % 10) as u8, (i % 10) as u8];
        for (to, digit) in name[10..13].iter_mut().zip(digits) {
            *to = b'0' + digit;
        }
        let fd = sys::openat(AT_FDCWD, name.as_ptr() as usize, O_WRONLY | O_CREAT | O_EXCL, 0o600);
        holds("one of many", fd >= 0);
        sys::close(fd as i32);
    }
    let fd = sys::open(c"many", O_RDONLY | O_DIRECTORY, 0) as i32;
    equal("read a directory", sys::read(fd, &mut [0; 10]), EISDIR);
    equal("a buffer too small", sys::getdents64(fd, [0u8; 8].as_mut_ptr() as usize, 8), EINVAL);
    equal("entries", count_and_remove(fd), 502);
    equal("rewind", sys::lseek(fd, 0, 0), 0);
    equal("entries after all were removed", count_and_remove(fd), 2);
    sys::close(fd);
    equal("rmdir", sys::rmdir(c"many"), 0);
    let fd = create(c"plain");
    equal("getdents of a file", sys::getdents64(fd, [0u8; 64].as_mut_ptr() as usize, 64), ENOTDIR);
    sys::close(fd);
    remove(c"plain");
}

/// Walks a directory in small steps and removes each file that it meets; how many entries it saw.
fn count_and_remove(fd: i32) -> usize {
    let mut buffer = [0u8; 300];
    let mut seen = 0;
    loop {
        let got = sys::getdents64(fd, buffer.as_mut_ptr() as usize, buffer.len());
        if got <= 0 {
            equal("getdents64 ends", got, 0);
            return seen;
        }
        let mut offset = 0;
        while offset < got as usize {
            let length = u16::from_le_bytes([buffer[offset + 16], buffer[offset + 17]]) as usize;
            if buffer[offset + 18] == 8 {
                let name = buffer[offset + 19..].as_ptr() as usize;
                equal("unlink while walking", sys::unlinkat(fd, name, 0), 0);
            }
            seen += 1;
            offset += length;
        }
    }
}

fn descriptors() {
    let fd = create(c"fd");
    let two = sys::dup(fd) as i32;
    equal("the lowest number", two, fd + 1);
    equal(
        "they share a position",
        {
            sys::write(fd, b"123");
            sys::lseek(two, 0, 1)
        },
        3,
    );
    equal("dup3", sys::dup3(fd, 100, O_CLOEXEC), 100);
    equal("FD_CLOEXEC", sys::fcntl(100, 1, 0), 1);
    equal("not of the original", sys::fcntl(fd, 1, 0), 0);
    equal("dup3 onto itself", sys::dup3(fd, fd, 0), EINVAL);
    equal("dup3 of nothing", sys::dup3(77, 78, 0), EBADF);
    equal("dup3 past the limit", sys::dup3(fd, 1 << 20, 0), EBADF);
    equal("F_DUPFD", sys::fcntl(fd, 0, 50), 50);
    equal("F_DUPFD past the limit", sys::fcntl(fd, 0, 1 << 20), EINVAL);
    equal("F_GETFL", sys::fcntl(fd, 3, 0) & 3, O_RDWR as isize);
    equal("a command that is none", sys::fcntl(fd, 9999, 0), EINVAL);
    equal("ioctl of a file", sys::ioctl(fd, 0x5401, 0), ENOTTY);
    for fd in [fd, two, 100, 50] {
        equal("close", sys::close(fd), 0);
    }
    remove(c"fd");
}

fn modes() {
    let fd = create(c"m");
    equal("fchmod", sys::fchmod(fd, 0o4755), 0);
    equal("mode", mode(c"m"), 0o104755);
    equal("a write takes setuid away, not from root", sys::write(fd, b"x"), 1);
    equal("fchmodat", sys::fchmodat(AT_FDCWD, at(c"m"), 0o640), 0);
    equal("mode", mode(c"m"), 0o100640);
    equal("fchown", sys::fchown(fd, 1000, 1001), 0);
    equal("uid", stat_field(c"m", 24, 4), 1000);
    equal("gid", stat_field(c"m", 28, 4), 1001);
    equal("one of them", sys::fchownat(AT_FDCWD, at(c"m"), 5, u32::MAX, 0), 0);
    equal("gid stays", stat_field(c"m", 28, 4), 1001);
    equal("faccessat", sys::faccessat(AT_FDCWD, at(c"m"), 6), 0);
    equal("no execution, even for root", sys::faccessat(AT_FDCWD, at(c"m"), 1), EACCES);
    equal("faccessat mode", sys::faccessat(AT_FDCWD, at(c"m"), 8), EINVAL);
    sys::close(fd);
    remove(c"m");
    let old = sys::umask(0o077);
    equal("umask", old, 0o022);
    sys::close(sys::open(c"u", O_RDWR | O_CREAT, 0o666) as i32);
    equal("mode", mode(c"u"), 0o100600);
    sys::umask(0o022);
    remove(c"u");
}

fn times() {
    let fd = create(c"t");
    let set = [5u64, 6, 7, 8];
    equal("utimensat", sys::utimensat(AT_FDCWD, at(c"t"), set.as_ptr() as usize, 0), 0);
    equal("atime", (stat_field(c"t", 72, 8), stat_field(c"t", 80, 8)), (5, 6));
    equal("mtime", (stat_field(c"t", 88, 8), stat_field(c"t", 96, 8)), (7, 8));
    let omit = [0u64, 0x3fff_fffe, 9, 9];
    equal("futimens", sys::utimensat(fd, 0, omit.as_ptr() as usize, 0), 0);
    equal("atime stays", stat_field(c"t", 72, 8), 5);
    equal("mtime", stat_field(c"t", 88, 8), 9);
    let wrong = [0u64, 1_000_000_000, 0, 0];
    equal("a nanosecond too many", sys::utimensat(fd, 0, wrong.as_ptr() as usize, 0), EINVAL);
    equal("write", sys::write(fd, b"x"), 1);
    holds("a write moves mtime", stat_field(c"t", 88, 8) > 1_000_000);
    let late = [4_294_967_296u64, 1, 15_032_385_534, 999_999_999];
    equal("beyond 2038", sys::utimensat(fd, 0, late.as_ptr() as usize, 0), 0);
    equal("atime", stat_field(c"t", 72, 8), 4_294_967_296);
    equal("mtime", (stat_field(c"t", 88, 8), stat_field(c"t", 96, 8)), (15_032_385_534, 999_999_999));
    sys::close(fd);
    remove(c"t");
}

fn special() {
    let null = sys::open(c"/dev/null", O_RDWR, 0) as i32;
    equal("write to null", sys::write(null, &[0; 100]), 100);
    equal("read from null", sys::read(null, &mut [0; 10]), 0);
    let zero = sys::open(c"/dev/zero", O_RDWR, 0) as i32;
    let mut bytes = [1u8; 100];
    equal("read from zero", sys::read(zero, &mut bytes), 100);
    equal("zeros", bytes, [0; 100]);
    let full = sys::open(c"/dev/full", O_RDWR, 0) as i32;
    equal("write to full", sys::write(full, b"x"), ENOSPC);
    let random = sys::open(c"/dev/urandom", O_RDONLY, 0) as i32;
    equal("read from urandom", sys::read(random, &mut bytes), 100);
    holds("not zeros", bytes.iter().any(|&b| b != 0));
    for fd in [null, zero, full, random] {
        equal("close", sys::close(fd), 0);
    }
    equal("mknod a file", sys::mknodat(AT_FDCWD, at(c"n"), 0o100600, 0), 0);
    equal("mknod twice", sys::mknodat(AT_FDCWD, at(c"n"), 0o100600, 0), EEXIST);
    remove(c"n");
    equal("mknod a pipe", sys::mknodat(AT_FDCWD, at(c"n"), 0o010600, 0), 0);
    equal("its mode", mode(c"n"), 0o010600);
    remove(c"n");
    equal("mknod null", sys::mknodat(AT_FDCWD, at(c"n"), 0o020666, 0x103), 0);
    equal("its number", stat_field(c"n", 32, 8), 0x103);
    let null = sys::open(c"n", O_RDWR, 0) as i32;
    equal("it is null", sys::read(null, &mut [0; 10]), 0);
    sys::close(null);
    remove(c"n");
}

/// sendfile(2), from one file to another.
fn sending() {
    let from = create(c"from");
    equal("write", sys::write(from, &[b'x'; 10_000]), 10_000);
    let to = create(c"to");
    let mut offset = 100u64;
    let at_offset = &raw mut offset as usize;
    equal("sendfile by offset", sys::sendfile(to, from, at_offset, 5000), 5000);
    equal("the offset moved", offset, 5100);
    equal("the position did not", sys::lseek(from, 0, 1), 10_000);
    equal("to the end only", sys::sendfile(to, from, at_offset, 50_000), 4900);
    equal("nothing more", sys::sendfile(to, from, at_offset, 5), 0);
    equal(
        "by the position",
        {
            sys::lseek(from, 9_990, 0);
            sys::sendfile(to, from, 0, 100)
        },
        10,
    );
    equal("size", size(c"to"), 9910);
    equal(
        "to a file open for reading",
        sys::sendfile(sys::open(c"to", O_RDONLY, 0) as i32, from, 0, 1),
        EBADF,
    );
    sys::close(from);
    sys::close(to);
    remove(c"from");
    remove(c"to");
}
