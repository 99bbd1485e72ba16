//! A program is about to store to a page of a file that it has mapped (`ext4_page_mkwrite`).
//!
//! The times change as for a write; then the page is made dirty as a write of its bytes would make it
//! ([`pagecache::generic_page_mkwrite`]), with whatever way to allocate the file has. There is no room: ENOSPC,
//! which the program gets as SIGBUS.
//!
//! # Locking
//! The caller holds the mapping's `invalidate_lock` shared and neither `rwsem` nor a handle; `rwsem` may be
//! held further out, by a write call whose source is the mapping.

use base::{PageIndex, Result};
use pagecache::{AddressSpace, LockedPage};

use crate::inode::{Node, Touch};

impl Node {
    pub(super) fn store_to_mapped(&self, mapping: &AddressSpace, index: PageIndex) -> Result<LockedPage> {
        self.fs().check_running()?;
        self.fs().check_writable()?;
        if self.touch_lazily(Touch::Modified) {
            self.set_stale();
            self.store_if_stale();
        }
        let page = pagecache::generic_page_mkwrite(mapping, self, index)?;
        // What is still not in the table: blocks, without a journal. A handle comes before a page lock.
        if !self.is_stale() {
            return Ok(page);
        }
        drop(page);
        self.store_if_stale();
        pagecache::generic_page_mkwrite(mapping, self, index)
    }
}
