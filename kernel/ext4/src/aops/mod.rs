//! How a file's pages meet its blocks: what ext4 does for the page cache. [`immediate`] allocates when a write
//! call fills a page, [`journalled`] does so and gives the bytes to the journal, [`delayed`] allocates when the page
//! is written back; the choice is made here.

mod delayed;
mod immediate;
pub(crate) mod journalled;
mod mkwrite;

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, FileBlock, PageIndex, Result};
use block::Disk;
use pagecache::{
    AddressSpace, AddressSpaceOperations, Extent, LockedPage, MapMode, UnwrittenIo, WritebackControl,
};

use crate::inode::Node;
use crate::trace;

impl AddressSpaceOperations for Node {
    fn block_bits(&self) -> u32 {
        self.fs().geometry().block_bits
    }

    fn disk(&self) -> &Arc<Disk> {
        self.fs().device().disk()
    }

    fn size(&self) -> u64 {
        Node::size(self)
    }

    fn map(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        if matches!(how, MapMode::Write { .. }) {
            self.fs().bdi().check_alive()?;
        }
        let extent = match how {
            MapMode::Write { .. } if self.is_inline() => self.map_leaving_inline(first, count, how),
            MapMode::Writeback { unwritten } => self.map_for_writeback(first, count, unwritten),
            _ => self.map_blocks(first, count, how),
        };
        // An answer of EAGAIN is one outside a handle, or in a full one. So may be one that has found the blocks
        // where they were: then somebody else has made it stale, and will store it.
        if matches!(how, MapMode::Writeback { .. })
            && self.is_stale()
            && extent.as_ref().err() != Some(&Errno::EAGAIN)
            && self.fs().journal().is_none_or(|journal| journal.current_handle())
        {
            self.mark_dirty();
        }
        extent
    }

    fn begin_unwritten(&self) -> Option<Arc<UnwrittenIo>> {
        self.begin_conversion()
    }

    fn inline_data(&self) -> Result<Option<Vec<u8>>> {
        self.inline_bytes()
    }

    fn write_begin(&self, mapping: &AddressSpace, pos: u64, len: usize, rest: usize) -> Result<LockedPage> {
        trace::write_begin(self, pos, len);
        if self.journals_data() {
            return self.journalled_begin(mapping, pos, len, rest);
        }
        match self.delayed_begin(mapping, pos, len, rest)? {
            Some(page) => Ok(page),
            None => self.immediate_begin(mapping, pos, len, rest),
        }
    }

    // Into the loop of a buffered write, which is counted in instructions.
    #[inline(always)]
    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        trace::write_end(self, pos, len, copied);
        if self.journals_data() {
            return self.journalled_end(mapping, page, pos, len, copied);
        }
        self.immediate_end(mapping, page, pos, len, copied)
    }

    fn page_mkwrite(&self, mapping: &AddressSpace, index: PageIndex) -> Result<LockedPage> {
        self.store_to_mapped(mapping, index)
    }

    fn writepages(&self, mapping: &AddressSpace, control: &mut WritebackControl) -> Result<()> {
        self.fs().check_running()?;
        trace::writepages(self, control);
        trace::da_write_pages(self, control);
        let done = self.writepages_in_handles(mapping, control);
        trace::writepages_result(self, control, &done);
        done
    }

    fn balance_dirty(&self, pages: usize) {
        writeback::balance_dirty_pages_ratelimited(self.fs().bdi(), pages);
    }
}
