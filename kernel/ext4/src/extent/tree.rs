//! The extent tree of one inode: walk, look up, insert, convert. Making room for that is in
//! `split.rs`, taking away in `remove.rs`, moving in `shift.rs`.
//!
//! # How it changes
//! Every change is one edit of one leaf ([`node::replace`]), which happens whole or not at all. When
//! the leaf has no room, `Tree::split` makes some, one level at a time, each step leaving a good
//! tree; then the change walks again. So nothing ever has to be undone, and ENOSPC finds the tree as
//! it was.
//!
//! # Locking
//! The caller holds `data_sem`: shared for [`Tree::lookup`], alone for the rest, and marks the inode
//! dirty afterwards (the root and `i_blocks` are in it).
//!
//! # Bounds
//! A walk has at most 6 steps. An insertion splits at most once per level and walks again each time:
//! [`ROUNDS`].

use arrayvec::ArrayVec;
use base::{Errno, FsBlock, Result};

use super::node::{self, Demand, Entry, MAX_BLOCKS, NodeError};
use crate::disk::extent::MAX_DEPTH;
use crate::disk::inode::BLOCK_SIZE;
use crate::inode::Node;

/// Enough for a split on every level and the growth of the root, twice over.
pub(super) const ROUNDS: usize = 2 * (MAX_DEPTH as usize + 2);

/// The tree of an inode whose `data_sem` the caller holds.
pub struct Tree<'a> {
    pub(super) inode: &'a Node,
}

/// What lies at a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// This extent holds it.
    Found(Entry),
    /// Nothing. The extent before, and where the next begins ([`MAX_BLOCKS`] when there is none).
    Hole {
        /// The nearest extent before the block, if it is in the same leaf.
        before: Option<Entry>,
        /// The file block of the next extent.
        next: u64,
    },
}

/// One node on the way from the root to a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// None: the root.
    pub at: Option<FsBlock>,
    /// The entry the way goes through; in a leaf the last one at or before the block, if any.
    pub pos: Option<usize>,
    pub entries: usize,
    pub max: usize,
    /// Where this node's range begins …
    pub low: u64,
    /// … and ends.
    pub high: u64,
    /// The key of the entry after `pos`, or the end of this node's range.
    pub next: u64,
}

pub(super) type Path = ArrayVec<Step, { MAX_DEPTH as usize + 1 }>;

impl<'a> Tree<'a> {
    /// The tree of `inode`.
    pub fn of(inode: &'a Node) -> Tree<'a> {
        Tree { inode }
    }

    /// What lies at a block.
    pub fn lookup(&self, block: u32) -> Result<Lookup> {
        // Most files have their few extents in the root: no way to walk.
        if let Some(found) = self.read(None, |b| look_in_root(b, block))? {
            return Ok(found);
        }
        let path = self.walk(block)?;
        let Some(leaf) = path.last() else { return Err(Errno::EIO) };
        let before = match leaf.pos {
            Some(pos) => Some(self.read(leaf.at, |b| node::leaf(b, pos))?),
            None => None,
        };
        match before {
            Some(e) if u64::from(block) < e.end() => Ok(Lookup::Found(e)),
            _ => Ok(Lookup::Hole { before, next: leaf.next.min(MAX_BLOCKS) }),
        }
    }

    /// Adds an extent where there is a hole, joined with its neighbours where they fit. ENOSPC; EUCLEAN
    /// when there is no hole.
    pub fn insert(&self, new: Entry) -> Result<()> {
        self.inode.delayed.forget_hole();
        self.inode.track_range(u64::from(new.block)..new.end());
        if self.edit(None, |b| insert_into_root(b, &new))?? {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let path = self.walk(new.block)?;
            let Some(leaf) = path.last().copied() else { break };
            match self.edit(leaf.at, |b| insert_into(b, leaf.pos, &new))?? {
                Inserted::Done { first } => {
                    return if first { self.fix_keys(&path, new.block) } else { Ok(()) };
                }
                Inserted::Full => self.split(&path)?,
                Inserted::Overlap => {
                    return Err(self.inode.corrupt(format_args!("file block {} is mapped twice", new.block)));
                }
            }
        }
        Err(self.inode.corrupt("extent tree cannot grow any more"))
    }

    /// Makes `len` blocks from `block` on written or unwritten; they lie in one extent that is the other,
    /// and are at most [`MAX_UNWRITTEN`](crate::disk::extent::MAX_UNWRITTEN). ENOSPC.
    pub fn convert(&self, block: u32, len: u32, unwritten: bool) -> Result<()> {
        self.inode.track_range(u64::from(block)..u64::from(block) + u64::from(len));
        for _ in 0..ROUNDS {
            let path = self.walk(block)?;
            let Some(leaf) = path.last().copied() else { break };
            let Some(pos) = leaf.pos else { return Err(Errno::EIO) };
            if self.edit(leaf.at, |b| convert_in(b, pos, block, len, unwritten))? {
                return Ok(());
            }
            self.split(&path)?;
        }
        Err(self.inode.corrupt("extent tree cannot grow any more"))
    }

    /// Where a new block of the file, or of its tree, would be best: after what lies before it.
    pub fn goal(&self, block: u32, before: Option<Entry>) -> FsBlock {
        match before {
            Some(e) => FsBlock(e.start.saturating_add(u64::from(block - e.block))),
            None => self.inode.home_block(),
        }
    }

    /// The way to the leaf for a block, every node on it checked.
    pub(super) fn walk(&self, block: u32) -> Result<Path> {
        let mut path = Path::new();
        let mut at = None;
        let (mut low, mut high) = (0u64, 1u64 << 32);
        let mut levels = self.read(None, node::depth)?.min(MAX_DEPTH);
        loop {
            let (step, child) = self.read(at, |b| {
                let pos = node::find(b, block);
                let pos = if levels > 0 { Some(pos.unwrap_or(0)) } else { pos };
                let after = pos.map_or(0, |p| p + 1);
                let entries = node::entries(b);
                let next = if after < entries { u64::from(node::key(b, after)) } else { high };
                let child = (levels > 0).then(|| node::index(b, pos.unwrap_or(0)));
                (Step { at, pos, entries, max: node::max(b), low, high, next }, child)
            })?;
            high = step.next;
            if path.try_push(step).is_err() {
                return Err(self.inode.corrupt("extent tree is too deep"));
            }
            let Some((key, block)) = child else { return Ok(path) };
            low = low.max(u64::from(key));
            levels -= 1;
            self.verify(block, key, Demand { depth: Some(levels), low, high, seed: self.seed() })?;
            at = Some(block);
        }
    }

    /// Checks a node of the tree, once.
    fn verify(&self, at: FsBlock, key: u32, demand: Demand) -> Result<()> {
        if self.inode.verified.contains(at.0, key) {
            return Ok(());
        }
        let fs = self.inode.fs();
        if !fs.zones.allows(at, 1) {
            return Err(self.inode.corrupt(NodeError::Place(at.0)));
        }
        let checked = node::check(&fs.device().bread(at)?.read(), &demand, &fs.zones);
        checked.map_err(|e| self.inode.corrupt_block(at, e))?;
        self.inode.verified.add(at.0, key);
        Ok(())
    }

    pub(super) fn seed(&self) -> Option<u32> {
        self.inode.fs().geometry().metadata_csum().then(|| self.inode.csum_seed())
    }

    pub(super) fn read<R>(&self, at: Option<FsBlock>, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match at {
            None => {
                let root: [u8; BLOCK_SIZE] = self.inode.with_meta(|m| m.block);
                Ok(look(&root))
            }
            Some(at) => Ok(look(&self.inode.fs().device().bread(at)?.read())),
        }
    }

    pub(super) fn edit<R>(&self, at: Option<FsBlock>, change: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.inode.tids.note_map_changed();
        match at {
            None => Ok(self.inode.with_meta(|m| change(&mut m.block))),
            Some(at) => {
                let buffer = self.inode.fs().device().bread(at)?;
                let mut bytes = buffer.write();
                let result = change(&mut bytes);
                if let Some(seed) = self.seed() {
                    node::seal(&mut bytes, seed);
                }
                Ok(result)
            }
        }
    }

    /// The first key of the path's last node became `key`: so must the keys that lead to it.
    pub(super) fn fix_keys(&self, path: &[Step], key: u32) -> Result<()> {
        for step in path.iter().rev().skip(1) {
            let pos = step.pos.unwrap_or(0);
            self.edit(step.at, |b| node::set_key(b, pos, key))?;
            if pos != 0 {
                break;
            }
        }
        Ok(())
    }
}

enum Inserted {
    /// In its place; `first`: it is now the first entry and the keys above must follow.
    Done {
        first: bool,
    },
    Full,
    Overlap,
}

/// What lies at a block, if the root is the leaf.
fn look_in_root(root: &[u8], block: u32) -> Option<Lookup> {
    if node::depth(root) > 0 {
        return None;
    }
    let pos = node::find(root, block);
    let before = pos.map(|pos| node::leaf(root, pos));
    if let Some(e) = before.filter(|e| u64::from(block) < e.end()) {
        return Some(Lookup::Found(e));
    }
    let after = pos.map_or(0, |pos| pos + 1);
    let next = if after < node::entries(root) { u64::from(node::key(root, after)) } else { MAX_BLOCKS };
    Some(Lookup::Hole { before, next })
}

/// Adds an extent if the root is the leaf and has the room. An overlap is left to be found by a walk.
fn insert_into_root(root: &mut [u8], new: &Entry) -> Result<bool> {
    if node::depth(root) > 0 {
        return Ok(false);
    }
    let pos = node::find(root, new.block);
    Ok(matches!(insert_into(root, pos, new)?, Inserted::Done { .. }))
}

/// Puts `new` behind entry `pos` of a leaf, or joins it with its neighbours.
fn insert_into(bytes: &mut [u8], pos: Option<usize>, new: &Entry) -> Result<Inserted> {
    let after = pos.map_or(0, |p| p + 1);
    let before = pos.map(|p| node::leaf(bytes, p));
    let behind = (after < node::entries(bytes)).then(|| node::leaf(bytes, after));
    let crosses = before.is_some_and(|e| e.end() > u64::from(new.block))
        || behind.is_some_and(|e| u64::from(e.block) < new.end());
    if crosses {
        return Ok(Inserted::Overlap);
    }
    let left = before.and_then(|e| e.join(new));
    let right = behind.and_then(|e| left.unwrap_or(*new).join(&e));
    let range = after - usize::from(left.is_some())..after + usize::from(right.is_some());
    let entry = right.or(left).unwrap_or(*new);
    let done = node::replace(bytes, range, &[entry]);
    Ok(if done { Inserted::Done { first: after == 0 } } else { Inserted::Full })
}

/// Makes `len` blocks from `block` on in entry `pos` written or unwritten: up to three pieces, the one
/// that changed joined with its neighbours. False when there is no room.
fn convert_in(bytes: &mut [u8], pos: usize, block: u32, len: u32, unwritten: bool) -> bool {
    let e = node::leaf(bytes, pos);
    let end = block + len;
    let mut piece = Entry { unwritten, ..e.part(block, len) };
    let (mut from, mut to) = (pos, pos + 1);
    let mut pieces = ArrayVec::<Entry, 3>::new();
    if block > e.block {
        pieces.push(e.part(e.block, block - e.block));
    } else if pos > 0
        && let Some(joined) = node::leaf(bytes, pos - 1).join(&piece)
    {
        (piece, from) = (joined, pos - 1);
    }
    let rest = e.end() - u64::from(end);
    if rest == 0
        && pos + 1 < node::entries(bytes)
        && let Some(joined) = piece.join(&node::leaf(bytes, pos + 1))
    {
        (piece, to) = (joined, pos + 2);
    }
    pieces.push(piece);
    if rest > 0 {
        // Shorter than the entry it is cut from.
        pieces.push(e.part(end, rest as u32));
    }
    node::replace(bytes, from..to, &pieces)
}
