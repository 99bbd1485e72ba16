//! Mappings: mmap, munmap, mremap, mprotect, msync, madvise, mincore, mlock, and loads and stores.

use core::arch::asm;

use user::sys;

use crate::report::line;
use crate::say;
use crate::world::{PAGE, World};

pub fn call(world: &mut World) {
    match world.below(20) {
        0..4 => mmap(world),
        4 => munmap(world),
        5 => mremap(world),
        6 => mprotect(world),
        7 | 8 => msync(world),
        9 => madvise(world),
        10 => mincore(world),
        11 => mlock(world),
        12..16 => load(world),
        _ => store(world),
    }
}

/// A length of few pages, or an edge: none that is right for all that the process has, such as its stack.
fn len(world: &mut World) -> usize {
    if world.once_in(15) {
        return world.pick(&[0, usize::MAX, usize::MAX - PAGE + 1, 1 << 28, usize::MAX << 13]);
    }
    let pages = world.below(12) * PAGE;
    pages + world.pick(&[0, 0, 0, 1, PAGE - 1])
}

/// Where a mapping begins, or some page in it, or some byte.
fn place(world: &mut World) -> usize {
    let at = world.place();
    match world.below(12) {
        0 => at + world.pick(&[1, 8, PAGE - 1]),
        1..5 => at + world.below(12) * PAGE,
        _ => at,
    }
}

/// At a fixed place only: what else the kernel would choose is its affair. MAP_LOCKED, POPULATE and
/// NORESERVE with the rest; not MAP_SYNC, for a file that refuses it has lost Linux before 6.12 what was mapped there.
fn mmap(world: &mut World) {
    const FIXED: i32 = 0x10;
    let (fd, at, len) = (world.file(), place(world), len(world));
    let prot = world.pick(&[1, 3, 3, 3, 2, 0, 5, 1 << 10]);
    let kind = world.pick(&[1, 1, 1, 2, 2, 3, 3, 0]);
    let more = world.pick(&[0, 0, 0, 0x20, 0x8000, 0x4000, 0x100000, 0x2000]);
    let offset =
        world.pick(&[0, 0, 0, PAGE as i64, 10 * PAGE as i64, 1, -(PAGE as i64), i64::MAX - 4095, 1 << 40]);
    let flags = kind | more | FIXED;
    let answer = sys::mmap(at, len, prot, flags, fd, offset);
    say!(answer, "mmap {at:#x} {len:#x} {prot:#x} {flags:#x} {fd} {offset:#x}");
}

fn munmap(world: &mut World) {
    let (at, len) = (place(world), len(world));
    say!(sys::munmap(at, len), "munmap {at:#x} {len:#x}");
}

/// To a fixed place, or where it is.
fn mremap(world: &mut World) {
    let (at, old, new, to) = (place(world), len(world), len(world), place(world));
    let flags = world.pick(&[0, 3, 3, 7, 2, 5, 8]);
    say!(sys::mremap(at, old, new, flags, to), "mremap {at:#x} {old:#x} {new:#x} {flags} {to:#x}");
}

fn mprotect(world: &mut World) {
    let (at, len, prot) = (place(world), len(world), world.pick(&[0, 1, 2, 3, 3, 5, 0x1000000, 8]));
    say!(sys::mprotect(at, len, prot), "mprotect {at:#x} {len:#x} {prot:#x}");
}

fn msync(world: &mut World) {
    let (at, len, flags) = (place(world), len(world), world.pick(&[0, 1, 2, 4, 4, 6, 3, 5, 8]));
    say!(sys::msync(at, len, flags), "msync {at:#x} {len:#x} {flags}");
}

/// NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, REMOVE, DONTFORK, DOFORK, HUGEPAGE, NOHUGEPAGE,
/// DONTDUMP, DODUMP, COLD, PAGEOUT, POPULATE_READ, POPULATE_WRITE, some that are none.
///
/// MADV_FREE's pages hold what they held or zeros, as the kernel likes: on private memory it is not asked for.
fn madvise(world: &mut World) {
    let (at, len) = (place(world), len(world));
    let advice = world.pick(&[0, 1, 2, 3, 4, 4, 9, 9, 10, 11, 16, 17, 20, 21, 22, 23, 7, -1, 1000]);
    say!(sys::madvise(at, len, advice), "madvise {at:#x} {len:#x} {advice}");
}

/// Which pages are there is the kernel's affair; where there is no memory is not.
fn mincore(world: &mut World) {
    let (at, len) = (place(world), len(world));
    let mut out = [0u8; 64];
    let to = if world.once_in(8) { 8 } else { out.as_mut_ptr() as usize };
    say!(sys::mincore(at, len, to), "mincore {at:#x} {len:#x} {}", to & 15);
}

fn mlock(world: &mut World) {
    let (at, len) = (place(world), len(world));
    match world.below(5) {
        0 => say!(sys::mlock(at, len), "mlock {at:#x} {len:#x}"),
        1 => say!(sys::mlock2(at, len, 1), "mlock2 {at:#x} {len:#x} 1"),
        2 => say!(sys::mlock2(at, len, 2), "mlock2 {at:#x} {len:#x} 2"),
        _ => say!(sys::munlock(at, len), "munlock {at:#x} {len:#x}"),
    }
}

/// What a load that faults leaves.
const NOT_THERE: usize = 0xfff;

fn load(world: &mut World) {
    let at = place(world) + world.below(PAGE);
    let mut value = NOT_THERE;
    // SAFETY: a fault is passed over (`report::on_fault`); the load changes nothing.
    unsafe { asm!("ldrb {0:w}, [{1}]", inout(reg) value, in(reg) at) };
    line(format_args!("load {at:#x}"), value as isize, format_args!(""));
}

fn store(world: &mut World) {
    let (at, value) = (place(world) + world.below(PAGE), world.below(256));
    // SAFETY: as above; all that lies between the places of mappings is theirs.
    unsafe { asm!("strb {0:w}, [{1}]", in(reg) value, in(reg) at) };
    line(format_args!("store {at:#x} {value:#x}"), 0, format_args!(""));
}
