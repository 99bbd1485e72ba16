//! fallocate(2) in its modes, and where the bytes lie then, by FIEMAP and FIBMAP: `fallocate FILE` makes
//! the file, 16 blocks of 4096 bytes at most, and checks every answer. It holds on any ext4 with
//! extents and blocks of 4096 bytes.
#![no_std]
#![no_main]

use user::check::equal;
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const BLOCK: i64 = 4096;
const KEEP_SIZE: i32 = 0x1;
const PUNCH: i32 = 0x3;
const COLLAPSE: i32 = 0x8;
const ZERO: i32 = 0x10;
const INSERT: i32 = 0x20;

const FIBMAP: usize = 1;
const FIGETBSZ: usize = 2;
const FIEMAP: usize = 0xc020_660b;
const LAST: u32 = 0x1;
const UNWRITTEN: u32 = 0x800;
const EBADR: isize = -53;

/// `struct fiemap` with room for eight extents, in words of 64 bits.
type Fiemap = [u64; 4 + 7 * 8];

static BYTES: [u8; 4096] = [7; 4096];

fn main(args: Args) -> i32 {
    let fd = sys::open(args.get(1), O_CREAT | O_RDWR, 0o644) as i32;
    for _ in 0..8 {
        equal("write", sys::write(fd, &BYTES), BLOCK as isize);
    }
    errnos(fd);
    ranges(fd);
    map_errnos(fd);
    reservations(fd);
    equal("close", sys::close(fd), 0);
    user::check::verdict()
}

fn errnos(fd: i32) {
    equal("no length", sys::fallocate(fd, 0, 0, 0), EINVAL);
    equal("before the start", sys::fallocate(fd, 0, -1, 1), EINVAL);
    equal("no such mode", sys::fallocate(fd, 0x80, 0, 1), EOPNOTSUPP);
    equal("a hole that grows", sys::fallocate(fd, 0x2, 0, 1), EOPNOTSUPP);
    equal("collapse a part", sys::fallocate(fd, COLLAPSE, 0, BLOCK - 1), EINVAL);
    equal("collapse to the end", sys::fallocate(fd, COLLAPSE, BLOCK, 7 * BLOCK), EINVAL);
    equal("insert a part", sys::fallocate(fd, INSERT, 1, BLOCK), EINVAL);
    equal("insert at the end", sys::fallocate(fd, INSERT, 8 * BLOCK, BLOCK), EINVAL);
    equal("too far", sys::fallocate(fd, 0, i64::MAX - 1, 1), EFBIG);
    equal("past what 64 bits count", sys::fallocate(fd, 0, i64::MAX, 1), EFBIG);
}

/// `struct space_resv`: where it counts from, start, length.
fn reserve(fd: i32, command: usize, whence: u64, start: i64, len: i64) -> isize {
    let range: [u64; 6] = [whence << 16, start as u64, len as u64, 0, 0, 0];
    sys::ioctl(fd, command, range.as_ptr() as usize)
}

/// The ioctls that were there before the call; the size stays.
fn reservations(fd: i32) {
    const RESERVE: usize = 0x4030_5828;
    const RESERVE64: usize = 0x4030_582a;
    const UNRESERVE64: usize = 0x4030_582b;
    const ZERO_RANGE: usize = 0x4030_5839;
    equal("empty it", sys::ftruncate(fd, 0), 0);
    equal("reserve", reserve(fd, RESERVE64, 0, 0, 2 * BLOCK), 0);
    equal("the size stays", size(fd), 0);
    lies(fd, &[(0, 2, UNWRITTEN | LAST)]);
    equal("write", sys::pwrite(fd, &BYTES, BLOCK), BLOCK as isize);
    equal("at the end", reserve(fd, RESERVE, 2, 0, BLOCK), 0);
    equal(
        "where it stands",
        (sys::lseek(fd, BLOCK, 0), reserve(fd, ZERO_RANGE, 1, 0, BLOCK)),
        (BLOCK as isize, 0),
    );
    equal("give back", reserve(fd, UNRESERVE64, 0, 0, BLOCK), 0);
    lies(fd, &[(1, 2, UNWRITTEN | LAST)]);
    equal("no such place", reserve(fd, RESERVE64, 3, 0, BLOCK), EINVAL);
    equal("before the start", reserve(fd, RESERVE64, 0, -1, BLOCK), EINVAL);
    equal("nowhere", sys::ioctl(fd, RESERVE64, 8), EFAULT);
    // Encryption's policy.
    equal("no encryption", sys::ioctl(fd, 0x400c_6615, 8), EOPNOTSUPP);
}

fn size(fd: i32) -> isize {
    sys::lseek(fd, 0, 2)
}

/// Asks for the map of all; the answer of the call.
fn ask(fd: i32, flags: u32, room: u32, map: &mut Fiemap) -> isize {
    map[..4].copy_from_slice(&[0, u64::MAX, flags.into(), room.into()]);
    sys::ioctl(fd, FIEMAP, map.as_mut_ptr() as usize)
}

/// Whether the blocks of the file are these: first, count, flags. Neighbours of one kind count as one:
/// whether they are one extent is not said.
#[track_caller]
fn lies(fd: i32, want: &[(u64, u64, u32)]) {
    let mut map: Fiemap = [0; 60];
    equal("FIEMAP", ask(fd, 1, 8, &mut map), 0);
    let mapped = (map[2] >> 32) as usize;
    let mut runs = [(0, 0, 0); 8];
    let mut count = 0usize;
    for extent in map[4..].chunks_exact(7).take(mapped) {
        let (first, len, flags) = (extent[0] / 4096, extent[2] / 4096, extent[5] as u32);
        match runs[..count].last_mut() {
            Some((at, n, f)) if *at + *n == first && *f == flags & !LAST => (*n, *f) = (*n + len, flags),
            _ => {
                runs[count] = (first, len, flags);
                count += 1;
            }
        }
    }
    equal("the map", &runs[..count], want);
}

fn block(fd: i32, number: i32) -> isize {
    let mut word = number;
    let done = sys::ioctl(fd, FIBMAP, &raw mut word as usize);
    if done < 0 { done } else { isize::from(word != 0) }
}

fn ranges(fd: i32) {
    lies(fd, &[(0, 8, LAST)]);
    equal("punch", sys::fallocate(fd, PUNCH, 2 * BLOCK, 2 * BLOCK), 0);
    lies(fd, &[(0, 2, 0), (4, 4, LAST)]);
    equal("a hole", block(fd, 2), 0);
    equal("zero", sys::fallocate(fd, ZERO, 5 * BLOCK, BLOCK), 0);
    lies(fd, &[(0, 2, 0), (4, 1, 0), (5, 1, UNWRITTEN), (6, 2, LAST)]);
    equal("zeros", block(fd, 5), 0);
    equal("data", block(fd, 6), 1);
    equal("reserve behind the end", sys::fallocate(fd, KEEP_SIZE, 10 * BLOCK, 2 * BLOCK), 0);
    equal("the size stays", size(fd), 8 * BLOCK as isize);
    lies(fd, &[(0, 2, 0), (4, 1, 0), (5, 1, UNWRITTEN), (6, 2, 0), (10, 2, UNWRITTEN | LAST)]);
    equal("collapse", sys::fallocate(fd, COLLAPSE, BLOCK, BLOCK), 0);
    equal("the size shrinks", size(fd), 7 * BLOCK as isize);
    lies(fd, &[(0, 1, 0), (3, 1, 0), (4, 1, UNWRITTEN), (5, 2, 0), (9, 2, UNWRITTEN | LAST)]);
    equal("insert", sys::fallocate(fd, INSERT, 0, BLOCK), 0);
    equal("the size grows", size(fd), 8 * BLOCK as isize);
    lies(fd, &[(1, 1, 0), (4, 1, 0), (5, 1, UNWRITTEN), (6, 2, 0), (10, 2, UNWRITTEN | LAST)]);
}

fn map_errnos(fd: i32) {
    let mut map: Fiemap = [0; 60];
    equal("count", ask(fd, 0, 0, &mut map), 0);
    equal("an array of one", ask(fd, 0, 1, &mut map), 0);
    equal("holds one", map[2] >> 32, 1);
    equal("not the last", map[4 + 5] as u32, 0);
    equal("unknown flags", ask(fd, 0xf0f, 8, &mut map), EBADR);
    equal("are told", map[2], 0xf08);
    equal("too large an array", ask(fd, 0, u32::MAX / 56 + 1, &mut map), EINVAL);
    equal("no memory", sys::ioctl(fd, FIEMAP, 8), EFAULT);
    map[..4].copy_from_slice(&[0, 0, 0, 8]);
    equal("no range", sys::ioctl(fd, FIEMAP, map.as_mut_ptr() as usize), EINVAL);
    map[..4].copy_from_slice(&[u64::MAX, 1, 0, 8]);
    equal("too far", sys::ioctl(fd, FIEMAP, map.as_mut_ptr() as usize), EFBIG);
    equal("before the first block", block(fd, -1), EINVAL);
    equal("no memory", sys::ioctl(fd, FIBMAP, 8), EFAULT);
    let mut word = 0u32;
    equal("FIGETBSZ", sys::ioctl(fd, FIGETBSZ, &raw mut word as usize), 0);
    equal("the block size", word, BLOCK as u32);
}
