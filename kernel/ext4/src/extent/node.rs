//! One node of an extent tree: its bytes, checked and edited. No I/O.
//!
//! ```text
//!   | header | entry 0 | entry 1 | … | entry eh_max-1 | checksum (in blocks) |
//!     12 B     12 B each                                4 B
//!   leaf entry   blocks ee_block .. + ee_len of the file lie at ee_start (written or unwritten)
//!   index entry  the subtree of everything from ei_block on lies in block ei_leaf
//! ```
//! The root lies in the inode's 60 bytes: four entries, no checksum of its own.
//!
//! # Invariants of a node that [`check`] passed
//! 1. `entries <= max`, and `max` entries and the checksum lie inside the bytes.
//! 2. Keys ascend, extents do not overlap, all lie within the bounds the parent gave.
//! 3. Every block named may belong to a file ([`crate::zones`]).
//!
//! Functions that take an index past the entries give zeros or do nothing; nothing here panics.
//!
//! Source: ext4 documentation, "Extent Tree".

use core::fmt;
use core::ops::Range;

use base::FsBlock;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::checksum::crc32c;
use crate::disk::extent::{ENTRY_SIZE, Extent, Header, Index, MAGIC, MAX_DEPTH, MAX_UNWRITTEN, MAX_WRITTEN};
use crate::disk::{hi32, lo16, lo32};
use crate::zones::Zones;

/// The number of blocks a file can have: its last possible block is one less.
pub const MAX_BLOCKS: u64 = 0xffff_ffff;

/// A leaf entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The first block of the file.
    pub block: u32,
    /// How many, 1 to 32768 (32767 when unwritten).
    pub len: u32,
    /// Where the first lies.
    pub start: u64,
    /// Allocated, but reads as zeros.
    pub unwritten: bool,
}

impl Entry {
    /// The block after the last.
    pub fn end(&self) -> u64 {
        u64::from(self.block) + u64::from(self.len)
    }

    /// The part from `from` on, `len` blocks of it. Both within the entry.
    pub fn part(&self, from: u32, len: u32) -> Entry {
        Entry { block: from, len, start: self.start + u64::from(from - self.block), ..*self }
    }

    /// Both as one, if `next` goes on where this ends, in the file and on the disk.
    pub fn join(&self, next: &Entry) -> Option<Entry> {
        let limit = if self.unwritten { MAX_UNWRITTEN } else { MAX_WRITTEN };
        let fits = self.unwritten == next.unwritten
            && self.end() == u64::from(next.block)
            && self.start + u64::from(self.len) == next.start
            && self.len + next.len <= limit;
        fits.then_some(Entry { len: self.len + next.len, ..*self })
    }
}

/// Why a node is refused: one variant per check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeError {
    /// `eh_magic`.
    Magic(u16),
    /// `eh_depth` is not what the parent demands, or above 5; the two.
    Depth(u16, u16),
    /// `eh_max` is 0 or more than fits.
    Max(u16),
    /// `eh_entries` exceeds `eh_max`.
    Entries(u16),
    /// No entries where there must be some.
    Empty,
    /// The entry's key does not ascend, or lies outside the parent's bounds.
    Order(u32),
    /// The extent's length is 0 or reaches past its bounds.
    Len(u32),
    /// The extent or child lies outside the file system or in its metadata.
    Place(u64),
    /// The checksum does not match; the value on disk and the one computed.
    Checksum(u32, u32),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Magic(v) => write!(f, "extent node: eh_magic is {v:#06x}"),
            NodeError::Depth(v, want) => write!(f, "extent node: eh_depth is {v}, expected {want}"),
            NodeError::Max(v) => write!(f, "extent node: eh_max {v} is impossible"),
            NodeError::Entries(v) => write!(f, "extent node: eh_entries {v} exceeds eh_max"),
            NodeError::Empty => f.write_str("extent node: no entries"),
            NodeError::Order(v) => write!(f, "extent node: entry for file block {v} is out of order"),
            NodeError::Len(v) => {
                write!(f, "extent node: length of the entry for file block {v} is impossible")
            }
            NodeError::Place(v) => write!(f, "extent node: block {v} cannot belong to a file"),
            NodeError::Checksum(disk, calc) => {
                write!(f, "extent node: et_checksum is {disk:#010x}, the bytes give {calc:#010x}")
            }
        }
    }
}

fn header(bytes: &[u8]) -> Header {
    Header::read_from_prefix(bytes).map_or_else(|_| Header::new_zeroed(), |(h, _)| h)
}

/// Entries in use.
pub fn entries(bytes: &[u8]) -> usize {
    usize::from(header(bytes).eh_entries.get())
}

/// Entries that fit.
pub fn max(bytes: &[u8]) -> usize {
    usize::from(header(bytes).eh_max.get())
}

/// Levels below this node: 0 for a leaf.
pub fn depth(bytes: &[u8]) -> u16 {
    header(bytes).eh_depth.get()
}

/// Makes an empty node of these bytes.
pub fn init(bytes: &mut [u8], depth: u16) {
    bytes.fill(0);
    let max = (bytes.len().saturating_sub(ENTRY_SIZE) / ENTRY_SIZE) as u32;
    let header = Header {
        eh_magic: MAGIC.into(),
        eh_entries: 0.into(),
        eh_max: lo16(max),
        eh_depth: depth.into(),
        eh_generation: 0.into(),
    };
    if let Some(place) = bytes.get_mut(..ENTRY_SIZE) {
        place.copy_from_slice(header.as_bytes());
    }
}

fn set_entries(bytes: &mut [u8], n: usize) {
    let mut h = header(bytes);
    h.eh_entries = lo16(n as u32);
    if let Some(place) = bytes.get_mut(..ENTRY_SIZE) {
        place.copy_from_slice(h.as_bytes());
    }
}

/// Changes the level of a node, for a root that grows or becomes a leaf.
pub fn set_depth(bytes: &mut [u8], depth: u16) {
    let mut h = header(bytes);
    h.eh_depth = depth.into();
    if let Some(place) = bytes.get_mut(..ENTRY_SIZE) {
        place.copy_from_slice(h.as_bytes());
    }
}

fn place(i: usize) -> Range<usize> {
    (i + 1) * ENTRY_SIZE..(i + 2) * ENTRY_SIZE
}

/// Entry `i` of a leaf.
pub fn leaf(bytes: &[u8], i: usize) -> Entry {
    let raw =
        bytes.get(place(i)).and_then(|b| Extent::read_from_bytes(b).ok()).unwrap_or_else(Extent::new_zeroed);
    let len = u32::from(raw.ee_len.get());
    let unwritten = len > MAX_WRITTEN;
    Entry {
        block: raw.ee_block.get(),
        len: if unwritten { len - MAX_WRITTEN } else { len },
        start: u64::from(raw.ee_start_lo.get()) | (u64::from(raw.ee_start_hi.get()) << 32),
        unwritten,
    }
}

/// Entry `i` of an index: its key, and the block of the subtree.
pub fn index(bytes: &[u8], i: usize) -> (u32, FsBlock) {
    let raw =
        bytes.get(place(i)).and_then(|b| Index::read_from_bytes(b).ok()).unwrap_or_else(Index::new_zeroed);
    let child = u64::from(raw.ei_leaf_lo.get()) | (u64::from(raw.ei_leaf_hi.get()) << 32);
    (raw.ei_block.get(), FsBlock(child))
}

/// The key of entry `i`, in either kind of node.
pub fn key(bytes: &[u8], i: usize) -> u32 {
    index(bytes, i).0
}

fn put_leaf(bytes: &mut [u8], i: usize, e: &Entry) {
    let len = if e.unwritten { e.len + MAX_WRITTEN } else { e.len };
    let raw = Extent {
        ee_block: e.block.into(),
        ee_len: lo16(len),
        ee_start_hi: lo16(hi32(e.start).get()),
        ee_start_lo: lo32(e.start),
    };
    if let Some(place) = bytes.get_mut(place(i)) {
        place.copy_from_slice(raw.as_bytes());
    }
}

/// Sets the key of entry `i`.
pub fn set_key(bytes: &mut [u8], i: usize, key: u32) {
    if let Some(place) = bytes.get_mut(place(i)) {
        place[..4].copy_from_slice(&key.to_le_bytes());
    }
}

/// The last entry whose key is at most `block`.
pub fn find(bytes: &[u8], block: u32) -> Option<usize> {
    let (mut low, mut high) = (0, entries(bytes).min(max(bytes)));
    while low < high {
        let middle = (low + high) / 2;
        if key(bytes, middle) <= block { low = middle + 1 } else { high = middle }
    }
    low.checked_sub(1)
}

/// Replaces the leaf entries `range` by `new`. False, and nothing changed, when they do not fit.
pub fn replace(bytes: &mut [u8], range: Range<usize>, new: &[Entry]) -> bool {
    let old = entries(bytes);
    if range.start > range.end || range.end > old {
        return false;
    }
    let count = old - range.len() + new.len();
    if count > max(bytes) {
        return false;
    }
    shift(bytes, range.end, old, range.start + new.len());
    for (i, e) in new.iter().enumerate() {
        put_leaf(bytes, range.start + i, e);
    }
    set_entries(bytes, count);
    true
}

/// Inserts an index entry at `i`. False when the node is full.
pub fn insert_index(bytes: &mut [u8], i: usize, key: u32, child: FsBlock) -> bool {
    let old = entries(bytes);
    if old >= max(bytes) || i > old {
        return false;
    }
    shift(bytes, i, old, i + 1);
    let raw = Index {
        ei_block: key.into(),
        ei_leaf_lo: lo32(child.0),
        ei_leaf_hi: lo16(hi32(child.0).get()),
        ei_unused: 0.into(),
    };
    if let Some(place) = bytes.get_mut(place(i)) {
        place.copy_from_slice(raw.as_bytes());
    }
    set_entries(bytes, old + 1);
    true
}

/// Takes entry `i` away, in either kind of node.
pub fn remove(bytes: &mut [u8], i: usize) {
    let old = entries(bytes);
    if i < old {
        shift(bytes, i + 1, old, i);
        set_entries(bytes, old - 1);
    }
}

/// Moves the entries from `at` on to the empty node `to`, which has the same depth.
pub fn move_tail(bytes: &mut [u8], at: usize, to: &mut [u8]) {
    let old = entries(bytes);
    let (from, end) = ((at + 1) * ENTRY_SIZE, (old + 1) * ENTRY_SIZE);
    let Some(tail) = bytes.get(from..end) else { return };
    let Some(space) = to.get_mut(ENTRY_SIZE..ENTRY_SIZE + tail.len()) else { return };
    space.copy_from_slice(tail);
    set_entries(to, old - at);
    set_entries(bytes, at);
}

/// Makes of a node with few entries what `child` is: its level and its entries.
pub fn absorb(bytes: &mut [u8], child: &[u8]) {
    let count = entries(child).min(max(bytes));
    let (space, source) = (bytes.get_mut(ENTRY_SIZE..), child.get(ENTRY_SIZE..(count + 1) * ENTRY_SIZE));
    let (Some(space), Some(source)) = (space, source) else { return };
    if let Some(place) = space.get_mut(..source.len()) {
        place.copy_from_slice(source);
    }
    set_entries(bytes, count);
    set_depth(bytes, depth(child));
}

/// Moves the entries `from..end` so that the first comes to `to`.
fn shift(bytes: &mut [u8], from: usize, end: usize, to: usize) {
    let source = (from + 1) * ENTRY_SIZE..(end + 1) * ENTRY_SIZE;
    let target = (to + 1) * ENTRY_SIZE;
    if source.end <= bytes.len() && target + source.len() <= bytes.len() {
        bytes.copy_within(source, target);
    }
}

/// Where a block's checksum lies: right behind the last possible entry.
fn tail(bytes: &[u8]) -> usize {
    ENTRY_SIZE * (1 + max(bytes))
}

/// Renews the checksum of a node in a block.
pub fn seal(bytes: &mut [u8], seed: u32) {
    let at = tail(bytes);
    if at + 4 <= bytes.len() {
        let crc = crc32c(seed, &bytes[..at]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// What a parent demands of a node.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Levels below it; None for a root, which says so itself.
    pub depth: Option<u16>,
    /// Keys are at least this …
    pub low: u64,
    /// … and everything ends at or before this.
    pub high: u64,
    /// The checksum's seed, when there is a checksum.
    pub seed: Option<u32>,
}

/// Checks a node; see the invariants above.
pub fn check(bytes: &[u8], demand: &Demand, zones: &Zones) -> Result<(), NodeError> {
    let h = header(bytes);
    if h.eh_magic.get() != MAGIC {
        return Err(NodeError::Magic(h.eh_magic.get()));
    }
    let want = demand.depth.unwrap_or(h.eh_depth.get().min(MAX_DEPTH));
    if h.eh_depth.get() != want {
        return Err(NodeError::Depth(h.eh_depth.get(), want));
    }
    let tail_size = if demand.seed.is_some() { 4 } else { 0 };
    let fits = bytes.len().saturating_sub(ENTRY_SIZE + tail_size) / ENTRY_SIZE;
    if max(bytes) == 0 || max(bytes) > fits {
        return Err(NodeError::Max(h.eh_max.get()));
    }
    if let Some(seed) = demand.seed {
        check_tail(bytes, seed)?;
    }
    if entries(bytes) > max(bytes) {
        return Err(NodeError::Entries(h.eh_entries.get()));
    }
    if entries(bytes) == 0 && (want > 0 || demand.depth.is_some()) {
        return Err(NodeError::Empty);
    }
    if want == 0 { check_leaf(bytes, demand, zones) } else { check_index(bytes, demand, zones) }
}

fn check_tail(bytes: &[u8], seed: u32) -> Result<(), NodeError> {
    let at = tail(bytes);
    let (Some(covered), Some(stored)) = (bytes.get(..at), bytes.get(at..at + 4)) else {
        return Err(NodeError::Max(0));
    };
    let disk = u32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
    let calc = crc32c(seed, covered);
    if disk == calc { Ok(()) } else { Err(NodeError::Checksum(disk, calc)) }
}

fn check_leaf(bytes: &[u8], demand: &Demand, zones: &Zones) -> Result<(), NodeError> {
    let mut from = demand.low;
    for i in 0..entries(bytes) {
        let e = leaf(bytes, i);
        if u64::from(e.block) < from {
            return Err(NodeError::Order(e.block));
        }
        if e.len == 0 || e.end() > demand.high.min(MAX_BLOCKS) {
            return Err(NodeError::Len(e.block));
        }
        if !zones.allows(FsBlock(e.start), u64::from(e.len)) {
            return Err(NodeError::Place(e.start));
        }
        from = e.end();
    }
    Ok(())
}

fn check_index(bytes: &[u8], demand: &Demand, zones: &Zones) -> Result<(), NodeError> {
    let mut from = demand.low;
    for i in 0..entries(bytes) {
        let (key, child) = index(bytes, i);
        if u64::from(key) < from || u64::from(key) >= demand.high {
            return Err(NodeError::Order(key));
        }
        if !zones.allows(child, 1) {
            return Err(NodeError::Place(child.0));
        }
        from = u64::from(key) + 1;
    }
    Ok(())
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
