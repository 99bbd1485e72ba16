//! Room in an extent tree: nodes that are split, a root that grows.
//!
//! # Locking
//! As in [`super::tree`]: the caller holds `data_sem` alone. One buffer guard at a time: a new node is
//! filled apart from the buffers.
//!
//! # Invariants
//! After each function the tree is good and maps what it did before.

use base::{Errno, FsBlock, Result};
use pagecache::Buffer;

use super::node;
use super::tree::{Path, Tree};
use crate::balloc::blocks::{self, Request};
use crate::balloc::claim::Claimant;
use crate::disk::extent::MAX_DEPTH;

impl Tree<'_> {
    /// Makes room in the tree: splits the highest full node below the deepest one with room, or lets
    /// the root grow. The caller walks again.
    pub(super) fn split(&self, path: &Path) -> Result<()> {
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
}
