//! ext4's side of its journal: handles, credits.
//!
//! # What a handle is
//! What is changed between the start of a handle and its end reaches the disk together or not at all.
//! So every operation that changes metadata holds one ([`Ext4Fs::start`]); what may grow without bound
//! (truncate, fallocate) takes one for each of its chunks, and the orphan list leads a mount after a crash to
//! the rest. Without a journal a handle is nothing but the check that the file system may be written.
//!
//! ```text
//!   let _handle = fs.start(credits::unlink())?;            // EROFS, EIO
//!   …change buffers through their guards…
//!   fs.transact(credits::create(dir), || …)                 // the same, and again after a commit on ENOSPC
//! ```
//!
//! # What must not happen inside
//! * Waiting for another handle to start, for a commit, or for an inode that is being evicted. So a lock
//!   that comes after "handle" in the lock order is never held where one starts: page lock,
//!   `xattr_sem`, `data_sem`, the orphan list, a group.
//! * Dropping the last use of an inode without a name: deleting it takes handles of its own. [`Later`] sees to
//!   it that such a use outlives the handle.
//! * A user copy that may fault.
//!
//! # Locking
//! `i_rwsem` → handle → page lock; see the crate.

pub(crate) mod credits;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use base::{Errno, Result};
use sync::SpinLock;

use crate::fs::Ext4Fs;
use crate::inode::Ext4Inode;

/// A change of metadata under way; see the module.
#[must_use = "a handle ends when it is dropped"]
pub(crate) struct Handle<'a> {
    fs: &'a Ext4Fs,
}

/// Uses of inodes that were dropped inside a handle, kept until it has ended.
#[derive(Default)]
pub(crate) struct Later {
    any: AtomicBool,
    inodes: SpinLock<Vec<Arc<Ext4Inode>>>,
}

impl Later {
    /// Keeps a use until the present handle has ended.
    pub fn keep(&self, inode: Arc<Ext4Inode>) {
        self.inodes.lock().push(inode);
        self.any.store(true, Ordering::Release);
    }

    fn drop_all(&self) {
        if self.any.swap(false, Ordering::AcqRel) {
            let inodes = core::mem::take(&mut *self.inodes.lock());
            drop(inodes);
        }
    }
}

impl Ext4Fs {
    /// Begins a change of at most so many blocks ([`credits`]). Inside another handle it is a part of that.
    /// EROFS when nothing may be written; EIO, ENOMEM, ENOSPC (the journal is too small).
    pub(crate) fn start(&self, _credits: u32) -> Result<Handle<'_>> {
        self.check_writable()?;
        Ok(Handle { fs: self })
    }

    /// The handle that [`Handle::keep`] left for the present thread.
    pub(crate) fn kept(&self) -> Option<Handle<'_>> {
        Some(Handle { fs: self })
    }

    /// Whether the present thread is inside a handle.
    pub(crate) fn in_handle(&self) -> bool {
        false
    }

    /// Does `change` inside a handle; again, when it finds no room and there are blocks that a commit sets
    /// free. Nothing that a handle must not meet is held by the caller.
    pub(crate) fn transact<R>(&self, credits: u32, mut change: impl FnMut() -> Result<R>) -> Result<R> {
        let mut tries = 0;
        loop {
            let done = {
                let _handle = self.start(credits)?;
                change()
            };
            match done {
                Err(Errno::ENOSPC) if self.should_retry(&mut tries) => {}
                done => return done,
            }
        }
    }

    /// Whether what found no room should be tried again, because a commit has set blocks free.
    pub(crate) fn should_retry(&self, _tries: &mut u32) -> bool {
        false
    }
}

impl Handle<'_> {
    /// Leaves the handle open for [`Ext4Fs::kept`]: it lasts from one function to the next.
    pub(crate) fn keep(self) {}

    /// Reserves so many blocks more; false when the transaction has no room for them.
    pub(crate) fn extend(&mut self, _credits: u32) -> bool {
        true
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        if !self.fs.in_handle() {
            self.fs.later.drop_all();
        }
    }
}
