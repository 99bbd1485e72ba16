//! Taking blocks from a block-mapped file: to its end, or a hole in the middle.
//!
//! A block of pointers in which nothing is left is taken away too.

use base::{FsBlock, Result};

use super::{DIRECT, per_block, put, read, root, set_root, span};
use crate::inode::Node;
use crate::truncate::Removed;

/// Takes the file blocks `from..to` out of the map and notes them in `gone`, until that is full. True
/// when nothing is left in the range.
pub fn remove(inode: &Node, from: u64, to: u64, gone: &mut Removed) -> Result<bool> {
    let mut first = 0u64;
    for (slot, pointer) in root(inode).into_iter().enumerate() {
        let levels = (slot as u64).saturating_sub(DIRECT - 1) as u32;
        let tree = Subtree { inode, pointer, levels };
        let end = first + tree.size();
        if pointer != 0 && from < end && to > first {
            if gone.is_full() {
                return Ok(false);
            }
            if tree.clear(from.saturating_sub(first), to - first, gone)? {
                set_root(inode, slot, &[0]);
            }
        }
        first = end;
    }
    Ok(!gone.is_full())
}

/// What lies below a pointer that is not 0.
struct Subtree<'a> {
    inode: &'a Node,
    pointer: u32,
    /// 0: a data block.
    levels: u32,
}

impl Subtree<'_> {
    /// Data blocks it has room for.
    fn size(&self) -> u64 {
        span(self.inode, self.levels)
    }

    /// Takes away the data blocks `from..to`, counted from its first. True when nothing is left.
    fn clear(&self, from: u64, to: u64, gone: &mut Removed) -> Result<bool> {
        let block = FsBlock(u64::from(self.pointer));
        if self.levels == 0 {
            gone.data(block, 1);
            return Ok(true);
        }
        let mut pointers = read(self.inode, self.pointer)?;
        let mut changed = false;
        let size = span(self.inode, self.levels - 1);
        let last = to.div_ceil(size).min(per_block(self.inode));
        for i in from / size..last {
            // Both bounds lie below the pointers of a block.
            let Some(slot) = pointers.get_mut(i as usize).filter(|p| **p != 0) else { continue };
            if gone.is_full() {
                break;
            }
            let child = Subtree { inode: self.inode, pointer: *slot, levels: self.levels - 1 };
            let first = i * size;
            if child.clear(from.saturating_sub(first), to - first, gone)? {
                *slot = 0;
                changed = true;
            }
        }
        if pointers.iter().all(|p| *p == 0) {
            gone.metadata(block);
            return Ok(true);
        }
        if changed {
            let buffer = self.inode.fs().device().bread(block)?;
            put(&mut buffer.write(), 0, &pointers);
        }
        Ok(false)
    }
}
