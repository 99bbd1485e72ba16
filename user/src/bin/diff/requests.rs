//! Asynchronous requests: io_submit of one or more, waited for at once; io_cancel; contexts that are none.

use user::aio::{Event, Iocb};
use user::sys::{self, IoVec};

use crate::report::line;
use crate::report::sum;
use crate::say;
use crate::world::{ROOM, TARGET, World, bytes};

pub fn call(world: &mut World) {
    match world.below(12) {
        0 => setup(world),
        1 => cancel(world),
        2 => get(world),
        3 => submit_wrong(world),
        _ => submit(world),
    }
}

/// PREAD, PWRITE, FSYNC, FDSYNC, NOOP, PREADV, PWRITEV, and some that are none. POLL (5) waits.
const OPCODES: [u16; 16] = [0, 0, 0, 1, 1, 1, 2, 3, 6, 7, 7, 8, 8, 9, 4, 100];
/// Flags as for preadv2, without NOWAIT.
const FLAGS: [u32; 8] = [0, 0, 0, 0, 2, 4, 0x10, 1 << 20];

/// A request; `parts` for those with vectors.
fn request(world: &mut World, fd: i32, data: u64, parts: &[IoVec; 4], count: usize) -> Iocb {
    let opcode = world.pick(&OPCODES);
    let len = world.len();
    let mut iocb =
        Iocb { opcode, fd, offset: world.place_in_file(), nbytes: len as u64, data, ..Iocb::default() };
    iocb.buf = if opcode == 0 { world.target(len) } else { world.source(len) } as u64;
    if opcode == 7 || opcode == 8 {
        (iocb.buf, iocb.nbytes) = (parts.as_ptr() as u64, count as u64);
    }
    if opcode == 2 || opcode == 3 {
        let right = !world.once_in(4);
        (iocb.buf, iocb.nbytes, iocb.offset) = if right { (0, 0, 0) } else { (iocb.buf, iocb.nbytes, 0) };
    }
    iocb.rw_flags = world.pick(&FLAGS);
    iocb.reqprio = if world.once_in(12) { 77 } else { 0 };
    iocb.reserved2 = u64::from(world.once_in(30));
    iocb.flags = world.pick(&[0, 0, 0, 0, 0, 0, 1, 2, 4, 8]);
    iocb.resfd = if world.once_in(4) { world.any_fd() } else { world.fds[14] };
    iocb
}

/// One at a time: what goes on at once may end in any order.
fn submit(world: &mut World) {
    let reading = world.once_in(2);
    let fd = world.file();
    let (parts, count) = world.vector(reading);
    let data = world.next() >> 40;
    let mut iocb = request(world, fd, data, &parts, count);
    if (iocb.opcode == 7) != reading && iocb.opcode > 6 {
        iocb.opcode = if reading { 7 } else { 8 };
    }
    let pointers = [&raw mut iocb as usize];
    let answer = sys::io_submit(world.context, 1, pointers.as_ptr() as usize);
    let shown = if iocb.opcode == 7 || iocb.opcode == 8 { 0 } else { iocb.buf };
    let Iocb { opcode, fd, nbytes, offset, rw_flags, reqprio, flags, resfd, .. } = iocb;
    say!(
        answer,
        "io_submit {opcode} {fd} {shown:#x} {nbytes:#x} {offset:#x} rw {rw_flags:#x} {reqprio} {flags} {resfd}"
    );
    if opcode > 6 && opcode < 9 {
        let [a, b, c, d] = parts.map(|part| (part.base, part.len));
        say!(0, "vector {a:x?} {b:x?} {c:x?} {d:x?}");
    }
    if answer == 1 {
        wait(world, &iocb);
    }
}

fn wait(world: &World, iocb: &Iocb) {
    let mut event = [Event::default(); 2];
    let patience = [10i64, 0];
    let answer =
        sys::io_getevents(world.context, 1, 2, event.as_mut_ptr() as usize, patience.as_ptr() as usize);
    let Event { data, obj, res, res2 } = event[0];
    let ours = obj == iocb as *const Iocb as u64;
    let at = iocb.buf as usize;
    let len = (res.max(0) as usize).min((TARGET + ROOM).saturating_sub(at));
    let sum = if iocb.opcode == 0 && (TARGET..TARGET + ROOM).contains(&at) { sum(bytes(at, len)) } else { 0 };
    let more = format_args!("{data:x} {ours} {} {res2} sum {sum:x}", crate::report::Answer(res as isize));
    line(format_args!("io_getevents"), answer, more);
}

/// Contexts and counts that are wrong.
fn setup(world: &mut World) {
    let count = world.pick(&[0, 0x1000_0000, u32::MAX, 1]);
    let mut context = world.pick(&[0usize, 0, 1]);
    let at = if world.once_in(4) { 8 } else { &raw mut context as usize };
    let answer = sys::io_setup(count, at);
    say!(answer, "io_setup {count:#x} {}", at.min(9));
    if answer == 0 {
        say!(sys::io_destroy(context), "io_destroy");
    } else {
        let wrong = world.pick(&[0, 1, usize::MAX, TARGET]);
        say!(sys::io_destroy(wrong), "io_destroy {wrong:#x}");
    }
}

fn cancel(world: &mut World) {
    let mut iocb = Iocb::default();
    let mut event = Event::default();
    let at = world.pick(&[&raw mut iocb as usize, 8]);
    let context = if world.once_in(3) { TARGET } else { world.context };
    let answer = sys::io_cancel(context, at, &raw mut event as usize);
    say!(answer, "io_cancel {} {}", u8::from(context == TARGET), at.min(9));
}

/// Nothing is on its way: no wait, or a short one.
fn get(world: &mut World) {
    let mut events = [Event::default(); 2];
    let (least, most) = (world.pick(&[0, 0, 1, 2, 3, -1]), world.pick(&[0, 1, 2, -1]));
    let time = world.pick(&[[0i64, 0], [0, 1_000_000], [0, 20_000_000]]);
    let context = if world.once_in(4) { TARGET } else { world.context };
    let at = events.as_mut_ptr() as usize;
    let answer = sys::io_getevents(context, least, most, at, time.as_ptr() as usize);
    say!(answer, "io_getevents {} {least} {most} {time:?}", u8::from(context == TARGET));
}

fn submit_wrong(world: &mut World) {
    let pointers = [8usize, 0];
    let count = world.pick(&[0, -1, 1, i64::MIN, i64::MAX]);
    let at = world.pick(&[pointers.as_ptr() as usize, 8, usize::MAX]);
    let context = if world.once_in(2) { 0 } else { world.context };
    let shown = if at == 8 || at == usize::MAX { at } else { 0 };
    say!(sys::io_submit(context, count, at), "io_submit {} {count} {shown:#x}", u8::from(context == 0));
}
