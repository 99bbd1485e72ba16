//! User copies at every border that a program can aim at.

use base::arch::{Protection, UserCopy as _, UserPageTable as _};
use base::user::TASK_SIZE;
use base::{PAGE_SIZE, UserAddr};
use machine::machine::QuillMachine;
use machine::mmu::user::UserTable;

use super::el0::{READ, READ_WRITE};
use super::ensure;

const M: QuillMachine = QuillMachine;
/// Two pages are mapped from here on; nothing before or after.
const BASE: u64 = 0x10_0000;
const END: u64 = BASE + 2 * PAGE_SIZE as u64;

/// Two pages of user memory, active.
fn two_pages(protection: Protection) -> Result<UserTable, &'static str> {
    let table = UserTable::new().map_err(|_| "a table")?;
    for n in 0..2 {
        let frame = base::frame::alloc_zeroed().map_err(|_| "a frame")?;
        let addr = UserAddr(BASE + n * PAGE_SIZE as u64);
        table.map(addr, frame, protection).map_err(|_| "a page")?;
    }
    table.activate();
    Ok(table)
}

/// For every distance from the end and many lengths: the count is exact and so are the bytes.
pub fn exact() -> Result<(), &'static str> {
    let _table = two_pages(READ_WRITE)?;
    let mut pattern = [0u8; 700];
    pattern.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 7 + 1) as u8);
    for distance in (0..300).chain([383, 384, 385, 400, 511, 512, 513, 599, 640]) {
        let at = UserAddr(END - distance);
        for len in [
            0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 200, 255, 256, 257, 383, 384, 400,
            513, 700,
        ] {
            let reach = len.min(distance as usize);
            ensure(M.clear_user(at, len) == reach, "clear_user counts")?;
            ensure(M.copy_to_user(at, &pattern[..len]) == reach, "copy_to_user counts")?;
            let mut back = [0xee; 700];
            ensure(M.copy_from_user(&mut back[..len], at) == reach, "copy_from_user counts")?;
            ensure(back[..reach] == pattern[..reach], "the bytes arrive")?;
            ensure(back[len..].iter().all(|&b| b == 0xee), "nothing beyond the buffer")?;
        }
    }
    frames_too()
}

fn frames_too() -> Result<(), &'static str> {
    let frame = base::frame::alloc_zeroed().map_err(|_| "a frame")?;
    frame.fill(100, 50, 9);
    let at = UserAddr(END - 40);
    ensure(M.copy_from_frame(at, &frame, 100, 50) == 40, "copy_from_frame counts")?;
    ensure(M.copy_to_frame(&frame, 4046, at, 50) == 40, "copy_to_frame counts")?;
    let mut back = [0; 41];
    frame.read(4045, &mut back);
    ensure(back[0] == 0 && back[1..].iter().all(|&b| b == 9), "the frame has the bytes")
}

/// No address at or above TASK_SIZE copies a byte.
pub fn kernel_addresses() -> Result<(), &'static str> {
    let _table = two_pages(READ_WRITE)?;
    let kernel = exact as fn() -> Result<(), &'static str> as usize as u64;
    let mut buf = [0u8; 64];
    for at in [TASK_SIZE, TASK_SIZE + 1, 1 << 63, kernel, u64::MAX - 63, u64::MAX, 0xab00_0000_0010_0000] {
        ensure(M.copy_from_user(&mut buf, UserAddr(at)) == 0, "nothing read")?;
        ensure(M.copy_to_user(UserAddr(at), &buf) == 0, "nothing written")?;
        ensure(M.clear_user(UserAddr(at), 64) == 0, "nothing cleared")?;
    }
    ensure(M.copy_from_user(&mut buf, UserAddr(TASK_SIZE - 8)) == 0, "not mapped")?;
    ensure(M.clear_user(UserAddr(BASE), usize::MAX) == 2 * PAGE_SIZE, "a giant length ends at the hole")
}

/// The kernel may not write what the program may not, nor read PROT_NONE.
pub fn protection() -> Result<(), &'static str> {
    let table = two_pages(READ)?;
    let mut buf = [0u8; 300];
    let second = UserAddr(BASE + PAGE_SIZE as u64);
    ensure(M.copy_to_user(UserAddr(BASE), &buf) == 0, "read-only is not written")?;
    ensure(M.copy_from_user(&mut buf, UserAddr(BASE)) == 300, "read-only is read")?;
    table.protect(UserAddr(BASE), PAGE_SIZE as u64, READ_WRITE);
    ensure(M.copy_to_user(UserAddr(second.0 - 150), &buf) == 150, "up to the read-only page")?;
    table.protect(second, PAGE_SIZE as u64, Protection { read: false, write: false, execute: false });
    ensure(M.copy_from_user(&mut buf, UserAddr(second.0 - 1)) == 1, "PROT_NONE is not read")?;
    let kept = table.lookup(second).ok_or("PROT_NONE keeps its page")?;
    ensure(!kept.1.read, "and its protection")
}

/// Logs the guest's time for 4 KiB (its instructions, under `-icount shift=0`).
pub fn cost() -> Result<(), &'static str> {
    const ROUNDS: u64 = 200;
    let _table = two_pages(READ_WRITE)?;
    let frame = base::frame::alloc_zeroed().map_err(|_| "a frame")?;
    let measure = |copy: &dyn Fn() -> usize| {
        let begin = base::time::monotonic_ns();
        let whole = (0..ROUNDS).all(|_| copy() == PAGE_SIZE);
        (whole, (base::time::monotonic_ns() - begin) / ROUNDS)
    };
    let (a, to_frame) = measure(&|| M.copy_to_frame(&frame, 0, UserAddr(BASE), PAGE_SIZE));
    let (b, from_frame) = measure(&|| M.copy_from_frame(UserAddr(BASE), &frame, 0, PAGE_SIZE));
    let (c, clear) = measure(&|| M.clear_user(UserAddr(BASE), PAGE_SIZE));
    log::info!("selftest: 4 KiB from the program {to_frame} ns, to it {from_frame} ns, cleared {clear} ns");
    ensure(a && b && c, "whole pages")
}
