//! A tree as a whole: listed, and built anew from a list.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use base::{Errno, FsBlock, Result};

use super::node::{self, Entry, MAX_BLOCKS};
use super::tree::Tree;

impl Tree<'_> {
    /// All extents in order, and the blocks of all nodes.
    pub fn list(&self) -> Result<(Vec<Entry>, Vec<FsBlock>)> {
        let (mut extents, mut nodes) = (Vec::new(), BTreeSet::new());
        let mut at = 0;
        while at < MAX_BLOCKS {
            // Below 2^32.
            let path = self.walk(at as u32)?;
            let leaf = path.last().ok_or(Errno::EIO)?;
            nodes.extend(path.iter().filter_map(|step| step.at));
            self.read(leaf.at, |b| extents.extend((0..node::entries(b)).map(|i| node::leaf(b, i))))?;
            at = leaf.high.max(at + 1);
        }
        Ok((extents, nodes.into_iter().collect()))
    }

    /// Forgets all that the tree has, blocks of nodes too, which are the caller's then; and maps these extents.
    /// ENOSPC.
    pub fn rebuild(&self, extents: &[Entry]) -> Result<()> {
        self.inode.extents.forget(0, MAX_BLOCKS);
        self.edit(None, |root| node::init(root, 0))?;
        extents.iter().try_for_each(|entry| self.insert(*entry))
    }
}
