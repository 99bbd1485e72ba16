//! Directory blocks as they lie on the disk: entries, and the tail with the checksum.
//!
//! # What it is
//! A directory is a file whose blocks are chains of variable-length entries. Each entry says how far
//! the next one is (`rec_len`); the chain ends exactly at the end of the block, or, with
//! `metadata_csum`, at a 12-byte tail that is dressed up as an unused entry:
//!
//! ```text
//!   0            12                        24                            1012         1024
//!   | 11 12 1 2 "."| 2 12 2 2 ".."          | 12 988 9 1 "hello.txt" ….. | 0 12 0 0xde csum |
//!     ino rec_len name_len file_type name
//! ```
//!
//! An entry with inode 0 is unused; room is also what an entry's `rec_len` exceeds its name by.
//!
//! # How to use it
//! [`entries`] walks a block, checking each entry before it is handed out; [`check_tail`] and
//! [`seal`] verify and renew the checksum. Nothing else in Quill reads these bytes.
//!
//! # Invariants
//! 1. [`entries`] yields at most `len / 12` items and ends after its first error.
//! 2. An [`Entry`] lies wholly inside the block, and its name inside the entry.
//!
//! Source: the kernel's ext4 documentation, "Directory Entries", "Linear (Classic) Directories".

use core::fmt;
use core::ops::Range;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{crc32c, delta};

/// The longest name.
pub(crate) const NAME_MAX: usize = 255;
/// Bytes of an entry before its name.
pub(crate) const HEADER: usize = 8;
/// Bytes of the checksum tail.
pub(crate) const TAIL: usize = 12;
/// The tail's `file_type`.
const TAIL_TYPE: u8 = 0xde;

/// `ext4_dir_entry_2` without its name. Without the `filetype` feature `file_type` is the high byte
/// of a 16-bit name length and always 0.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawEntry {
    inode: U32,
    rec_len: U16,
    name_len: u8,
    file_type: u8,
}

/// `ext4_dir_entry_tail`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawTail {
    reserved_zero1: U32,
    rec_len: U16,
    reserved_zero2: u8,
    reserved_ft: u8,
    checksum: U32,
}

/// What was wrong with a directory block: one variant per check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DirError {
    RecLenTooSmall,
    RecLenMisaligned,
    RecLenShorterThanName,
    RecLenPastEnd,
    TooCloseToEnd,
    InodeOutOfRange,
    NameEmpty,
    NameHasSlashOrNul,
    NameLenHighByte,
    TailMissing,
    Checksum,
    DotMissing,
    DotDotMissing,
    RootDots,
    RootInfo,
    RootHashVersion,
    RootFlags,
    RootLevels,
    NodeHeader,
    IndexLimit,
    IndexCount,
    IndexChild,
    IndexCycle,
    IndexOrder,
    EntryMoved,
    Hole,
}

impl fmt::Display for DirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DirError::RecLenTooSmall => "rec_len is smaller than minimal",
            DirError::RecLenMisaligned => "rec_len is not a multiple of 4",
            DirError::RecLenShorterThanName => "rec_len is too small for name_len",
            DirError::RecLenPastEnd => "the entry leaves the block",
            DirError::TooCloseToEnd => "the entry ends too close to the block's end",
            DirError::InodeOutOfRange => "inode out of bounds",
            DirError::NameEmpty => "an entry in use without a name",
            DirError::NameHasSlashOrNul => "a name with a slash or a NUL",
            DirError::NameLenHighByte => "name_len above 255",
            DirError::TailMissing => "no room or no mark for the checksum",
            DirError::Checksum => "wrong checksum",
            DirError::DotMissing => "the first entry is not `.`",
            DirError::DotDotMissing => "the second entry is not `..`",
            DirError::RootDots => "htree root without `.` and `..` in their places",
            DirError::RootInfo => "htree root info is damaged",
            DirError::RootHashVersion => "unknown htree hash version",
            DirError::RootFlags => "unknown htree flags",
            DirError::RootLevels => "htree deeper than the features allow",
            DirError::NodeHeader => "htree node without its header",
            DirError::IndexLimit => "htree limit does not match the block",
            DirError::IndexCount => "htree count is 0 or above the limit",
            DirError::IndexChild => "htree entry points outside the directory",
            DirError::IndexCycle => "htree entry points back at its own path",
            DirError::IndexOrder => "htree hashes are out of order",
            DirError::EntryMoved => "an entry is not where it was found",
            DirError::Hole => "a directory with a hole",
        })
    }
}

impl DirError {
    /// Whether an index with this fault is passed over, and the directory read as a linear one
    /// (`ERR_BAD_DX_DIR`). Every block of an index is one of entries too, if nothing more is wrong.
    pub fn spoils_index(self) -> bool {
        use DirError::{
            IndexCount, IndexCycle, IndexLimit, RootFlags, RootHashVersion, RootInfo, RootLevels,
        };
        matches!(
            self,
            RootInfo | RootHashVersion | RootFlags | RootLevels | IndexLimit | IndexCount | IndexCycle
        )
    }
}

/// What a directory's blocks look like: fixed by the superblock and the inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// Bytes in a block.
    pub block_size: usize,
    /// `metadata_csum`: the seed of this inode's checksums.
    pub csum_seed: Option<u32>,
    /// The `filetype` feature.
    pub filetype: bool,
    /// The highest valid inode number.
    pub max_ino: u32,
}

impl Layout {
    /// Where the entries end.
    pub fn entries_end(&self) -> usize {
        match self.csum_seed {
            Some(_) => self.block_size - TAIL,
            None => self.block_size,
        }
    }
}

/// Bytes an entry with a name of `name_len` bytes needs: header and name, rounded up to 4.
pub(crate) const fn entry_len(name_len: usize) -> usize {
    (HEADER + name_len + 3) & !3
}

/// One checked entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry<'a> {
    /// Where it starts in the block.
    pub offset: usize,
    /// How far the next one is.
    pub rec_len: usize,
    /// The inode, 0 when unused.
    pub ino: u32,
    /// `EXT4_FT_*`, 0 without the `filetype` feature.
    pub file_type: u8,
    /// The name; empty when unused.
    pub name: &'a [u8],
}

impl Entry<'_> {
    /// Bytes that the entry itself takes; the rest of `rec_len` is room.
    pub fn used(&self) -> usize {
        if self.ino == 0 { 0 } else { entry_len(self.name.len()) }
    }

    /// Whether programs may see the name. A search needs no such check: it compares with a good one.
    pub fn check_name(&self) -> Result<(), DirError> {
        if self.name.iter().any(|&b| b == b'/' || b == 0) {
            return Err(DirError::NameHasSlashOrNul);
        }
        Ok(())
    }
}

/// Walks the entries of a block, used and unused.
pub(crate) fn entries<'a>(layout: &Layout, block: &'a [u8]) -> Entries<'a> {
    Entries { layout: *layout, block, at: 0, end: layout.entries_end().min(block.len()) }
}

/// Walks the entries of an htree root: the two that stand before the index.
pub(crate) fn root_entries<'a>(layout: &Layout, block: &'a [u8]) -> Entries<'a> {
    Entries { layout: *layout, block, at: 0, end: layout.block_size.min(block.len()) }
}

/// The iterator of [`entries`].
pub(crate) struct Entries<'a> {
    layout: Layout,
    block: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, DirError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let entry = self.parse(self.at);
        self.at = match &entry {
            Ok(e) => e.offset + e.rec_len,
            Err(_) => self.end,
        };
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn parse(&self, offset: usize) -> Result<Entry<'a>, DirError> {
        let rest = &self.block[offset..self.end];
        let (raw, tail) = RawEntry::ref_from_prefix(rest).map_err(|_| DirError::RecLenPastEnd)?;
        let (rec_len, name_len) = (usize::from(raw.rec_len.get()), usize::from(raw.name_len));
        if rec_len < entry_len(1) {
            return Err(DirError::RecLenTooSmall);
        }
        if !rec_len.is_multiple_of(4) {
            return Err(DirError::RecLenMisaligned);
        }
        if rec_len > rest.len() {
            return Err(DirError::RecLenPastEnd);
        }
        if rest.len() - rec_len != 0 && rest.len() - rec_len < entry_len(1) {
            return Err(DirError::TooCloseToEnd);
        }
        let ino = raw.inode.get();
        if ino == 0 {
            return Ok(Entry { offset, rec_len, ino, file_type: 0, name: &[] });
        }
        if rec_len < entry_len(name_len) {
            return Err(DirError::RecLenShorterThanName);
        }
        if ino > self.layout.max_ino {
            return Err(DirError::InodeOutOfRange);
        }
        if !self.layout.filetype && raw.file_type != 0 {
            return Err(DirError::NameLenHighByte);
        }
        let name = tail.get(..name_len).ok_or(DirError::RecLenShorterThanName)?;
        if name.is_empty() {
            return Err(DirError::NameEmpty);
        }
        let file_type = if self.layout.filetype { raw.file_type & 7 } else { 0 };
        Ok(Entry { offset, rec_len, ino, file_type, name })
    }
}

/// The entry that starts at `offset`, checked. The caller knows from a walk that one starts there.
pub(crate) fn entry_at<'a>(layout: &Layout, block: &'a [u8], offset: usize) -> Result<Entry<'a>, DirError> {
    let walk = entries(layout, block);
    if offset >= walk.end { Err(DirError::EntryMoved) } else { walk.parse(offset) }
}

/// Writes an entry. `rec_len` must hold the name and lie inside the block: the caller took both from
/// a checked [`Entry`].
pub(crate) fn put_entry(
    block: &mut [u8],
    offset: usize,
    rec_len: usize,
    ino: u32,
    file_type: u8,
    name: &[u8],
) {
    let raw = RawEntry {
        inode: ino.into(),
        rec_len: (rec_len as u16).into(),
        name_len: name.len() as u8,
        file_type,
    };
    block[offset..offset + HEADER].copy_from_slice(raw.as_bytes());
    block[offset + HEADER..offset + HEADER + name.len()].copy_from_slice(name);
    // The bytes up to the next multiple of 4 are nobody's; zero them, so that old names do not stay.
    let padded = (offset + entry_len(name.len())).min(block.len());
    block[offset + HEADER + name.len()..padded].fill(0);
}

/// Changes an entry's `rec_len` alone.
pub(crate) fn set_rec_len(block: &mut [u8], offset: usize, rec_len: usize) {
    block[offset + 4..offset + 6].copy_from_slice(&(rec_len as u16).to_le_bytes());
}

/// Changes an entry's inode and type, keeping its name.
pub(crate) fn set_target(block: &mut [u8], offset: usize, ino: u32, file_type: u8) {
    block[offset..offset + 4].copy_from_slice(&ino.to_le_bytes());
    block[offset + 7] = file_type;
}

/// Verifies the tail's mark and checksum. Nothing to do without `metadata_csum`.
pub(crate) fn check_tail(layout: &Layout, block: &[u8]) -> Result<(), DirError> {
    let Some(seed) = layout.csum_seed else { return Ok(()) };
    let (body, tail) = block.split_at(layout.entries_end());
    let tail = RawTail::ref_from_bytes(tail).map_err(|_| DirError::TailMissing)?;
    let marked = tail.reserved_zero1.get() == 0
        && usize::from(tail.rec_len.get()) == TAIL
        && tail.reserved_zero2 == 0
        && tail.reserved_ft == TAIL_TYPE;
    if !marked {
        return Err(DirError::TailMissing);
    }
    if crc32c(seed, body) != tail.checksum.get() {
        return Err(DirError::Checksum);
    }
    Ok(())
}

/// Writes the tail anew, mark and checksum. Nothing to do without `metadata_csum`.
pub(crate) fn seal(layout: &Layout, block: &mut [u8]) {
    let Some(seed) = layout.csum_seed else { return };
    let (body, tail) = block.split_at_mut(layout.entries_end());
    let raw = RawTail {
        reserved_zero1: 0.into(),
        rec_len: (TAIL as u16).into(),
        reserved_zero2: 0,
        reserved_ft: TAIL_TYPE,
        checksum: crc32c(seed, body).into(),
    };
    tail.copy_from_slice(raw.as_bytes());
}

/// Changes a range of a sealed block's entries, and the checksum by what that changes. The checksum was
/// right before; the range begins at a multiple of 8, best, and lies before the tail.
pub(crate) fn change<R>(
    layout: &Layout,
    block: &mut [u8],
    range: Range<usize>,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Result<R, DirError> {
    if layout.csum_seed.is_none() {
        return block.get_mut(range).map(change).ok_or(DirError::EntryMoved);
    }
    // Another directory of a bad disk may have the same block; then it was right as that one's.
    let right = cfg!(debug_assertions) && check_tail(layout, block).is_ok();
    let (body, tail) = block.split_at_mut(layout.entries_end());
    let (done, difference) = delta(body, range, change).ok_or(DirError::EntryMoved)?;
    let sum = tail.iter_mut().skip(TAIL - 4);
    sum.zip(difference.to_le_bytes()).for_each(|(byte, change)| *byte ^= change);
    debug_assert!(!right || check_tail(layout, block).is_ok());
    Ok(done)
}

/// The first block of a new directory: `.`, `..` and room.
pub(crate) fn init_first(layout: &Layout, block: &mut [u8], ino: u32, parent: u32, dir_type: u8) {
    block.fill(0);
    put_entry(block, 0, entry_len(1), ino, dir_type, b".");
    put_entry(block, entry_len(1), layout.entries_end() - entry_len(1), parent, dir_type, b"..");
    seal(layout, block);
}

/// A block without entries.
pub(crate) fn init_empty(layout: &Layout, block: &mut [u8]) {
    block.fill(0);
    set_rec_len(block, 0, layout.entries_end());
    seal(layout, block);
}

/// The inodes of `.` and `..`, which must be the first two entries, and where the second one is.
pub(crate) fn dots(mut entries: Entries<'_>) -> Result<Dots, DirError> {
    let dot = entries.next().ok_or(DirError::DotMissing)??;
    if dot.ino == 0 || dot.name != b"." {
        return Err(DirError::DotMissing);
    }
    let dotdot = entries.next().ok_or(DirError::DotDotMissing)??;
    if dotdot.ino == 0 || dotdot.name != b".." {
        return Err(DirError::DotDotMissing);
    }
    Ok(Dots {
        own: dot.ino,
        parent: dotdot.ino,
        parent_at: dotdot.offset,
        parent_type: dotdot.file_type,
        rest: dotdot.offset + dotdot.rec_len,
    })
}

/// What [`dots`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dots {
    /// The inode of `.`.
    pub own: u32,
    /// The inode of `..`.
    pub parent: u32,
    /// The offset of `..`.
    pub parent_at: usize,
    /// The file type of `..`.
    pub parent_type: u8,
    /// The offset of the first entry after the two.
    pub rest: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn layout(csum: bool) -> Layout {
        Layout { block_size: 1024, csum_seed: csum.then_some(77), filetype: true, max_ino: 100 }
    }

    #[test]
    fn a_new_directory_has_its_dots() {
        for csum in [false, true] {
            let l = layout(csum);
            let mut block = vec![0xff; 1024];
            init_first(&l, &mut block, 12, 2, 2);
            assert_eq!(check_tail(&l, &block), Ok(()));
            let d = dots(entries(&l, &block)).unwrap();
            assert_eq!((d.own, d.parent, d.parent_at, d.rest), (12, 2, 12, l.entries_end()));
            assert_eq!(entries(&l, &block).count(), 2);
        }
    }

    #[test]
    fn each_check_has_its_error() {
        let l = layout(false);
        let mut good = vec![0; 1024];
        init_first(&l, &mut good, 12, 2, 2);
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            entries(&l, &bad).find_map(|e| e.and_then(|e| e.check_name()).err())
        };
        assert_eq!(with(4, &[8]), Some(DirError::RecLenTooSmall));
        assert_eq!(with(4, &[14]), Some(DirError::RecLenMisaligned));
        assert_eq!(with(4, &[0, 8]), Some(DirError::RecLenPastEnd));
        assert_eq!(with(16, &[0xf0, 3]), Some(DirError::TooCloseToEnd));
        assert_eq!(with(6, &[9]), Some(DirError::RecLenShorterThanName));
        assert_eq!(with(0, &[101]), Some(DirError::InodeOutOfRange));
        assert_eq!(with(6, &[0]), Some(DirError::NameEmpty));
        assert_eq!(with(8, b"/"), Some(DirError::NameHasSlashOrNul));
        assert_eq!(with(0, &[12]), None);
    }

    #[test]
    fn the_tail_is_checked() {
        let l = layout(true);
        let mut block = vec![0; 1024];
        init_empty(&l, &mut block);
        assert_eq!(check_tail(&l, &block), Ok(()));
        block[500] = 1;
        assert_eq!(check_tail(&l, &block), Err(DirError::Checksum));
        block[1024 - 5] = 0;
        assert_eq!(check_tail(&l, &block), Err(DirError::TailMissing));
    }

    #[test]
    fn a_change_keeps_the_checksum_right() {
        let l = layout(true);
        let mut block = vec![0; 1024];
        init_first(&l, &mut block, 12, 2, 2);
        for at in [0, 16, 500, 1004] {
            assert_eq!(change(&l, &mut block, at..at + 8, |bytes| bytes.fill(at as u8 + 1)), Ok(()));
            assert_eq!(check_tail(&l, &block), Ok(()));
        }
        assert_eq!(change(&l, &mut block, 1008..1016, |_| ()), Err(DirError::EntryMoved));
    }

    #[test]
    fn any_bytes_end() {
        let mut state = 1u64;
        for round in 0..2000 {
            let bytes: Vec<u8> = (0..1024)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 56) as u8 & if round % 2 == 0 { 0xff } else { 0x0c }
                })
                .collect();
            for csum in [false, true] {
                assert!(entries(&layout(csum), &bytes).count() <= 1024 / 12 + 1);
            }
        }
    }
}
