//! Frames, heap, and the kernel's own protection.

use alloc::vec::Vec;
use core::hint::black_box;

use base::PAGE_SIZE;
use machine::layout;
use machine::memory::dma::DmaPages;
use machine::memory::frames;

use super::ensure;
use crate::HEAP;

/// Frames are distinct, writable, and counted.
pub fn frames() -> Result<(), &'static str> {
    let before = frames::stats().free;
    let held: Vec<_> = (0..500).filter_map(|_| base::frame::alloc().ok()).collect();
    ensure(held.len() == 500, "500 frames")?;
    for (n, frame) in held.iter().enumerate() {
        frame.fill(0, PAGE_SIZE, n as u8);
    }
    for (n, frame) in held.iter().enumerate() {
        let mut end = [0; 2];
        frame.read(PAGE_SIZE - 2, &mut end);
        ensure(end == [n as u8; 2], "each frame has its own bytes")?;
    }
    drop(held);
    // The handles lie on the heap, which may have grown by a piece.
    ensure(before - frames::stats().free <= 32, "frames back where they came from")
}

/// Small and large objects, freed in another order.
pub fn heap() -> Result<(), &'static str> {
    let (used, free) = (HEAP.used(), frames::stats().free);
    for _ in 0..3 {
        let mut held: Vec<Vec<u8>> = Vec::new();
        for n in 0..200usize {
            let len = 1 << (n % 18);
            held.push(alloc::vec![n as u8; len]);
        }
        for (n, bytes) in held.iter().enumerate() {
            ensure(bytes.iter().all(|&b| b == n as u8), "objects do not overlap")?;
        }
        while let Some(at) = held.len().checked_sub(1) {
            drop(held.swap_remove(at / 2));
        }
    }
    ensure(HEAP.used() == used, "every byte given back")?;
    ensure(free - frames::stats().free <= 32, "room that is not used goes back to the frames")
}

/// Contiguous, zero, aligned.
pub fn dma() -> Result<(), &'static str> {
    let pages = DmaPages::new(5).ok_or("five contiguous pages")?;
    ensure(
        pages.len() == 8 * PAGE_SIZE && pages.phys().0 % pages.len() as u64 == 0,
        "a power of two, aligned",
    )?;
    // SAFETY: `len` bytes that are ours.
    let bytes = unsafe { core::slice::from_raw_parts(pages.as_ptr(), pages.len()) };
    ensure(bytes.iter().all(|&b| b == 0), "zeros")?;
    ensure(DmaPages::new(usize::MAX).is_none() && DmaPages::new(1 << 30).is_none(), "no memory, no pages")
}

/// Frames run out with an error; the kernel keeps enough to go on.
pub fn exhaustion() -> Result<(), &'static str> {
    // On a large machine this would take long; the limit is the same code.
    if frames::stats().free > 64 << 10 {
        return Ok(());
    }
    let mut held = Vec::new();
    while let Ok(frame) = base::frame::alloc() {
        held.push(frame);
    }
    ensure(!alloc::vec![1u8; 64 << 10].is_empty(), "the heap still works")?;
    ensure(machine::mmu::user::UserTable::new().is_ok(), "tables can still be made")?;
    drop(held);
    ensure(base::frame::alloc().is_ok(), "frames again")
}

/// Logs the time of an allocation and its release (their instructions, under `-icount shift=0`).
pub fn cost() -> Result<(), &'static str> {
    const ROUNDS: u64 = 1000;
    let measure = |work: &dyn Fn()| {
        let begin = base::time::monotonic_ns();
        (0..ROUNDS).for_each(|_| work());
        (base::time::monotonic_ns() - begin) / ROUNDS
    };
    let object = measure(&|| drop(black_box(alloc::boxed::Box::new([0u8; 64]))));
    let frame = measure(&|| drop(black_box(base::frame::alloc())));
    let large = measure(&|| drop(black_box(Vec::<u8>::with_capacity(64 << 10))));
    log::info!(
        "selftest: 64 bytes {object} ns, a frame {frame} ns, 64 KiB {large} ns, each with its release"
    );
    Ok(())
}

/// Reads address 0.
pub fn read_null() {
    // SAFETY: it isn't; the test is that the kernel says so and stops.
    black_box(unsafe { core::ptr::without_provenance::<u64>(black_box(8)).read_volatile() });
}

/// Writes an instruction, through the image and, should that work, through the linear map.
pub fn write_text() {
    let at = layout::text().start + 0x800;
    // SAFETY: as above.
    unsafe { core::ptr::without_provenance_mut::<u32>(at as usize).write_volatile(0) };
}

/// Jumps into a heap object that holds a `ret`.
pub fn execute_data() {
    let code = alloc::boxed::Box::new(0xd65f_03c0u32);
    // SAFETY: as above.
    let function: fn() = unsafe { core::mem::transmute(core::ptr::from_ref(&*code)) };
    black_box(function)();
}

/// Recurses until the guard.
pub fn overflow_stack() {
    fn deeper(n: u64) -> u64 {
        let room = black_box([n; 64]);
        if n == 0 { 0 } else { deeper(n + 1) + room[(n % 64) as usize] }
    }
    black_box(deeper(black_box(1)));
}
