//! Data through the journal (`data=journal`, `chattr +j`; Linux's `ext4_journalled_aops`).
//!
//! # The way of a write
//! ```text
//!   handle ─ block_write_begin ─ journal_page_range ─ copy ─ block_write_end ─ i_size ─ handle ends
//! ```
//! So the bytes, the blocks they lie in and the size that reaches over them are in one transaction: after a
//! crash a page of a write call is there with all of it, or not at all. `pagecache`'s `journal_data` has what
//! becomes of the pages.
//!
//! # What else is different
//! | matter | with data in the journal |
//! |---|---|
//! | fsync | waits for the transaction that last changed the data; writes nothing home, sends no FLUSH |
//! | blocks that are freed | are revoked, as metadata is |
//! | the rest of a block that a truncate cuts | is zeroed in the transaction that cuts the size |
//! | punch, collapse and their like | commit first, and write home what is cached of the range |
//! | FIBMAP | empties the log first: who asks may read the device |
//! | after its last close | the inode stays in memory until the transaction that has its data has committed and the pages are written back |
//!
//! Linux passes over `chattr +j` where delayed allocation is on, which is the default; here such a file's
//! allocation is not delayed.
//!
//! # Locking
//! As with immediate allocation: `rwsem` alone → handle → page lock. What commits is called with no handle.

use alloc::boxed::Box;
use core::ops::Range;
use core::sync::atomic::Ordering;

use base::{Errno, PAGE_SIZE, Result};
use jbd2::Tid;
use pagecache::{AddressSpace, LockedPage, filemap_write_and_wait_range, journal_page_range};
use vfs::FileType;

use crate::disk::inode::InodeFlags;
use crate::fs::Ext4Fs;
use crate::inode::Node;
use crate::journal::Reason;
use crate::journal::{Handle, credits};
use crate::options::DataMode;

/// Whether an inode's data go through the journal (`ext4_should_journal_data`).
pub(crate) fn is_wanted(fs: &Ext4Fs, kind: FileType, flags: InodeFlags) -> bool {
    kind == FileType::Regular
        && fs.journal().is_some()
        && (flags.contains(InodeFlags::JOURNAL_DATA) || fs.data_mode() == DataMode::Journal)
}

/// The bytes of a page that a piece of a write call means.
fn within_page(pos: u64, len: usize) -> Range<usize> {
    // Below the page size, so it fits.
    let from = (pos % PAGE_SIZE as u64) as usize;
    from..from + len.min(PAGE_SIZE - from)
}

impl Node {
    /// Whether its data go through the journal.
    #[inline]
    pub(crate) fn journals_data(&self) -> bool {
        self.mapping().journals_data()
    }

    /// The page of `pos`, its blocks allocated and in the journal, inside a handle that
    /// [`Node::journalled_end`] ends.
    pub(super) fn journalled_begin(
        &self,
        mapping: &AddressSpace,
        pos: u64,
        len: usize,
        rest: usize,
    ) -> Result<LockedPage> {
        let start = || self.fs().start(credits::write_page(self));
        self.begin_in_handle(pos, len, start, |handle| {
            let page = pagecache::block_write_begin(mapping, self, pos, len, rest).and_then(|page| {
                journal_page_range(self.fs().device(), &page, within_page(pos, len))?;
                Ok(page)
            });
            match page {
                Ok(_) => self.note_journalled(handle),
                // What was given blocks before it failed are zeros, past the journal.
                Err(_) => self.note_written_first(pos..pos.saturating_add(len as u64)),
            }
            page
        })
    }

    /// The bytes are in; see [`AddressSpaceOperations::write_end`](pagecache::AddressSpaceOperations::write_end).
    pub(super) fn journalled_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        let _handle = self.take_kept();
        let done = pagecache::block_write_end(mapping, &page, pos, len, copied);
        if done < len {
            pagecache::forget_unfilled(&page, within_page(pos, len));
        }
        let end = pos.saturating_add(done as u64);
        if done > 0 && end > Node::size(self) {
            self.set_size(end);
            self.set_stale();
        }
        drop(page);
        if done > 0 {
            self.mark_pages_dirty();
        }
        if done < len {
            self.note_lost(pos.saturating_add(len as u64))?;
        }
        if self.is_stale() {
            self.mark_dirty();
        }
        Ok(done)
    }

    /// Zeroes the bytes `from..to` of one block, in the cache and so, later, on the disk; whatever way the
    /// file's data go.
    pub(crate) fn zero_within_block(&self, from: u64, to: u64) -> Result<()> {
        if !self.journals_data() {
            pagecache::block_zero_range(self.mapping(), self, from, to)?;
            self.mark_pages_dirty();
            return Ok(());
        }
        let handle = self.fs().start(credits::zeroed_block())?;
        let Some(zeroing) = pagecache::block_zero_begin(self.mapping(), self, from, to)? else {
            return Ok(());
        };
        let (page, bytes) = zeroing.place();
        journal_page_range(self.fs().device(), page, bytes)?;
        self.note_journalled(&handle);
        zeroing.end(self.mapping());
        self.mark_pages_dirty();
        Ok(())
    }

    /// What is cached of these bytes, within one page, has changed without the journal's knowledge: now it
    /// knows. Inside the handle that changed it.
    pub(crate) fn journal_cached(&self, handle: &Handle<'_>, bytes: Range<u64>) -> Result<()> {
        pagecache::journal_cached(self.fs().device(), self.mapping(), bytes)?;
        self.note_journalled(handle);
        Ok(())
    }

    /// Data were changed in this handle: an fsync waits for its transaction, and after that the flusher has
    /// something to take home.
    fn note_journalled(&self, handle: &Handle<'_>) {
        let Some(tid) = handle.tid() else { return };
        self.tids.note_data(tid);
        let before = self.journalled.swap(u64::from(tid.0) + 1, Ordering::Relaxed);
        if before == u64::from(tid.0) + 1 {
            return;
        }
        // Until then this keeps the inode in memory: what it holds is nowhere else.
        let Some(node) = self.arc() else { return };
        handle.on_commit(Box::new(move |committed| {
            if committed.is_ok() && node.mapping().has_dirty() {
                node.mark_pages_dirty();
            }
        }));
    }

    /// Commits what has changed of its data. Not within a handle.
    pub(crate) fn commit_journalled(&self) -> Result<()> {
        let last = self.journalled.load(Ordering::Relaxed);
        match (self.fs().journal(), last.checked_sub(1)) {
            // It was a u32.
            (Some(journal), Some(tid)) => journal.complete_transaction(Tid(tid as u32)).map(drop),
            _ => Ok(()),
        }
    }

    /// Commits what has changed of its data, and takes these bytes home. Not within a handle.
    pub(crate) fn settle_journalled(&self, bytes: Range<u64>) -> Result<()> {
        if !self.journals_data() {
            return Ok(());
        }
        self.commit_journalled()?;
        filemap_write_and_wait_range(self.mapping(), self, bytes)
    }

    /// The file is about to end at `size`: where a page stays and loses blocks, those go home first. Not within
    /// a handle.
    pub(crate) fn settle_cut(&self, size: u64) -> Result<()> {
        if self.journals_data() && self.mapping().cuts_journalled(size) {
            self.settle_journalled(size..size.next_multiple_of(PAGE_SIZE as u64))?;
        }
        Ok(())
    }

    /// The device itself has all of its data, and will not be written by the log any more (for FIBMAP).
    pub(crate) fn empty_log_for_reader(&self) -> Result<()> {
        match self.fs().journal() {
            Some(journal) if self.journals_data() && self.journalled.load(Ordering::Relaxed) != 0 => {
                let _none_starts = journal.lock_updates();
                journal.flush()
            }
            _ => Ok(()),
        }
    }

    /// `chattr +j` and `-j`: the data go another way from now on (`ext4_change_inode_journal_flag`). Nothing
    /// happens without a journal. The caller holds `rwsem` alone, and no handle.
    pub(crate) fn change_journal_flag(&self, on: bool) -> Result<()> {
        let Some(journal) = self.fs().journal() else { return Ok(()) };
        if journal.is_aborted() {
            return Err(Errno::EROFS);
        }
        self.dio.wait();
        if on {
            // From now on the log may have blocks of it, and a replay writes over what lies at home.
            filemap_write_and_wait_range(self.mapping(), self, 0..u64::MAX)?;
        }
        {
            let _none_starts = journal.lock_updates();
            if !on {
                // And from now on not: nothing of the log may come over what is written past it.
                journal.flush()?;
            }
            self.set_flags(InodeFlags::JOURNAL_DATA, on);
            self.mapping().set_journals_data(is_wanted(self.fs(), self.kind(), self.flags()));
        }
        let handle = self.fs().start_tracked(credits::inode())?;
        self.fs().mark_ineligible(Reason::JournalFlagChange);
        self.mark_dirty();
        let tid = handle.tid();
        drop(handle);
        tid.map_or(Ok(()), |tid| journal.complete_transaction(tid).map(drop))
    }
}
