//! fsync and sync: which transaction is waited for.
//!
//! # What fsync costs
//! ```text
//!   the disk has fast_commit, and all of the transaction can be told    one write, which flushes the device too
//!   the inode changed in a transaction that is not committed   its commit, which flushes the device too
//!   its data were written, its transaction is committed         one FLUSH
//! ```
//! fdatasync waits for the last transaction that changed how the data are found: size and map. That a time
//! changed is not worth a commit to it. Directories have no such difference: their entries are their data.
//!
//! Of a file whose data go through the journal all is in the transaction, and nothing else is written.
//!
//! # Locking
//! None is held while a commit is waited for.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base::{Errno, Result};
use jbd2::Tid;
use vfs::FileType;

use crate::balloc::trim;
use crate::fs::Ext4Fs;
use crate::inode::Node;
use crate::journal::fast_commit;
use crate::options::Flag;

/// The transactions that last changed an inode (`i_sync_tid`, `i_datasync_tid`).
#[derive(Default)]
pub(crate) struct SyncTids {
    sync: AtomicU32,
    datasync: AtomicU32,
    /// Size or map changed since the inode was last brought to its table.
    map_changed: AtomicBool,
}

impl SyncTids {
    /// Of an inode that comes into memory: it may have been changed in any transaction up to the newest.
    pub fn new(fs: &Ext4Fs) -> SyncTids {
        let newest = fs.journal().map_or(0, |journal| journal.newest_tid().0);
        SyncTids { sync: newest.into(), datasync: newest.into(), map_changed: AtomicBool::new(false) }
    }

    /// The transaction that last changed the inode.
    pub fn sync_tid(&self) -> Tid {
        Tid(self.sync.load(Ordering::Acquire))
    }

    /// How the data are found has changed.
    #[inline]
    pub fn note_map_changed(&self) {
        self.map_changed.store(true, Ordering::Release);
    }

    /// The data themselves are in this transaction.
    pub fn note_data(&self, tid: Tid) {
        self.sync.store(tid.0, Ordering::Release);
        self.datasync.store(tid.0, Ordering::Release);
    }

    /// The inode was brought to its table, or its blocks have changed, inside a handle.
    #[inline]
    pub fn note_stored(&self, fs: &Ext4Fs) {
        let Some(journal) = fs.journal() else { return };
        let tid = journal.newest_tid().0;
        self.sync.store(tid, Ordering::Release);
        if self.map_changed.swap(false, Ordering::AcqRel) {
            self.datasync.store(tid, Ordering::Release);
        }
    }
}

impl Node {
    /// Brings the bytes `start..=end`, the inode and the metadata to the medium. Without a journal all
    /// of the device's dirty metadata is written: the inode may depend on any of it. EROFS after an error
    /// that ended writing, EIO after a shutdown.
    pub fn fsync(&self, start: u64, end: u64, datasync: bool) -> Result<()> {
        let fs = self.fs();
        fs.check_running()?;
        let Some(journal) = fs.journal() else { return self.fsync_without_journal(start, end, datasync) };
        if fs.read_only() {
            return if journal.is_aborted() { Err(Errno::EROFS) } else { Ok(()) };
        }
        if !datasync {
            self.store_lazy_times();
        }
        let journalled = self.journals_data();
        let mut pages = Ok(());
        if !journalled {
            pages = fs.bdi().write_inode_now(self, start..end.saturating_add(1), datasync);
        }
        self.store_if_stale();
        pages?;
        let tids = &self.tids;
        let only_data = datasync && self.kind() == FileType::Regular;
        let tid = if only_data { &tids.datasync } else { &tids.sync };
        let tid = Tid(tid.load(Ordering::Acquire));
        let fast = if fs.tracker.is_on() { fast_commit::commit(fs, journal, tid) } else { None };
        let flushed = match fast {
            Some(flushed) => flushed,
            None => journal.complete_transaction(tid)?,
        };
        // What is in the log is durable.
        if flushed || journalled { Ok(()) } else { fs.flush_if_wanted() }
    }

    /// Whether the way to its data is not on the medium yet.
    pub(crate) fn is_datasync_dirty(&self) -> bool {
        let tid = Tid(self.tids.datasync.load(Ordering::Acquire));
        self.is_stale() || self.fs().journal().is_none_or(|journal| !journal.is_committed(tid))
    }

    fn fsync_without_journal(&self, start: u64, end: u64, datasync: bool) -> Result<()> {
        let fs = self.fs();
        if !fs.has_begun() {
            return Ok(());
        }
        let freed = trim::take_freed(fs);
        if !datasync {
            self.store_lazy_times();
        }
        let pages = fs.bdi().write_inode_now(self, start..end.saturating_add(1), datasync);
        self.store_if_stale();
        let metadata = fs.device().sync();
        pages.and(metadata)?;
        fs.device().flush()?;
        trim::discard_freed(fs, freed);
        Ok(())
    }
}

impl Ext4Fs {
    /// sync(2) and syncfs(2) with a journal: all data, and a commit.
    pub(crate) fn sync_with_journal(&self, wait: bool) -> Result<()> {
        for node in self.inodes.all() {
            node.store_if_stale();
            node.store_lazy_times();
        }
        self.bdi().sync_data(wait)?;
        let Some(journal) = self.journal().filter(|_| wait) else { return Ok(()) };
        let flushed = journal.complete_transaction(journal.newest_tid())?;
        if flushed { Ok(()) } else { self.flush_if_wanted() }
    }

    /// The device's FLUSH, unless `nobarrier` does without.
    fn flush_if_wanted(&self) -> Result<()> {
        if self.is_on(Flag::BARRIER) { self.device().flush() } else { Ok(()) }
    }
}
