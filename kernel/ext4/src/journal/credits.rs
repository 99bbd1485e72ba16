//! How many blocks an operation can change: what its handle reserves in the log.
//!
//! # How they are counted
//! In the worst case, each block once. A block that is freed or given out changes a bitmap and a group
//! descriptor; a map that grows may split a node on every level, and each new node is a block too.
//!
//! | step | blocks |
//! |---|---|
//! | [`inode`] | its table block; the superblock (`large_file`) |
//! | a run given out or freed | bitmap, descriptor |
//! | [`map`] | its runs, a group or two that was never used, twice a split on each level, the inode |
//! | [`xattr`] | the inode, a new block and an old one, the superblock (`ext_attr`) |
//! | an entry | four blocks more in the directory (leaf, node, level, and one for `large_dir`), their parents |
//! | [`create`] | number, table, access control lists, entry; on failure the orphan list |
//! | [`chunk`] | [`CHUNK`] for what is freed, and the map |
//!
//! Too many only commit a little early; the smallest journal (1024 blocks) lets a handle have 256.

use crate::disk::extent::MAX_DEPTH;
use crate::disk::inode::InodeFlags;
use crate::inode::Node;
use base::PAGE_SHIFT;

/// Bitmap and descriptor.
const RUN: u32 = 2;
/// The inode's table block, its neighbour's on the list, the superblock; or a block of the orphan file.
pub(crate) const ORPHAN: u32 = 3;
/// Given out with a search that writes down bitmaps of groups that were never used.
const SEARCH: u32 = 2 * RUN;
/// Blocks that one chunk of a truncate may free: see [`crate::truncate`].
pub(crate) const CHUNK: u32 = 64;

/// The inode's attributes.
pub(crate) fn inode() -> u32 {
    2
}

/// Splits on every level of an inode's map.
fn tree(node: &Node) -> u32 {
    if !node.flags().contains(InodeFlags::EXTENTS) {
        // Three blocks of pointers, and the one they hang on.
        return 3 * (1 + RUN) + 1;
    }
    // `eh_depth`, at most 5 in a checked root.
    let depth = node.with_meta(|m| u16::from_le_bytes([m.block[6], m.block[7]])).min(MAX_DEPTH);
    (u32::from(depth) + 1) * (1 + RUN + 1)
}

/// Mapping holes or unwritten blocks, in so many runs.
pub(crate) fn map(node: &Node, runs: u32) -> u32 {
    runs * RUN + SEARCH + 2 * tree(node) + inode()
}

/// A page of a write call; its bytes too, where they go through the journal.
pub(crate) fn write_page(node: &Node) -> u32 {
    let blocks = 1 << (PAGE_SHIFT - node.fs().geometry().block_bits);
    map(node, blocks) + ORPHAN + if node.journals_data() { blocks } else { 0 }
}

/// A block of data of which a part becomes zeros.
pub(crate) fn zeroed_block() -> u32 {
    1
}

/// One attribute set or taken away.
pub(crate) fn xattr() -> u32 {
    inode() + 1 + RUN + 1 + RUN + ORPHAN
}

/// Owner, mode, times; the inode may get more extra fields.
pub(crate) fn setattr() -> u32 {
    inode() + xattr()
}

/// An entry more in a directory.
fn entry(dir: &Node) -> u32 {
    4 * (1 + RUN) + SEARCH + 2 * tree(dir) + 4 + inode()
}

/// A new inode with its name; also a directory or a long symbolic link, with their first block.
pub(crate) fn create(dir: &Node) -> u32 {
    let number = RUN + RUN + 2;
    let first_block = 1 + RUN + 4;
    number + first_block + 2 * xattr() + entry(dir) + ORPHAN
}

/// One more name.
pub(crate) fn link(dir: &Node) -> u32 {
    entry(dir) + inode() + ORPHAN
}

/// A name less: entry, directory, inode.
pub(crate) fn unlink() -> u32 {
    1 + inode() + inode() + ORPHAN
}

/// Both names, `..`, the victim; a whiteout takes the old one's place.
pub(crate) fn rename(old_dir: &Node, new_dir: &Node, whiteout: bool) -> u32 {
    let place = if whiteout { create(old_dir) } else { 1 + inode() };
    place + entry(new_dir) + 2 * (1 + inode()) + inode() + ORPHAN
}

/// Onto the orphan list or off it, with the inode.
pub(crate) fn orphan() -> u32 {
    ORPHAN + inode()
}

/// One chunk of a truncate.
pub(crate) fn chunk(node: &Node) -> u32 {
    // A round may go over by one leaf and what is freed above it.
    let over = 2 + u32::from(MAX_DEPTH) * (RUN + 1);
    CHUNK + over + tree(node) + inode()
}

/// One leaf whose entries get other keys, and the keys above it.
pub(crate) fn shift(node: &Node) -> u32 {
    2 + u32::from(MAX_DEPTH) + tree(node) + inode()
}

/// The end of an inode: attributes, orphan list, number.
pub(crate) fn evict() -> u32 {
    xattr() + orphan() + RUN
}

/// The file system's own words.
pub(crate) fn superblock() -> u32 {
    1
}
