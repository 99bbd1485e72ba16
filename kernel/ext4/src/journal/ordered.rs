//! Ordered mode: a transaction's new data are on the disk before the transaction is.
//!
//! ```text
//!   map, blocks new ──▶ note_new: the range goes to the transaction, which writes it before its commit block
//!   pages dropped   ──▶ settle_ordered first: a transaction that commits meanwhile still wants them
//! ```
//! Without the second, a file that grew in one transaction and is cut or deleted in the next would show, after
//! a crash between the two, what its blocks held before. A fast commit that is under way when they are dropped
//! comes to nothing.
//!
//! # Locking
//! [`OrderedInode`] is called by the thread that commits. It takes page locks and `data_sem` shared, and
//! allocates nothing: a dirty block that has no place is passed over.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use base::Result;
use jbd2::{OrderedInode, Tid};
use pagecache::{WritebackControl, filemap_fdatawait_range, filemap_write_and_wait_range, mpage_writepages};
use vfs::FileType;

use crate::inode::Node;
use crate::options::DataMode;

/// The last two transactions that an inode's data were noted for: one may run while the other commits. Each as
/// its number plus 1; 0 for none.
#[derive(Default)]
pub(crate) struct LastOrdered {
    last: AtomicU64,
    before: AtomicU64,
}

impl LastOrdered {
    fn set(&self, tid: Tid) {
        let tid = u64::from(tid.0) + 1;
        let last = self.last.swap(tid, Ordering::Relaxed);
        if last != tid {
            self.before.store(last, Ordering::Relaxed);
        }
    }

    /// Whether one of them is so.
    fn any(&self, so: impl Fn(Tid) -> bool) -> bool {
        [&self.last, &self.before].into_iter().any(|tid| {
            // It was a u32.
            tid.load(Ordering::Relaxed).checked_sub(1).is_some_and(|tid| so(Tid(tid as u32)))
        })
    }
}

impl OrderedInode for Node {
    fn submit_ordered(&self, range: Range<u64>) -> Result<()> {
        if !self.mapping().has_dirty() {
            return Ok(());
        }
        // Not `writepages`, which writes nothing after a shutdown: that may yet commit what runs. What has no
        // place yet is of a later transaction.
        mpage_writepages(self.mapping(), self, &mut WritebackControl::sync(range).placed_only())
    }

    fn wait_ordered(&self, range: Range<u64>) -> Result<()> {
        filemap_fdatawait_range(self.mapping(), range)
    }
}

impl Node {
    /// The blocks of these bytes are new, or hold what must be written before the present transaction
    /// commits. Inside a handle.
    pub(crate) fn note_ordered(&self, bytes: Range<u64>) {
        let Some(journal) = self.fs().journal() else { return };
        let wanted = self.kind() == FileType::Regular
            && self.fs().data_mode() == DataMode::Ordered
            && !self.journals_data();
        if wanted && journal.current_handle() {
            self.note_written_first(bytes);
        }
    }

    /// The same whatever the mode. Nothing without a journal.
    pub(crate) fn note_written_first(&self, bytes: Range<u64>) {
        let Some(journal) = self.fs().journal() else { return };
        if let (Ok(handle), Some(node)) = (journal.start(0), self.arc()) {
            self.last_ordered.set(handle.tid());
            handle.add_ordered(node, bytes);
        }
    }

    /// [`Node::note_ordered`] of blocks.
    pub(crate) fn note_new(&self, first: u32, len: u32) {
        let bits = self.fs().geometry().block_bits;
        let start = u64::from(first) << bits;
        self.note_ordered(start..start + (u64::from(len) << bits));
    }

    /// Pages of these bytes are about to be dropped: what a transaction before the present one still waits
    /// for is written first. Inside the handle that makes the bytes unreachable.
    pub(crate) fn settle_ordered(&self, bytes: Range<u64>) -> Result<()> {
        let Some(journal) = self.fs().journal() else { return Ok(()) };
        if self.fs().tracker.is_on() {
            journal.spoil_fast_commit();
        }
        let ours = journal.newest_tid();
        let waits = self.last_ordered.any(|tid| tid != ours && !journal.is_committed(tid));
        if !waits || !self.mapping().has_dirty() {
            return Ok(());
        }
        filemap_write_and_wait_range(self.mapping(), self, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_that_commits_is_not_forgotten() {
        let noted = LastOrdered::default();
        let waits = |of| noted.any(|tid| tid == Tid(of));
        assert!(!waits(0) && !waits(u32::MAX));
        noted.set(Tid(u32::MAX));
        noted.set(Tid(u32::MAX));
        assert!(waits(u32::MAX) && !waits(0));
        noted.set(Tid(0));
        noted.set(Tid(0));
        assert!(waits(u32::MAX) && waits(0));
        noted.set(Tid(1));
        assert!(!waits(u32::MAX) && waits(0) && waits(1));
    }
}
