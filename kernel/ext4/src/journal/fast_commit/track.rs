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
//!   a range         Tree::insert, convert, Node::remove_chunk: the least range of a file that has all of them, as in
//!                   Linux; and all behind its end when a file is cut
//!   a name          namei, when it came or went
//!   an end          namei, when an inode has lost its last name: what was told of it before is forgotten
//! ```
//! Of an inode without names nothing is told but that they went: whoever replays that deletes it. Its number may be
//! another's then, in the same transaction; its blocks may not before the commit (`balloc/pending.rs`).
//!
//! Within a tracked operation, these call [`Ext4Fs::mark_ineligible`] when they change something: the orphan
//! list, when one leaves that a crash would find there, the superblock, attributes.
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

use super::stats::{Reason, Stats};
use crate::disk::fast_commit::NameChange;
use crate::disk::inode::InodeFlags;
use crate::fs::Ext4Fs;
use crate::inode::Node;
use crate::trace;

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

impl Tracked {
    /// The inode has lost its last name. Those that it got and lost since it was made, if that is to be told yet,
    /// never were.
    fn forget(&mut self, ino: u32) {
        self.inodes.remove(&ino);
        let made = |named: &Named| named.ino == ino && named.what == NameChange::Create;
        if let Some(at) = self.names.iter().rposition(made) {
            let mut n = 0..;
            self.names.retain(|named| n.next().is_none_or(|n| n < at) || named.ino != ino);
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Tracker {
    on: AtomicBool,
    tracked: SpinLock<Tracked>,
    pub(crate) stats: Stats,
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
    pub(crate) fn mark_ineligible(&self, why: Reason) {
        if self.tracker.is_on()
            && let Some(journal) = self.journal()
        {
            self.tracker.stats.refused(why);
            journal.mark_ineligible();
        }
    }

    /// The running transaction, where fast commits are written. Inside a handle.
    #[inline]
    pub(crate) fn fast_commit_tid(&self) -> Option<Tid> {
        self.journal().filter(|_| self.tracker.is_on()).map(|journal| journal.newest_tid())
    }

    /// A name of the node came or went, in the directory `parent`.
    #[inline]
    pub(crate) fn track_name(&self, what: NameChange, parent: u32, node: &Node, name: &[u8]) {
        if self.tracker.is_on() {
            let (ino, name) = (node.ino32(), name.into());
            let tid = self.track(|all| all.names.push(Named { what, parent, ino, name }));
            trace::fc_track_name(what, node, tid);
        }
    }

    /// Changes what is kept in mind of the running transaction, if there is room; which one that is.
    #[cold]
    fn track(&self, change: impl FnOnce(&mut Tracked)) -> Tid {
        let Some(journal) = self.journal() else { return Tid::default() };
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
            self.mark_ineligible(Reason::NoMemory);
        }
        tid
    }
}

impl Node {
    /// The inode has gone to its table. Directories are not told of, as in Linux: their names are.
    #[inline]
    pub(crate) fn track_stored(&self) {
        if self.is_tracked() {
            let mut known = false;
            let tid = self.fs().track(|all| {
                known = all.inodes.contains_key(&self.ino32());
                all.add_range(self.ino32(), 0..0);
            });
            trace::fc_track_inode(self, tid, known);
        }
    }

    /// These blocks of the file are mapped in another way, or no longer.
    #[inline]
    pub(crate) fn track_range(&self, blocks: Range<u64>) {
        if self.is_tracked() {
            let tid = self.fs().track(|all| all.add_range(self.ino32(), blocks.clone()));
            trace::fc_track_range(self, tid, blocks);
        }
    }

    /// The inode has lost its last name: nothing more is told of it than that. Inside the handle.
    #[inline]
    pub(crate) fn track_end(&self) {
        if !self.fs().tracker.is_on() {
            return;
        }
        // The replay deletes it: it must be one whose blocks that knows.
        if self.flags().contains(InodeFlags::JOURNAL_DATA) {
            self.fs().mark_ineligible(Reason::InodeJournalData);
        } else if self.is_mapped() && !self.flags().contains(InodeFlags::EXTENTS) {
            self.fs().mark_ineligible(Reason::Other);
        }
        self.fs().track(|all| all.forget(self.ino32()));
    }

    fn is_tracked(&self) -> bool {
        self.fs().tracker.is_on() && self.kind() != FileType::Directory && self.nlink() != 0
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

    #[test]
    fn of_an_inode_that_was_made_and_lost_its_names_nothing_is_told() {
        use NameChange::{Create, Link, Unlink};
        let mut all = Tracked::default();
        // Inode 12 was there before; its number is another's later.
        for (what, ino) in [(Unlink, 12), (Create, 13), (Create, 12), (Link, 13), (Link, 12), (Unlink, 12)] {
            all.names.push(Named { what, parent: 2, ino, name: Box::default() });
            all.add_range(ino, 0..1);
        }
        all.forget(12);
        let left: Vec<_> = all.names.iter().map(|named| (named.what, named.ino)).collect();
        assert_eq!(left, [(Unlink, 12), (Create, 13), (Link, 13)]);
        assert_eq!(all.inodes.keys().copied().collect::<Vec<_>>(), [13]);
        all.forget(12);
        assert_eq!(all.names.len(), 3, "of one that was there before, its names that went are told");
    }
}
