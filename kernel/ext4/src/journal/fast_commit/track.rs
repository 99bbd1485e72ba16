//! What the running transaction has changed, kept in mind for the next fast commit.
//!
//! # Which operations
//! One whose handle is begun by [`Ext4Fs::start_tracked`] promises that all it changes is told here, or follows
//! from what is: bitmaps, counts and tree nodes follow from inodes, ranges and names. A handle begun by
//! [`Ext4Fs::start`] promises nothing: the transaction it is in is committed whole. So what nobody thought of
//! costs time and nothing else.
//!
//! ```text
//!   told            by
//!   an inode        Node::store, when it goes to its table
//!   a range         Tree::insert, convert: the least range of a file that has all of them, as in Linux
//!   a name          namei, when it came or went
//! ```
//! Within a tracked operation, these call [`Ext4Fs::mark_ineligible`] when they change something: the orphan
//! list, the superblock, attributes, and who drops pages that a commit would have written.
//!
//! # Locking
//! A spin lock for the length of an insertion. Called inside a handle, so that the transaction is the thread's.
//!
//! Source: the kernel's ext4 documentation, "Fast commits"; the reasons for a whole commit are those of Linux's
//! `EXT4_FC_REASON_*`, and more.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use jbd2::Tid;
use sync::SpinLock;
use vfs::FileType;

use crate::disk::fast_commit::NameChange;
use crate::fs::Ext4Fs;
use crate::inode::Node;

/// Inodes and names that are kept in mind at most; more are better committed.
const MOST: usize = 2048;

/// A name that came or went.
pub(super) struct Named {
    pub what: NameChange,
    pub parent: u32,
    pub ino: u32,
    pub name: Box<[u8]>,
}

/// What a transaction has changed since its last fast commit.
#[derive(Default)]
pub(super) struct Tracked {
    tid: Tid,
    /// Inodes that changed, and where their maps did: file blocks, none when they did not.
    pub inodes: BTreeMap<u32, Range<u64>>,
    /// In the order of their changes.
    pub names: Vec<Named>,
}

impl Tracked {
    /// That of this transaction; an older one's is of no use any more.
    fn of(&mut self, tid: Tid) -> &mut Tracked {
        if self.tid != tid {
            *self = Tracked { tid, ..Tracked::default() };
        }
        self
    }

    fn is_full(&self) -> bool {
        self.inodes.len() + self.names.len() > MOST
    }

    fn add_range(&mut self, ino: u32, range: Range<u64>) {
        let known = self.inodes.entry(ino).or_default();
        *known = match (known.is_empty(), range.is_empty()) {
            (true, _) => range,
            (_, true) => known.clone(),
            _ => known.start.min(range.start)..known.end.max(range.end),
        };
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Tracker {
    on: AtomicBool,
    tracked: SpinLock<Tracked>,
}

impl Tracker {
    /// Whether fast commits are written.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// From now on, or no longer.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// What is to be told of this transaction; nothing is left of it here.
    pub(super) fn take(&self, tid: Tid) -> Tracked {
        mem::take(self.tracked.lock().of(tid))
    }
}

impl Ext4Fs {
    /// What the present transaction changes cannot be told by a fast commit.
    #[inline]
    pub(crate) fn mark_ineligible(&self) {
        if self.tracker.is_on()
            && let Some(journal) = self.journal()
        {
            journal.mark_ineligible();
        }
    }

    /// A name came or went.
    #[inline]
    pub(crate) fn track_name(&self, what: NameChange, parent: u32, ino: u32, name: &[u8]) {
        if self.tracker.is_on() {
            let name = name.into();
            self.track(|all| all.names.push(Named { what, parent, ino, name }));
        }
    }

    #[cold]
    fn track(&self, change: impl FnOnce(&mut Tracked)) {
        let Some(journal) = self.journal() else { return };
        let tid = journal.newest_tid();
        let full = {
            let mut tracked = self.tracker.tracked.lock();
            let tracked = tracked.of(tid);
            if !tracked.is_full() {
                change(tracked);
            }
            tracked.is_full()
        };
        if full {
            journal.mark_ineligible();
        }
    }
}

impl Node {
    /// The inode has gone to its table. Directories are not told of, as in Linux: their names are.
    #[inline]
    pub(crate) fn track_stored(&self) {
        if self.fs().tracker.is_on() && self.kind() != FileType::Directory {
            self.fs().track(|all| all.add_range(self.ino32(), 0..0));
        }
    }

    /// These blocks of the file are mapped in another way.
    #[inline]
    pub(crate) fn track_range(&self, first: u32, len: u32) {
        if self.fs().tracker.is_on() && self.kind() != FileType::Directory {
            let first = u64::from(first);
            self.fs().track(|all| all.add_range(self.ino32(), first..first + u64::from(len)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_file_are_one_and_an_older_transactions_are_forgotten() {
        let tracker = Tracker::default();
        let add = |tid, range| tracker.tracked.lock().of(Tid(tid)).add_range(12, range);
        add(1, 5..9);
        add(2, 0..0);
        add(2, 7..8);
        add(2, 3..4);
        add(2, 0..0);
        let told = tracker.take(Tid(2));
        assert_eq!(told.inodes.into_iter().collect::<Vec<_>>(), [(12, 3..8)]);
        assert!(tracker.take(Tid(2)).inodes.is_empty());
        add(2, 1..2);
        assert!(tracker.take(Tid(3)).inodes.is_empty());
    }
}
