//! The journal's door: how a change of metadata comes to know of the journal, and the reverse.
//!
//! All metadata is changed through [`Buffer::write`]. When the device has a journal, that guard first asks
//! it for write access, unless the block is JOURNALLED already:
//!
//! ```text
//!                 get_write_access             begin_commit            end_copy
//!   clean, DIRTY ------------------> JOURNALLED -------------> COMMITTING ---------> (no bit)
//!                                     |      ^                      |                   | finish_commit
//!                               unfile|      | get_write_access: the copy first         v
//!                                     v      +----------------------+                 DIRTY, goes home
//!                                   clean
//! ```
//! While it is JOURNALLED the block is not DIRTY, so nobody takes it home: its newest bytes belong to a
//! transaction that has not committed. The journal's [`Buffer`] keeps the page in memory meanwhile.
//!
//! # Locking
//! The journal is asked with the block's byte lock held for writing: nobody else sees or changes the bytes,
//! and a write of them is not under way. What the journal does there may take its own lock, and no other.
//! It must not wait for a transaction there.

use alloc::sync::{Arc, Weak};

use sync::SpinLock;
use sync::atomic::{AtomicBool, Ordering};

use crate::buffer::Buffer;
use crate::head;

/// What a device's metadata asks of a journal.
pub trait MetadataJournal: Send + Sync {
    /// The block is about to change; `bytes` is what it holds until then. On return it has been put into the
    /// running transaction ([`Buffer::set_journalled`]), and what a transaction that commits still needs of
    /// `bytes` was copied. False: the journal does not want it, and the block becomes dirty as without one.
    fn get_write_access(&self, buffer: &Buffer, bytes: &[u8]) -> bool;
}

/// A device's journal, if it has one.
pub(crate) struct Door {
    /// Whether there is one: asked at each change of a block.
    open: AtomicBool,
    /// Weak, since the journal knows the device.
    journal: SpinLock<Option<Weak<dyn MetadataJournal>>>,
}

impl Door {
    pub(crate) fn new() -> Door {
        Door { open: AtomicBool::new(false), journal: SpinLock::new(None) }
    }

    pub(crate) fn set(&self, journal: Option<Arc<dyn MetadataJournal>>) {
        self.open.store(journal.is_some(), Ordering::Release);
        *self.journal.lock() = journal.as_ref().map(Arc::downgrade);
    }

    /// Asks the journal, if there is one; whether it has the block now.
    #[inline]
    pub(crate) fn enter(&self, buffer: &Buffer, bytes: &[u8]) -> bool {
        self.open.load(Ordering::Acquire) && self.ask(buffer, bytes)
    }

    #[inline(never)]
    fn ask(&self, buffer: &Buffer, bytes: &[u8]) -> bool {
        let journal = self.journal.lock().as_ref().and_then(Weak::upgrade);
        journal.is_some_and(|journal| journal.get_write_access(buffer, bytes))
    }
}

/// What the journal does with a block. Each is called under the journal's lock of its lists.
impl Buffer {
    /// The block is in the running transaction: its bytes may not go home. With its byte lock held.
    pub fn set_journalled(&self) {
        self.head().replace(head::DIRTY, head::JOURNALLED);
    }

    /// Whether the block is in the running transaction.
    #[inline]
    pub fn is_journalled(&self) -> bool {
        self.head().has(head::JOURNALLED)
    }

    /// The block leaves the running transaction, which does not write it. Whether it was in it.
    pub fn unfile(&self) -> bool {
        self.head().clear(head::JOURNALLED) & head::JOURNALLED != 0
    }

    /// The running transaction becomes the one that commits, and the block with it. False when the block is
    /// not in it (any more, or was found by another entry before).
    pub fn begin_commit(&self) -> bool {
        let in_it = self.is_journalled();
        if in_it {
            self.head().replace(head::JOURNALLED, head::COMMITTING);
        }
        in_it
    }

    /// Whether its bytes are wanted by a commit that has not copied them yet.
    #[inline]
    pub fn is_committing(&self) -> bool {
        self.head().has(head::COMMITTING)
    }

    /// The commit has its copy. With the block's byte lock held.
    pub fn end_copy(&self) {
        self.head().clear(head::COMMITTING);
    }

    /// Its transaction has committed and no later one has changed it: its bytes may go home.
    pub fn finish_commit(&self) {
        self.set_dirty();
    }

    /// Whether the disk has its bytes, all of them committed.
    pub fn is_home(&self) -> bool {
        const ON_THE_WAY: u64 = head::DIRTY | head::WRITING | head::JOURNALLED | head::COMMITTING;
        self.head().state() & ON_THE_WAY == 0
    }
}
