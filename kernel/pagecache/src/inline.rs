//! Files whose bytes lie in their inode: no block, so no bio.
//!
//! ```text
//!   read      the first page is filled from AddressSpaceOperations::inline_data; it never becomes dirty
//!   write     the file system puts the bytes into the inode, then update_inline_page
//!   outgrown  leave_inline_page: the page gets a block and becomes dirty, like any other
//! ```
//!
//! # Locking
//! All of this happens with the first page locked; `inline_data` is called so.

use base::{IovIter, PAGE_SIZE, PageIndex, Result};

use crate::head;
use crate::mapping::AddressSpace;
use crate::ops::AddressSpaceOperations;
use crate::page::LockedPage;
use crate::write::{block_write_begin, block_write_end};

/// Fills the file's first page if its bytes lie in the inode; says whether they do.
pub(crate) fn fill(page: &LockedPage, ops: &dyn AddressSpaceOperations) -> Result<bool> {
    if page.index() != PageIndex(0) {
        return Ok(false);
    }
    let Some(data) = ops.inline_data()? else { return Ok(false) };
    put(page, &data);
    for head in page.heads() {
        head.set(head::UPTODATE);
    }
    Ok(true)
}

fn put(page: &LockedPage, data: &[u8]) {
    let len = data.len().min(PAGE_SIZE);
    page.copy_from_iter(&mut IovIter::from_kernel(data), 0, len);
    page.zero(len, PAGE_SIZE);
}

/// The inode's bytes are now `data`: the first page, if it is cached, shows them.
pub fn update_inline_page(mapping: &AddressSpace, data: &[u8]) {
    if let Some(page) = mapping.find_lock_page(PageIndex(0))
        && page.is_uptodate()
    {
        put(&page, data);
    }
}

/// Gives the first page blocks for `data`, which has at least one byte and fits a page, and makes them
/// dirty. `ops.map` is asked for the blocks with the page locked: at that moment the file stops being
/// inline, and no reader can look in between. ENOSPC, EIO; then nothing has changed.
pub fn leave_inline_page(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    data: &[u8],
) -> Result<()> {
    let page = block_write_begin(mapping, ops, 0, data.len(), data.len())?;
    put(&page, data);
    block_write_end(mapping, &page, 0, data.len(), data.len());
    Ok(())
}
