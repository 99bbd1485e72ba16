//! Extended attributes, access control lists, chattr's flags and times: `xattr make DIR` makes a tree
//! and checks every answer on the way, `xattr check DIR` looks whether it is as it was made, by
//! whichever kernel.
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

fn main(args: Args) -> i32 {
    let dir = args.get(2);
    match args.text(1) {
        "make" => {
            equal("mkdir", sys::mkdir(dir, 0o755), 0);
            equal("chdir", sys::chdir(dir.as_ptr() as usize), 0);
            make();
        }
        _ => equal("chdir", sys::chdir(dir.as_ptr() as usize), 0),
    }
    check();
    user::check::verdict()
}

/// `user::rw- user:7:rw- group::r-- mask::rw- other::---`, as setxattr(2) takes it.
const ACL: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16,
    0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];
const ACCESS: &CStr = c"system.posix_acl_access";
const DEFAULT: &CStr = c"system.posix_acl_default";
const GETFLAGS: usize = 0x8008_6601;
const SETFLAGS: usize = 0x4008_6602;
const EXTENTS: u32 = 0x8_0000;
const JOURNAL_DATA: u32 = 0x4000;
const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;

static LARGE: [u8; 600] = [b'x'; 600];

fn set(path: &CStr, name: &CStr, value: &[u8], flags: i32) -> isize {
    sys::lsetxattr(path, name, value.as_ptr() as usize, value.len(), flags)
}

/// Whether an attribute has this value.
#[track_caller]
fn has(path: &CStr, name: &CStr, value: &[u8]) {
    let mut got = [0u8; 1024];
    equal("its length", sys::lgetxattr(path, name, 0, 0), value.len() as isize);
    let len = sys::lgetxattr(path, name, got.as_mut_ptr() as usize, got.len());
    equal("its length, with the value", len, value.len() as isize);
    holds("its value", got.starts_with(value));
}

/// Whether a name is listed.
fn lists(path: &CStr, name: &CStr) -> bool {
    let mut list = [0u8; 1024];
    let len = sys::llistxattr(path, list.as_mut_ptr() as usize, list.len()).max(0) as usize;
    list[..len].split_inclusive(|&b| b == 0).any(|n| n == name.to_bytes_with_nul())
}

fn file(path: &CStr, bytes: &[u8]) {
    let fd = sys::open(path, O_CREAT | O_RDWR, 0o644) as i32;
    equal("write", sys::write(fd, bytes), bytes.len() as isize);
    equal("close", sys::close(fd), 0);
}

fn flags(path: &CStr, new: Option<u32>) -> (isize, u32) {
    let fd = sys::open(path, O_RDONLY, 0) as i32;
    let mut word = new.unwrap_or(0);
    let command = if new.is_some() { SETFLAGS } else { GETFLAGS };
    let done = sys::ioctl(fd, command, &raw mut word as usize);
    sys::close(fd);
    (done, word)
}

fn mode(path: &CStr) -> u32 {
    let mut stat = [0u32; 32];
    equal("stat", sys::newfstatat(AT_FDCWD, path.as_ptr() as usize, stat.as_mut_ptr() as usize, 0x100), 0);
    stat[4] & 0o7777
}

fn mtime(path: &CStr) -> (i64, i64) {
    let mut stat = [0i64; 16];
    equal("stat", sys::newfstatat(AT_FDCWD, path.as_ptr() as usize, stat.as_mut_ptr() as usize, 0x100), 0);
    (stat[11], stat[12])
}

fn chmod(path: &CStr, mode: u32) -> isize {
    sys::fchmodat(AT_FDCWD, path.as_ptr() as usize, mode)
}

fn make() {
    sys::umask(0o022);
    file(c"f", b"content");
    equal("mkdir", sys::mkdir(c"d", 0o777), 0);
    equal("symlink", sys::symlinkat(c"f".as_ptr() as usize, AT_FDCWD, c"l".as_ptr() as usize), 0);
    errors();
    attributes();
    lists_of_access();
    fixed();
    journalled();
    times();
}

fn errors() {
    equal("none yet", sys::getxattr(c"f", c"user.a", 0, 0), ENODATA);
    equal("a list of none", sys::listxattr(c"f", 0, 0), 0);
    equal("replace none", set(c"f", c"user.a", b"1", 2), ENODATA);
    equal("remove none", sys::removexattr(c"f", c"user.a"), ENODATA);
    equal("flags", set(c"f", c"user.a", b"1", 4), EINVAL);
    equal("both", set(c"f", c"user.a", b"1", 3), ENODATA);
    equal("no name", set(c"f", c"", b"1", 0), ERANGE);
    equal("no name behind the dot", set(c"f", c"user.", b"1", 0), EINVAL);
    equal("no namespace", set(c"f", c"a", b"1", 0), EOPNOTSUPP);
    equal("not for programs", set(c"f", c"system.data", b"1", 0), EOPNOTSUPP);
    equal("user. on a link", set(c"l", c"user.a", b"1", 0), EPERM);
    equal("user. of a link", sys::lgetxattr(c"l", c"user.a", 0, 0), ENODATA);
    equal("too large", sys::setxattr(c"f", c"user.a", LARGE.as_ptr() as usize, 65_537, 0), E2BIG);
    equal("no memory there", sys::setxattr(c"f", c"user.a", 8, 4, 0), EFAULT);
    equal("no file", set(c"none", c"user.a", b"1", 4), ENOENT);
    equal("no descriptor", sys::fgetxattr(99, c"user.a", 0, 0), EBADF);
    equal("no capability", set(c"f", c"security.capability", b"1", 0), EINVAL);
    equal("no list", set(c"f", ACCESS, b"", 0), EINVAL);
    equal("another version", set(c"f", ACCESS, &[3, 0, 0, 0], 0), EOPNOTSUPP);
    equal("half an entry", set(c"f", ACCESS, &ACL[..40], 0), EINVAL);
    equal("no end", set(c"f", ACCESS, &ACL[..36], 0), EINVAL);
    equal("a default list of a file", set(c"f", DEFAULT, &ACL, 0), EACCES);
    equal("a list of a link", set(c"l", ACCESS, &ACL, 0), EOPNOTSUPP);
    equal("no list to read", sys::getxattr(c"f", ACCESS, 0, 0), ENODATA);
    equal("to remove none", sys::removexattr(c"f", ACCESS), 0);
}

fn attributes() {
    equal("create", set(c"f", c"user.a", b"first", 1), 0);
    equal("create again", set(c"f", c"user.a", b"first", 1), EEXIST);
    equal("replace", set(c"f", c"user.a", b"second", 2), 0);
    equal("empty", set(c"f", c"user.empty", b"", 0), 0);
    equal("large", set(c"f", c"user.large", &LARGE, 0), 0);
    equal("of a directory", set(c"d", c"user.d", b"directory", 0), 0);
    equal("of a link", set(c"l", c"trusted.l", b"link", 0), 0);
    equal("security", set(c"f", c"security.label", b"s", 0), 0);
    equal("trusted", set(c"f", c"trusted.t", b"t", 0), 0);
    equal("gone", set(c"f", c"user.gone", b"g", 0), 0);
    equal("remove", sys::removexattr(c"f", c"user.gone"), 0);
    let mut small = [0u8; 2];
    equal("small", sys::getxattr(c"f", c"user.a", small.as_mut_ptr() as usize, 2), ERANGE);
    equal("a small list", sys::listxattr(c"f", small.as_mut_ptr() as usize, 2), ERANGE);
    let fd = sys::open(c"f", O_RDONLY, 0) as i32;
    equal("by descriptor", sys::fsetxattr(fd, c"user.fd", c"fd".as_ptr() as usize, 2, 0), 0);
    equal("close", sys::close(fd), 0);
}

fn lists_of_access() {
    file(c"acl", b"");
    equal("a list", set(c"acl", ACCESS, &ACL, 0), 0);
    equal("the mode", mode(c"acl"), 0o660);
    equal("chmod", chmod(c"acl", 0o640), 0);
    equal("a default list", set(c"d", DEFAULT, &ACL, 0), 0);
    let fd = sys::open(c"d/child", O_CREAT | O_RDWR, 0o666) as i32;
    equal("close", sys::close(fd), 0);
    equal("mkdir", sys::mkdir(c"d/sub", 0o777), 0);
}

fn fixed() {
    file(c"i", b"immutable");
    file(c"a", b"append");
    equal("flags", flags(c"i", None), (0, EXTENTS));
    equal("set", flags(c"i", Some(EXTENTS | IMMUTABLE)).0, 0);
    equal("set", flags(c"a", Some(EXTENTS | APPEND)).0, 0);
    equal("for directories", flags(c"f", Some(EXTENTS | 0x1_0000)).0, EOPNOTSUPP);
    equal("not to be set", flags(c"f", Some(EXTENTS | 0x4_0000)).0, EOPNOTSUPP);
    equal("nodump", flags(c"f", Some(EXTENTS | 0x40)).0, 0);
    equal("open to write", sys::open(c"i", O_WRONLY, 0), EPERM);
    equal("unlink", sys::unlink(c"i"), EPERM);
    equal("rename", sys::rename(c"i", c"j"), EPERM);
    let (old, new) = (c"i".as_ptr() as usize, c"j".as_ptr() as usize);
    equal("link", sys::linkat(AT_FDCWD, old, AT_FDCWD, new, 0), EPERM);
    equal("chmod", chmod(c"i", 0o600), EPERM);
    equal("truncate", sys::truncate(c"i".as_ptr() as usize, 0), EPERM);
    equal("an attribute", set(c"i", c"user.a", b"", 0), EPERM);
    equal("now", sys::utimensat(AT_FDCWD, c"i".as_ptr() as usize, 0, 0), EPERM);
    equal("now, append-only", sys::utimensat(AT_FDCWD, c"a".as_ptr() as usize, 0, 0), 0);
    equal("to write anywhere", sys::open(c"a", O_WRONLY, 0), EPERM);
    equal("to truncate", sys::open(c"a", O_WRONLY | O_APPEND | O_TRUNC, 0), EPERM);
    let fd = sys::open(c"a", O_WRONLY | O_APPEND, 0) as i32;
    equal("append", sys::write(fd, b"ed"), 2);
    equal("append no more", sys::fcntl(fd, 4, 0), EPERM);
    equal("ftruncate", sys::ftruncate(fd, 0), EPERM);
    equal("close", sys::close(fd), 0);
}

/// chattr +j, with bytes in the cache that have no place on the disk yet.
fn journalled() {
    let plain_and_journalled = EXTENTS | JOURNAL_DATA;
    for path in [c"jd", c"jd-off"] {
        file(path, b"journalled");
        equal("+j", flags(path, Some(plain_and_journalled)).0, 0);
        equal("told", flags(path, None), (0, plain_and_journalled));
    }
    let fd = sys::open(c"jd", O_WRONLY | O_APPEND, 0) as i32;
    equal("append", sys::write(fd, b", all of it"), 11);
    equal("close", sys::close(fd), 0);
    equal("-j", flags(c"jd-off", Some(EXTENTS)).0, 0);
    equal("mkdir", sys::mkdir(c"dj", 0o777), 0);
    equal("+j of a directory", flags(c"dj", Some(plain_and_journalled)).0, 0);
    file(c"dj/child", b"a child");
    equal("inherited", flags(c"dj/child", None), (0, plain_and_journalled));
}

const MOMENTS: [(&CStr, i64, i64); 4] = [
    (c"t1", -1_000_000_000, 1),
    (c"t2", 0x7fff_ffff, 999_999_999),
    (c"t3", 0x8000_0000, 500_000_000),
    (c"t4", 0x3_7fff_fff0, 7),
];

fn times() {
    for (path, sec, nsec) in MOMENTS {
        file(path, b"");
        let both = [sec, nsec, sec, nsec];
        equal("utimensat", sys::utimensat(AT_FDCWD, path.as_ptr() as usize, both.as_ptr() as usize, 0), 0);
    }
}

fn check() {
    has(c"f", c"user.a", b"second");
    has(c"f", c"user.empty", b"");
    has(c"f", c"user.large", &LARGE);
    has(c"f", c"user.fd", b"fd");
    has(c"f", c"security.label", b"s");
    has(c"f", c"trusted.t", b"t");
    has(c"d", c"user.d", b"directory");
    has(c"l", c"trusted.l", b"link");
    holds("listed", lists(c"f", c"user.large") && lists(c"f", c"trusted.t") && lists(c"d", DEFAULT));
    holds("not listed", !lists(c"f", c"user.gone") && !lists(c"f", ACCESS));
    let mut masked = ACL;
    masked[30] = 4;
    has(c"acl", ACCESS, &masked);
    equal("the mode", mode(c"acl"), 0o640);
    has(c"d", DEFAULT, &ACL);
    has(c"d/child", ACCESS, &ACL);
    has(c"d/sub", ACCESS, &ACL);
    has(c"d/sub", DEFAULT, &ACL);
    equal("inherited modes", (mode(c"d/child"), mode(c"d/sub")), (0o660, 0o660));
    equal("immutable", flags(c"i", None), (0, EXTENTS | IMMUTABLE));
    equal("append-only", flags(c"a", None), (0, EXTENTS | APPEND));
    equal("nodump", flags(c"f", None), (0, EXTENTS | 0x40));
    equal("journalled", flags(c"jd", None), (0, EXTENTS | JOURNAL_DATA));
    equal("not any more", flags(c"jd-off", None), (0, EXTENTS));
    for (path, sec, nsec) in MOMENTS {
        equal("mtime", mtime(path), (sec, nsec));
    }
}
