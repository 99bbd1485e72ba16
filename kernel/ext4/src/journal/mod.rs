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
//! ```text
//!   mod.rs   handles          credits.rs  what they reserve       later.rs   uses that outlive them
//!   load.rs  the journal found, recovered, begun and ended        ordered.rs data before metadata
//!   mode.rs  which options go together
//!   sync.rs  fsync, sync: which transaction is waited for         shutdown.rs  EXT4_IOC_SHUTDOWN
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
pub(crate) mod fast_commit;
mod later;
pub(crate) mod load;
pub(crate) mod mode;
mod ordered;
pub(crate) mod shutdown;
mod sync;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::sync::atomic::Ordering;

use ::sync::PerThread;
use base::{Errno, Result};
use jbd2::{Journal, Tid};

use crate::balloc::claim::{self, Claimant};
use crate::fs::Ext4Fs;
pub(crate) use fast_commit::{Reason, Tracker};
pub(crate) use later::Later;
pub(crate) use ordered::LastOrdered;
pub(crate) use sync::SyncTids;

/// A change of metadata under way; see the module.
#[must_use = "a handle ends when it is dropped"]
pub(crate) struct Handle<'a> {
    fs: &'a Ext4Fs,
    /// None without a journal.
    open: Option<jbd2::Handle>,
}

/// Times that an allocation is tried again after a commit.
const RETRIES: u32 = 3;

/// A handle that lasts from one function to the next ([`Handle::keep`]).
static KEPT: PerThread<RefCell<Option<jbd2::Handle>>> = PerThread::new(|| RefCell::new(None));

impl Ext4Fs {
    /// The journal, if the file system has one and is mounted with it.
    #[inline]
    pub(crate) fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.get()
    }

    /// Begins a change of at most so many blocks ([`credits`]). Inside another handle it is a part of that.
    /// EROFS when nothing may be written, EIO after a shutdown; ENOMEM, ENOSPC (the journal is too small).
    ///
    /// All that the transaction changes is committed whole; see [`Ext4Fs::start_tracked`].
    #[inline]
    pub(crate) fn start(&self, credits: u32) -> Result<Handle<'_>> {
        let handle = self.start_tracked(credits)?;
        self.mark_ineligible(Reason::Other);
        Ok(handle)
    }

    /// [`Ext4Fs::start`] for who sees to it that a fast commit can tell all of the change
    /// ([`fast_commit::Tracker`]).
    #[inline]
    pub(crate) fn start_tracked(&self, credits: u32) -> Result<Handle<'_>> {
        self.check_running()?;
        self.check_writable()?;
        let open = match self.journal() {
            Some(journal) => Some(journal.start(credits)?),
            None => None,
        };
        Ok(Handle { fs: self, open })
    }

    /// The handle that [`Handle::keep`] left for the present thread.
    #[inline]
    pub(crate) fn kept(&self) -> Option<Handle<'_>> {
        self.journal()?;
        let open = KEPT.with(|kept| kept.borrow_mut().take())?;
        Some(Handle { fs: self, open: Some(open) })
    }

    /// Whether the present thread is inside a handle.
    #[inline]
    pub(crate) fn in_handle(&self) -> bool {
        self.journal().is_some_and(|journal| journal.current_handle())
    }

    /// Does `change` inside a handle; again, when it finds no room and there are blocks that a commit sets
    /// free. Nothing that a handle must not meet is held by the caller.
    pub(crate) fn transact<R>(&self, credits: u32, mut change: impl FnMut() -> Result<R>) -> Result<R> {
        self.transact_tracked(credits, || {
            self.mark_ineligible(Reason::Other);
            change()
        })
    }

    /// [`Ext4Fs::transact`] as [`Ext4Fs::start_tracked`] is to [`Ext4Fs::start`].
    pub(crate) fn transact_tracked<R>(
        &self,
        credits: u32,
        mut change: impl FnMut() -> Result<R>,
    ) -> Result<R> {
        let (mut tries, mut settled) = (0, false);
        loop {
            let done = {
                let _handle = self.start_tracked(credits)?;
                change()
            };
            match done {
                Err(Errno::ENOSPC)
                    if self.should_retry(&mut tries, Claimant::File)
                        || self.settle_pointers(&mut settled) => {}
                done => return done,
            }
        }
    }

    /// Whether what found no room should be tried again, because a commit sets blocks free, or has since
    /// (`ext4_should_retry_alloc`).
    #[cold]
    pub(crate) fn should_retry(&self, tries: &mut u32, who: Claimant) -> bool {
        *tries += 1;
        if *tries > RETRIES || self.in_handle() {
            return false;
        }
        match self.journal() {
            Some(journal) if self.pending.blocks.load(Ordering::Acquire) > 0 => {
                journal.force_commit().is_ok()
            }
            _ => claim::has_free(self, who),
        }
    }
}

impl Handle<'_> {
    /// Leaves the handle open for [`Ext4Fs::kept`], on this thread. False without a journal.
    #[inline]
    pub(crate) fn keep(mut self) -> bool {
        let Some(open) = self.open.take() else { return false };
        let before = KEPT.with(|kept| kept.borrow_mut().replace(open));
        debug_assert!(before.is_none(), "two handles are kept");
        true
    }

    /// Its transaction; None without a journal.
    pub(crate) fn tid(&self) -> Option<Tid> {
        self.open.as_ref().map(jbd2::Handle::tid)
    }

    /// [`jbd2::Handle::on_commit`]; never without a journal.
    pub(crate) fn on_commit(&self, call: Box<dyn FnOnce(Result<()>) + Send>) {
        if let Some(open) = &self.open {
            open.on_commit(call);
        }
    }

    /// Reserves so many blocks more; false when the transaction has no room for them.
    pub(crate) fn extend(&mut self, credits: u32) -> bool {
        self.open.as_ref().is_none_or(|open| open.extend(credits).unwrap_or(false))
    }
}

impl Drop for Handle<'_> {
    #[inline]
    fn drop(&mut self) {
        drop(self.open.take());
        self.fs.later.settle(self.fs);
    }
}
