//! Pipes and what moves bytes without the program: splice, tee, vmsplice, sendfile, copy_file_range; the eventfd.

use user::sys;

use crate::data::read_line;
use crate::report::line;
use crate::say;
use crate::world::World;

/// SPLICE_F_NONBLOCK: always asked for, nobody else would fill or empty the pipe.
const NONBLOCK: u32 = 2;

pub fn call(world: &mut World) {
    match world.below(16) {
        0 | 1 => write(world),
        2 | 3 => read(world),
        4..7 => from_file(world),
        7 | 8 => to_file(world),
        9 => tee(world),
        10 => vmsplice(world),
        11 | 12 => sendfile(world),
        13 | 14 => copy_file_range(world),
        _ => event(world),
    }
}

/// A length that no pipe cuts: how much of more goes in depends on how it lies in the pipe's pages.
fn len(world: &mut World) -> usize {
    if world.once_in(15) { world.len() } else { world.short_len() / 4 }
}

fn write(world: &mut World) {
    let (fd, len) = (world.pipe(1), len(world));
    let at = world.source(len);
    say!(sys::write_raw(fd, at, len), "write {fd} {at:#x} {len:#x}");
}

fn read(world: &mut World) {
    let (fd, len) = (world.pipe(0), world.short_len());
    let at = world.target(len);
    let answer = sys::read_raw(fd, at, len);
    read_line(format_args!("read {fd} {at:#x} {len:#x}"), answer, at);
}

/// An offset in memory: none, one, or where there is no memory.
fn offset(world: &mut World, at: &mut i64) -> usize {
    *at = world.offset();
    match world.below(12) {
        0 => 8,
        1..5 => 0,
        _ => at as *mut i64 as usize,
    }
}

fn flags(world: &mut World) -> u32 {
    NONBLOCK | world.pick(&[0, 0, 0, 1, 4, 8, 16])
}

/// A copy that RLIMIT_FSIZE cuts brings a signal under Linux, though it answers how much it did; a write that is cut
/// brings none.
fn no_limit() {
    const RLIMIT_FSIZE: i32 = 1;
    let unlimited = [u64::MAX; 2];
    sys::prlimit64(0, RLIMIT_FSIZE, unlimited.as_ptr() as usize, 0);
}

fn from_file(world: &mut World) {
    let (from, to, len, flags) = (world.file_to_splice(), world.pipe(1), len(world), flags(world));
    let mut pos = 0;
    let at = offset(world, &mut pos);
    let before = pos;
    let answer = sys::splice(from, at, to, 0, len, flags);
    let asked = format_args!("splice {from} {} {before:#x} -> {to} {len:#x} {flags}", at.min(9));
    line(asked, answer, format_args!("then {pos:#x}"));
}

fn to_file(world: &mut World) {
    let (from, to, len, flags) = (world.pipe(0), world.file_to_splice(), len(world), flags(world));
    let mut pos = 0;
    let at = offset(world, &mut pos);
    let before = pos;
    no_limit();
    let answer = sys::splice(from, 0, to, at, len, flags);
    let asked = format_args!("splice {from} -> {to} {} {before:#x} {len:#x} {flags}", at.min(9));
    line(asked, answer, format_args!("then {pos:#x}"));
}

fn tee(world: &mut World) {
    let (from, to, len, flags) = (world.pipe(0), world.pipe(1), len(world), flags(world));
    say!(sys::tee(from, to, len, flags), "tee {from} {to} {len:#x} {flags}");
}

/// Out of the pipe, or into it: the pages are the program's own, and nothing writes to them meanwhile.
fn vmsplice(world: &mut World) {
    let writing = world.below(2);
    let (fd, flags) = (world.pipe(writing), flags(world));
    let (parts, count) = world.vector(writing == 0);
    let answer = sys::vmsplice(fd, parts.as_ptr() as usize, count, flags);
    let [a, b, c, d] = parts.map(|part| (part.base, part.len));
    say!(answer, "vmsplice {fd} {count} {flags} {a:x?} {b:x?} {c:x?} {d:x?}");
}

fn sendfile(world: &mut World) {
    let to = if world.once_in(3) { world.pipe(1) } else { world.file_to_splice() };
    let (from, len) = (world.file_to_splice(), len(world));
    let mut pos = 0;
    let at = offset(world, &mut pos);
    let before = pos;
    no_limit();
    let answer = sys::sendfile(to, from, at, len);
    let asked = format_args!("sendfile {to} {from} {} {before:#x} {len:#x}", at.min(9));
    line(asked, answer, format_args!("then {pos:#x}"));
}

fn copy_file_range(world: &mut World) {
    let (from, to, len) = (world.file(), world.file(), world.len());
    let flags = if world.once_in(10) { 1 } else { 0 };
    let (mut pos, mut pos_out) = (0, 0);
    let (at, at_out) = (offset(world, &mut pos), offset(world, &mut pos_out));
    let before = [pos, pos_out];
    let answer = sys::copy_file_range(from, at, to, at_out, len, flags);
    let asked = format_args!(
        "copy_file_range {from} {} {to} {} {before:x?} {len:#x} {flags}",
        at.min(9),
        at_out.min(9)
    );
    line(asked, answer, format_args!("then {pos:#x} {pos_out:#x}"));
}

fn event(world: &mut World) {
    let fd = world.fds[14];
    let mut value = [world.pick(&[0u64, 1, 5, u64::MAX, u64::MAX - 1, 1 << 40])];
    let at = value.as_mut_ptr() as usize;
    let len = world.pick(&[8, 8, 8, 7, 16, 0]);
    if world.once_in(2) {
        return say!(sys::write_raw(fd, at, len), "write event {len} {value:x?}");
    }
    value = [0x77];
    let answer = sys::read_raw(fd, at, len);
    line(format_args!("read event {len}"), answer, format_args!("{value:x?}"));
}
