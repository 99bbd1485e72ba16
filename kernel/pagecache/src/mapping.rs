//! Interface first; the body follows.
use alloc::sync::Arc;
use core::ops::Range;
use base::{PageIndex, Result};
use crate::{ErrSeq, Page};
/// The cached pages of one file.
pub struct AddressSpace { wb_err: ErrSeq }
impl AddressSpace {
    /// An empty one.
    pub fn new() -> Arc<AddressSpace> { unimplemented!() }
    /// The write errors of this file.
    pub fn wb_err(&self) -> &ErrSeq { &self.wb_err }
    /// Pages in the cache.
    pub fn nrpages(&self) -> usize { unimplemented!() }
    /// Whether any page is dirty.
    pub fn has_dirty(&self) -> bool { unimplemented!() }
    /// Whether any page is under writeback.
    pub fn has_writeback(&self) -> bool { unimplemented!() }
    /// The page, if cached.
    pub fn find_get_page(&self, _index: PageIndex) -> Option<Arc<Page>> { unimplemented!() }
    /// The file now ends at byte `from` (i_size already says so): drops all pages behind it, zeroes the tail of the page it lies in. Waits for I/O on them. The blocks may be freed afterwards.
    pub fn truncate_pagecache(&self, _from: u64) { unimplemented!() }
    /// Drops the clean pages of a byte range, waiting for I/O on them. EBUSY when one is dirty.
    pub fn invalidate(&self, _range: Range<u64>) -> Result<()> { unimplemented!() }
    /// Waits until no page of the byte range is under writeback.
    pub fn wait_writeback(&self, _range: Range<u64>) { unimplemented!() }
}
