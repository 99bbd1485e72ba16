//! The journals that there are, for who shows them (`/proc/fs/jbd2`).
//!
//! A journal is listed from the moment it is loaded, also one that nobody may write to, until it is dropped.
//! Its number is its own for as long as the system runs.
//!
//! # Locking
//! A spin lock for the length of a push or of a copy of the list. The journals are dropped without it.

use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use sync::SpinLock;

use crate::journal::Journal;

struct Registry {
    next: u32,
    journals: Vec<(u32, Weak<Journal>)>,
}

static REGISTRY: SpinLock<Registry> = SpinLock::new(Registry { next: 1, journals: Vec::new() });

/// Lists a journal, and forgets those that are gone.
pub(crate) fn add(journal: &Arc<Journal>) {
    let mut registry = REGISTRY.lock();
    registry.journals.retain(|(_, journal)| journal.strong_count() > 0);
    let number = registry.next;
    registry.next = number.wrapping_add(1);
    registry.journals.push((number, Arc::downgrade(journal)));
}

/// All of them, each with its number, in the order in which they were loaded.
pub fn journals() -> Vec<(u32, Arc<Journal>)> {
    let all = REGISTRY.lock().journals.clone();
    all.into_iter().filter_map(|(number, journal)| Some((number, journal.upgrade()?))).collect()
}

/// The one with this number, if it is still there.
pub fn by_number(number: u32) -> Option<Arc<Journal>> {
    let found = REGISTRY.lock().journals.iter().find(|(n, _)| *n == number).map(|(_, j)| j.clone());
    found?.upgrade()
}

impl Journal {
    /// What Linux calls it: the file system's disk and the log's inode, `vda-8`; or the log's own disk.
    pub fn name(&self) -> String {
        let setup = self.setup();
        match setup.inode {
            Some(ino) => format!("{}-{}", setup.fs_device.disk().name(), ino.0),
            None => setup.device.disk().name().into(),
        }
    }
}
