//! Making cached pages agree with a disk that was changed around them.
//!
//! Who writes past the cache calls [`AddressSpace::invalidate_for_direct`] before, so that nobody
//! finds the old bytes meanwhile, and [`AddressSpace::agree_with_disk`] after, for what was read in
//! between. A page that a program has mapped is taken out of its page table; the next access brings the new
//! bytes. Who else holds the bytes of a file's page (a transfer under way, a pipe) keeps them as they are, and the
//! cache forgets them, as Linux does. A metadata page that somebody holds stays in the cache, for it is there that
//! its users meet, and is read again.
//!
//! # Locking
//! One page lock at a time. The new bytes come into a page of their own first, and from there into
//! the block under its `ByteLock`: the disk never writes to what somebody may have a reference to.

use core::ops::Range;

use base::{Errno, Frame, PAGE_SIZE, Result, Sector};
use block::{Bio, BioFlags, BioOp, Completion, Disk};

use crate::head;
use crate::mapped::has_handles;
use crate::mapping::{AddressSpace, page_range};
use crate::ops::{AddressSpaceOperations, WritebackControl};
use crate::page::LockedPage;
use crate::reclaim;

impl AddressSpace {
    /// Drops the pages of a byte range but metadata that somebody holds, waiting for I/O on them. EBUSY
    /// when one of them is dirty (`invalidate_inode_pages2_range`).
    pub(crate) fn invalidate_for_direct(&self, range: Range<u64>) -> Result<()> {
        let Some((first, last)) = page_range(&range) else { return Ok(()) };
        self.for_each_idle(first, last, |page| {
            if page.is_dirty() {
                return Err(Errno::EBUSY);
            }
            self.take_out(page);
            Ok(())
        })
    }

    /// Nobody finds the page any more. False for a metadata page that somebody holds.
    fn take_out(&self, page: &LockedPage) -> bool {
        self.unmap_page(page);
        let goes = !page.is_metadata() || !has_handles(page);
        if goes {
            self.detach(page);
        }
        goes
    }

    /// The disk's bytes of a range have changed: drops the clean pages, and reads metadata that somebody holds
    /// again. A page that cannot be read is an error of the file, told as one of
    /// writeback.
    pub fn agree_with_disk(&self, disk: &Disk, range: Range<u64>) {
        let Some((first, last)) = page_range(&range) else { return };
        // The closure never fails.
        let _ = self.for_each_idle(first, last, |page| {
            if page.is_dirty() {
                // Written into since: newer than what went around it.
                return Ok(());
            }
            if !self.take_out(page)
                && let Err(error) = read_again(disk, page)
            {
                log::error!("page {} is in use and could not be read again: {error}", page.index());
                self.wb_err().set(error);
            }
            Ok(())
        });
    }

    /// Drops the pages of a byte range, dirty ones too: the disk will no longer hold what they do.
    /// Metadata that somebody holds stays, clean, for [`AddressSpace::agree_with_disk`]. A page
    /// that is only partly in the range is written back by the caller before.
    pub fn truncate_range(&self, range: Range<u64>) {
        let Some((first, last)) = page_range(&range) else { return };
        // The closure never fails.
        let _ = self.for_each_idle(first, last, |page| {
            if !self.take_out(page) {
                page.heads().iter().for_each(|head| {
                    head.clear(head::DIRTY);
                });
                self.cancel_dirty(page);
            }
            Ok(())
        });
    }

    /// The blocks of a byte range, whole blocks, go or become unwritten: what is cached of them becomes
    /// zeros without a place, dirty or not. Pages that are wholly in the range are dropped, and programs that
    /// have them mapped lose them (private copies stay). Waits for I/O on all of them
    /// (`truncate_pagecache_range`).
    pub fn truncate_pagecache_range(&self, range: Range<u64>) {
        // Before any page goes.
        self.forget_places();
        let Some((first, last)) = page_range(&range) else { return };
        // The closure never fails.
        let _ = self.for_each_idle(first, last, |page| {
            let begin = page.index().byte();
            // Both at most the page size, so they fit.
            let from = range.start.saturating_sub(begin) as usize;
            let to = range.end.saturating_sub(begin).min(PAGE_SIZE as u64) as usize;
            let whole = from == 0 && to == PAGE_SIZE;
            if whole && self.take_out(page) {
                return Ok(());
            }
            self.write_protect(page);
            page.zero(from, to);
            let bits = page.block_bits();
            page.heads()[from >> bits..to >> bits].iter().for_each(head::BufferHead::forget_place);
            if whole {
                self.cancel_dirty(page);
            }
            Ok(())
        });
    }

    /// Drops the clean pages that nobody uses (`invalidate_bdev`).
    pub fn drop_unused(&self) {
        self.drop_idle(0, u64::MAX);
    }

    /// The whole pages of a byte range will not be used soon (POSIX_FADV_DONTNEED): what is dirty
    /// begins its way to the disk, what is clean and in nobody's use goes.
    pub fn not_needed(&self, ops: &dyn AddressSpaceOperations, range: Range<u64>) {
        if self.has_dirty() {
            // It is advice: who wants to hear of an error asks with fsync.
            let _ = ops.writepages(self, &mut WritebackControl::start(range.clone()));
        }
        // A page that is only partly named stays, but for the last of the file.
        let last_too = range.end >= ops.size();
        let end = if last_too { u64::MAX } else { range.end } / PAGE_SIZE as u64;
        let first = range.start.div_ceil(PAGE_SIZE as u64);
        if first < end {
            self.drop_idle(first, end - 1);
        }
    }
}

/// Reads the blocks of a clean page that were uptodate once more.
fn read_again(disk: &Disk, page: &LockedPage) -> Result<()> {
    let size = 1usize << page.block_bits();
    let fresh = reclaim::alloc_page()?;
    let done = Completion::new();
    let placed = || {
        let known = page.heads().iter().enumerate().filter(|(_, h)| h.has(head::UPTODATE));
        known.filter_map(|(i, h)| Some((i, h.block()?)))
    };
    for (i, block) in placed() {
        let sector: Sector = block.sector(page.block_bits()).ok_or(Errno::EIO)?;
        let mut bio = Bio::new(BioOp::Read, sector);
        bio.flags = BioFlags::SYNC;
        // Both fit: they are within a page.
        bio.add(&fresh, (i * size) as u32, size as u32);
        disk.submit_bio(done.track(bio));
    }
    done.wait()?;
    placed().for_each(|(i, _)| put_block(page, i, size, &fresh));
    Ok(())
}

fn put_block(page: &LockedPage, i: usize, size: usize, fresh: &Frame) {
    if page.is_metadata() {
        fresh.read(i * size, &mut page.write_bytes(i));
    } else if size == PAGE_SIZE {
        page.frame().copy_page_from(fresh);
    } else {
        let mut bytes = alloc::vec![0; size];
        fresh.read(i * size, &mut bytes);
        page.frame().write(i * size, &bytes);
    }
}
