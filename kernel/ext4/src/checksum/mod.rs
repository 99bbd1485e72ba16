//! The two checksums of ext4: crc32c (metadata_csum) and crc16 (uninit_bg).
//!
//! Both are used *raw*: the running value goes in and comes out without the inversion at start and
//! end that the algorithms' names usually imply, so that `crc32c(crc32c(seed, a), b)` continues. The
//! caller starts with `!0` where ext4 does.
//!
//! crc32c works eight bytes at a time on eight tables made at compile time (about 1.3 instructions a
//! byte). A machine with CRC instructions may install its own routine with [`set_accelerator`]. Where
//! a few bytes of a block change, [`delta`] spares the sum over the rest of it.
//!
//! Source: ext4 documentation, "Checksums".

mod shift;

use spin::Once;

pub use shift::delta;

/// Continues a crc32c with `data`.
pub type Crc32c = fn(u32, &[u8]) -> u32;

/// Castagnoli's, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

static ACCELERATOR: Once<Crc32c> = Once::new();

/// Installs a faster crc32c, when it agrees with the table on a probe. The first call wins; returns
/// whether one is installed now.
pub fn set_accelerator(routine: Crc32c) -> bool {
    let probe: [u8; 37] = core::array::from_fn(|i| (i as u8).wrapping_mul(41));
    if routine(0x1234_5678, &probe) != table_crc32c(0x1234_5678, &probe) {
        return ACCELERATOR.get().is_some();
    }
    ACCELERATOR.call_once(|| routine);
    true
}

/// Continues a raw crc32c (Castagnoli, reflected) from `crc`.
pub fn crc32c(crc: u32, data: &[u8]) -> u32 {
    match ACCELERATOR.get() {
        Some(routine) => routine(crc, data),
        None => table_crc32c(crc, data),
    }
}

/// Continues a raw crc16 (0x8005, reflected) from `crc`.
pub fn crc16(crc: u16, data: &[u8]) -> u16 {
    data.iter().fold(crc, |crc, &byte| (crc >> 8) ^ CRC16[usize::from((crc as u8) ^ byte)])
}

fn table_crc32c(mut crc: u32, data: &[u8]) -> u32 {
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let low = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) ^ crc;
        let [a, b, c, d] = low.to_le_bytes();
        crc = TABLES[7][usize::from(a)]
            ^ TABLES[6][usize::from(b)]
            ^ TABLES[5][usize::from(c)]
            ^ TABLES[4][usize::from(d)]
            ^ TABLES[3][usize::from(word[4])]
            ^ TABLES[2][usize::from(word[5])]
            ^ TABLES[1][usize::from(word[6])]
            ^ TABLES[0][usize::from(word[7])];
    }
    rest.iter().fold(crc, |crc, &byte| (crc >> 8) ^ TABLES[0][usize::from((crc as u8) ^ byte)])
}

/// `TABLES[n][b]`: the crc of byte `b` followed by `n` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();
static CRC16: [u16; 256] = crc16_table();

const fn tables() -> [[u32; 256]; 8] {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        t[0][i] = crc;
        i += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut i = 0;
        while i < 256 {
            let before = t[n - 1][i];
            t[n][i] = (before >> 8) ^ t[0][(before & 0xff) as usize];
            i += 1;
        }
        n += 1;
    }
    t
}

const fn crc16_table() -> [u16; 256] {
    let mut t = [0u16; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
            bit += 1;
        }
        t[i] = crc;
        i += 1;
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_check_values_of_both() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }

    #[test]
    fn it_agrees_with_the_crc_crate_at_every_length() {
        let reference = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
        let data: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        for len in 0..data.len() {
            assert_eq!(!crc32c(!0, &data[..len]), reference.checksum(&data[..len]), "length {len}");
        }
    }

    #[test]
    fn it_continues() {
        let whole = crc32c(7, b"hello, world");
        assert_eq!(crc32c(crc32c(7, b"hello"), b", world"), whole);
    }

    #[test]
    fn a_wrong_accelerator_is_not_installed() {
        assert!(!set_accelerator(|crc, _| crc) || ACCELERATOR.get().is_some());
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
