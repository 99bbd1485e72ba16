//! The index blocks of a hashed directory (htree): root and nodes.
//!
//! # What it is
//! Block 0 of an indexed directory is the root; deeper index blocks are nodes. Both pretend to be
//! ordinary directory blocks, so that a kernel that knows no index reads the directory linearly:
//!
//! ```text
//! root   0 "." 12 ".." (rec_len to the block's end)   24 info   32 limit|count block  40 hash block …
//! node   0 unused entry over the whole block           8 limit|count block  16 hash block …
//! ```
//!
//! The first slot of the array has no hash (it counts as 0): its place holds `limit`, how many slots
//! there is room for, and `count`, how many are in use, itself included. With `metadata_csum` an
//! 8-byte tail follows the last slot there is room for.
//!
//! # How to use it
//! [`Index::root`] and [`Index::node`] are the doors for reading; [`IndexMut`] changes an index that
//! was read through them, and [`seal`] renews its checksum.
//!
//! # Invariants of an [`Index`]
//! 1. `1 <= count <= limit`, and `limit` is exactly what fits the block.
//!
//! Source: the kernel's ext4 documentation, "Hash Tree Directories".

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::crc32c;
use crate::dir::hash::HashKind;
use crate::disk::dir::{self, DirError, Layout, entry_len};
use crate::disk::dir_view::View;

/// Where the root's info lies: behind `.` and `..`.
const INFO_AT: usize = 24;
/// Where the root's slots start.
const ROOT_SLOTS: usize = 32;
/// Where a node's slots start.
const NODE_SLOTS: usize = 8;
/// Bytes of a slot, and of the checksum tail.
const SLOT: usize = 8;
/// The bits of a slot's block number; the others are reserved.
const BLOCK_MASK: u32 = 0x0fff_ffff;

/// `dx_root_info`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInfo {
    reserved_zero: U32,
    hash_version: u8,
    info_length: u8,
    indirect_levels: u8,
    unused_flags: u8,
}

/// `dx_countlimit`, in the place of the first slot's hash.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCountLimit {
    limit: U16,
    count: U16,
}

/// `dx_entry`: names that hash to `hash` or more, up to the next slot, are in `block`. The lowest bit
/// of `hash` says that names of the same hash are in the block before as well.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSlot {
    hash: U32,
    block: U32,
}

/// What the root says of the whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RootInfo {
    /// How names hash.
    pub hash: HashKind,
    /// Levels of nodes between root and leaves, 0 to 2.
    pub levels: u8,
}

/// Which of the two kinds of index block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IndexKind {
    /// Block 0.
    Root,
    /// Any other.
    Node,
}

impl IndexKind {
    fn slots_at(self) -> usize {
        match self {
            IndexKind::Root => ROOT_SLOTS,
            IndexKind::Node => NODE_SLOTS,
        }
    }

    /// How many slots there is room for.
    pub fn limit(self, layout: &Layout) -> usize {
        let tail = if layout.csum_seed.is_some() { SLOT } else { 0 };
        (layout.block_size - self.slots_at() - tail) / SLOT
    }
}

/// One slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    /// The least hash below it, perhaps with the continuation bit. 0 for the first slot.
    pub hash: u32,
    /// The block of the directory it points at.
    pub block: u32,
}

/// A checked index block.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    slots: &'a [RawSlot],
    kind: IndexKind,
}

impl<'a> Index<'a> {
    /// Checks block 0. `max_levels` is 1, or 2 with `large_dir`.
    pub fn root(layout: &Layout, view: &View<'a>, max_levels: u8) -> Result<(RootInfo, Self), DirError> {
        let block = view.bytes();
        let dots = dir::dots(dir::root_entries(layout, block)).map_err(|_| DirError::RootDots)?;
        if dots.parent_at != entry_len(1) || dots.rest != layout.block_size {
            return Err(DirError::RootDots);
        }
        let info = block.get(INFO_AT..ROOT_SLOTS).ok_or(DirError::RootInfo)?;
        let info = RawInfo::ref_from_bytes(info).map_err(|_| DirError::RootInfo)?;
        if info.reserved_zero.get() != 0 || info.info_length != 8 {
            return Err(DirError::RootInfo);
        }
        let hash = HashKind::from_disk(info.hash_version).ok_or(DirError::RootHashVersion)?;
        if info.unused_flags & 1 != 0 {
            return Err(DirError::RootFlags);
        }
        if info.indirect_levels > max_levels {
            return Err(DirError::RootLevels);
        }
        let index = Self::slots(layout, view, IndexKind::Root)?;
        Ok((RootInfo { hash, levels: info.indirect_levels }, index))
    }

    /// Checks any other index block.
    pub fn node(layout: &Layout, view: &View<'a>) -> Result<Self, DirError> {
        if !is_node(layout, view) {
            return Err(DirError::NodeHeader);
        }
        Self::slots(layout, view, IndexKind::Node)
    }

    fn slots(layout: &Layout, view: &View<'a>, kind: IndexKind) -> Result<Self, DirError> {
        let block = view.bytes();
        let at = kind.slots_at();
        let (head, _) = RawCountLimit::ref_from_prefix(&block[at..]).map_err(|_| DirError::IndexLimit)?;
        let (limit, count) = (usize::from(head.limit.get()), usize::from(head.count.get()));
        if limit != kind.limit(layout) {
            return Err(DirError::IndexLimit);
        }
        if count == 0 || count > limit {
            return Err(DirError::IndexCount);
        }
        view.check(|block| check_tail(layout, block, at, limit, count))?;
        let bytes = &block[at..at + count * SLOT];
        let slots = <[RawSlot]>::ref_from_bytes(bytes).map_err(|_| DirError::IndexCount)?;
        Ok(Index { slots, kind })
    }

    /// Slots in use, at least 1.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is room for one more.
    pub fn is_full(&self, layout: &Layout) -> bool {
        self.slots.len() >= self.kind.limit(layout)
    }

    /// A slot. `at < count`.
    pub fn slot(&self, at: usize) -> Slot {
        let raw = &self.slots[at];
        let hash = if at == 0 { 0 } else { raw.hash.get() };
        Slot { hash, block: raw.block.get() & BLOCK_MASK }
    }

    /// The slot whose names may hash to `hash`: the last one that starts at or below it.
    pub fn find(&self, hash: u32) -> usize {
        self.slots[1..].partition_point(|raw| raw.hash.get() <= hash)
    }

    /// A copy of all slots from `from` on.
    pub fn copy(&self, from: usize) -> alloc::vec::Vec<Slot> {
        (from..self.count()).map(|at| self.slot(at)).collect()
    }
}

/// Whether a block looks like a node: one unused entry over the whole block.
pub(crate) fn is_node(layout: &Layout, block: &[u8]) -> bool {
    let size = (layout.block_size as u16).to_le_bytes();
    block.get(..NODE_SLOTS) == Some(&[0, 0, 0, 0, size[0], size[1], 0, 0])
}

/// The bytes the checksum covers, and where it lies.
fn tail_at(slots_at: usize, limit: usize) -> usize {
    slots_at + limit * SLOT
}

fn checksum(seed: u32, block: &[u8], slots_at: usize, limit: usize, count: usize) -> u32 {
    let tail = tail_at(slots_at, limit);
    let crc = crc32c(seed, &block[..slots_at + count * SLOT]);
    let crc = crc32c(crc, &block[tail..tail + 4]);
    crc32c(crc, &[0; 4])
}

fn check_tail(layout: &Layout, block: &[u8], at: usize, limit: usize, count: usize) -> Result<(), DirError> {
    let Some(seed) = layout.csum_seed else { return Ok(()) };
    let tail = tail_at(at, limit);
    let stored = block.get(tail + 4..tail + 8).ok_or(DirError::IndexLimit)?;
    if stored != checksum(seed, block, at, limit, count).to_le_bytes() {
        return Err(DirError::Checksum);
    }
    Ok(())
}

/// Writes into an index block that was read through [`Index`]'s doors, or makes a new one.
pub(crate) struct IndexMut<'a> {
    layout: &'a Layout,
    block: &'a mut [u8],
    kind: IndexKind,
}

impl<'a> IndexMut<'a> {
    /// Of a block that is an index block of this kind.
    pub fn of(layout: &'a Layout, block: &'a mut [u8], kind: IndexKind) -> Self {
        IndexMut { layout, block, kind }
    }

    /// Makes the block a node with these slots.
    pub fn new_node(layout: &'a Layout, block: &'a mut [u8], slots: &[Slot]) {
        block.fill(0);
        dir::set_rec_len(block, 0, layout.block_size);
        IndexMut::of(layout, block, IndexKind::Node).set_slots(slots);
    }

    /// Makes the block the root of a tree with one leaf, keeping whose directory it is.
    pub fn new_root(layout: &'a Layout, block: &'a mut [u8], dots: &dir::Dots, hash: HashKind, leaf: u32) {
        block.fill(0);
        let (first, kind) = (entry_len(1), dots.parent_type);
        dir::put_entry(block, 0, first, dots.own, kind, b".");
        dir::put_entry(block, first, layout.block_size - first, dots.parent, kind, b"..");
        let mut root = IndexMut::of(layout, block, IndexKind::Root);
        root.set_info(RootInfo { hash, levels: 0 });
        root.set_slots(&[Slot { hash: 0, block: leaf }]);
    }

    /// Writes the root's info; [`IndexMut::set_slots`] or [`IndexMut::seal`] must follow.
    pub fn set_info(&mut self, info: RootInfo) {
        let raw = RawInfo {
            reserved_zero: 0.into(),
            hash_version: info.hash.as_disk(),
            info_length: 8,
            indirect_levels: info.levels,
            unused_flags: 0,
        };
        self.block[INFO_AT..ROOT_SLOTS].copy_from_slice(raw.as_bytes());
    }

    /// Replaces all slots: at least one, at most the limit. Seals.
    pub fn set_slots(&mut self, slots: &[Slot]) {
        let limit = self.kind.limit(self.layout);
        assert!(!slots.is_empty() && slots.len() <= limit, "an index block of {} slots", slots.len());
        let at = self.kind.slots_at();
        for (i, slot) in slots.iter().enumerate() {
            let raw = RawSlot { hash: slot.hash.into(), block: slot.block.into() };
            self.block[at + i * SLOT..at + (i + 1) * SLOT].copy_from_slice(raw.as_bytes());
        }
        self.set_count(slots.len());
        self.seal();
    }

    /// Puts a slot at `at` (1 to `count`), moving the later ones up. The index is not full. Seals.
    pub fn insert(&mut self, count: usize, at: usize, slot: Slot) {
        assert!(at >= 1 && at <= count && count < self.kind.limit(self.layout), "no room for a slot");
        let base = self.kind.slots_at();
        self.block.copy_within(base + at * SLOT..base + count * SLOT, base + (at + 1) * SLOT);
        let raw = RawSlot { hash: slot.hash.into(), block: slot.block.into() };
        self.block[base + at * SLOT..base + (at + 1) * SLOT].copy_from_slice(raw.as_bytes());
        self.set_count(count + 1);
        self.seal();
    }

    /// Drops all slots from `count` on. Seals.
    pub fn truncate(&mut self, count: usize) {
        self.set_count(count);
        self.seal();
    }

    fn set_count(&mut self, count: usize) {
        let limit = self.kind.limit(self.layout);
        let raw = RawCountLimit { limit: (limit as u16).into(), count: (count as u16).into() };
        let at = self.kind.slots_at();
        self.block[at..at + 4].copy_from_slice(raw.as_bytes());
    }

    /// Renews the checksum.
    pub fn seal(&mut self) {
        let Some(seed) = self.layout.csum_seed else { return };
        let (at, limit) = (self.kind.slots_at(), self.kind.limit(self.layout));
        let count = usize::from(u16::from_le_bytes([self.block[at + 2], self.block[at + 3]])).min(limit);
        let crc = checksum(seed, self.block, at, limit, count);
        let tail = tail_at(at, limit);
        self.block[tail + 4..tail + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn layout(csum: bool) -> Layout {
        Layout { block_size: 1024, csum_seed: csum.then_some(5), filetype: true, max_ino: 100 }
    }

    #[test]
    fn limits_are_what_linux_computes() {
        assert_eq!(IndexKind::Root.limit(&layout(false)), 124);
        assert_eq!(IndexKind::Root.limit(&layout(true)), 123);
        assert_eq!(IndexKind::Node.limit(&layout(false)), 127);
        assert_eq!(IndexKind::Node.limit(&layout(true)), 126);
    }

    fn root(l: &Layout) -> alloc::vec::Vec<u8> {
        let mut block = vec![0xee; 1024];
        dir::init_first(l, &mut block, 12, 2, 2);
        let dots = dir::dots(dir::entries(l, &block)).unwrap();
        IndexMut::new_root(l, &mut block, &dots, HashKind::Tea, 1);
        block
    }

    #[test]
    fn a_root_comes_back() {
        for csum in [false, true] {
            let l = layout(csum);
            let mut block = root(&l);
            for i in 0..10 {
                let slot = Slot { hash: 100 - 10 * i, block: 2 + i };
                IndexMut::of(&l, &mut block, IndexKind::Root).insert(1 + i as usize, 1, slot);
            }
            let (info, index) = Index::root(&l, &View::new(&block, false), 1).unwrap();
            assert_eq!(info, RootInfo { hash: HashKind::Tea, levels: 0 });
            assert_eq!(index.count(), 11);
            assert_eq!(index.slot(1), Slot { hash: 10, block: 11 });
            assert_eq!([index.find(9), index.find(10), index.find(55), index.find(!0)], [0, 1, 5, 10]);
        }
    }

    #[test]
    fn damage_has_a_name() {
        let l = layout(false);
        let with = |at: usize, byte: u8| {
            let mut bad = root(&l);
            bad[at] = byte;
            Index::root(&l, &View::new(&bad, false), 1).map(|_| ()).unwrap_err()
        };
        assert_eq!(with(8, b'x'), DirError::RootDots);
        assert_eq!(with(24, 1), DirError::RootInfo);
        assert_eq!(with(28, 6), DirError::RootHashVersion);
        assert_eq!(with(29, 4), DirError::RootInfo);
        assert_eq!(with(30, 2), DirError::RootLevels);
        assert_eq!(with(31, 1), DirError::RootFlags);
        assert_eq!(with(32, 1), DirError::IndexLimit);
        assert_eq!(with(34, 0), DirError::IndexCount);
        assert_eq!(with(34, 125), DirError::IndexCount);
        let l = layout(true);
        let mut bad = root(&l);
        bad[36] ^= 1;
        assert_eq!(Index::root(&l, &View::new(&bad, false), 1).map(|_| ()), Err(DirError::Checksum));
        assert_eq!(Index::node(&l, &View::new(&bad, false)).map(|_| ()), Err(DirError::NodeHeader));
    }
}
