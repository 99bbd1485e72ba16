//! Interface first; the body follows.
use core::ops::Range;
use base::Result;
use crate::{AddressSpace, AddressSpaceOperations};
/// Writes the dirty pages of a byte range (`0..u64::MAX`: all) and waits; the error of any page that failed meanwhile.
pub fn filemap_write_and_wait_range(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _range: Range<u64>) -> Result<()> { unimplemented!() }
/// Starts all dirty pages of the range, for data integrity, without waiting for them.
pub fn filemap_fdatawrite_range(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _range: Range<u64>) -> Result<()> { unimplemented!() }
/// Starts what can be started without waiting.
pub fn filemap_flush(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations) -> Result<()> { unimplemented!() }
/// Waits for the pages of the range that are under writeback; the error of any that failed meanwhile.
pub fn filemap_fdatawait_range(_m: &AddressSpace, _range: Range<u64>) -> Result<()> { unimplemented!() }
