//! crc32c on the CPU's own instructions, eight bytes each, for the file system's checksums.
//!
//! The value goes in and comes out raw, without the inversions at start and end. Source: Arm ARM,
//! CRC32CX and CRC32CB; they came with ARMv8.0 as an option and are a must from ARMv8.1 on.

use core::arch::asm;

use crate::features;

/// The routine, where the CPU has the instructions.
pub fn routine() -> Option<fn(u32, &[u8]) -> u32> {
    features::has_crc32().then_some(crc32c as fn(u32, &[u8]) -> u32)
}

fn crc32c(crc: u32, data: &[u8]) -> u32 {
    // SAFETY: every pattern of bits is a u64.
    // The target loads nothing that is unaligned: words are words only where they are aligned.
    let (first, words, last) = unsafe { data.align_to::<u64>() };
    let crc = first.iter().fold(crc, by_byte);
    // Unrolled: blocks of 4 KiB are what is summed most.
    let (lines, words) = words.as_chunks::<8>();
    let crc = lines.iter().fold(crc, |crc, line| line.iter().fold(crc, by_word));
    let crc = words.iter().fold(crc, by_word);
    last.iter().fold(crc, by_byte)
}

#[inline(always)]
fn by_word(mut crc: u32, word: &u64) -> u32 {
    // SAFETY: registers only; `routine` gives `crc32c` out only where the instruction exists.
    unsafe {
        asm!(
            ".arch_extension crc",
            "crc32cx {crc:w}, {crc:w}, {word}",
            crc = inout(reg) crc,
            word = in(reg) u64::from_le(*word),
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    crc
}

#[inline(always)]
fn by_byte(mut crc: u32, byte: &u8) -> u32 {
    // SAFETY: as above.
    unsafe {
        asm!(
            ".arch_extension crc",
            "crc32cb {crc:w}, {crc:w}, {byte:w}",
            crc = inout(reg) crc,
            byte = in(reg) u32::from(*byte),
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    crc
}
