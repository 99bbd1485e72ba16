//! Interface first; the body follows.
use alloc::sync::Arc;
use base::{IovIter, PageIndex, Result};
use crate::{AddressSpace, AddressSpaceOperations, Page};
/// read(2) through the cache: bytes read, 0 at or past i_size; short at a bad user page; EFAULT or EIO only when nothing was read.
pub fn generic_file_read(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _pos: u64, _iter: &mut IovIter<'_>) -> Result<usize> { unimplemented!() }
/// The page, read in and uptodate. EIO; EINVAL at or past i_size's page.
pub fn read_mapping_page(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _index: PageIndex) -> Result<Arc<Page>> { unimplemented!() }
