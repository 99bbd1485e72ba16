//! SEEK_DATA and SEEK_HOLE from the block map.
//!
//! Unwritten blocks count as a hole unless a dirty page covers them: then they are delayed blocks
//! ([`crate::delayed`]), and those are data. The end of the file is a hole.

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
        let (is_data, len) = run(node, block, left)?;
        if is_data == data {
            return Ok(Some(at));
        }
        // At least one block further each time.
        at = block.0.saturating_add(len.max(1)).saturating_mul(1 << bits);
    }
    Ok(None)
}

/// Whether a block is data, and how many in a row are as it is, as far as one look tells.
fn run(node: &Node, block: FileBlock, count: u64) -> Result<(bool, u64)> {
    let delayed = u32::try_from(block.0).ok().and_then(|block| node.delayed.next_from(block));
    let away = delayed.map_or(u64::MAX, |run| u64::from(run.block).saturating_sub(block.0));
    if let Some(run) = delayed.filter(|_| away == 0) {
        return Ok((true, run.end().saturating_sub(block.0)));
    }
    let extent = node.map_blocks(block, count, MapMode::Read)?;
    match extent.kind {
        ExtentKind::Mapped { .. } => Ok((true, extent.len)),
        _ => Ok((false, extent.len.min(away))),
    }
}
