//! The extent tree of one inode: walk, look up, insert, remove, convert.
//!
//! # How it changes
//! Every change is one edit of one leaf ([`node::replace`]), which happens whole or not at all. When
//! the leaf has no room, [`Tree::split`] makes some, one level at a time, each step leaving a good
//! tree; then the change walks again. So nothing ever has to be undone, and ENOSPC finds the tree as
//! it was.
//!
//! # Locking
//! The caller holds `data_sem`: shared for [`Tree::lookup`], alone for the rest, and marks the inode
//! dirty afterwards (the root and `i_blocks` are in it).
//!
//! # Bounds
//! A walk has at most 6 steps. An insertion splits at most once per level and walks again each time:
//! [`ROUNDS`]. Removal takes one extent each round, and there are finitely many.

use arrayvec::ArrayVec;
use base::{Errno, FsBlock, Result};
use pagecache::Buffer;

use super::node::{self, Demand, Entry, MAX_BLOCKS, NodeError};
use crate::balloc::blocks::{self, Claimant, Request};
use crate::disk::extent::MAX_DEPTH;
use crate::disk::inode::BLOCK_SIZE;
use crate::inode::Node;

/// Enough for a split on every level and the growth of the root, twice over.
const ROUNDS: usize = 2 * (MAX_DEPTH as usize + 2);

/// The tree of an inode whose `data_sem` the caller holds.
pub struct Tree<'a> {
    inode: &'a Node,
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
struct Step {
    /// None: the root.
    at: Option<FsBlock>,
    /// The entry the way goes through; in a leaf the last one at or before the block, if any.
    pos: Option<usize>,
    entries: usize,
    max: usize,
    /// The key of the entry after `pos`, or the end of this node's range.
    next: u64,
}

type Path = ArrayVec<Step, { MAX_DEPTH as usize + 1 }>;

impl<'a> Tree<'a> {
    /// The tree of `inode`.
    pub fn of(inode: &'a Node) -> Tree<'a> {
        Tree { inode }
    }

    /// What lies at a block.
    pub fn lookup(&self, block: u32) -> Result<Lookup> {
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

    /// Makes `len` blocks from `block` on written; they lie in one unwritten extent. ENOSPC.
    pub fn convert(&self, block: u32, len: u32) -> Result<()> {
        for _ in 0..ROUNDS {
            let path = self.walk(block)?;
            let Some(leaf) = path.last().copied() else { break };
            let Some(pos) = leaf.pos else { return Err(Errno::EIO) };
            if self.edit(leaf.at, |b| convert_in(b, pos, block, len))? {
                return Ok(());
            }
            self.split(&path)?;
        }
        Err(self.inode.corrupt("extent tree cannot grow any more"))
    }

    /// Takes away and frees everything from file block `from` to the end.
    pub fn truncate(&self, from: u32) -> Result<()> {
        self.inode.extents.forget(from, u64::MAX);
        loop {
            let path = self.walk(MAX_BLOCKS as u32)?;
            let Some(leaf) = path.last().copied() else { return Err(Errno::EIO) };
            let Some(pos) = leaf.pos else { return Ok(()) };
            let e = self.read(leaf.at, |b| node::leaf(b, pos))?;
            if e.end() <= u64::from(from) {
                return Ok(());
            }
            let keep = from.saturating_sub(e.block);
            if keep > 0 {
                self.edit(leaf.at, |b| node::replace(b, pos..pos + 1, &[e.part(e.block, keep)]))?;
            } else {
                self.edit(leaf.at, |b| node::remove(b, pos))?;
                if leaf.entries == 1 {
                    self.drop_leaf(&path)?;
                }
            }
            let gone = e.part(e.block + keep, e.len - keep);
            self.inode.free_run(FsBlock(gone.start), u64::from(gone.len))?;
            if keep > 0 {
                return Ok(());
            }
        }
    }

    /// Where a new block of the file, or of its tree, would be best: after what lies before it.
    pub fn goal(&self, block: u32, before: Option<Entry>) -> FsBlock {
        match before {
            Some(e) => FsBlock(e.start.saturating_add(u64::from(block - e.block))),
            None => self.inode.home_block(),
        }
    }

    /// The way to the leaf for a block, every node on it checked.
    fn walk(&self, block: u32) -> Result<Path> {
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
                (Step { at, pos, entries, max: node::max(b), next }, child)
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

    fn seed(&self) -> Option<u32> {
        self.inode.fs().geometry().metadata_csum().then(|| self.inode.csum_seed())
    }

    fn read<R>(&self, at: Option<FsBlock>, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match at {
            None => {
                let root: [u8; BLOCK_SIZE] = self.inode.with_meta(|m| m.block);
                Ok(look(&root))
            }
            Some(at) => Ok(look(&self.inode.fs().device().bread(at)?.read())),
        }
    }

    fn edit<R>(&self, at: Option<FsBlock>, change: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
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

    /// The first key of the path's leaf became `key`: so must the keys that lead to it.
    fn fix_keys(&self, path: &Path, key: u32) -> Result<()> {
        for step in path.iter().rev().skip(1) {
            let pos = step.pos.unwrap_or(0);
            self.edit(step.at, |b| node::set_key(b, pos, key))?;
            if pos != 0 {
                break;
            }
        }
        Ok(())
    }

    /// Makes room in the tree: splits the highest full node below the deepest one with room, or lets
    /// the root grow. The caller walks again.
    fn split(&self, path: &Path) -> Result<()> {
        let roomy = path.iter().rev().skip(1).position(|s| s.entries < s.max).map(|i| path.len() - 2 - i);
        let Some(parent) = roomy else { return self.grow(path) };
        let (Some(above), Some(full)) = (path.get(parent), path.get(parent + 1)) else {
            return Err(Errno::EIO);
        };
        let Some(at) = full.at else { return Err(Errno::EIO) };
        // At the end of a file that grows, leave the old node full; else halve it.
        let append = full.pos.is_some_and(|p| p + 1 == full.entries);
        let cut = if append { full.entries - 1 } else { full.entries / 2 };
        if cut == 0 {
            return Err(self.inode.corrupt_block(at, "extent node too small to be split"));
        }
        let (new, buffer) = self.new_block(at)?;
        let levels = self.read(Some(at), node::depth)?;
        // Filled apart from the buffers, so that no two of their guards are held at once.
        let mut right = alloc::vec![0u8; self.inode.fs().geometry().block_size()];
        node::init(&mut right, levels);
        self.edit(Some(at), |b| node::move_tail(b, cut, &mut right))?;
        let key = node::key(&right, 0);
        self.fill(&buffer, &mut right);
        let pos = above.pos.unwrap_or(0) + 1;
        self.edit(above.at, |b| node::insert_index(b, pos, key, new))?;
        Ok(())
    }

    /// Moves the root's entries into a block of their own: one level more.
    fn grow(&self, path: &Path) -> Result<()> {
        let levels = self.read(None, node::depth)?;
        if levels >= MAX_DEPTH {
            return Err(self.inode.corrupt("extent tree cannot become deeper than 5"));
        }
        let near = path.last().and_then(|s| s.at).unwrap_or(self.inode.home_block());
        let (new, buffer) = self.new_block(near)?;
        let mut below = alloc::vec![0u8; self.inode.fs().geometry().block_size()];
        node::init(&mut below, levels);
        self.edit(None, |root| {
            let key = node::key(root, 0);
            node::move_tail(root, 0, &mut below);
            node::set_depth(root, levels + 1);
            node::insert_index(root, 0, key, new);
        })?;
        self.fill(&buffer, &mut below);
        Ok(())
    }

    /// Writes a new node into its buffer.
    fn fill(&self, buffer: &Buffer, bytes: &mut [u8]) {
        if let Some(seed) = self.seed() {
            node::seal(bytes, seed);
        }
        buffer.write().copy_from_slice(bytes);
    }

    /// A block for a node.
    fn new_block(&self, near: FsBlock) -> Result<(FsBlock, Buffer)> {
        let fs = self.inode.fs();
        let request = Request { goal: near, want: 1, who: Claimant::Metadata };
        let (block, _) = blocks::allocate(fs, &request)?;
        match fs.device().getblk(block) {
            Ok(buffer) => {
                self.inode.add_blocks(1);
                Ok((block, buffer))
            }
            Err(e) => {
                blocks::free_metadata(fs, self.inode.ino32(), block)?;
                Err(e)
            }
        }
    }

    /// The path's leaf has no entries left: frees it, and every index above that becomes empty by it.
    fn drop_leaf(&self, path: &Path) -> Result<()> {
        for level in (1..path.len()).rev() {
            let (Some(empty), Some(above)) = (path.get(level), path.get(level - 1)) else { break };
            let Some(at) = empty.at else { break };
            self.inode.verified.forget(at.0);
            let pos = above.pos.unwrap_or(0);
            self.edit(above.at, |b| {
                node::remove(b, pos);
                if node::entries(b) == 0 && level == 1 {
                    node::set_depth(b, 0);
                }
            })?;
            self.inode.add_blocks(-1);
            blocks::free_metadata(self.inode.fs(), self.inode.ino32(), at)?;
            if above.entries > 1 {
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

/// Makes `len` blocks from `block` on in the unwritten entry `pos` written: up to three pieces, the
/// written one joined with its neighbours. False when there is no room.
fn convert_in(bytes: &mut [u8], pos: usize, block: u32, len: u32) -> bool {
    let e = node::leaf(bytes, pos);
    let end = block + len;
    let mut written = Entry { unwritten: false, ..e.part(block, len) };
    let (mut from, mut to) = (pos, pos + 1);
    let mut pieces = ArrayVec::<Entry, 3>::new();
    if block > e.block {
        pieces.push(e.part(e.block, block - e.block));
    } else if pos > 0
        && let Some(joined) = node::leaf(bytes, pos - 1).join(&written)
    {
        (written, from) = (joined, pos - 1);
    }
    let rest = e.end() - u64::from(end);
    if rest == 0
        && pos + 1 < node::entries(bytes)
        && let Some(joined) = written.join(&node::leaf(bytes, pos + 1))
    {
        (written, to) = (joined, pos + 2);
    }
    pieces.push(written);
    if rest > 0 {
        // Shorter than the entry it is cut from.
        pieces.push(e.part(end, rest as u32));
    }
    node::replace(bytes, from..to, &pieces)
}
