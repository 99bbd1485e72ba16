//! What is asked at once, and what is asked not to wait.
//!
//! Several requests of io_submit are all reads or all writes, each in a range of its own, so that it does not matter
//! which ends first; their answers are told in the order in which they were asked.
//!
//! RWF_NOWAIT is asked for what was read just before, and so is in the cache, through files that go through it.

use user::aio::{Event, Iocb};
use user::sys::{self, IoVec, O_DIRECT};

use crate::data::read_line;
use crate::report::{line, sum};
use crate::say;
use crate::world::{SOURCE, TARGET, World, bytes};

const MOST: usize = 4;
/// Each request has so much memory, and so much of a file.
const APART: usize = 0x10000;
const RWF_NOWAIT: i32 = 8;

pub fn call(world: &mut World) {
    if world.once_in(3) { nowait(world) } else { submit(world) }
}

fn submit(world: &mut World) {
    let (writes, count) = (world.below(2), 2 + world.below(MOST - 1));
    let mut iocbs = [Iocb::default(); MOST];
    for (i, iocb) in iocbs.iter_mut().enumerate().take(count) {
        let unit = world.pick(&[1, 512, 512, 4096, 4096]);
        let (at, len) = (world.below(APART / 2) / unit * unit, world.below(APART / 2) / unit * unit);
        let memory = if writes == 1 { SOURCE } else { TARGET };
        *iocb = Iocb {
            data: i as u64,
            opcode: writes as u16,
            fd: world.file(),
            buf: (memory + i * APART) as u64,
            nbytes: len as u64,
            offset: (i * APART + at) as i64,
            ..Iocb::default()
        };
    }
    let pointers: [usize; MOST] = core::array::from_fn(|i| &raw const iocbs[i] as usize);
    let answer = sys::io_submit(world.context, count as i64, pointers.as_ptr() as usize);
    say!(answer, "io_submit {count}");
    let mut events = [Event::default(); MOST];
    let patience = [10i64, 0];
    let at = events.as_mut_ptr() as usize;
    if answer > 0 {
        let got =
            sys::io_getevents(world.context, answer as i64, MOST as i64, at, patience.as_ptr() as usize);
        say!(got, "io_getevents");
    }
    for iocb in &iocbs[..answer.clamp(0, MOST as isize) as usize] {
        let event = events.iter().find(|event| event.obj == iocb as *const Iocb as u64);
        let res = event.map_or(i64::MIN, |event| event.res) as isize;
        let Iocb { opcode, fd, buf, nbytes, offset, .. } = *iocb;
        let read = if writes == 1 { 0 } else { res.clamp(0, APART as isize) as usize };
        let found = sum(bytes(buf as usize, read));
        let asked = format_args!("request {opcode} {fd} {nbytes:#x} {offset:#x}");
        line(asked, res, format_args!("sum {found:x}"));
    }
}

/// A regular file whose reads go through the cache.
fn is_cached(fd: i32) -> bool {
    const F_GETFL: i32 = 3;
    let mut stat = [0u64; 16];
    let regular = sys::fstat(fd, stat.as_mut_ptr() as usize) == 0 && stat[2] as u32 & 0o170000 == 0o100000;
    let flags = sys::fcntl(fd, F_GETFL, 0);
    regular && flags >= 0 && flags as i32 & O_DIRECT == 0
}

fn nowait(world: &mut World) {
    let (fd, len, pos) = (world.file(), world.below(APART), world.place_in_file());
    if !is_cached(fd) {
        return say!(fd as isize, "nowait");
    }
    let answer = sys::pread_raw(fd, TARGET, len, pos);
    read_line(format_args!("pread64 {fd} {len:#x} {pos:#x}"), answer, TARGET);
    let part = [IoVec { base: TARGET, len }];
    let answer = sys::preadv2(fd, part.as_ptr() as usize, 1, pos, 0, RWF_NOWAIT);
    read_line(format_args!("preadv2 nowait {fd} {len:#x} {pos:#x}"), answer, TARGET);
    let part = [IoVec { base: SOURCE, len }];
    let answer = sys::pwritev2(fd, part.as_ptr() as usize, 1, pos, 0, RWF_NOWAIT);
    say!(answer, "pwritev2 nowait {fd} {len:#x} {pos:#x}");
}
