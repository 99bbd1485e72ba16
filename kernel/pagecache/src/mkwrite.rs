//! A program is about to store to a page that it has mapped shared (`block_page_mkwrite`).
//!
//! ```text
//!   page_mkwrite     read the page in ─ lock it ─ still the file's, below i_size? ─ writeback over?
//!     its blocks dirty already?        done: the page is returned locked
//!     placed, data not journalled      write_end of the whole page, and look again
//!     else                             write_begin and write_end of the whole page, and look again
//! ```
//! So every way to allocate has its say, and says it as for a write of the page's bytes up to i_size. The
//! caller makes its page table entry writable while the page is locked: writeback takes that right away
//! again before it lets the page be clean ([`crate::mapped`]).
//!
//! # Locking
//! The caller holds the mapping's `invalidate_lock` shared, so i_size does not fall below the page
//! meanwhile, and neither a page lock nor a handle. The inode's lock is not taken: a fault may come from a
//! copy inside a write call that holds it.

use alloc::sync::Arc;

use base::{Errno, PAGE_SIZE, PageIndex, Result};

use crate::head;
use crate::mapping::AddressSpace;
use crate::ops::AddressSpaceOperations;
use crate::page::{LockedPage, Page};
use crate::read::filemap_fault;
use crate::readahead::{FileRa, Pattern};
use crate::write;

/// Looks at a page before it gives up: each vain one was another thread's writeback or truncate.
const TRIES: usize = 64;

/// The page, locked, uptodate, dirty with every block below i_size, not under writeback. EINVAL when it
/// lies past i_size; ENOSPC, EDQUOT, EIO, EROFS as a write; ENOMEM.
pub fn generic_page_mkwrite(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    index: PageIndex,
) -> Result<LockedPage> {
    for _ in 0..TRIES {
        let (page, _) = lock_mapped_page(mapping, ops, mapping.ra(), index, Pattern::Normal)?;
        page.wait_writeback();
        let len = within(ops, index);
        if is_kept(&page, len, mapping.journals_data()) {
            return Ok(page);
        }
        let page = if !mapping.journals_data() && write::ready(&page, 0, len) {
            page
        } else {
            // A handle comes before a page lock.
            drop(page);
            ops.write_begin(mapping, index.byte(), len, len)?
        };
        if ops.write_end(mapping, page, index.byte(), len, len)? < len {
            return Err(Errno::EIO);
        }
    }
    Err(Errno::EIO)
}

/// The page, read in, with those around it as `ra` of the open file and `pattern` say, locked, and still the
/// file's: to be put into a page table; and whether it had to be read in. EINVAL past i_size, EIO, ENOMEM.
pub fn lock_mapped_page(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    ra: &FileRa,
    index: PageIndex,
    pattern: Pattern,
) -> Result<(LockedPage, bool)> {
    let mut major = false;
    loop {
        let (page, missed): (Arc<Page>, bool) = filemap_fault(mapping, ops, ra, index, pattern)?;
        major |= missed;
        let page = page.lock();
        if !page.is_attached() || !page.is_uptodate() {
            continue;
        }
        // Asked again now that it is locked: a truncate that came first is seen here, one that comes
        // later finds the page locked.
        return if within(ops, index) > 0 { Ok((page, major)) } else { Err(Errno::EINVAL) };
    }
}

/// How many of the page's bytes lie below i_size.
fn within(ops: &dyn AddressSpaceOperations, index: PageIndex) -> usize {
    // At most a page, so it fits.
    ops.size().saturating_sub(index.byte()).min(PAGE_SIZE as u64) as usize
}

/// Whether every block of the page's first `len` bytes is known to be newer than the disk's, and what is stored
/// there from now on will be kept. Through a journal only a transaction whose copy is still to be made does that:
/// a block that is on its way home has a copy in the log, which would come over it.
fn is_kept(page: &LockedPage, len: usize, journalled: bool) -> bool {
    const LOGGED: u64 = head::JOURNALLED | head::COMMITTING;
    let kept = if journalled { LOGGED } else { LOGGED | head::DIRTY };
    let blocks = len.div_ceil(1 << page.block_bits());
    page.heads()[..blocks].iter().all(|head| head.state() & kept != 0)
}
