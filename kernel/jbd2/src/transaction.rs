//! What a transaction has: its buffers, what it frees, the data it waits for, whom it calls.
//!
//! ```text
//!   Pending   the running one, filled by handles
//!      │ switch: every buffer's head goes from JOURNALLED to COMMITTING
//!      ▼
//!   Commit    owned by who commits; `frozen` alone is shared with the next transaction's writers
//!      │ the commit block is on the disk
//!      ▼
//!   Checkpoint   buffers that are in the log and not at home yet   (checkpoint.rs)
//! ```
//! # Finding a buffer
//! Nobody looks one up when it is changed: the head's bits say whether it is in the running transaction
//! and whether the committing one still needs its bytes. A list may name a buffer that has left (its head
//! says so), or one twice (the second finds the bit gone). Only what is rare is found by block number: a
//! frozen copy, a forgotten block.
//!
//! # Locking
//! One sleeping lock, [`Lists`], below every byte guard; `state` (spin) and the cache's tree lock may be
//! taken under it, nothing else.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::{FsBlock, Result};
use hashbrown::HashMap;
use pagecache::Buffer;

use crate::checkpoint::Checkpoint;

/// A file whose new data are on the disk before the transaction that makes them visible commits
/// (`data=ordered`). Called by the thread that commits: neither starts a handle nor allocates blocks.
pub trait OrderedInode: Send + Sync {
    /// Begins writing what is dirty in the range, without waiting (`filemap_fdatawrite_range`).
    fn submit_ordered(&self, range: Range<u64>) -> Result<()>;
    /// Waits until what was begun in the range is written. An error does not stop the commit unless
    /// [`crate::Options::abort_on_data_error`] says so; the file's own errors are its own to tell.
    fn wait_ordered(&self, range: Range<u64>) -> Result<()>;
}

/// Called when a transaction's fate is known.
pub(crate) type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// A file and the bytes of it that a transaction waits for.
pub(crate) type Ordered = (Arc<dyn OrderedInode>, Range<u64>);

/// A block that the transaction frees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Forgotten {
    /// Copies in the log, of this transaction or before, must not be replayed.
    pub revoke: bool,
}

/// The running transaction's lists.
#[derive(Default)]
pub(crate) struct Pending {
    pub buffers: Vec<Buffer>,
    /// Blocks freed, by number.
    pub forgotten: HashMap<FsBlock, Forgotten>,
    pub ordered: HashMap<usize, Ordered>,
    pub callbacks: Vec<Callback>,
}

impl Pending {
    /// Whether a commit would have nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffers.is_empty()
            && self.forgotten.is_empty()
            && self.ordered.is_empty()
            && self.callbacks.is_empty()
    }

    /// The block is changed in this transaction. A block that it freed before is in use again.
    pub(crate) fn file(&mut self, buffer: &Buffer) {
        if !self.forgotten.is_empty() {
            self.forgotten.remove(&buffer.block());
        }
        self.buffers.push(buffer.clone());
    }

    /// Blocks of files that were changed first and freed then: nobody wants what they held.
    pub(crate) fn keep_what_is_used(&mut self) {
        if !self.forgotten.is_empty() {
            let forgotten = &self.forgotten;
            self.buffers.retain(|buffer| !forgotten.contains_key(&buffer.block()) || !buffer.unfile());
        }
    }

    /// One range a file: the smallest that has all of them.
    pub(crate) fn add_ordered(&mut self, inode: Arc<dyn OrderedInode>, range: Range<u64>) {
        let key = Arc::as_ptr(&inode).cast::<()>().addr();
        let (_, all) = self.ordered.entry(key).or_insert_with(|| (inode, range.clone()));
        *all = all.start.min(range.start)..all.end.max(range.end);
    }
}

/// The lists of all transactions; see the module.
#[derive(Default)]
pub(crate) struct Lists {
    pub running: Pending,
    /// Of the transaction that commits: blocks as they were when it was switched, which have been changed
    /// since, by number. The commit takes them out as it copies them.
    pub frozen: HashMap<FsBlock, Box<[u8]>>,
    /// Of the transaction that commits: the blocks that it frees.
    pub forgotten: HashMap<FsBlock, Forgotten>,
    pub checkpoint: Checkpoint,
}

impl Lists {
    /// The block is about to be changed in the running transaction: what it holds until then is kept for the
    /// commit that still wants it.
    pub(crate) fn enter(&mut self, buffer: &Buffer, bytes: &[u8]) {
        if buffer.is_committing() {
            self.frozen.insert(buffer.block(), bytes.into());
            buffer.end_copy();
        }
        buffer.set_journalled();
        self.running.file(buffer);
    }
}
