//! SEEK_DATA and SEEK_HOLE from the block map.
//!
//! Unwritten blocks count as a hole unless a dirty page covers them, which cannot be: immediate
//! allocation converts before it dirties. The end of the file is a hole.

use base::{Errno, FileBlock, Result};
use pagecache::{ExtentKind, MapMode};

use crate::inode::Node;

/// The first byte at or after `offset` that is data. ENXIO when there is none.
pub fn data(node: &Node, offset: i64) -> Result<u64> {
    find(node, offset, true)?.ok_or(Errno::ENXIO)
}

/// The first byte at or after `offset` that is none; the end of the file at last. ENXIO past the end.
pub fn hole(node: &Node, offset: i64) -> Result<u64> {
    Ok(find(node, offset, false)?.unwrap_or(node.size()))
}

fn find(node: &Node, offset: i64, data: bool) -> Result<Option<u64>> {
    let size = node.size();
    let offset = u64::try_from(offset).ok().filter(|&o| o < size).ok_or(Errno::ENXIO)?;
    if node.is_inline() {
        // One piece of data, and the end.
        return Ok(data.then_some(offset));
    }
    let bits = node.fs().geometry().block_bits;
    let mut at = offset;
    while at < size {
        let block = FileBlock(at >> bits);
        let left = (size - at).div_ceil(1 << bits);
        let extent = node.map_blocks(block, left, MapMode::Read)?;
        if matches!(extent.kind, ExtentKind::Mapped { .. }) == data {
            return Ok(Some(at));
        }
        // At least one block further each time.
        at = block.0.saturating_add(extent.len.max(1)).saturating_mul(1 << bits);
    }
    Ok(None)
}
