//! Size, blocks and state of a file: truncate, fallocate, fsync and its kind, advice, fcntl, ioctl, limits.

use user::sys;

use crate::report::line;
use crate::say;
use crate::world::{O_NONBLOCK, World};

const FIGETBSZ: usize = 2;
const FIBMAP: usize = 1;
const FIONREAD: usize = 0x541b;
const FS_IOC_GETFLAGS: usize = 0x8008_6601;
const FIEMAP: usize = 0xc020_660b;
const FIEMAP_SYNC: u64 = 1;
const RLIMIT_FSIZE: i32 = 1;

pub fn call(world: &mut World) {
    match world.below(20) {
        0..3 => ftruncate(world),
        3 => truncate(world),
        4..8 => fallocate(world),
        8 => flush(world),
        9 => sync_file_range(world),
        10 => fadvise(world),
        11 => readahead(world),
        12 => fcntl(world),
        13 => ioctl(world),
        14 | 15 => fiemap(world),
        16 | 17 => fstat(world),
        18 => limit(world),
        _ => lock(world),
    }
}

fn ftruncate(world: &mut World) {
    let (fd, len) = (world.file(), world.offset());
    say!(sys::ftruncate(fd, len), "ftruncate {fd} {len:#x}");
}

fn truncate(world: &mut World) {
    let (name, len) = (world.name(), world.offset());
    say!(sys::truncate(name.as_ptr() as usize, len), "truncate {name:?} {len:#x}");
}

/// Short ranges: how many blocks fit a huge one is the disk's affair.
fn fallocate(world: &mut World) {
    let (fd, mode) =
        (world.file(), world.pick(&[0, 0, 1, 3, 3, 2, 8, 8, 0x10, 0x11, 0x20, 0x20, 9, 0x40, 4, 0x80, -1]));
    let mut at = world.offset();
    let mut len = world.short_len() as i64;
    if world.once_in(2) {
        at &= !4095;
        len &= !4095;
    }
    if world.once_in(15) {
        len = world.pick(&[-1, i64::MIN, i64::MAX]);
        at = world.pick(&[0, -1, 1, 4096, i64::MAX]);
    }
    // Space for the largest file there is, the disk does not have.
    if mode & !1 == 0 && len > 1 << 40 {
        len = 4096;
    }
    say!(sys::fallocate(fd, mode, at, len), "fallocate {fd} {mode:#x} {at:#x} {len:#x}");
}

fn flush(world: &mut World) {
    let fd = world.file();
    match world.below(8) {
        0..4 => say!(sys::fsync(fd), "fsync {fd}"),
        4..6 => say!(sys::fdatasync(fd), "fdatasync {fd}"),
        6 => say!(sys::syncfs(fd), "syncfs {fd}"),
        _ => say!(sys::sync(), "sync"),
    }
}

fn sync_file_range(world: &mut World) {
    let (fd, at, flags) = (world.file(), world.offset(), world.pick(&[0, 1, 2, 4, 7, 3, 6, 8, u32::MAX]));
    let len = world.pick(&[0, 1, 4096, 70000, -1, i64::MAX, i64::MIN]);
    say!(sys::sync_file_range(fd, at, len, flags), "sync_file_range {fd} {at:#x} {len:#x} {flags:#x}");
}

fn fadvise(world: &mut World) {
    let (fd, at, advice) = (world.file(), world.offset(), world.pick(&[0, 1, 2, 3, 4, 5, 6, -1]));
    let len = world.pick(&[0, 1, 4096, 70000, -1, i64::MAX, i64::MIN]);
    say!(sys::fadvise64(fd, at, len, advice), "fadvise64 {fd} {at:#x} {len:#x} {advice}");
}

fn readahead(world: &mut World) {
    let (fd, at, len) = (world.file(), world.offset(), world.len());
    say!(sys::readahead(fd, at, len), "readahead {fd} {at:#x} {len:#x}");
}

/// Flags; how large a pipe is. What would let a pipe or the eventfd block is never taken away.
fn fcntl(world: &mut World) {
    const O_DIRECT: usize = 0o200000;
    const O_APPEND: usize = 0o2000;
    let fd = if world.once_in(3) { world.pipe(0) } else { world.file() };
    let (cmd, arg) = match world.below(8) {
        0 | 1 => (3, 0),
        2 | 3 => {
            (4, O_NONBLOCK as usize | world.pick(&[0, O_APPEND, O_DIRECT, O_APPEND | O_DIRECT, 3, 0o4010000]))
        }
        4 => (
            1031,
            world.pick(&[0, 1, 4096, 4097, 65536, 100_000, 1 << 20, (1 << 20) + 1, 1 << 31, usize::MAX]),
        ),
        5 => (1032, 0),
        6 => (world.pick(&[1, 1034, 77, -1]), 0),
        _ => (2, world.below(3)),
    };
    say!(sys::fcntl(fd, cmd, arg), "fcntl {fd} {cmd} {arg:#x}");
}

fn ioctl(world: &mut World) {
    let fd = if world.once_in(3) { world.pipe(0) } else { world.file() };
    let request = world.pick(&[FIGETBSZ, FIBMAP, FIONREAD, FIONREAD, FS_IOC_GETFLAGS, 0x5421, 0x1234]);
    let mut out = [world.below(30) as u32, 0];
    let at = if world.once_in(10) { 8 } else { out.as_mut_ptr() as usize };
    let answer = sys::ioctl(fd, request, at);
    // Where a block lies is the disk's affair.
    let told = if request == FIBMAP { [u32::from(out[0] != 0), 0] } else { out };
    line(format_args!("ioctl {fd} {request:#x} {at:x}", at = at & 15), answer, format_args!("{told:x?}"));
}

/// Extents, once the file is on the disk, joined where they are of a kind: the first of them, each from, to, flags.
/// Told by the page: a copy that ends early within a page leaves Linux with blocks for all of it. What is delayed
/// still, behind the end of the file, comes from there too. Unwritten blocks are not told: Linux finds some before it
/// refuses a direct write that is not aligned.
/// And whether the file has the blocks for them, with few more for the extent tree itself.
fn fiemap(world: &mut World) {
    const RUNS: usize = 8;
    const DELALLOC: u64 = 4;
    const UNWRITTEN: u64 = 0x800;
    let fd = world.file();
    let mut map = [0u64; 4 + 7 * 64];
    (map[0], map[1], map[2], map[3]) =
        (0, world.pick(&[u64::MAX, u64::MAX, 0, 4096, 70000]), FIEMAP_SYNC, 64);
    let whole = map[1] == u64::MAX;
    let answer = sys::ioctl(fd, FIEMAP, map.as_mut_ptr() as usize);
    let found = if answer == 0 { (map[2] >> 32) as usize } else { 0 };
    let (mut runs, mut count, mut bytes) = ([[0u64; 3]; RUNS], 0, 0);
    for extent in map[4..].chunks_exact(7).take(found) {
        // FIEMAP_EXTENT_LAST aside.
        let flags = extent[5] & 0xffff_fffe;
        if flags & DELALLOC != 0 {
            continue;
        }
        bytes += extent[2];
        if flags & UNWRITTEN != 0 {
            continue;
        }
        let (start, end) = (extent[0] & !4095, (extent[0] + extent[2]).next_multiple_of(4096));
        match &mut runs[..count] {
            [.., last] if last[1] >= start && last[2] == flags => last[1] = end,
            _ if count < RUNS => {
                runs[count] = [start, end, flags];
                count += 1;
            }
            _ => {}
        }
    }
    let mut stat = [0u64; 16];
    sys::fstat(fd, stat.as_mut_ptr() as usize);
    let fits = !whole || found == 64 || (bytes / 512..bytes / 512 + 100).contains(&stat[8]);
    line(format_args!("fiemap {fd}"), answer, format_args!("{:x?} {fits}", &runs[..count]));
}

fn fstat(world: &mut World) {
    let fd = world.file();
    let mut stat = [0u64; 16];
    let answer = sys::fstat(fd, stat.as_mut_ptr() as usize);
    let (mode, links) = (stat[2] as u32, stat[2] >> 32);
    // The pipes' and the eventfd's inodes are nobody's business.
    line(
        format_args!("fstat {fd}"),
        answer,
        format_args!("mode {mode:o} links {links} size {:#x} unit {}", stat[6], stat[7]),
    );
}

/// RLIMIT_FSIZE, for the next calls; no limit, most of the time.
fn limit(world: &mut World) {
    let limit = world.pick(&[u64::MAX, u64::MAX, u64::MAX, 0, 5000, 8192, 100_000]);
    let new = [limit, u64::MAX];
    say!(sys::prlimit64(0, RLIMIT_FSIZE, new.as_ptr() as usize, 0), "prlimit64 FSIZE {limit:#x}");
}

/// Record locks: one process never meets its own. Those of open files (F_OFD_*, flock) Quill does not have.
fn lock(world: &mut World) {
    let (fd, cmd) = (world.file(), world.pick(&[5, 6, 7]));
    let kind = world.pick(&[0u64, 1, 2, 3]);
    let whence = world.pick(&[0u64, 0, 1, 2, 3]);
    // struct flock: l_type and l_whence, l_start, l_len, l_pid.
    let mut lock = [kind | whence << 16, world.offset() as u64, world.pick(&[0u64, 1, 4096, u64::MAX]), 0];
    let asked = lock;
    let answer = sys::fcntl(fd, cmd, lock.as_mut_ptr() as usize);
    line(format_args!("fcntl {fd} {cmd} {asked:x?}"), answer, format_args!("{:x?}", &lock[..3]));
}
