//! Reading and writing, by every call there is, and lseek.

use user::sys::{self, IoVec};

use crate::report::{line, sum};
use crate::say;
use crate::world::{ROOM, TARGET, World, bytes};

/// Flags of preadv2 and pwritev2: none, each, and some that are none. HIPRI and NOWAIT are left to `rwf`.
const FLAGS: [i32; 10] = [0, 0, 1, 2, 4, 0x10, 2 | 0x10, 0x20, 0x40, 1 << 20];

pub fn call(world: &mut World) {
    match world.below(12) {
        0 => read(world),
        1 => write(world),
        2 => pread(world),
        3 | 4 => pwrite(world),
        5 => readv(world),
        6 => writev(world),
        7 => preadv(world),
        8 => pwritev(world),
        9 => preadv2(world),
        10 => pwritev2(world),
        _ => lseek(world),
    }
}

/// The line of a read into `at`.
pub fn read_line(asked: core::fmt::Arguments<'_>, answer: isize, at: usize) {
    let inside = (TARGET..TARGET + ROOM).contains(&at);
    let len = (answer.max(0) as usize).min((TARGET + ROOM).saturating_sub(at));
    if inside && len > 0 {
        line(asked, answer, format_args!("sum {:x}", sum(bytes(at, len))));
    } else {
        line(asked, answer, format_args!(""));
    }
}

fn read(world: &mut World) {
    let (fd, len) = (world.file(), world.len());
    let at = world.target(len);
    let answer = sys::read_raw(fd, at, len);
    read_line(format_args!("read {fd} {at:#x} {len:#x}"), answer, at);
}

fn write(world: &mut World) {
    let (fd, len) = (world.file(), world.len());
    let at = world.source(len);
    say!(sys::write_raw(fd, at, len), "write {fd} {at:#x} {len:#x}");
}

fn pread(world: &mut World) {
    let (fd, len, pos) = (world.file(), world.len(), world.place_in_file());
    let at = world.target(len);
    let answer = sys::pread_raw(fd, at, len, pos);
    read_line(format_args!("pread64 {fd} {at:#x} {len:#x} {pos:#x}"), answer, at);
}

fn pwrite(world: &mut World) {
    let (fd, len, pos) = (world.file(), world.len(), world.place_in_file());
    let at = world.source(len);
    say!(sys::pwrite_raw(fd, at, len, pos), "pwrite64 {fd} {at:#x} {len:#x} {pos:#x}");
}

/// A vector and how many parts of it the call is told of: now and then none, or more than any call takes.
fn vector(world: &mut World, reading: bool) -> ([IoVec; 4], usize, usize) {
    let (vector, count) = world.vector(reading);
    let at = if world.once_in(40) { 8 } else { 0 };
    let count = if world.once_in(30) { world.pick(&[0, 1025, usize::MAX, 1 << 32]) } else { count };
    (vector, count, at)
}

fn vector_line(name: &str, args: &[i64], parts: &[IoVec; 4], answer: isize) {
    let [a, b, c, d] = parts.map(|part| (part.base, part.len));
    line(format_args!("{name} {args:x?} {a:x?} {b:x?} {c:x?} {d:x?}"), answer, format_args!(""));
}

/// What a vectored read left in its parts, in a line of its own.
fn parts_read(parts: &[IoVec; 4], answer: isize) {
    let mut left = answer.max(0) as usize;
    let mut all = 0u32;
    for part in parts {
        let here = part.len.min(left);
        if (TARGET..TARGET + ROOM).contains(&part.base) && here <= TARGET + ROOM - part.base {
            all = all.rotate_left(5) ^ sum(bytes(part.base, here));
        }
        left -= here;
    }
    line(format_args!("parts"), 0, format_args!("sum {all:x}"));
}

fn readv(world: &mut World) {
    let fd = world.file();
    let (parts, count, at) = vector(world, true);
    let answer = sys::readv(fd, if at == 0 { parts.as_ptr() as usize } else { at }, count);
    vector_line("readv", &[fd.into(), count as i64, at as i64], &parts, answer);
    parts_read(&parts, answer);
}

fn writev(world: &mut World) {
    let fd = world.file();
    let (parts, count, at) = vector(world, false);
    let answer = sys::writev(fd, if at == 0 { parts.as_ptr() as usize } else { at }, count);
    vector_line("writev", &[fd.into(), count as i64, at as i64], &parts, answer);
}

fn preadv(world: &mut World) {
    let (fd, pos) = (world.file(), world.place_in_file());
    let (parts, count, at) = vector(world, true);
    let answer = sys::preadv(fd, if at == 0 { parts.as_ptr() as usize } else { at }, count, pos, 0);
    vector_line("preadv", &[fd.into(), count as i64, at as i64, pos], &parts, answer);
    parts_read(&parts, answer);
}

fn pwritev(world: &mut World) {
    let (fd, pos) = (world.file(), world.place_in_file());
    let (parts, count, at) = vector(world, false);
    let answer = sys::pwritev(fd, if at == 0 { parts.as_ptr() as usize } else { at }, count, pos, 0);
    vector_line("pwritev", &[fd.into(), count as i64, at as i64, pos], &parts, answer);
}

/// Position and flags. RWF_NOWAIT (8) depends on what is in the cache, and is not asked for.
fn flagged(world: &mut World) -> (i64, i32) {
    let pos = if world.once_in(4) { -1 } else { world.place_in_file() };
    (pos, world.pick(&FLAGS))
}

fn preadv2(world: &mut World) {
    let (fd, (pos, flags)) = (world.file(), flagged(world));
    let (parts, count, at) = vector(world, true);
    let answer = sys::preadv2(fd, if at == 0 { parts.as_ptr() as usize } else { at }, count, pos, 0, flags);
    vector_line("preadv2", &[fd.into(), count as i64, at as i64, pos, flags.into()], &parts, answer);
    parts_read(&parts, answer);
}

fn pwritev2(world: &mut World) {
    let (fd, (pos, flags)) = (world.file(), flagged(world));
    let (parts, count, at) = vector(world, false);
    let answer = sys::pwritev2(fd, if at == 0 { parts.as_ptr() as usize } else { at }, count, pos, 0, flags);
    vector_line("pwritev2", &[fd.into(), count as i64, at as i64, pos, flags.into()], &parts, answer);
}

fn lseek(world: &mut World) {
    let (fd, whence) = (world.file(), world.pick(&[0, 0, 1, 2, 3, 4, 5, -1]));
    let offset = if whence == 0 {
        world.offset()
    } else {
        world.pick(&[0, 1, -1, 4096, -4096, i64::MAX, i64::MIN, 30000])
    };
    let answer = sys::lseek(fd, offset, whence);
    // Holes and data by the page, as `sizes::fiemap` says.
    let shown = match whence {
        3 if answer > 0 => answer & !4095,
        4 if answer > 0 => (answer + 4095) & !4095,
        _ => answer,
    };
    if shown != answer {
        sys::lseek(fd, shown as i64, 0);
    }
    say!(shown, "lseek {fd} {offset:#x} {whence}");
}
