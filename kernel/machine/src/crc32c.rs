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

fn crc32c(mut crc: u32, data: &[u8]) -> u32 {
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        // SAFETY: registers only; `routine` gives this function out only where the instruction exists.
        unsafe {
            asm!(
                ".arch_extension crc",
                "crc32cx {crc:w}, {crc:w}, {word}",
                crc = inout(reg) crc,
                word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    for &byte in rest {
        // SAFETY: as above.
        unsafe {
            asm!(
                ".arch_extension crc",
                "crc32cb {crc:w}, {crc:w}, {byte:w}",
                crc = inout(reg) crc,
                byte = in(reg) u32::from(byte),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    crc
}
