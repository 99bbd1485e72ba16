//! Extent trees: which run of a file lies where.
//!
//! * [`node`]: one node's bytes. * [`tree`]: walking, inserting, converting; `split.rs`, `remove.rs`,
//!   `shift.rs`: the tree's other changes.
//! * [`map`]: what the page cache and directories ask: [`crate::inode::Node::map_blocks`].
//! * `direct.rs`: the same for direct writes.
//! * [`cache`], [`verified`]: what makes the common case cheap.
//!
//! # Worked example
//! A file of 100,000 blocks in one run: four leaf entries in the inode (32768 blocks at most each), no
//! tree. Ten runs: the inode's root is an index with one entry, its leaf a block with ten. A 4 KiB
//! leaf holds 340 extents; two levels of blocks hold 115,600.
//!
//! # Locking
//! `data_sem` around everything in [`tree`] and its parts; inside it one buffer guard at a time.

pub mod cache;
mod direct;
mod list;
pub mod map;
pub mod node;
mod remove;
mod shift;
mod split;
pub mod tree;
pub mod verified;

use base::Result;

use crate::disk::inode::InodeFlags;
use crate::inode::Node;

/// Checks the root in an inode that was just read. EUCLEAN.
pub fn check_root(inode: &Node) -> Result<()> {
    if !inode.is_mapped() || !inode.flags().contains(InodeFlags::EXTENTS) {
        return Ok(());
    }
    let root = inode.with_meta(|m| m.block);
    let demand = node::Demand { depth: None, low: 0, high: 1 << 32, seed: None };
    node::check(&root, &demand, &inode.fs().zones).map_err(|e| inode.corrupt(e))
}
