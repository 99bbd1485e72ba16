//! Interface first; the body follows.
use base::{IovIter, Result};
use crate::{AddressSpace, AddressSpaceOperations, LockedPage};
/// The buffered write loop; the caller holds the inode lock. Bytes written, or why not one was.
pub fn generic_perform_write(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _pos: u64, _iter: &mut IovIter<'_>) -> Result<usize> { unimplemented!() }
/// The generic `write_begin`: page found or made, locked, blocks mapped, read if only partly overwritten.
pub fn block_write_begin(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _pos: u64, _len: usize, _rest: usize) -> Result<LockedPage> { unimplemented!() }
/// The generic part of `write_end`: marks blocks uptodate and dirty; the page stays locked so that i_size can be published before writeback sees it. Bytes that count.
pub fn block_write_end(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _page: &LockedPage, _pos: u64, _len: usize, _copied: usize) -> usize { unimplemented!() }
/// Zeroes from byte `from` to the end of its block, on the disk too (page becomes dirty), reading it first if needed; a hole stays one. A file system calls it before it lowers i_size (and before a write or truncate beyond an unaligned i_size needs nothing: the tail is zero).
pub fn block_truncate_page(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _from: u64) -> Result<()> { unimplemented!() }
/// What says that the current thread has a fatal signal: asked once per page of a write.
pub fn set_fatal_signal_hook(_hook: fn() -> bool) { unimplemented!() }
