//! Who called whom, from the frame records that every function of the kernel keeps.
//!
//! A record is two words on the stack: the caller's record and the return address; x29 points at the
//! newest. The walk follows them upwards, only through memory that can be a kernel stack, so that a
//! broken chain ends the list and not the kernel. Source: AAPCS64, 6.4.6.

use core::arch::asm;
use core::fmt;

use spin::Once;

use crate::layout::{self, STACK_SIZE, STACK_SLOT, STACK_SLOTS, STACKS_BASE};
use crate::symbols::Symbols;

/// The names, when there are any.
static TABLE: Once<Symbols<'static>> = Once::new();

/// Frames printed at most.
const MAX_FRAMES: usize = 48;

/// Writes the calls that led here, one per line.
#[inline(never)]
pub fn write(out: &mut dyn fmt::Write) -> fmt::Result {
    let frame: u64;
    // SAFETY: reads the frame pointer.
    unsafe { asm!("mov {0}, x29", out(reg) frame, options(nomem, nostack)) };
    let table = TABLE.get();
    writeln!(out, "backtrace:")?;
    let mut at = frame;
    for n in 0..MAX_FRAMES {
        let Some([next, address]) = record(at) else { break };
        if address == 0 {
            break;
        }
        write!(out, "  {n:2}: {address:016x}")?;
        // A return address may be the first byte of the next function: the call is before it.
        let offset = layout::text()
            .contains(address)
            .then(|| (address - layout::KERNEL_BASE).saturating_sub(4) as u32);
        match offset.and_then(|offset| table?.lookup(offset)) {
            Some((name, into)) => writeln!(out, "  {name}+{:#x}", into + 4)?,
            None => writeln!(out)?,
        }
        // An exception's record lies on the interrupted stack or leads to another; never to itself.
        if next == at {
            break;
        }
        at = next;
    }
    Ok(())
}

/// Finds the table behind the image and returns how much of its room it uses. Once, early.
pub fn init() -> u64 {
    let room = layout::symbols();
    let len = (room.end - room.start) as usize;
    // SAFETY: the room is mapped read-only, and what a table uses of it is never released.
    let bytes: &'static [u8] = unsafe { core::slice::from_raw_parts(room.start as *const u8, len) };
    match Symbols::find(bytes) {
        Some(found) => TABLE.call_once(|| found).len() as u64,
        None => 0,
    }
}

/// The record at `at`, if it lies in a stack.
fn record(at: u64) -> Option<[u64; 2]> {
    if !at.is_multiple_of(8) || !(in_stack_area(at) || layout::image().contains(at)) {
        return None;
    }
    // SAFETY: the upper half of a slot that somebody runs on, or the image's data (the overflow
    // stack): mapped memory. The chain was written by this kernel's own functions.
    Some(unsafe { (at as *const [u64; 2]).read() })
}

/// Whether 16 bytes from `at` lie in the mapped part of a stack slot.
fn in_stack_area(at: u64) -> bool {
    let Some(offset) = at.checked_sub(STACKS_BASE) else { return false };
    let (slot, within) = (offset as usize / STACK_SLOT, offset as usize % STACK_SLOT);
    slot < STACK_SLOTS && (STACK_SIZE..STACK_SLOT - 8).contains(&within)
}
