//! The flusher's lists: every dirty inode of a disk is in exactly one of them.
//!
//! * `dirty`: by age; nobody has begun to write them.
//! * `io`: this round's.
//! * `more_io`: begun, but there was more than one turn's share; next round's first.
//! * `active`: the one being written by the flusher (or none).
//!
//! Each is a map from `(when, number)`, so it is ordered by age and an inode can be taken out of the
//! middle. The handles are strong: an inode leaves only clean, or forgotten.
//!
//! # Locking
//! Data only; `Bdi` keeps it behind a SpinLock. A handle that leaves is handed to the caller, who
//! drops it when the lock is free: it may be the last.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::state::{DirtyInode, DirtyState};

pub(crate) type Handle = Arc<dyn DirtyInode>;
type Key = (u64, u64);
type List = BTreeMap<Key, Handle>;

/// The lists of one disk; see the module.
pub(crate) struct Lists {
    dirty: List,
    io: List,
    more_io: List,
    active: List,
    numbers: u64,
}

/// Where an inode goes after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Clean: out.
    Leave,
    /// There is more of it than one turn's share.
    More,
    /// Dirty again, or not yet: it ages from now on.
    Again,
    /// Its pages are on their way; to be looked at next round.
    Pending,
}

fn key(state: &DirtyState) -> Key {
    (state.when.load(Ordering::Relaxed), state.number.load(Ordering::Relaxed))
}

impl Lists {
    pub(crate) const fn new() -> Lists {
        Lists {
            dirty: BTreeMap::new(),
            io: BTreeMap::new(),
            more_io: BTreeMap::new(),
            active: BTreeMap::new(),
            numbers: 0,
        }
    }

    /// An inode became dirty.
    pub(crate) fn add(&mut self, inode: Handle, now: u64) {
        self.numbers += 1;
        let state = inode.dirty_state();
        state.when.store(now, Ordering::Relaxed);
        state.number.store(self.numbers, Ordering::Relaxed);
        self.dirty.insert((now, self.numbers), inode);
    }

    /// An inode that was listed, but clean (its pages were on their way), has become dirty: it is as old as that.
    /// One whose turn it is, or comes in this round, keeps its age until then.
    pub(crate) fn renew(&mut self, state: &DirtyState, now: u64) {
        if let Some(inode) = self.dirty.remove(&key(state)) {
            self.add(inode, now);
        }
    }

    /// Takes an inode out, wherever it is.
    pub(crate) fn remove(&mut self, state: &DirtyState) -> Option<Handle> {
        let key = key(state);
        [&mut self.dirty, &mut self.io, &mut self.more_io, &mut self.active]
            .into_iter()
            .find_map(|list| list.remove(&key))
    }

    /// A round begins: what was not done, and what became dirty no later than `until`.
    pub(crate) fn queue_io(&mut self, until: u64) {
        self.io.append(&mut self.more_io);
        let younger = match until.checked_add(1) {
            Some(after) => self.dirty.split_off(&(after, 0)),
            None => List::new(),
        };
        self.io.append(&mut self.dirty);
        self.dirty = younger;
    }

    /// The oldest of this round.
    pub(crate) fn next(&mut self) -> Option<Handle> {
        let (key, inode) = self.io.pop_first()?;
        self.active.insert(key, inode.clone());
        Some(inode)
    }

    /// After a turn. The handle is for the caller to drop. An inode that is in no list, or in another
    /// than `active` because this was not the flusher's turn, stays unless it leaves.
    pub(crate) fn settle(&mut self, state: &DirtyState, next: Next, now: u64) -> Option<Handle> {
        let key = key(state);
        if next == Next::Leave {
            return self.remove(state);
        }
        let inode = self.active.remove(&key)?;
        match next {
            Next::Leave => return Some(inode),
            Next::More => drop(self.more_io.insert(key, inode)),
            Next::Pending => drop(self.dirty.insert(key, inode)),
            Next::Again => self.add(inode, now),
        }
        None
    }

    /// All of them.
    pub(crate) fn snapshot(&self) -> Vec<Handle> {
        let lists = [&self.active, &self.io, &self.more_io, &self.dirty];
        lists.into_iter().flat_map(|list| list.values().cloned()).collect()
    }

    /// Whether no more than so many pages are dirty or on their way. False also when many inodes are listed: nobody
    /// looks at all of them.
    pub(crate) fn holds_few(&self, pages: usize) -> bool {
        let lists = [&self.active, &self.io, &self.more_io, &self.dirty];
        if lists.iter().map(|list| list.len()).sum::<usize>() > pages {
            return false;
        }
        let inodes = lists.into_iter().flat_map(BTreeMap::values);
        inodes.map(|inode| inode.mapping().unwritten(pages + 1)).sum::<usize>() <= pages
    }

    /// Whether nothing is dirty.
    pub(crate) fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.io.is_empty() && self.more_io.is_empty() && self.active.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddressSpace, WritebackControl};
    use base::{Ino, Result};

    struct Nobody(DirtyState, Arc<AddressSpace>);

    impl DirtyInode for Nobody {
        fn ino(&self) -> Ino {
            Ino(1)
        }
        fn dirty_state(&self) -> &DirtyState {
            &self.0
        }
        fn mapping(&self) -> &Arc<AddressSpace> {
            &self.1
        }
        fn writepages(&self, _control: &mut WritebackControl) -> Result<()> {
            Ok(())
        }
        fn write_inode(&self, _sync: bool) -> Result<()> {
            Ok(())
        }
    }

    fn inode(lists: &mut Lists, now: u64) -> Handle {
        let inode: Handle = Arc::new(Nobody(DirtyState::new(), AddressSpace::new()));
        lists.add(inode.clone(), now);
        inode
    }

    fn is(found: Option<Handle>, expected: &Handle) -> bool {
        found.is_some_and(|f| Arc::ptr_eq(&f, expected))
    }

    #[test]
    fn the_oldest_comes_first_and_the_young_stay() {
        let mut lists = Lists::new();
        let (b, a, young) = (inode(&mut lists, 20), inode(&mut lists, 10), inode(&mut lists, 21));
        lists.queue_io(20);
        assert!(is(lists.next(), &a) && is(lists.next(), &b) && lists.next().is_none());
        assert!(is(lists.settle(a.dirty_state(), Next::Leave, 0), &a));
        assert!(lists.settle(b.dirty_state(), Next::Again, 30).is_none());
        lists.queue_io(29);
        assert!(is(lists.next(), &young) && lists.next().is_none());
        assert_eq!(lists.snapshot().len(), 2);
    }

    #[test]
    fn what_was_clean_is_as_old_as_its_next_change() {
        let mut lists = Lists::new();
        let (first, second) = (inode(&mut lists, 1), inode(&mut lists, 2));
        lists.renew(first.dirty_state(), 3);
        lists.queue_io(2);
        assert!(is(lists.next(), &second) && lists.next().is_none());
        assert!(is(lists.settle(second.dirty_state(), Next::Leave, 3), &second));
        lists.queue_io(3);
        assert!(is(lists.next(), &first));
        assert!(is(lists.settle(first.dirty_state(), Next::Leave, 3), &first));
        assert!(lists.is_empty());
    }

    #[test]
    fn what_was_not_done_comes_first_next_round() {
        let mut lists = Lists::new();
        let large = inode(&mut lists, 1);
        lists.queue_io(1);
        assert!(is(lists.next(), &large));
        assert!(lists.settle(large.dirty_state(), Next::More, 5).is_none());
        assert!(lists.next().is_none());
        lists.queue_io(0);
        assert!(is(lists.next(), &large));
        // Begun and dirtied again: its age is not for this to say.
        lists.renew(large.dirty_state(), 9);
        // Forgotten while it is being written: it does not come back.
        assert!(is(lists.remove(large.dirty_state()), &large));
        assert!(lists.settle(large.dirty_state(), Next::Again, 5).is_none());
        assert!(lists.is_empty());
    }
}
