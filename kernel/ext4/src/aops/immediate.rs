//! Immediate allocation: a page that a write call dirties has its blocks at once
//! (`ext4_write_begin` without delalloc).
//!
//! # Order
//! `write_begin` maps the page's blocks (once per extent: the rest of the call goes along as a hint),
//! the bytes are copied, `write_end` publishes i_size while the page is still locked, so that
//! writeback never sees a dirty block behind the end.
//!
//! # Handles
//! One lasts from `write_begin` to `write_end`, so that blocks and the size that reaches over them
//! are in one transaction; then the inode goes to its table with them. A write over blocks that are there
//! (no `write_begin`) needs none: the inode goes to its table once per call, in [`crate::file`]. Blocks
//! that were taken for bytes that did not come put the inode on the orphan list, until the call has given
//! them back.

use core::sync::atomic::Ordering;

use base::{Errno, Result};
use pagecache::{AddressSpace, LockedPage};

use crate::balloc::claim::Claimant;
use crate::inode::Node;
use crate::journal::{Handle, credits};

impl Node {
    /// The page of `pos`, its blocks allocated, inside a handle that [`Node::immediate_end`] ends.
    pub(super) fn immediate_begin(
        &self,
        mapping: &AddressSpace,
        pos: u64,
        len: usize,
        rest: usize,
    ) -> Result<LockedPage> {
        let start = || self.fs().start_tracked(credits::write_page(self));
        self.begin_in_handle(pos, len, start, |_| pagecache::block_write_begin(mapping, self, pos, len, rest))
    }

    /// Begins a handle and readies the page of `pos` in it; the handle lasts until `take_kept`. Once more
    /// while a commit may free the blocks that were missing, or what is held for pointers.
    pub(super) fn begin_in_handle<'a>(
        &'a self,
        pos: u64,
        len: usize,
        start: impl Fn() -> Result<Handle<'a>>,
        ready: impl Fn(&Handle<'a>) -> Result<LockedPage>,
    ) -> Result<LockedPage> {
        let (mut tries, mut settled) = (0, false);
        loop {
            let handle = start()?;
            match ready(&handle) {
                Ok(page) => {
                    if tries > 0 || settled {
                        // What was taken in vain has its bytes after all.
                        self.end_orphan()?;
                    }
                    if handle.keep() {
                        self.handles_kept.fetch_add(1, Ordering::Relaxed);
                    }
                    return Ok(page);
                }
                Err(e) => {
                    self.note_lost(pos.saturating_add(len as u64))?;
                    drop(handle);
                    let fs = self.fs();
                    let again = e == Errno::ENOSPC
                        && (fs.should_retry(&mut tries, Claimant::File) || fs.settle_pointers(&mut settled));
                    if !again {
                        return Err(e);
                    }
                }
            }
        }
    }

    /// The bytes are in; see [`AddressSpaceOperations::write_end`](pagecache::AddressSpaceOperations::write_end).
    #[inline(always)]
    pub(super) fn immediate_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        if self.handles_kept.load(Ordering::Relaxed) != 0
            && let Some(handle) = self.take_kept()
        {
            return self.end_in_handle(handle, mapping, page, pos, len, copied);
        }
        Ok(self.end_page(mapping, page, pos, len, copied))
    }

    /// The same with the handle of [`Node::immediate_begin`].
    #[inline(never)]
    fn end_in_handle(
        &self,
        _handle: Handle<'_>,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        let done = self.end_page(mapping, page, pos, len, copied);
        if done < len {
            self.note_lost(pos.saturating_add(len as u64))?;
        }
        if self.is_stale() {
            self.mark_dirty();
        }
        Ok(done)
    }

    /// Blocks dirty, i_size published, the page unlocked, the flusher told. The bytes that count.
    #[inline(always)]
    fn end_page(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> usize {
        let done = pagecache::block_write_end(mapping, &page, pos, len, copied);
        let end = pos.saturating_add(done as u64);
        if done > 0 && end > Node::size(self) && self.extend_size(end) {
            self.set_stale();
        }
        drop(page);
        if done > 0 {
            self.mark_pages_dirty();
        }
        done
    }

    /// The handle that this thread's `write_begin` has kept, if it has kept one.
    pub(super) fn take_kept(&self) -> Option<Handle<'_>> {
        let kept = self.fs().kept();
        if kept.is_some() {
            self.handles_kept.fetch_sub(1, Ordering::Relaxed);
        }
        kept
    }

    /// A write that was to reach to `end` has failed, perhaps after it was given blocks: should they lie
    /// behind i_size, a mount after a crash has to find them. Inside the write's handle.
    pub(super) fn note_lost(&self, end: u64) -> Result<()> {
        if end > Node::size(self) { self.add_orphan() } else { Ok(()) }
    }
}
