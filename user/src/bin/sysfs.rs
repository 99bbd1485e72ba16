//! /sys/block/vda/queue as a program uses it: the elevator is switched again and again while a file is
//! written, tunables are set, and what cannot be set is refused with Linux's numbers. The file is left
//! for whoever wants to see that nothing was lost: sector s of it holds the bytes 7s, 7s + 1, ….
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const SCHEDULER: &CStr = c"/sys/block/vda/queue/scheduler";
const FIFO_BATCH: &CStr = c"/sys/block/vda/queue/iosched/fifo_batch";
const ENODEV: isize = -19;
const PIECE: usize = 64 << 10;
const PIECES: usize = 24 << 4;
/// Pieces between two switches.
const TURN: usize = 5;

fn main(_: Args) -> i32 {
    refusals();
    values();
    switching();
    tunables();
    user::check::verdict()
}

/// `echo TEXT > PATH` without the newline; what write said, or open.
fn set(path: &CStr, text: &[u8]) -> isize {
    let fd = sys::open(path, O_WRONLY | O_TRUNC, 0) as i32;
    if fd < 0 {
        return fd as isize;
    }
    let done = sys::write(fd, text);
    equal("close", sys::close(fd), 0);
    done
}

/// What a file says, in `room`.
fn get<'a>(path: &CStr, room: &'a mut [u8]) -> &'a [u8] {
    let fd = sys::open(path, O_RDONLY, 0) as i32;
    let n = sys::read(fd, room);
    equal("close", sys::close(fd), 0);
    room.get(..usize::try_from(n).unwrap_or(0)).unwrap_or_default()
}

fn says(path: &CStr, text: &[u8]) {
    let mut room = [0; 256];
    equal("what the file says", get(path, &mut room), text);
}

fn refusals() {
    equal("an unknown elevator", set(SCHEDULER, b"fastest"), EINVAL);
    equal("no elevator", set(SCHEDULER, b"\n"), EINVAL);
    equal("no number", set(c"/sys/block/vda/queue/nr_requests", b"many"), EINVAL);
    equal("less than a page", set(c"/sys/block/vda/queue/max_sectors_kb", b"3"), EINVAL);
    equal("what cannot be set", set(c"/sys/block/vda/size", b"1"), EACCES);
    equal("what cannot be set", set(c"/sys/block/vda/queue/fua", b"1"), EACCES);
    equal("a file that is not there", set(c"/sys/block/vda/queue/none", b"1"), ENOENT);
    equal("a new file", sys::open(c"/sys/block/new", O_WRONLY | O_CREAT, 0o644), EACCES);
    equal("a new directory", sys::mkdir(c"/sys/block/new", 0o755), EPERM);
    equal("a file goes", sys::unlink(c"/sys/block/vda/size"), EPERM);
}

fn values() {
    says(c"/sys/block/vda/dev", b"254:0\n");
    says(c"/sys/class/block/vda/ro", b"0\n");
    says(c"/sys/dev/block/254:0/removable", b"0\n");
    says(c"/sys/devices/system/cpu/online", b"0\n");
    equal("nr_requests", set(c"/sys/block/vda/queue/nr_requests", b"64\n"), 3);
    says(c"/sys/block/vda/queue/nr_requests", b"64\n");
}

/// The name of the elevator at a place of the list, of how many there are.
fn elevator(list: &[u8], place: usize) -> (&[u8], usize) {
    let names = || list.trim_ascii().split(|&b| b == b' ');
    let count = names().count().max(1);
    let name = names().nth(place % count).unwrap_or_default();
    (name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")).unwrap_or(name), count)
}

/// Puts the elevator of a place in use and sees that it is.
fn switch_to(place: usize) {
    let (mut before, mut after) = ([0; 256], [0; 256]);
    let (name, count) = elevator(get(SCHEDULER, &mut before), place);
    equal("switch", set(SCHEDULER, name), name.len() as isize);
    let list = get(SCHEDULER, &mut after);
    let marked = list.windows(name.len() + 2).filter(|w| {
        w.strip_prefix(b"[").and_then(|w| w.strip_suffix(b"]")).is_some_and(|inner| inner == name)
    });
    equal("it is in brackets", marked.count(), 1);
    holds("there are several", count >= 2);
}

/// Writes a file of 24 MiB, which is more than may stay in memory, and switches meanwhile.
fn switching() {
    let fd = sys::open(c"/sysfs.out", O_RDWR | O_CREAT | O_TRUNC, 0o644) as i32;
    let mut piece = [0; PIECE];
    for number in 0..PIECES {
        if number % TURN == 0 {
            switch_to(number / TURN);
        }
        let first = number * (PIECE / 512);
        for (index, byte) in piece.iter_mut().enumerate() {
            *byte = (7 * (first + index / 512) + index % 512) as u8;
        }
        equal("write", sys::write(fd, &piece), PIECE as isize);
    }
    equal("fsync", sys::fsync(fd), 0);
    equal("close", sys::close(fd), 0);
}

fn tunables() {
    equal("deadline", set(SCHEDULER, b"deadline\n"), 9);
    equal("fifo_batch", set(FIFO_BATCH, b"0x20\n"), 5);
    says(FIFO_BATCH, b"32\n");
    equal("no number", set(FIFO_BATCH, b"32 \n"), EINVAL);
    equal("too much", set(FIFO_BATCH, b"99999999999"), ERANGE);
    let kept = sys::open(FIFO_BATCH, O_RDWR, 0) as i32;
    equal("noop", set(SCHEDULER, b"noop"), 4);
    equal("its file is gone", sys::open(FIFO_BATCH, O_RDONLY, 0), ENOENT);
    equal("as it is for who has it open", sys::write(kept, b"1"), ENODEV);
    equal("close", sys::close(kept), 0);
    equal("deadline", set(SCHEDULER, b"deadline"), 8);
    says(FIFO_BATCH, b"16\n");
}
