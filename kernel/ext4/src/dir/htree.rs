//! The hashed directory: from a name to the one leaf (or the few) that can hold it.
//!
//! ```text
//! root (block 0)        slot 0 → 1      slot 0x4000_0000 → 2     slot 0x4000_0001 → 5
//!                          leaf 1           leaf 2                    leaf 5
//! names that hash to    < 0x4000_0000   0x4000_0000…            0x4000_0000 too, and on
//! ```
//!
//! A lookup descends to the last slot at or below the hash, searches that leaf, and goes on to the
//! next one only while its slot says (lowest bit) that names of the same hash continue there.
//!
//! # Invariants
//! 1. A [`Path`] has at most 3 frames, and names each block at most once: no descent is endless.
//! 2. Each step of [`add`] either adds the name, or appends a block, or packs a leaf; [`MAX_STEPS`]
//!    bounds them.
//!
//! Source: the kernel's ext4 documentation, "Hash Tree Directories".

use arrayvec::ArrayVec;
use base::{Errno, Result};

use super::hash::{Hasher, NameHash};
use super::{DirBlocks, Found, NewEntry, add_to, bad_index, find_in, split};
use crate::disk::dir::DirError;
use crate::disk::dx::{Index, IndexKind, RootInfo, Slot};

/// Root and two levels of nodes.
const MAX_FRAMES: usize = 3;
/// One leaf split and one packing, and a split of every index level with a new root on top, twice.
const MAX_STEPS: usize = 10;

/// One index block on the way down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub block: u32,
    pub kind: IndexKind,
    /// Slots in use.
    pub count: usize,
    /// The slot taken.
    pub at: usize,
    /// No room for another slot.
    pub full: bool,
    /// The slot behind it.
    next: Option<Slot>,
}

/// The way from the root to a leaf.
#[derive(Debug)]
pub(super) struct Path {
    pub frames: ArrayVec<Frame, MAX_FRAMES>,
    pub leaf: u32,
    pub info: RootInfo,
    pub hasher: Hasher,
}

/// Looks a name up.
pub(super) fn find(dir: &impl DirBlocks, name: &[u8]) -> Result<Option<Found>> {
    let (mut path, hash) = probe(dir, |hasher| hasher.hash(name))?;
    loop {
        if let Some(found) = find_in(dir, path.leaf, name)? {
            return Ok(Some(found));
        }
        if !path.continues(hash.major) || next_leaf(dir, &mut path)?.is_none() {
            return Ok(None);
        }
    }
}

/// Adds a name, splitting what is full on the way.
pub(super) fn add(dir: &impl DirBlocks, new: &NewEntry<'_>) -> Result<()> {
    for _ in 0..MAX_STEPS {
        let (path, _) = probe(dir, |hasher| hasher.hash(new.name))?;
        if add_to(dir, path.leaf, new)? {
            return Ok(());
        }
        split::make_room(dir, &path)?;
    }
    // Unreachable with honest hashes: a leaf that was just split has room for the longest name.
    Err(Errno::ENOSPC)
}

/// Turns a directory of one linear block into an index over one leaf.
pub(super) fn make_indexed(dir: &impl DirBlocks) -> Result<()> {
    split::make_indexed(dir)
}

/// Descends to the leaf for a hash that `target` chooses once the hash function is known.
pub(super) fn probe(
    dir: &impl DirBlocks,
    target: impl FnOnce(&Hasher) -> NameHash,
) -> Result<(Path, NameHash)> {
    let shape = dir.shape();
    let (info, hasher, hash, frame, child) = dir
        .read(0, |bytes| {
            let (info, index) = Index::root(&shape.layout, bytes, shape.max_levels())?;
            let hasher = Hasher { kind: info.hash, ..shape.hasher };
            let hash = target(&hasher);
            let frame = frame(dir, 0, IndexKind::Root, &index, index.find(hash.major));
            Ok((info, hasher, hash, frame, index.slot(frame.at).block))
        })?
        .map_err(|e| bad_index(dir, 0, e))?;
    let mut path = Path { frames: ArrayVec::new(), leaf: child, info, hasher };
    path.push(frame);
    path.check_child(dir, child)?;
    for _ in 0..info.levels {
        descend(dir, &mut path, |index| index.find(hash.major))?;
    }
    Ok((path, hash))
}

/// Moves on to the next leaf in hash order and tells the hash it starts at, or None at the end.
pub(super) fn next_leaf(dir: &impl DirBlocks, path: &mut Path) -> Result<Option<u32>> {
    let Some((level, next)) = path.next_slot() else { return Ok(None) };
    path.frames.truncate(level + 1);
    let Some(frame) = path.frames.pop() else { return Ok(None) };
    // Read the block again for the slot after the next one.
    path.leaf = frame.block;
    read_index(dir, path, frame.kind, |_| frame.at + 1)?;
    while path.frames.len() <= usize::from(path.info.levels) {
        descend(dir, path, |_| 0)?;
    }
    Ok(Some(next.hash))
}

impl Path {
    fn push(&mut self, frame: Frame) {
        // `levels` is at most 2: the root's door saw to it.
        let _ = self.frames.try_push(frame);
    }

    /// The deepest frame that has a slot behind the one taken, and that slot.
    fn next_slot(&self) -> Option<(usize, Slot)> {
        self.frames.iter().enumerate().rev().find_map(|(level, frame)| Some((level, frame.next?)))
    }

    /// Whether the next leaf goes on with names of this hash.
    pub fn continues(&self, hash: u32) -> bool {
        self.next_slot().is_some_and(|(_, slot)| slot.hash == hash | 1)
    }

    /// Whether the next leaf goes on with the hash this one ended with, whatever it is.
    pub fn next_is_continuation(&self) -> bool {
        self.next_slot().is_some_and(|(_, slot)| slot.hash & 1 == 1)
    }

    fn check_child(&self, dir: &impl DirBlocks, child: u32) -> Result<()> {
        let block = self.frames.last().map_or(0, |frame| frame.block);
        if child == 0 || child >= dir.count() {
            return Err(dir.corrupt(block, DirError::IndexChild));
        }
        if self.frames.iter().any(|frame| frame.block == child) {
            return Err(bad_index(dir, block, DirError::IndexCycle));
        }
        Ok(())
    }
}

/// Goes one level down: what was the leaf is a node.
fn descend(dir: &impl DirBlocks, path: &mut Path, choose: impl FnOnce(&Index<'_>) -> usize) -> Result<()> {
    read_index(dir, path, IndexKind::Node, choose)
}

/// Reads the index block at `path.leaf`, takes a slot of it, and makes its child the new leaf.
fn read_index(
    dir: &impl DirBlocks,
    path: &mut Path,
    kind: IndexKind,
    choose: impl FnOnce(&Index<'_>) -> usize,
) -> Result<()> {
    let (block, shape) = (path.leaf, dir.shape());
    let (frame, child) = dir
        .read(block, |bytes| {
            let index = match kind {
                IndexKind::Root => Index::root(&shape.layout, bytes, shape.max_levels())?.1,
                IndexKind::Node => Index::node(&shape.layout, bytes)?,
            };
            let at = choose(&index);
            if at >= index.count() {
                return Err(DirError::IndexCount);
            }
            let frame = frame(dir, block, kind, &index, at);
            Ok((frame, index.slot(at).block))
        })?
        .map_err(|e| bad_index(dir, block, e))?;
    path.push(frame);
    path.check_child(dir, child)?;
    path.leaf = child;
    Ok(())
}

fn frame(dir: &impl DirBlocks, block: u32, kind: IndexKind, index: &Index<'_>, at: usize) -> Frame {
    let next = (at + 1 < index.count()).then(|| index.slot(at + 1));
    Frame { block, kind, count: index.count(), at, full: index.is_full(&dir.shape().layout), next }
}
