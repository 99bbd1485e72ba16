//! `Handle`: the right to change metadata, for one operation of the file system.
//!
//! ```text
//! let handle = journal.start(12)?;      // at most 12 blocks will be changed
//! buffer.write()[0] = 1;                // these belong together …
//! other.write()[9] = 2;                 // … and reach the disk both or not at all
//! drop(handle);                         // may be committed from now on, not at once
//! ```
//! The handle is the thread's: who changes a block does not pass it on. A start while the thread has one
//! already gives another reference to the same, with the credits that the first asked for. All blocks that
//! are changed under one handle are in one transaction, unless it is restarted.
//!
//! # Credits
//! One for each block that is changed for the first time in the transaction. They are taken from the log's
//! room before the work begins, so that no operation can get stuck half-way for want of room. What is left
//! goes back at the end. More: [`Handle::extend`], or, where that says no, [`Handle::restart`], which lets
//! the transaction go: what was done before may then be committed without what comes after.
//!
//! # What the caller must not do
//! Wait for a handle to start, or restart, with a lock held that the holder of another handle may want, or
//! that a commit wants (page locks). Wait for a commit with a handle. Keep it long: a commit waits for it.
//!
//! # Locking
//! Takes `state` (spin) only; the thread's own part needs no lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Range;

use base::{Errno, Result, time};
use sync::PerThread;

use crate::journal::Journal;
use crate::state::Refused;
use crate::trace;
use crate::transaction::OrderedInode;
use crate::units::Tid;

/// The handle that a thread has: Linux's `current->journal_info`.
#[derive(Clone, Copy)]
struct Active {
    /// Which journal's, as its address; 0: the thread has none.
    journal: usize,
    tid: Tid,
    /// References to it.
    depth: u32,
    /// Credits that were asked for, and those that are left.
    asked: u32,
    credits: u32,
    /// The last reference waits for the commit.
    sync: bool,
}

const NONE: Active = Active { journal: 0, tid: Tid(0), depth: 0, asked: 0, credits: 0, sync: false };

static ACTIVE: PerThread<Cell<Active>> = PerThread::new(|| Cell::new(NONE));

/// A reference to the thread's handle; see the module.
#[must_use = "the handle ends when this is dropped"]
pub struct Handle {
    journal: Arc<Journal>,
    /// The thread's handle of another journal, which is active again when this one has ended.
    outer: Active,
    over: bool,
    /// The thread's: it stays on it.
    _thread: PhantomData<*const ()>,
}

/// Whether a write was covered by a handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    /// By a credit of it.
    Credit,
    /// By a handle without any left.
    Overrun,
    /// The thread has no handle.
    Stray,
}

impl Journal {
    /// Begins an operation that changes at most `credits` blocks, or joins the one that the thread is in. May
    /// wait for a commit or a checkpoint. EROFS after an abort, ENOSPC for more than a transaction may have.
    #[inline]
    pub fn start(self: &Arc<Self>, credits: u32) -> Result<Handle> {
        if self.is_aborted() {
            return Err(Errno::EROFS);
        }
        let outer = ACTIVE.with(|a| {
            let active = a.get();
            let nested = active.journal == self.key();
            if nested {
                a.set(Active { depth: active.depth + 1, ..active });
            }
            if nested { None } else { Some(active) }
        });
        if outer.is_some() {
            let tid = self.join(credits)?;
            self.activate(tid, credits);
        }
        let (journal, outer) = (self.clone(), outer.unwrap_or(NONE));
        Ok(Handle { journal, outer, over: false, _thread: PhantomData })
    }

    /// The thread has a handle now, which has joined.
    #[inline]
    fn activate(&self, tid: Tid, credits: u32) {
        trace::handle_start(self, tid, credits);
        let active = Active { journal: self.key(), tid, depth: 1, asked: credits, credits, sync: false };
        ACTIVE.with(|a| a.set(active));
    }

    /// Whether the thread is within a handle of this journal.
    #[inline]
    pub fn current_handle(&self) -> bool {
        ACTIVE.with(Cell::get).journal == self.key()
    }

    /// Which journal, among all that live.
    #[inline]
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Adds a handle to the running transaction, waiting as long as there is no place.
    #[inline]
    fn join(&self, credits: u32) -> Result<Tid> {
        let admitted = self.state().lock().admit(credits, self.limits(), time::monotonic_ns);
        match admitted {
            Ok(tid) => Ok(tid),
            Err(refused) => self.join_slowly(credits, refused),
        }
    }

    #[cold]
    fn join_slowly(&self, credits: u32, mut refused: Refused) -> Result<Tid> {
        let most = self.limits().max_credits;
        if credits > most {
            log::error!("{self}: an operation wants {credits} credits, a transaction has {most}");
            return Err(Errno::ENOSPC);
        }
        let begun = time::monotonic_ns();
        loop {
            self.wait_for_place(refused)?;
            let mut state = self.state().lock();
            match state.admit(credits, self.limits(), time::monotonic_ns) {
                Ok(tid) => {
                    state.note_wait(time::monotonic_ns().saturating_sub(begun));
                    return Ok(tid);
                }
                Err(again) => refused = again,
            }
        }
    }

    /// A block is changed for the first time in the transaction: by whose credit?
    pub(crate) fn spend_credit(&self) -> Spent {
        ACTIVE.with(|a| {
            let active = a.get();
            if active.journal != self.key() {
                return Spent::Stray;
            }
            let Some(credits) = active.credits.checked_sub(1) else { return Spent::Overrun };
            a.set(Active { credits, ..active });
            Spent::Credit
        })
    }

    /// A block left the transaction: its credit goes back to the thread's handle. False without one.
    pub(crate) fn return_credit(&self) -> bool {
        ACTIVE.with(|a| {
            let active = a.get();
            let ours = active.journal == self.key();
            if ours {
                a.set(Active { credits: active.credits + 1, ..active });
            }
            ours
        })
    }
}

impl Handle {
    /// Of a thread that is in none and has joined.
    pub(crate) fn enter(journal: Arc<Journal>, tid: Tid, credits: u32) -> Handle {
        let outer = ACTIVE.with(Cell::get);
        debug_assert!(outer.journal != journal.key(), "reserved credits within a handle");
        journal.activate(tid, credits);
        Handle { journal, outer, over: false, _thread: PhantomData }
    }

    fn active(&self) -> Active {
        ACTIVE.with(Cell::get)
    }

    /// Of which transaction.
    pub fn tid(&self) -> Tid {
        self.active().tid
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Blocks that may still be changed for the first time.
    pub fn credits_left(&self) -> u32 {
        self.active().credits
    }

    /// So many credits more. False when the transaction has no place for them: restart, or do without.
    pub fn extend(&self, credits: u32) -> Result<bool> {
        if self.journal.is_aborted() {
            return Err(Errno::EROFS);
        }
        let granted = self.journal.state().lock().extend(credits, self.journal.limits());
        if granted {
            let active = self.active();
            trace::handle_extend(&self.journal, active.tid, active.credits, credits);
            let (asked, credits) = (active.asked + credits, active.credits + credits);
            ACTIVE.with(|a| a.set(Active { asked, credits, ..active }));
        }
        Ok(granted)
    }

    /// Ends the operation here and begins another of `credits`, perhaps in a later transaction. May wait as
    /// [`Journal::start`] does. After an error the handle has no credits and belongs to no transaction; it
    /// may only be dropped.
    pub fn restart(&self, credits: u32) -> Result<()> {
        let active = self.active();
        self.journal.leave(active.credits);
        // Not a handle meanwhile: what waits must not think so.
        ACTIVE.with(|a| a.set(NONE));
        let joined = self.journal.join(credits);
        let (tid, credits) = (joined.unwrap_or(active.tid), joined.map_or(0, |_| credits));
        let journal = if joined.is_ok() { active.journal } else { GONE };
        trace::handle_restart(&self.journal, tid, credits);
        ACTIVE.with(|a| a.set(Active { journal, tid, asked: credits, credits, ..active }));
        joined.map(drop)
    }

    /// The operation is over only when it is on stable storage: the last reference waits for the commit.
    pub fn set_sync(&self) {
        ACTIVE.with(|a| a.set(Active { sync: true, ..a.get() }));
    }

    /// The data of these bytes of the file shall be on the disk before the transaction commits.
    pub fn add_ordered(&self, inode: Arc<dyn OrderedInode>, range: Range<u64>) {
        self.journal.lists().lock().running.add_ordered(inode, range);
    }

    /// Runs when the transaction has committed, with Ok, or when the journal is given up, with its error; by
    /// the thread that commits, which holds no handle and no lock of the file system.
    pub fn on_commit(&self, call: Box<dyn FnOnce(Result<()>) + Send>) {
        self.journal.lists().lock().running.callbacks.push(call);
    }

    /// Ends it. What a dropped handle cannot tell: how the commit went, for the last reference to one that
    /// [`set_sync`](Handle::set_sync) was said of.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if core::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        let last = ACTIVE.with(|a| {
            let active = a.get();
            let last = active.depth <= 1;
            a.set(if last { self.outer } else { Active { depth: active.depth - 1, ..active } });
            last.then_some(active)
        });
        let Some(active) = last else { return Ok(()) };
        if active.journal == GONE {
            return Err(Errno::EROFS);
        }
        trace::handle_stats(&self.journal, active.tid, active.sync, active.asked, active.credits);
        self.journal.leave(active.credits);
        if active.sync { self.journal.commit_for_sync(active.tid) } else { Ok(()) }
    }
}

/// The journal of a handle whose restart has failed.
const GONE: usize = usize::MAX;

impl Drop for Handle {
    #[inline]
    fn drop(&mut self) {
        // Who wants to know calls `stop`; the journal has said it in the log.
        let _ = self.end();
    }
}
