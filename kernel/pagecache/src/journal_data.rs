//! Data through the journal (`data=journal`): blocks of a file's pages as the journal's buffers; and the way
//! home of both kinds.
//!
//! Such a file's mapping says so ([`AddressSpace::set_journals_data`]). A write call to it has a handle from before `write_begin` to after `write_end`, and between the two
//! asks for write access to the blocks it is about to change:
//!
//! ```text
//!   handle ─ block_write_begin ─ journal_page_range ─ copy ─ block_write_end ─ handle ends
//!                                 JOURNALLED, not DIRTY      leaves them so
//! ```
//! What then happens to them is what happens to metadata (`journal`): copied to the log by the commit, DIRTY
//! after it, home with the flusher or a checkpoint.
//!
//! # What the file system must do
//! * When blocks are freed, tell the journal (`revoke`): what the log has of them is nobody's then.
//! * Before blocks of such a file are taken out of it, and while its size still reaches over them (punch,
//!   collapse), commit and write them home: who reads meanwhile finds what the disk has.
//! * A page may leave the cache whole at any time; the journal keeps it until its blocks are home. But where a
//!   page stays and loses some of its blocks ([`AddressSpace::cuts_journalled`]), they must be home before: a
//!   block that was acknowledged lives in the page and in the log only, and the log lets go of what the page no
//!   longer has.
//! * Keep the file's mapping as long as a transaction with pages of it has not committed, and have it written
//!   back after that.
//!
//! # Locking
//! A file's page has no byte locks; here the page lock stands for them. It is held from write access to the
//! end of the copy, and by the commit while it takes its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, FsBlock, PAGE_SIZE, PageIndex, Result};
use block::BioFlags;

use crate::bdev::BlockDevice;
use crate::buffer::Buffer;
use crate::head;
use crate::io::BioBuilder;
use crate::mapping::AddressSpace;
use crate::page::{Begin, LockedPage};

/// The bytes of the page are about to change, within a handle: gives their blocks, all of which have places, to
/// the journal of `device`, and waits for a write of them to end. EIO for a block without a place.
pub fn journal_page_range(device: &Arc<BlockDevice>, page: &LockedPage, bytes: Range<usize>) -> Result<()> {
    page.wait_writeback();
    let bits = page.block_bits();
    for i in bytes.start >> bits..bytes.end.div_ceil(1 << bits) {
        let head = page.heads().get(i).ok_or(Errno::EINVAL)?;
        if head.has(head::JOURNALLED) {
            continue;
        }
        let block = head.block().ok_or(Errno::EIO)?;
        let buffer = Buffer::of_file(device, page.page().clone(), i, block);
        let before = if buffer.is_committing() { copy(&buffer, page) } else { Vec::new() };
        device.journal().enter(&buffer, &before);
    }
    Ok(())
}

/// The bytes were not all copied, and the call is over: a block that holds nothing valid, because what was to be
/// overwritten whole was not, leaves the transaction that [`journal_page_range`] put it in.
pub fn forget_unfilled(page: &LockedPage, bytes: Range<usize>) {
    let bits = page.block_bits();
    let heads = page.heads();
    for head in &heads[bytes.start >> bits..bytes.end.div_ceil(1 << bits).min(heads.len())] {
        if !head.has(head::UPTODATE) {
            head.clear(head::JOURNALLED);
        }
    }
}

/// [`journal_page_range`] for bytes of the file that are cached already, all within one page and all with
/// places: what was changed there without the journal's knowledge becomes its.
pub fn journal_cached(device: &Arc<BlockDevice>, mapping: &AddressSpace, bytes: Range<u64>) -> Result<()> {
    let Some(page) = mapping.find_lock_page(PageIndex::of(bytes.start)) else { return Ok(()) };
    let start = page.index().byte();
    // Within a page, so they fit.
    journal_page_range(device, &page, (bytes.start - start) as usize..(bytes.end - start) as usize)
}

impl AddressSpace {
    /// Whether a cut at byte `from` would take blocks out of a page that stays, which are not at home.
    pub fn cuts_journalled(&self, from: u64) -> bool {
        const NOT_HOME: u64 = head::JOURNALLED | head::COMMITTING | head::DIRTY | head::WRITING;
        // Below the page size, so it fits.
        let offset = (from % PAGE_SIZE as u64) as usize;
        let Some(page) = self.find_get_page(PageIndex::of(from)).filter(|_| offset != 0) else {
            return false;
        };
        let first = offset.div_ceil(1 << page.block_bits());
        page.heads()[first..].iter().any(|head| head.state() & NOT_HOME != 0)
    }
}

/// The block's bytes. Its page is locked.
fn copy(buffer: &Buffer, page: &LockedPage) -> Vec<u8> {
    let size = 1usize << page.block_bits();
    let mut bytes = alloc::vec![0; size];
    page.frame().read(buffer.index() * size, &mut bytes);
    bytes
}

impl Buffer {
    /// Whether it is a block of a file's page.
    pub fn is_data(&self) -> bool {
        !self.page().is_metadata()
    }

    /// Calls `f` with the bytes of the block, which stand still meanwhile: under a byte guard, or, of a file's
    /// page, a copy under the page lock. For the journal's commit.
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        if self.page().is_metadata() {
            return f(&self.read());
        }
        let page = self.page().clone().lock();
        // What a program stores from here on belongs to a later transaction.
        if let Some(mapping) = page.mapping() {
            mapping.write_protect(&page);
        }
        f(&copy(self, &page))
    }
}

/// Writes what is dirty of these blocks of one device (their dirty neighbours in the same pages go with them),
/// and waits for it. No FLUSH. The error of a write that failed meanwhile: the block is dirty still.
pub fn write_home(buffers: &mut [Buffer]) -> Result<()> {
    let Some(device) = buffers.first().map(|buffer| buffer.device().clone()) else { return Ok(()) };
    base::sort::by_key(buffers, Buffer::block);
    let metadata = |buffer: &&Buffer| buffer.page().is_metadata();
    let blocks: Vec<FsBlock> = buffers.iter().filter(metadata).map(Buffer::block).collect();
    let files = buffers.iter().filter(|buffer| !buffer.page().is_metadata());
    let data = write_pages(&device, &files.collect::<Vec<_>>());
    device.write_blocks(&blocks).and(data)
}

/// Writes the dirty blocks of these files' pages, and waits.
fn write_pages(device: &Arc<BlockDevice>, buffers: &[&Buffer]) -> Result<()> {
    let mut sent = Ok(());
    {
        let mut builder = BioBuilder::write(device.disk(), BioFlags::SYNC);
        let _plug = device.disk().plug();
        for buffer in buffers {
            // Nothing that was collected is held back while this thread waits for a page.
            let page = buffer.page().clone().try_lock().unwrap_or_else(|| {
                builder.submit();
                buffer.page().clone().lock()
            });
            if page.is_writeback() {
                builder.submit();
                page.wait_writeback();
            }
            if buffer.is_dirty() {
                sent = sent.and(write_page(&mut builder, &page));
            }
        }
    }
    buffers.iter().for_each(|buffer| buffer.page().wait_writeback());
    let failed = buffers.iter().any(|buffer| buffer.is_dirty() && buffer.page().is_error());
    if failed { Err(Errno::EIO) } else { sent }
}

fn write_page(builder: &mut BioBuilder<'_>, page: &LockedPage) -> Result<()> {
    // One part of its own, so that writeback does not end before all parts are in.
    page.get_write();
    match page.mapping().filter(|_| page.is_attached()) {
        Some(mapping) => {
            mapping.write_protect(page);
            mapping.start_writeback(page);
        }
        None => AddressSpace::start_writeback_alone(page),
    }
    let mut done = Ok(());
    for (i, head) in page.heads().iter().enumerate() {
        let Some(place) = head.block().filter(|_| head.has(head::DIRTY)) else { continue };
        // Nobody has a guard on a file's block.
        if page.begin_writing(i) != Begin::Begun {
            continue;
        }
        if let Err(error) = builder.add(page.page(), i, place, PAGE_SIZE) {
            page.write_refused(i);
            done = Err(error);
        }
    }
    page.put_write();
    done
}
