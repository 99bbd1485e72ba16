//! Ordered mode: a transaction's new data are on the disk before the transaction is.
//!
//! ```text
//!   map, blocks new ──▶ note_new: the range goes to the transaction, which writes it before its commit block
//!   pages dropped   ──▶ settle_ordered first: a transaction that commits meanwhile still wants them
//! ```
//! Without the second, a file that grew in one transaction and is cut or deleted in the next would show, after
//! a crash between the two, what its blocks held before.
//!
//! # Locking
//! [`OrderedInode`] is called by the thread that commits. It takes page locks, and allocates nothing: every
//! dirty page of an inode that was noted has its place.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use base::Result;
use jbd2::{OrderedInode, Tid};
use pagecache::{filemap_fdatawait_range, filemap_fdatawrite_range, filemap_write_and_wait_range};
use vfs::FileType;

use crate::inode::Node;
use crate::options::DataMode;

/// The last transaction that an inode's data were noted for: its number plus 1; 0 for none.
#[derive(Default)]
pub(crate) struct LastOrdered(AtomicU64);

impl LastOrdered {
    fn set(&self, tid: Tid) {
        self.0.store(u64::from(tid.0) + 1, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Tid> {
        // It was a u32.
        self.0.load(Ordering::Relaxed).checked_sub(1).map(|tid| Tid(tid as u32))
    }
}

impl OrderedInode for Node {
    fn submit_ordered(&self, range: Range<u64>) -> Result<()> {
        filemap_fdatawrite_range(self.mapping(), self, range)
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
        let wanted = self.kind() == FileType::Regular && self.fs().data_mode() == DataMode::Ordered;
        if !wanted || !journal.current_handle() {
            return;
        }
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
        let Some((journal, tid)) = self.fs().journal().zip(self.last_ordered.get()) else { return Ok(()) };
        if tid == journal.newest_tid() || journal.is_committed(tid) || !self.mapping().has_dirty() {
            return Ok(());
        }
        filemap_write_and_wait_range(self.mapping(), self, bytes)
    }

    /// The same where the handles that follow may be of later transactions: also what the running one
    /// waits for.
    pub(crate) fn settle_all_ordered(&self, bytes: Range<u64>) -> Result<()> {
        let Some((journal, tid)) = self.fs().journal().zip(self.last_ordered.get()) else { return Ok(()) };
        if journal.is_committed(tid) || !self.mapping().has_dirty() {
            return Ok(());
        }
        filemap_write_and_wait_range(self.mapping(), self, bytes)
    }
}
