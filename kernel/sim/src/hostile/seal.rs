//! Checksums put right after damage, so that the checks behind them are reached.
//!
//! A disk of somebody who means harm has right checksums: damage that the checksum gives away never
//! gets past the door. A [`Seal`] says how a place is sealed; [`Sealer`] knows what all seals of a
//! disk share: the seed, where the descriptors and the inodes lie. On a disk without checksums there
//! is nothing to do.
//!
//! Source: the kernel's ext4 documentation, "Checksums" and the section of each structure.

use std::collections::BTreeMap;
use std::ops::Range;

use ext4::checksum::{crc16, crc32c};

/// How a place of the disk is sealed. Inodes and groups are told by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seal {
    /// Not at all, or by what is not damaged along with it.
    None,
    /// `s_checksum`, at the end.
    Superblock,
    /// The descriptors, each by its own `bg_checksum`.
    Groups,
    /// `bg_block_bitmap_csum` of this group.
    BlockBitmap(u32),
    /// `bg_inode_bitmap_csum`.
    InodeBitmap(u32),
    /// `i_checksum`.
    Inode(u32),
    /// Behind the last entry that there is room for.
    Extents(u32),
    /// In the last 12 bytes.
    Leaf(u32),
    /// Behind the last slot that there is room for; where the slots begin.
    Index(u32, usize),
    /// `h_checksum`.
    Xattr,
    /// In the last 4 bytes of a block of the orphan file.
    Orphans(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Crc16,
    Crc32c,
}

/// See the module's manual. Blocks are of 1 KiB.
#[derive(Clone)]
pub(super) struct Sealer {
    kind: Kind,
    seed: u32,
    uuid: [u8; 16],
    /// The descriptors, and the size of one.
    groups: Range<usize>,
    desc_size: usize,
    /// Bytes of a block bitmap and of an inode bitmap.
    bitmap_bytes: (usize, usize),
    inodes: BTreeMap<u32, Range<usize>>,
}

const BLOCK: usize = 1024;
const SB: usize = 1024;
const GDT_CSUM: u32 = 0x10;
const METADATA_CSUM: u32 = 0x400;
const CSUM_SEED: u32 = 0x2000;

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_half(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
}

impl Sealer {
    /// From an undamaged disk.
    pub fn new(disk: &[u8], groups: Range<usize>, desc_size: usize) -> Sealer {
        let features = word(disk, SB + 0x64);
        let kind = match features {
            f if f & METADATA_CSUM != 0 => Kind::Crc32c,
            f if f & GDT_CSUM != 0 => Kind::Crc16,
            _ => Kind::None,
        };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&disk[SB + 0x68..SB + 0x78]);
        let stored = word(disk, SB + 0x60) & CSUM_SEED != 0;
        let seed = if stored { word(disk, SB + 0x270) } else { crc32c(!0, &uuid) };
        let bitmap_bytes = (word(disk, SB + 0x20) as usize / 8, word(disk, SB + 0x28) as usize / 8);
        Sealer { kind, seed, uuid, groups, desc_size, bitmap_bytes, inodes: BTreeMap::new() }
    }

    /// An inode lies there.
    pub fn add_inode(&mut self, ino: u32, place: Range<usize>) {
        self.inodes.insert(ino, place);
    }

    /// Where an inode lies.
    pub fn inode(&self, ino: u32) -> Option<&Range<usize>> {
        self.inodes.get(&ino)
    }

    /// What `i_generation` and the number make of the seed.
    fn seed_of(&self, disk: &[u8], ino: u32) -> u32 {
        let generation = self.inodes.get(&ino).map_or(0, |place| word(disk, place.start + 0x64));
        crc32c(crc32c(self.seed, &ino.to_le_bytes()), &generation.to_le_bytes())
    }

    /// How a block of an indexed directory is sealed, by what it is now.
    pub fn of_indexed(disk: &[u8], at: usize, ino: u32) -> Seal {
        let record = |at: usize| usize::from(disk[at + 4]) | usize::from(disk[at + 5]) << 8;
        match (word(disk, at), record(at)) {
            (0, BLOCK) => Seal::Index(ino, 8),
            (_, 12) if record(at + 12) == BLOCK - 12 => Seal::Index(ino, 32),
            _ => Seal::Leaf(ino),
        }
    }

    /// Seals a place of a damaged disk anew; `sound` is the disk before.
    pub fn seal(&self, disk: &mut [u8], sound: &[u8], place: &Range<usize>, seal: Seal) {
        let at = place.start;
        match (self.kind, seal) {
            (Kind::None, _) | (_, Seal::None) => {}
            (_, Seal::Groups) => {
                for group in 0..self.groups.len() / self.desc_size {
                    self.seal_group(disk, group);
                }
            }
            (Kind::Crc16, _) => {}
            (_, Seal::Superblock) => put(disk, at + 1020, crc32c(!0, &disk[at..at + 1020])),
            (_, Seal::BlockBitmap(group)) => self.seal_bitmap(disk, place, group, self.bitmap_bytes.0, 0x18),
            (_, Seal::InodeBitmap(group)) => self.seal_bitmap(disk, place, group, self.bitmap_bytes.1, 0x1a),
            (_, Seal::Inode(ino)) => self.seal_inode(disk, place, ino),
            (_, Seal::Extents(ino)) => {
                let tail = 12 * (1 + usize::from(disk[at + 4]) + (usize::from(disk[at + 5]) << 8));
                if tail + 4 <= BLOCK {
                    put(disk, at + tail, crc32c(self.seed_of(disk, ino), &disk[at..at + tail]));
                }
            }
            (_, Seal::Leaf(ino)) => {
                put(disk, at + BLOCK - 4, crc32c(self.seed_of(disk, ino), &disk[at..at + BLOCK - 12]));
            }
            (_, Seal::Index(ino, slots)) => self.seal_index(disk, sound, at, ino, slots),
            (_, Seal::Xattr) => {
                put(disk, at + 16, 0);
                let crc = crc32c(self.seed, &(at as u64 / BLOCK as u64).to_le_bytes());
                put(disk, at + 16, crc32c(crc, &disk[at..at + BLOCK]));
            }
            (_, Seal::Orphans(ino)) => {
                let crc = crc32c(self.seed_of(disk, ino), &(at as u64 / BLOCK as u64).to_le_bytes());
                put(disk, at + BLOCK - 4, crc32c(crc, &disk[at..at + BLOCK - 8]));
            }
        }
    }

    fn seal_group(&self, disk: &mut [u8], group: usize) {
        let at = self.groups.start + group * self.desc_size;
        let desc = &mut disk[at..at + self.desc_size];
        let number = (group as u32).to_le_bytes();
        let crc = if self.kind == Kind::Crc16 {
            let crc = crc16(crc16(crc16(!0, &self.uuid), &number), &desc[..0x1e]);
            u32::from(crc16(crc, &desc[0x20..]))
        } else {
            put_half(desc, 0x1e, 0);
            crc32c(crc32c(self.seed, &number), desc)
        };
        put_half(desc, 0x1e, crc);
    }

    fn seal_bitmap(&self, disk: &mut [u8], place: &Range<usize>, group: u32, bytes: usize, field: usize) {
        let crc = crc32c(self.seed, &disk[place.start..place.start + bytes]);
        let at = self.groups.start + group as usize * self.desc_size;
        put_half(disk, at + field, crc);
        if self.desc_size >= 64 {
            put_half(disk, at + field + 0x20, crc >> 16);
        }
        self.seal_group(disk, group as usize);
    }

    fn seal_inode(&self, disk: &mut [u8], place: &Range<usize>, ino: u32) {
        let seed = self.seed_of(disk, ino);
        let inode = &mut disk[place.clone()];
        let extra =
            if inode.len() > 128 { usize::from(inode[128]) | usize::from(inode[129]) << 8 } else { 0 };
        let wide = extra >= 4;
        put_half(inode, 0x7c, 0);
        if wide {
            put_half(inode, 0x82, 0);
        }
        let crc = crc32c(seed, inode);
        put_half(inode, 0x7c, crc);
        if wide {
            put_half(inode, 0x82, crc >> 16);
        }
    }

    /// The room for slots is that of the sound block: there the kernel looks.
    fn seal_index(&self, disk: &mut [u8], sound: &[u8], at: usize, ino: u32, slots: usize) {
        let half = |bytes: &[u8], at: usize| usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
        let limit = half(sound, at + slots);
        let tail = at + slots + 8 * limit;
        let count = half(disk, at + slots + 2).min(limit);
        let crc = crc32c(self.seed_of(disk, ino), &disk[at..at + slots + 8 * count]);
        let crc = crc32c(crc32c(crc, &disk[tail..tail + 4]), &[0; 4]);
        put(disk, tail + 4, crc);
    }
}
