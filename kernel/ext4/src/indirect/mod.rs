//! Block-mapped files, as ext2 and ext3 write them: read, overwritten in place, and freed.
//!
//! ```text
//!   i_block   [0..12] data blocks   [12] a block of pointers   [13] of blocks of pointers   [14] of those
//!   with 1 KiB blocks (256 pointers):  12 | 256 | 65,536 | 16,777,216 data blocks
//! ```
//! A pointer of 0 is a hole, of all that lies below it. Growing such a file is a later work: a write
//! into a hole is EOPNOTSUPP.
//!
//! # Locking
//! The caller holds `data_sem`: shared for [`lookup`], alone for [`truncate`].
//!
//! # Bounds
//! Three levels at most, and every pointer is checked against [`crate::zones`] before it is followed.
//!
//! Source: ext4 documentation, "Direct/Indirect Block Addressing".

use alloc::vec::Vec;

use base::{Errno, FsBlock, Result};
use pagecache::{Extent, ExtentKind};

use crate::balloc::blocks;
use crate::inode::Node;

const DIRECT: u64 = 12;

/// Where the blocks from `block` on lie: the run goes on while pointers in one block count up.
pub fn lookup(inode: &Node, block: u32, count: u64) -> Result<Extent> {
    let Some((slot, levels, offset)) = place(inode, u64::from(block)) else { return Ok(hole(count.max(1))) };
    let root = root(inode);
    if levels == 0 {
        let run = root.get(slot..DIRECT as usize).unwrap_or(&[]);
        return answer(inode, run);
    }
    let mut pointer = root.get(slot).copied().unwrap_or(0);
    let mut offset = offset;
    for level in (0..levels).rev() {
        let span = span(inode, level);
        if pointer == 0 {
            return Ok(hole(span * per_block(inode) - offset));
        }
        let pointers = read(inode, pointer)?;
        let at = (offset / span) as usize;
        offset %= span;
        if level == 0 {
            return answer(inode, pointers.get(at..).unwrap_or(&[]));
        }
        pointer = pointers.get(at).copied().unwrap_or(0);
    }
    Err(Errno::EIO)
}

/// Frees everything from file block `from` on.
pub fn truncate(inode: &Node, from: u32) -> Result<()> {
    inode.extents.forget(from, u64::MAX);
    let from = u64::from(from);
    let mut first = 0u64;
    for (slot, pointer) in root(inode).into_iter().enumerate() {
        let levels = (slot as u64).saturating_sub(DIRECT - 1) as u32;
        let size = if levels == 0 { 1 } else { span(inode, levels - 1) * per_block(inode) };
        let end = first + size;
        if end > from && pointer != 0 && free_tree(inode, pointer, levels, from.saturating_sub(first))? {
            set_root(inode, slot);
        }
        first = end;
    }
    Ok(())
}

/// Frees what lies from the `from`th data block on below a pointer. True when nothing is left of it.
fn free_tree(inode: &Node, pointer: u32, levels: u32, from: u64) -> Result<bool> {
    let block = FsBlock(u64::from(pointer));
    if levels == 0 {
        inode.free_run(block, 1)?;
        return Ok(true);
    }
    let size = span(inode, levels - 1);
    let mut pointers = read(inode, pointer)?;
    for (i, slot) in (0u64..).zip(pointers.iter_mut()) {
        let first = i * size;
        if *slot != 0
            && first + size > from
            && free_tree(inode, *slot, levels - 1, from.saturating_sub(first))?
        {
            *slot = 0;
        }
    }
    if from == 0 {
        inode.add_blocks(-1);
        blocks::free_metadata(inode.fs(), inode.ino32(), block)?;
        return Ok(true);
    }
    let buffer = inode.fs().device().bread(block)?;
    let mut bytes = buffer.write();
    for (place, pointer) in bytes.chunks_exact_mut(4).zip(&pointers) {
        place.copy_from_slice(&pointer.to_le_bytes());
    }
    Ok(false)
}

/// Pointers in a block.
fn per_block(inode: &Node) -> u64 {
    inode.fs().geometry().block_size() as u64 / 4
}

/// Data blocks below one pointer of a block of pointers at this level (0: the pointer is to data).
fn span(inode: &Node, level: u32) -> u64 {
    per_block(inode).saturating_pow(level)
}

/// The slot of `i_block` a file block is reached through, how many blocks of pointers are on the way,
/// and the block's number below that slot. None past the triple-indirect range.
fn place(inode: &Node, block: u64) -> Option<(usize, u32, u64)> {
    if block < DIRECT {
        return Some((block as usize, 0, 0));
    }
    let mut rest = block - DIRECT;
    for levels in 1..=3u32 {
        let size = span(inode, levels);
        if rest < size {
            return Some((DIRECT as usize + levels as usize - 1, levels, rest));
        }
        rest -= size;
    }
    None
}

fn root(inode: &Node) -> Vec<u32> {
    words(&inode.with_meta(|m| m.block))
}

fn set_root(inode: &Node, slot: usize) {
    inode.with_meta(|m| {
        if let Some(place) = m.block.get_mut(slot * 4..slot * 4 + 4) {
            place.fill(0);
        }
    });
}

fn read(inode: &Node, pointer: u32) -> Result<Vec<u32>> {
    let block = FsBlock(u64::from(pointer));
    if !inode.fs().zones.allows(block, 1) {
        return Err(inode.corrupt_block(block, "indirect block cannot belong to a file"));
    }
    Ok(words(&inode.fs().device().bread(block)?.read()))
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect()
}

/// What a row of pointers says from its first on.
fn answer(inode: &Node, pointers: &[u32]) -> Result<Extent> {
    let first = pointers.first().copied().unwrap_or(0);
    if first == 0 {
        let len = pointers.iter().take_while(|p| **p == 0).count().max(1) as u64;
        return Ok(hole(len));
    }
    let in_row = |(i, p): &(usize, &u32)| u64::from(**p) == u64::from(first) + *i as u64;
    let len = pointers.iter().enumerate().take_while(in_row).count() as u64;
    let block = FsBlock(u64::from(first));
    if !inode.fs().zones.allows(block, len) {
        return Err(inode.corrupt_block(block, "block pointer cannot belong to a file"));
    }
    Ok(Extent { kind: ExtentKind::Mapped { block }, len, new: false })
}

fn hole(len: u64) -> Extent {
    Extent { kind: ExtentKind::Hole, len: len.max(1), new: false }
}
