//! Writing a file back and waiting: the steps that fsync is made of.
//!
//! ```text
//!   filemap_flush                    start, for a background writer
//!   filemap_fdatawrite_range         start everything dirty (data integrity)
//!   filemap_fdatawait_range                                      … and wait for it
//!   filemap_write_and_wait_range     both; what an fsync or a direct read needs
//! ```
//! The errors returned are those of pages that failed *while the call ran*; they are not taken from
//! anybody. What an open file has to be told comes from [`AddressSpace::wb_err`], once per file.
//! A page that failed is dirty again, so the next sweep tries it once more and an fsync that returns
//! Ok means that the data is there.
//!
//! # Locking
//! None of its own; see `writepages` and `mapping`.

use core::ops::Range;

use base::Result;

use crate::mapping::AddressSpace;
use crate::ops::{AddressSpaceOperations, WritebackControl};

/// Writes the dirty pages of a byte range (`0..u64::MAX`: all) and waits for them, and for those that
/// were on their way already.
pub fn filemap_write_and_wait_range(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    range: Range<u64>,
) -> Result<()> {
    let mark = mapping.wb_err().peek();
    let started = filemap_fdatawrite_range(mapping, ops, range.clone());
    mapping.wait_writeback(range);
    started.and(mapping.wb_err().since(mark))
}

/// Starts all dirty pages of a byte range for data integrity, without waiting for them.
pub fn filemap_fdatawrite_range(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    range: Range<u64>,
) -> Result<()> {
    if mapping.has_dirty() { ops.writepages(mapping, &mut WritebackControl::sync(range)) } else { Ok(()) }
}

/// Starts what can be started without waiting.
pub fn filemap_flush(mapping: &AddressSpace, ops: &dyn AddressSpaceOperations) -> Result<()> {
    ops.writepages(mapping, &mut WritebackControl::start(0..u64::MAX))
}

/// Waits for the pages of a byte range that are under writeback; the error of one that failed
/// meanwhile.
pub fn filemap_fdatawait_range(mapping: &AddressSpace, range: Range<u64>) -> Result<()> {
    let mark = mapping.wb_err().peek();
    mapping.wait_writeback(range);
    mapping.wb_err().since(mark)
}
