//! Unwritten blocks become written when their bytes are on the disk (`dioread_nolock`).
//!
//! ```text
//!   map_for_writeback    an unwritten extent                    the sweep's handle
//!   … the bytes reach it …  a commit does not wait for them
//!   this                 written; i_disksize follows             a handle with reserved credits, in the thread
//!                        (not before what makes the file grow before it: flights.rs)
//!   writeback of the pages ends
//! ```
//! So neither a crash nor a direct read beside it sees what a block held before, whatever the mode of the journal's
//! data, and who commits need not wait for others' data.
//!
//! # Why it cannot get stuck
//! Who waits for a page may be within a handle, or hold up a commit. So the thread's handle joins what waits for it
//! ([`jbd2::Reserved`]), with credits put aside when the place was given. Where they cannot be had (a small journal
//! with much under way) the place is a written one at once, and its data are ordered.
//!
//! # Errors
//! What could not be converted is dirty again and still delayed: the next sweep asks for its place anew. The file
//! hears of it by `wb_err`, the log too.
//!
//! # Locking
//! The thread holds no lock when it begins; then a handle, `data_sem`, as any who changes a map. It waits for
//! no page: what has to wait for other bytes of the file is put aside, and who sends those waits for nothing with
//! some of them unsent.
//!
//! Source: `ext4_end_io_rsv_work`, `ext4_convert_unwritten_io_end_vec`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, RateLimit, Result};
use jbd2::Reserved;
use pagecache::{UnwrittenIo, Written};
use sync::WorkQueue;

use super::Delayed;
use crate::disk::inode::InodeFlags;
use crate::inode::Node;
use crate::journal::credits;
use crate::options::Flag;

/// Converts.
static CONVERSIONS: WorkQueue = WorkQueue::new("ext4-rsv-conversion");

/// A failing disk has much to say.
static FAILED: RateLimit = RateLimit::new();

/// Blocks whose bytes are there, and the credits to say so.
pub(super) struct Landed {
    reserved: Option<Reserved>,
    written: Written,
}

impl Delayed {
    /// Unwritten blocks are about to be sent.
    pub fn begin_flight(&self, blocks: Range<u64>) {
        self.state.lock().flights.begin(blocks);
    }

    /// Whether there are any that have not been converted.
    pub fn has_flights(&self) -> bool {
        !self.state.lock().flights.is_empty()
    }
}

impl Node {
    /// Credits for the end of an I/O to unwritten blocks, and what is to be done then. None where blocks are
    /// written ones from the start. Inside a handle.
    pub(crate) fn begin_conversion(&self) -> Option<Arc<UnwrittenIo>> {
        let fs = self.fs();
        let wanted = fs.flags_on().contains(Flag::DIOREAD_NOLOCK)
            && self.flags().contains(InodeFlags::EXTENTS)
            && self.delays(self.mapping());
        if !wanted {
            return None;
        }
        let reserved = match fs.journal() {
            Some(journal) if journal.current_handle() => Some(journal.reserve(credits::map(self, 1))?),
            Some(_) => return None,
            None => None,
        };
        CONVERSIONS.start().ok()?;
        let node = self.arc()?;
        Some(UnwrittenIo::new(move |written| {
            if written.run().is_empty() {
                // Never sent: this is the sweep, which has the inode too.
                return;
            }
            node.queue_conversion(Landed { reserved, written });
        }))
    }

    fn queue_conversion(self: Arc<Self>, landed: Landed) {
        CONVERSIONS.queue(Box::new(move || self.end_unwritten(landed)));
    }

    fn end_unwritten(self: Arc<Self>, landed: Landed) {
        let run = landed.written.run();
        let ready = {
            let mut state = self.delayed.state.lock();
            state.flights.land(run, self.disk_block_count(), landed)
        };
        let Some(Landed { reserved, written }) = ready else { return };
        let (done, next) = self.convert_written(reserved, &written);
        if let Err(error) = done
            && let Some(missed) = FAILED.admit()
        {
            let (disk, ino) = (self.fs().disk_name(), self.ino32());
            log::error!(
                "EXT4-fs ({disk}): failed to convert unwritten extents of inode {ino} to written ones: {error}; \
                 its data stay in memory{missed}"
            );
        }
        next.into_iter().for_each(|landed| self.clone().queue_conversion(landed));
        drop(self);
        written.finish(done);
    }

    /// All in one handle: the blocks, and the size that may now reach over them. And what has waited for that.
    fn convert_written(&self, reserved: Option<Reserved>, written: &Written) -> (Result<()>, Vec<Landed>) {
        let begun = self.fs().check_running().and_then(|()| reserved.map(Reserved::start).transpose());
        let (run, blocks) = (written.run(), written.blocks());
        let mut done = begun.as_ref().map(drop).map_err(|&error| error);
        let mut reached = 0;
        for range in blocks {
            done = done.and_then(|()| self.convert_range(range.clone()));
            reached = if done.is_ok() { range.end } else { reached };
        }
        let next = self.end_flight(&run, reached);
        if begun.is_ok() {
            self.mark_dirty();
        }
        (done, next)
    }

    fn convert_range(&self, range: Range<u64>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let block = u32::try_from(at).map_err(|_| Errno::EFBIG)?;
            at += self.convert_run(block, range.end - at)?;
        }
        Ok(())
    }

    /// A flight is over, the last of its blocks that are written now before `reached`.
    fn end_flight(&self, run: &Range<u64>, reached: u64) -> Vec<Landed> {
        let mut state = self.delayed.state.lock();
        self.raise_disksize(reached << self.fs().geometry().block_bits);
        state.flights.end(run, self.disk_block_count())
    }
}
