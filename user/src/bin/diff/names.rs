//! Names and descriptors: openat, close, dup, link, rename, unlink, statx.

use user::sys::{self, AT_FDCWD};

use crate::report::line;
use crate::say;
use crate::world::{FILES, FOLDER, World};

/// O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK, O_DSYNC, O_DIRECT, O_DIRECTORY, O_NOFOLLOW, O_NOATIME,
/// O_CLOEXEC, O_SYNC, O_PATH, O_TMPFILE.
const FLAGS: [i32; 17] = [
    0o100, 0o100, 0o300, 0o1000, 0o1100, 0o2000, 0o4000, 0o10000, 0o200000, 0o200000, 0o40000, 0o100000,
    0o1000000, 0o2000000, 0o4010000, 0o10000000, 0o20040000,
];

pub fn call(world: &mut World) {
    match world.below(16) {
        0..6 => open(world),
        6 => close(world),
        7 => dup(world),
        8 | 9 => link(world),
        10 | 11 => rename(world),
        12 | 13 => unlink(world),
        14 => statx(world),
        _ => mkdir(world),
    }
}

/// The folder, AT_FDCWD, or what is none.
fn folder(world: &mut World) -> i32 {
    match world.below(10) {
        0 => world.any_fd(),
        1..4 => world.fds[FOLDER],
        _ => AT_FDCWD,
    }
}

fn open(world: &mut World) {
    let (at, name) = (folder(world), world.name());
    let access = world.pick(&[0, 1, 2, 2, 2, 3]);
    let mut flags = access;
    for _ in 0..world.below(4) {
        flags |= world.pick(&FLAGS);
    }
    let mode = world.pick(&[0o644, 0o600, 0o7777, 0]);
    let answer = sys::openat(at, name.as_ptr() as usize, flags, mode);
    say!(answer, "openat {at} {name:?} {flags:#o} {mode:o}");
    if answer >= 0 {
        let slot = world.below(FILES);
        sys::close(world.fds[slot]);
        world.fds[slot] = answer as i32;
    }
}

fn close(world: &mut World) {
    let slot = world.below(FILES);
    let fd = world.fds[slot];
    say!(sys::close(fd), "close {fd}");
}

fn dup(world: &mut World) {
    const F_DUPFD: i32 = 0;
    let fd = world.file();
    let slot = world.below(FILES);
    let answer = match world.below(3) {
        0 => sys::dup(fd),
        1 => sys::fcntl(fd, F_DUPFD, 40),
        _ => {
            let (to, flags) = (world.fds[slot], world.pick(&[0, 0o2000000, 1]));
            return say!(sys::dup3(fd, to, flags), "dup3 {fd} {to} {flags:#o}");
        }
    };
    say!(answer, "dup {fd}");
    if answer >= 0 {
        sys::close(world.fds[slot]);
        world.fds[slot] = answer as i32;
    }
}

fn link(world: &mut World) {
    let (from, old, to, new) = (folder(world), world.name(), AT_FDCWD, world.name());
    let flags = world.pick(&[0, 0, 0x400, 0x1000, 1]);
    let answer = sys::linkat(from, old.as_ptr() as usize, to, new.as_ptr() as usize, flags);
    say!(answer, "linkat {from} {old:?} {to} {new:?} {flags:#x}");
}

/// Of two that are wrong Linux walks the first path before it looks at the second descriptor: one is right here.
fn rename(world: &mut World) {
    let (from, old, to, new) = (folder(world), world.name(), AT_FDCWD, world.name());
    let flags = world.pick(&[0, 0, 1, 2, 3, 4, 5, 8]);
    let answer = sys::renameat2(from, old.as_ptr() as usize, to, new.as_ptr() as usize, flags);
    say!(answer, "renameat2 {from} {old:?} {to} {new:?} {flags:#x}");
}

fn unlink(world: &mut World) {
    let (at, name, flags) = (folder(world), world.name(), world.pick(&[0, 0, 0, 0x200, 1]));
    say!(sys::unlinkat(at, name.as_ptr() as usize, flags), "unlinkat {at} {name:?} {flags:#x}");
}

fn mkdir(world: &mut World) {
    let (at, name) = (folder(world), world.name());
    say!(sys::mkdirat(at, name.as_ptr() as usize, 0o755), "mkdirat {at} {name:?}");
}

/// Mask, unit, attributes, links, owner, mode, size; not blocks, times, inode and devices.
fn statx(world: &mut World) {
    let (at, name) = (folder(world), world.name());
    let flags = world.pick(&[0, 0x100, 0x1000, 0x2000, 0x4000, 0x6000, 0x800, 1]);
    let mask = world.pick(&[0x7ff, 0xfff, 0x17ff, 0x200, 0, 1 << 31]);
    let mut stat = [0u64; 32];
    let answer = sys::statx(at, name.as_ptr() as usize, flags, mask, stat.as_mut_ptr() as usize);
    let asked = format_args!("statx {at} {name:?} {flags:#x} {mask:#x}");
    if answer != 0 {
        return line(asked, answer, format_args!(""));
    }
    let (mode, size) = (stat[3] >> 32 & 0xffff, stat[5]);
    line(asked, answer, format_args!("{:x?} mode {mode:o} size {size:#x} knows {:x}", &stat[..3], stat[7]));
}
