//! The hashes that order an indexed directory: legacy, half MD4 and TEA, signed and unsigned.
//!
//! A name hashes to a major and a minor number. The index is ordered by the major, whose lowest bit
//! is always 0: the index uses that bit to say "this block goes on where the one before stopped".
//!
//! "Signed" and "unsigned" say how a byte of the name above 127 counts. It is a property of the
//! machine that made the file system (`char` in C), kept in the superblock's `s_flags`.
//!
//! Source: the kernel's ext4 documentation, "Hash Tree Directories"; RFC 1320 for MD4, Wheeler and
//! Needham for TEA. Oracle: `debugfs -R "dx_hash -h half_md4 -s UUID name"`.

/// The end of a directory as a major hash; no name has it.
const EOF: u32 = 0x7fff_ffff << 1;

/// Which function hashes the names (`s_def_hash_version`, `dx_root_info.hash_version`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HashKind {
    /// The first one, 0.
    Legacy,
    /// Half of MD4, 1: what mke2fs chooses.
    HalfMd4,
    /// The Tiny Encryption Algorithm, 2.
    Tea,
}

impl HashKind {
    /// From the number on the disk. 3 to 5 are the unsigned versions of 0 to 2, which only old
    /// kernels wrote there.
    pub fn from_disk(version: u8) -> Option<HashKind> {
        match version {
            0 => Some(HashKind::Legacy),
            1 => Some(HashKind::HalfMd4),
            2 => Some(HashKind::Tea),
            _ => None,
        }
    }

    /// The number on the disk.
    pub fn as_disk(self) -> u8 {
        match self {
            HashKind::Legacy => 0,
            HashKind::HalfMd4 => 1,
            HashKind::Tea => 2,
        }
    }
}

/// The hash of one name. Ordered by major, then minor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct NameHash {
    /// What the index is ordered by; even.
    pub major: u32,
    /// Tells names of the same major apart (0 with the legacy hash).
    pub minor: u32,
}

/// How a file system hashes names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hasher {
    /// The function.
    pub kind: HashKind,
    /// Bytes above 127 count as positive.
    pub unsigned: bool,
    /// `s_hash_seed`; all zero means MD4's own start.
    pub seed: [u32; 4],
}

impl Hasher {
    /// The hash of `name`.
    pub fn hash(&self, name: &[u8]) -> NameHash {
        let mut state = if self.seed == [0; 4] {
            [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]
        } else {
            self.seed
        };
        let (major, minor) = match self.kind {
            HashKind::Legacy => (self.legacy(name), 0),
            HashKind::HalfMd4 => {
                for start in (0..name.len()).step_by(32) {
                    half_md4(&mut state, &self.words::<8>(&name[start..]));
                }
                (state[1], state[2])
            }
            HashKind::Tea => {
                for start in (0..name.len()).step_by(16) {
                    tea(&mut state, &self.words::<4>(&name[start..]));
                }
                (state[0], state[1])
            }
        };
        let major = major & !1;
        NameHash { major: if major == EOF { EOF - 2 } else { major }, minor }
    }

    /// A byte of the name as C's `int`.
    fn widen(&self, byte: u8) -> u32 {
        if self.unsigned { u32::from(byte) } else { byte as i8 as u32 }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut newer, mut older) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
        for &byte in name {
            let mut hash = older.wrapping_add(newer ^ self.widen(byte).wrapping_mul(7_152_373));
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7fff_ffff);
            }
            (older, newer) = (newer, hash);
        }
        newer << 1
    }

    /// The next `4 * N` bytes of the name as big-endian words, padded with the length of what is
    /// left of the name. Each byte is *added* to the shifted word, so a negative one borrows.
    fn words<const N: usize>(&self, rest: &[u8]) -> [u32; N] {
        // Names are at most 255 bytes.
        let pad = (rest.len() as u32 & 0xff) * 0x0101_0101;
        let mut words = [pad; N];
        for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
            *word = bytes.iter().fold(pad, |value, &b| self.widen(b).wrapping_add(value << 8));
        }
        words
    }
}

/// Sixteen double rounds of TEA, the words as key.
fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    const DELTA: u32 = 0x9e37_79b9;
    let [mut x, mut y, ..] = *state;
    let mut sum = 0u32;
    let mix = |v: u32, sum: u32, k0: u32, k1: u32| {
        (v << 4).wrapping_add(k0) ^ v.wrapping_add(sum) ^ (v >> 5).wrapping_add(k1)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        x = x.wrapping_add(mix(y, sum, key[0], key[1]));
        y = y.wrapping_add(mix(x, sum, key[2], key[3]));
    }
    state[0] = state[0].wrapping_add(x);
    state[1] = state[1].wrapping_add(y);
}

/// The three rounds of MD4, each over eight words instead of sixteen.
fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    const ROUNDS: [Round; 3] = [
        Round { add: 0, order: [0, 1, 2, 3, 4, 5, 6, 7], shifts: [3, 7, 11, 19] },
        Round { add: 0x5a82_7999, order: [1, 3, 5, 7, 0, 2, 4, 6], shifts: [3, 5, 9, 13] },
        Round { add: 0x6ed9_eba1, order: [3, 7, 2, 6, 1, 5, 0, 4], shifts: [3, 9, 11, 15] },
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (number, round) in ROUNDS.iter().enumerate() {
        for (step, &word) in round.order.iter().enumerate() {
            let mixed = match number {
                0 => d ^ (b & (c ^ d)),
                1 => (b & c).wrapping_add((b ^ c) & d),
                _ => b ^ c ^ d,
            };
            let sum = a.wrapping_add(mixed).wrapping_add(words[word]).wrapping_add(round.add);
            // The roles move on: d becomes a, and what was just computed becomes b.
            (a, b, c, d) = (d, sum.rotate_left(round.shifts[step % 4]), b, c);
        }
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d]) {
        *old = old.wrapping_add(new);
    }
}

struct Round {
    add: u32,
    order: [usize; 8],
    shifts: [u32; 4],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(kind: HashKind, unsigned: bool, seed: [u32; 4], name: &[u8]) -> (u32, u32) {
        let h = Hasher { kind, unsigned, seed }.hash(name);
        (h.major, h.minor)
    }

    const LONG: &[u8] = b"a name of more than thirty-two bytes, to be sure";
    const ACCENTS: &[u8] = "größe".as_bytes();

    #[test]
    fn as_debugfs_says() {
        use HashKind::{HalfMd4, Legacy, Tea};
        let none = [0; 4];
        assert_eq!(hash(Legacy, false, none, b"a"), (0xe74b_53e2, 0));
        assert_eq!(hash(Legacy, false, none, LONG), (0x948b_bac0, 0));
        assert_eq!(hash(Legacy, false, none, ACCENTS), (0x9d04_0690, 0));
        assert_eq!(hash(Legacy, true, none, ACCENTS), (0x098d_2490, 0));
        assert_eq!(hash(HalfMd4, false, none, b"a"), (0xd5fa_7d7a, 0xacb4_8187));
        assert_eq!(hash(HalfMd4, false, none, LONG), (0xd5f5_b64e, 0xf4f1_5608));
        assert_eq!(hash(HalfMd4, false, none, ACCENTS), (0xa759_a98e, 0x352b_69b2));
        assert_eq!(hash(HalfMd4, true, none, ACCENTS), (0x10ea_f0cc, 0x72c4_e7b6));
        assert_eq!(hash(HalfMd4, false, none, &[b'x'; 255]), (0x2aa7_169e, 0x655f_9d9c));
        assert_eq!(hash(Tea, false, none, b"a"), (0x6d0e_a4c0, 0xc189_22df));
        assert_eq!(hash(Tea, false, none, LONG), (0x601b_2180, 0xcf7f_dc22));
        assert_eq!(hash(Tea, false, none, ACCENTS), (0xcc8f_d112, 0x6625_f082));
        assert_eq!(hash(Tea, true, none, ACCENTS), (0x2e17_7714, 0x078d_746a));
    }

    /// The UUID 01234567-89ab-cdef-0123-456789abcdef is these bytes, read as little-endian words.
    #[test]
    fn the_seed_counts() {
        let seed = [0x6745_2301, 0xefcd_ab89, 0x6745_2301, 0xefcd_ab89];
        assert_eq!(hash(HashKind::HalfMd4, false, seed, b"name"), (0x370a_7248, 0xe467_2f21));
        assert_eq!(hash(HashKind::HalfMd4, false, seed, LONG), (0x25e7_791a, 0x4f8b_08d1));
        assert_eq!(hash(HashKind::HalfMd4, true, seed, ACCENTS), (0xc356_7b3a, 0x8d91_73f6));
    }

    #[test]
    fn the_major_is_even() {
        for n in 0..5000u32 {
            let h =
                Hasher { kind: HashKind::Tea, unsigned: false, seed: [n, 2, 3, 4] }.hash(&n.to_le_bytes());
            assert!(h.major.is_multiple_of(2) && h.major != EOF);
        }
    }
}
