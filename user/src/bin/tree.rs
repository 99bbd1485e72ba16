//! A tree with everything that ext4 keeps of a file, and a walk that tells all of it. One kernel
//! makes the tree, the other walks it: both must tell the same.
//!
//! ```text
//! tree make DIR     makes it; DIR must not be there
//! tree walk DIR     one line per file, directory and attribute, in no order
//! tree both DIR     the one, then the other
//! ```
//!
//! A line has what the maker chose (`name`, mode, owner, links, mtime, attributes, SHA-256) and,
//! after a bar, what its kernel chose (inode, sizes of directories, blocks, ctime, btime). atime is
//! left out: the walk itself moves it.
#![no_std]
#![no_main]

use core::ffi::CStr;
use core::fmt::Write as _;

use hmac_sha256::Hash;
use user::check::equal;
use user::sys::{self, *};
use user::{Args, println, program};

program!(main);

/// Longest path, with its NUL.
const PATH: usize = 4096;
/// Deepest directory that the walk enters.
const DEPTH: usize = 40;
const AT_SYMLINK_NOFOLLOW: i32 = 0x100;

fn main(args: Args) -> i32 {
    let root = args.get(2);
    match args.text(1) {
        "make" => make(root),
        "walk" => walk(&mut Path::new(root.to_bytes()), 0),
        "both" => {
            make(root);
            walk(&mut Path::new(root.to_bytes()), 0);
        }
        _ => {
            println!("usage: tree make|walk|both DIR");
            return 2;
        }
    }
    user::check::verdict()
}

/// A path that grows and shrinks, always with a NUL behind it.
struct Path {
    bytes: [u8; PATH],
    len: usize,
}

impl Path {
    fn new(root: &[u8]) -> Path {
        let mut path = Path { bytes: [0; PATH], len: 0 };
        path.put(root);
        path
    }

    fn put(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(PATH - 1 - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&bytes[..len]);
        self.cut(self.len + len);
    }

    fn cut(&mut self, len: usize) {
        self.len = len;
        self.bytes[len] = 0;
    }

    /// The same with a name added; the result is where to cut.
    fn enter(&mut self, name: &[u8]) -> usize {
        let before = self.len;
        self.put(b"/");
        self.put(name);
        before
    }

    fn at(&self) -> usize {
        self.bytes.as_ptr() as usize
    }

    fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("?")
    }
}

impl core::fmt::Write for Path {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.put(s.as_bytes());
        Ok(())
    }
}

// ---- make ------------------------------------------------------------------------------------

fn make(root: &CStr) {
    let mut path = Path::new(root.to_bytes());
    sys::umask(0);
    equal("mkdir", sys::mkdirat(AT_FDCWD, path.at(), 0o755), 0);
    contents(&mut path);
    many_names(&mut path);
    deep(&mut path);
    kinds(&mut path);
    links(&mut path);
    owners_and_modes(&mut path);
    attributes(&mut path);
    moved(&mut path);
    // Last: making names moves the times of directories.
    times(&mut path);
    equal("sync", sys::sync(), 0);
}

/// Does something at a path below.
fn below<R>(path: &mut Path, name: &[u8], f: impl FnOnce(&mut Path) -> R) -> R {
    let before = path.enter(name);
    let result = f(path);
    path.cut(before);
    result
}

fn named<R>(path: &mut Path, name: core::fmt::Arguments<'_>, f: impl FnOnce(&mut Path) -> R) -> R {
    let before = path.enter(b"");
    // Writing to a path cannot fail.
    let _ = path.write_fmt(name);
    let result = f(path);
    path.cut(before);
    result
}

/// Makes a file with `len` bytes at `pos`; which bytes depends on both.
fn file(path: &Path, pos: i64, len: usize) {
    let fd = sys::openat(AT_FDCWD, path.at(), O_CREAT | O_WRONLY, 0o644) as i32;
    let mut buffer = [0u8; 4096];
    let mut done = 0;
    let mut state = len as u32 ^ pos as u32 | 1;
    while done < len {
        let some = (len - done).min(buffer.len());
        for byte in &mut buffer[..some] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        equal("pwrite", sys::pwrite(fd, &buffer[..some], pos + done as i64), some as isize);
        done += some;
    }
    equal("close", sys::close(fd), 0);
}

/// Sizes around every edge of the format.
fn contents(path: &mut Path) {
    for len in [
        0,
        1,
        59,
        60,
        61,
        100,
        160,
        1023,
        1024,
        1025,
        4095,
        4096,
        4097,
        12_288,
        12_289,
        70_000,
        300_000,
        3 << 20,
    ] {
        named(path, format_args!("size {len}"), |path| file(path, 0, len));
    }
    below(path, b"sparse", |path| {
        file(path, 0, 10);
        for pos in [100_000, 5_000_000, 70_000_000, 5_000_000_000] {
            file(path, pos, 3000);
        }
    });
    below(path, b"every second block", |path| {
        for i in 0..200 {
            file(path, i * 8192, 4096);
        }
    });
    below(path, b"cut", |path| {
        file(path, 0, 100_000);
        equal("truncate", sys::truncate(path.at(), 33_333), 0);
        equal("truncate", sys::truncate(path.at(), 55_555), 0);
    });
}

fn many_names(path: &mut Path) {
    below(path, b"many", |path| {
        equal("mkdir", sys::mkdirat(AT_FDCWD, path.at(), 0o700), 0);
        for i in 0..700 {
            named(path, format_args!("a name of middling length, number {i}"), |path| file(path, 0, i % 3));
        }
        for i in (0..700).step_by(3) {
            named(path, format_args!("a name of middling length, number {i}"), |path| {
                equal("unlink", sys::unlinkat(AT_FDCWD, path.at(), 0), 0);
            });
        }
        for len in [1, 2, 100, 254, 255] {
            below(path, &[b'n'; 255][..len], |path| file(path, 0, len));
        }
    });
}

fn deep(path: &mut Path) {
    let before = path.len;
    for level in 0..20 {
        path.enter(b"deeper");
        equal("mkdir", sys::mkdirat(AT_FDCWD, path.at(), 0o755), 0);
        named(path, format_args!("at level {level}"), |path| file(path, 0, level));
    }
    path.cut(before);
}

fn kinds(path: &mut Path) {
    for (name, mode, device) in [
        (&b"fifo"[..], 0o010640, 0),
        (b"socket", 0o140600, 0),
        (b"old device", 0o020666, 0x0103),
        (b"new device", 0o060660, 0x1234_5600u64 << 8 & 0xfff0_0000 | 0xfff00 | 0x89),
    ] {
        below(path, name, |path| equal("mknod", sys::mknodat(AT_FDCWD, path.at(), mode, device), 0));
    }
    let target = [b't'; 1001];
    for len in [1, 58, 59, 60, 61, 300, 1000] {
        named(path, format_args!("link of {len}"), |path| {
            let mut end = target;
            end[len] = 0;
            equal("symlink", sys::symlinkat(end.as_ptr() as usize, AT_FDCWD, path.at()), 0);
        });
    }
}

fn links(path: &mut Path) {
    let mut other = Path::new(&path.bytes[..path.len]);
    other.enter(b"size 4097");
    for i in 0..5 {
        named(path, format_args!("second name {i}"), |path| {
            equal("link", sys::linkat(AT_FDCWD, other.at(), AT_FDCWD, path.at(), 0), 0);
        });
    }
}

fn owners_and_modes(path: &mut Path) {
    for (i, &(owner, group)) in
        [(1, 2), (65_535, 65_536), (70_000, 80_000), (4_294_967_294, 3_000_000_000)].iter().enumerate()
    {
        named(path, format_args!("owned {i}"), |path| {
            file(path, 0, i);
            equal("chown", sys::fchownat(AT_FDCWD, path.at(), owner, group, AT_SYMLINK_NOFOLLOW), 0);
        });
    }
    for mode in [0, 0o111, 0o4755, 0o2755, 0o6777, 0o1777] {
        named(path, format_args!("mode {mode:o}"), |path| {
            equal("mkdir", sys::mkdirat(AT_FDCWD, path.at(), 0o755), 0);
            equal("chmod", sys::fchmodat(AT_FDCWD, path.at(), mode), 0);
        });
    }
}

fn set(path: &Path, name: &CStr, value: &[u8]) {
    let done = sys::lsetxattr(path.c_str(), name, value.as_ptr() as usize, value.len(), 0);
    equal("setxattr", done, 0);
}

/// In the inode, in a block, shared by two, and an access control list: version 2, then owner, user
/// 1000, group, mask and others as (tag, permission, id).
fn attributes(path: &mut Path) {
    const LIST: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 232, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let value = [b'v'; 700];
    for name in [&b"with attributes"[..], b"with the same attributes"] {
        below(path, name, |path| {
            file(path, 0, 5);
            set(path, c"user.small", b"1");
            set(path, c"user.empty", b"");
            set(path, c"user.large", &value);
            set(path, c"trusted.one", &value[..40]);
            set(path, c"security.one", &value[..50]);
        });
    }
    below(path, b"with a list", |path| {
        file(path, 0, 5);
        set(path, c"system.posix_acl_access", &LIST);
    });
    below(path, b"directory with a default list", |path| {
        equal("mkdir", sys::mkdirat(AT_FDCWD, path.at(), 0o755), 0);
        set(path, c"system.posix_acl_default", &LIST);
        set(path, c"user.of_a_directory", &value[..100]);
        below(path, b"heir", |path| file(path, 0, 5));
        below(path, b"heir directory", |path| {
            equal("mkdir", sys::mkdirat(AT_FDCWD, path.at(), 0o777), 0);
        });
    });
    below(path, b"link of 60", |path| set(path, c"trusted.of_a_link", &value[..20]));
}

/// Over others, across directories, exchanged, and gone again.
fn moved(path: &mut Path) {
    let mut other = Path::new(&path.bytes[..path.len]);
    for (from, to, flags) in [
        (&b"owned 0"[..], &b"owned 1"[..], 0),
        (b"mode 0", b"deeper/moved here", 1),
        (b"size 100", b"deeper", 2),
        (b"size 100", b"deeper", 2),
        (b"cut", b"many/cut", 0),
    ] {
        below(path, from, |path| {
            let before = other.enter(to);
            equal("rename", sys::renameat2(AT_FDCWD, path.at(), AT_FDCWD, other.at(), flags), 0);
            other.cut(before);
        });
    }
    below(path, b"size 160", |path| equal("unlink", sys::unlinkat(AT_FDCWD, path.at(), 0), 0));
}

/// Before 1970, at the ends of 32 bits and beyond; of links and directories too.
fn times(path: &mut Path) {
    for (name, sec, nsec) in [
        (&b"size 0"[..], 0, 0),
        (b"size 1", -1, 999_999_999),
        (b"size 59", -2_147_483_648, 1),
        (b"size 60", 2_147_483_647, 123_456_789),
        (b"size 61", 2_147_483_648, 987_654_321),
        (b"size 1024", 4_294_967_296, 5),
        (b"size 1025", 15_032_385_535, 999_999_999),
        (b"link of 1", 1_700_000_000, 4),
        (b"many", 1_700_000_001, 3),
        (b"fifo", 1_700_000_002, 2),
    ] {
        below(path, name, |path| {
            let times: [i64; 4] = [sec, nsec, sec, nsec];
            let done = sys::utimensat(AT_FDCWD, path.at(), times.as_ptr() as usize, AT_SYMLINK_NOFOLLOW);
            equal("utimensat", done, 0);
        });
    }
}

// ---- walk ------------------------------------------------------------------------------------

/// `struct statx`, by byte offset.
struct Statx([u8; 256]);

impl Statx {
    fn of(path: &Path) -> Option<Statx> {
        let mut bytes = [0u8; 256];
        let at = bytes.as_mut_ptr() as usize;
        (sys::statx(AT_FDCWD, path.at(), AT_SYMLINK_NOFOLLOW, 0xfff, at) == 0).then_some(Statx(bytes))
    }

    fn number(&self, offset: usize, bytes: usize) -> u64 {
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&self.0[offset..offset + bytes]);
        u64::from_le_bytes(value)
    }

    /// Seconds and nanoseconds.
    fn time(&self, offset: usize) -> (i64, u64) {
        (self.number(offset, 8) as i64, self.number(offset + 8, 4))
    }

    fn kind(&self) -> u64 {
        self.number(28, 2) & 0o170000
    }
}

fn walk(path: &mut Path, depth: usize) {
    let Some(stat) = Statx::of(path) else {
        equal("statx", 1, 0);
        println!("{}: no statx", path.text());
        return;
    };
    let directory = stat.kind() == 0o040000;
    let size = stat.number(40, 8);
    let (mtime, ctime, btime) = (stat.time(112), stat.time(96), stat.time(80));
    let chosen = if directory { 0 } else { size };
    println!(
        "{} {:o} {}:{} links {} size {chosen} dev {}:{} mtime {}.{:09} {} | {} {size} {} {}.{:09} {}.{:09}",
        path.text(),
        stat.number(28, 2),
        stat.number(20, 4),
        stat.number(24, 4),
        stat.number(16, 4),
        stat.number(128, 4),
        stat.number(132, 4),
        mtime.0,
        mtime.1,
        Content::of(path, stat.kind()),
        stat.number(32, 8),
        stat.number(48, 8),
        ctime.0,
        ctime.1,
        btime.0,
        btime.1,
    );
    list_attributes(path);
    if directory && depth < DEPTH {
        enter(path, depth);
    }
}

/// The SHA-256 of a file's bytes or of a link's target.
struct Content(Option<[u8; 32]>);

impl Content {
    fn of(path: &Path, kind: u64) -> Content {
        Content(match kind {
            0o100000 => hash_file(path),
            0o120000 => hash_link(path),
            _ => None,
        })
    }
}

impl core::fmt::Display for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.0 {
            Some(sum) => sum.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            None => f.write_str("-"),
        }
    }
}

/// Holes of a sparse file are read too, but not all gigabytes of one: only where data is said to be.
fn hash_file(path: &Path) -> Option<[u8; 32]> {
    const SEEK_DATA: i32 = 3;
    let fd = sys::openat(AT_FDCWD, path.at(), O_RDONLY, 0) as i32;
    equal("open", (fd >= 0) as isize, 1);
    let mut sum = Hash::new();
    let mut buffer = [0u8; 16_384];
    let mut pos = 0i64;
    loop {
        match sys::pread(fd, &mut buffer, pos) {
            n if n > 0 => {
                let bytes = &buffer[..n as usize];
                pos += n as i64;
                if bytes.iter().any(|&byte| byte != 0) {
                    sum.update((pos as u64).to_le_bytes());
                    sum.update(bytes);
                    continue;
                }
                match sys::lseek(fd, pos, SEEK_DATA) {
                    next if next >= 0 => pos = (next as i64) & !(buffer.len() as i64 - 1),
                    ENXIO => break,
                    other => equal("lseek", other, 0),
                }
            }
            n => {
                equal("read", n, 0);
                break;
            }
        }
    }
    sys::close(fd);
    Some(sum.finalize())
}

fn hash_link(path: &Path) -> Option<[u8; 32]> {
    let mut target = [0u8; 4096];
    let len = sys::readlinkat(AT_FDCWD, path.at(), target.as_mut_ptr() as usize, target.len());
    Some(Hash::hash(target.get(..usize::try_from(len).ok()?)?))
}

fn list_attributes(path: &Path) {
    let mut names = [0u8; 1024];
    let mut value = [0u8; 4096];
    let len = sys::llistxattr(path.c_str(), names.as_mut_ptr() as usize, names.len());
    let Some(names) = usize::try_from(len).ok().and_then(|len| names.get(..len)) else {
        return equal("listxattr", len, 0);
    };
    for name in names.split_inclusive(|&byte| byte == 0) {
        let name = CStr::from_bytes_with_nul(name).unwrap_or_default();
        let len = sys::lgetxattr(path.c_str(), name, value.as_mut_ptr() as usize, value.len());
        let bytes = usize::try_from(len).ok().and_then(|len| value.get(..len)).unwrap_or(b"none");
        let sum = Content(Some(Hash::hash(bytes)));
        println!("{} has {} of {len}: {sum}", path.text(), name.to_str().unwrap_or("?"));
    }
}

/// All names of a directory, by getdents64: inode 8, offset 8, length 2, kind 1, name.
fn enter(path: &mut Path, depth: usize) {
    let fd = sys::openat(AT_FDCWD, path.at(), O_RDONLY | O_DIRECTORY, 0) as i32;
    equal("open", (fd >= 0) as isize, 1);
    let mut buffer = [0u8; 2048];
    loop {
        let len = sys::getdents64(fd, buffer.as_mut_ptr() as usize, buffer.len());
        let Some(mut rest) =
            usize::try_from(len).ok().filter(|&len| len > 0).and_then(|len| buffer.get(..len))
        else {
            equal("getdents64", len, 0);
            break;
        };
        while rest.len() > 19 {
            let (entry, next) =
                rest.split_at(usize::from(u16::from_le_bytes([rest[16], rest[17]])).clamp(19, rest.len()));
            let name = entry[19..].split(|&byte| byte == 0).next().unwrap_or_default();
            if name != b"." && name != b".." {
                below(path, name, |path| walk(path, depth + 1));
            }
            rest = next;
        }
    }
    sys::close(fd);
}
