//! memcpy, memmove and memset at every small length and alignment, against loops.

use core::hint::black_box;
use core::ptr;

use super::ensure;

const SIZE: usize = 1800;
/// Lengths around every border in mem.S.
const LENGTHS: [usize; 22] =
    [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 63, 64, 65, 127, 255, 256, 257, 511, 512, 700, 1025];

fn pattern() -> [u8; SIZE] {
    core::array::from_fn(|i| (i * 31 + i / 256) as u8)
}

/// Every combination of a length and two offsets, overlapping or not.
pub fn all() -> Result<(), &'static str> {
    for len in LENGTHS {
        for (from, to) in
            [(0, 1100), (3, 1101), (16, 1117), (9, 10), (10, 9), (100, 164), (164, 100), (5, 650), (650, 5)]
        {
            moved(from, to, len)?;
        }
        for at in [0, 1, 8, 15, 33] {
            for byte in [0, 0xa5] {
                set(at, len, byte)?;
            }
        }
    }
    Ok(())
}

fn moved(from: usize, to: usize, len: usize) -> Result<(), &'static str> {
    let mut bytes = pattern();
    let before = pattern();
    let len = len.min(SIZE - from.max(to));
    let overlap = from.abs_diff(to) < len;
    let base = black_box(bytes.as_mut_ptr());
    // SAFETY: both ranges lie in the array; `copy_nonoverlapping` only where they do not overlap.
    unsafe {
        if overlap {
            ptr::copy(base.add(from), base.add(to), black_box(len));
        } else {
            ptr::copy_nonoverlapping(base.add(from), base.add(to), black_box(len));
        }
    }
    let right = (0..SIZE).all(|i| {
        let source = if (to..to + len).contains(&i) { i - to + from } else { i };
        bytes[i] == before[source]
    });
    ensure(right, "memcpy and memmove move what they should and nothing else")
}

fn set(at: usize, len: usize, byte: u8) -> Result<(), &'static str> {
    let mut bytes = pattern();
    let before = pattern();
    // SAFETY: the range lies in the array.
    unsafe { ptr::write_bytes(black_box(bytes.as_mut_ptr()).add(at), black_box(byte), black_box(len)) };
    let right = (0..SIZE).all(|i| bytes[i] == if (at..at + len).contains(&i) { byte } else { before[i] });
    ensure(right, "memset sets what it should and nothing else")
}

/// Logs the time of a page copied and cleared (their instructions, under `-icount shift=0`).
pub fn cost() -> Result<(), &'static str> {
    const ROUNDS: u64 = 200;
    let frame = || base::frame::alloc_zeroed().map_err(|_| "a frame");
    let (a, b) = (frame()?, frame()?);
    let measure = |work: &dyn Fn()| {
        let begin = base::time::monotonic_ns();
        (0..ROUNDS).for_each(|_| work());
        (base::time::monotonic_ns() - begin) / ROUNDS
    };
    let copied = measure(&|| a.copy_page_from(&b));
    let cleared = measure(&|| a.fill(0, base::PAGE_SIZE, 0));
    log::info!("selftest: a page copied {copied} ns, cleared {cleared} ns");
    Ok(())
}
