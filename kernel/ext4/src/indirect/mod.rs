//! Block-mapped files, as ext2 and ext3 write them and as new files are without the extent feature.
//!
//! ```text
//!   i_block   [0..12] data blocks   [12] a block of pointers   [13] of blocks of pointers   [14] of those
//!   with 1 KiB blocks (256 pointers):  12 | 256 | 65,536 | 16,777,216 data blocks
//! ```
//! A pointer of 0 is a hole, of all that lies below it.
//!
//! * [`lookup`]: where a block lies. * [`grow`]: filling a hole. * [`remove`]: making one.
//! * [`limit`]: how long such a file can be. * [`rows`]: which blocks of pointers a block needs.
//!
//! # Locking
//! The caller holds `data_sem`: shared for [`lookup`], alone for the rest, and marks the inode dirty
//! afterwards (`i_block` and `i_blocks` are in it).
//!
//! # Bounds
//! Three levels at most, and every pointer is checked against [`crate::zones`] before it is followed.
//!
//! Source: ext4 documentation, "Direct/Indirect Block Addressing".

mod grow;
pub mod limit;
mod remove;
pub mod rows;

pub use grow::grow;
pub use remove::remove;

use alloc::vec::Vec;

use base::{Errno, FsBlock, Result};
use pagecache::{Extent, ExtentKind};

use crate::inode::Node;

const DIRECT: u64 = 12;

/// Where the blocks from `block` on lie: the run goes on while pointers in one block count up.
pub fn lookup(inode: &Node, block: u32, count: u64) -> Result<Extent> {
    let Some(place) = Place::of(inode, u64::from(block)) else { return Ok(hole(count.max(1))) };
    let root = root(inode);
    if place.levels == 0 {
        let run = root.get(place.slot..DIRECT as usize).unwrap_or(&[]);
        return answer(inode, run);
    }
    let mut pointer = root.get(place.slot).copied().unwrap_or(0);
    let mut offset = place.offset;
    for level in (0..place.levels).rev() {
        let span = span(inode, level);
        if pointer == 0 {
            return Ok(hole((span * per_block(inode)).saturating_sub(offset)));
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

/// Pointers in a block.
fn per_block(inode: &Node) -> u64 {
    inode.fs().geometry().block_size() as u64 / 4
}

/// Data blocks below one pointer of a block of pointers at this level (0: the pointer is to data).
fn span(inode: &Node, level: u32) -> u64 {
    per_block(inode).saturating_pow(level)
}

/// How a file block is reached.
#[derive(Clone, Copy)]
struct Place {
    /// The slot of `i_block`.
    slot: usize,
    /// Blocks of pointers on the way.
    levels: u32,
    /// The block's number below that slot.
    offset: u64,
}

impl Place {
    /// None past the triple-indirect range.
    fn of(inode: &Node, block: u64) -> Option<Place> {
        if block < DIRECT {
            return Some(Place { slot: block as usize, levels: 0, offset: 0 });
        }
        let mut offset = block - DIRECT;
        for levels in 1..=3u32 {
            let size = span(inode, levels);
            if offset < size {
                return Some(Place { slot: DIRECT as usize + levels as usize - 1, levels, offset });
            }
            offset -= size;
        }
        None
    }
}

fn root(inode: &Node) -> Vec<u32> {
    words(&inode.with_meta(|m| m.block))
}

fn set_root(inode: &Node, slot: usize, pointers: &[u32]) {
    inode.tids.note_map_changed();
    inode.with_meta(|m| put(&mut m.block, slot, pointers));
}

/// Writes pointers into a row of them, from the `at`th on.
fn put(bytes: &mut [u8], at: usize, pointers: &[u32]) {
    for (place, pointer) in bytes.chunks_exact_mut(4).skip(at).zip(pointers) {
        place.copy_from_slice(&pointer.to_le_bytes());
    }
}

fn read(inode: &Node, pointer: u32) -> Result<Vec<u32>> {
    let block = FsBlock(u64::from(pointer));
    if !inode.fs().zones.allows(block, 1) {
        return Err(inode.corrupt_block(block, "indirect block cannot belong to a file"));
    }
    Ok(words(&inode.fs().device().bread(block)?.read()))
}

/// Changes a row of pointers in a block of them.
fn write(inode: &Node, pointer: u32, at: usize, pointers: &[u32]) -> Result<()> {
    let buffer = inode.fs().device().bread(FsBlock(u64::from(pointer)))?;
    put(&mut buffer.write(), at, pointers);
    Ok(())
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect()
}

/// What a row of pointers says from its first on.
fn answer(inode: &Node, pointers: &[u32]) -> Result<Extent> {
    let first = pointers.first().copied().unwrap_or(0);
    if first == 0 {
        return Ok(hole(zeros(pointers)));
    }
    let in_row = |(i, p): &(usize, &u32)| u64::from(**p) == u64::from(first) + *i as u64;
    let len = pointers.iter().enumerate().take_while(in_row).count() as u64;
    let block = FsBlock(u64::from(first));
    if !inode.fs().zones.allows(block, len) {
        return Err(inode.corrupt_block(block, "block pointer cannot belong to a file"));
    }
    Ok(Extent { kind: ExtentKind::Mapped { block }, len, new: false })
}

/// How many holes a row begins with.
fn zeros(pointers: &[u32]) -> u64 {
    pointers.iter().take_while(|p| **p == 0).count() as u64
}

fn hole(len: u64) -> Extent {
    Extent { kind: ExtentKind::Hole, len: len.max(1), new: false }
}
