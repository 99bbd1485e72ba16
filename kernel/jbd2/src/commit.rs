//! The commit: the running transaction goes to the log, whole.
//!
//! ```text
//!   RUNNING    takes handles
//!      │ lock
//!   LOCKED     takes none but those with reserved credits; waits for those it has
//!      │ the last has ended
//!   SWITCHING  takes none
//!      │ switch               from here on new handles begin the next transaction
//!   FLUSH      its files' new data are sent
//!      │ write_log
//!   LOG        revoke records, descriptors and copies of the blocks are sent, and waited for; the data too
//!      │ write_record
//!   RECORD     the commit block, with a flush before it and durable itself: now it counts
//!      │ finish
//!   done       its blocks are dirty in the page cache and wait in `checkpoint` to be taken home
//! ```
//! # Why a transaction is whole
//! 1. The switch waits until no handle is active, and a handle's blocks are filed while it is. So all or none
//!    of an operation's blocks are in the list.
//! 2. A block's bytes are copied under its byte lock, from what they were at the switch: who wants to change
//!    it before the copy was made finds COMMITTING and puts the old bytes into `frozen` first.
//! 3. Nothing of it goes home before the commit block is durable: until then its heads are not DIRTY.
//!
//! # Locking
//! By the thread that has the role (`role`): page locks (ordered data), byte guards, `lists`, `tail`, `state`, one
//! at a time.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)"; Documentation/filesystems/journalling.rst.

use alloc::vec::Vec;

use base::{Errno, FsBlock, Result, time};
use block::BioFlags;
use hashbrown::HashMap;
use pagecache::Buffer;

use crate::checkpoint::Logged;
use crate::journal::Journal;
use crate::log_writer::LogWriter;
use crate::priority::Meanwhile;
use crate::role::Role;
use crate::state::{Committing, Phase, Running, Stage};
use crate::stats::RunStats;
use crate::tail::Mark;
use crate::trace::{self, Step};
use crate::transaction::{Callback, Ordered};
use crate::units::Tid;

/// A transaction that was switched.
struct Commit {
    tid: Tid,
    buffers: Vec<Buffer>,
    revoked: Vec<FsBlock>,
    ordered: HashMap<usize, Ordered>,
    callbacks: Vec<Callback>,
    /// Where it begins in the log.
    start: Mark,
    run: RunStats,
}

impl Journal {
    /// A handle leaves its transaction, with so many credits unspent.
    #[inline]
    pub(crate) fn leave(&self, unspent: u32) {
        let last = self.state().lock().leave(unspent);
        if last {
            self.drained.wake_all();
        }
    }

    /// What is known of a transaction's time when it is switched.
    fn count_switch(&self, running: Option<Running>) -> RunStats {
        let Some(running) = running else { return RunStats::default() };
        let now = time::monotonic_ns();
        if running.requested.is_some() {
            self.counters().requested.add(1);
        }
        RunStats {
            wait_ns: running.max_wait_ns,
            delay_ns: running.requested.map_or(0, |requested| now.saturating_sub(requested)),
            running_ns: now.saturating_sub(running.started),
            handles: running.handles,
            ..RunStats::default()
        }
    }

    /// A commit has come so far.
    fn step(&self, step: Step) {
        trace::commit(self, self.state().lock().next_to_log(), step);
    }

    fn set_stage(&self, stage: Stage) {
        if let Some(committing) = &mut self.state().lock().committing {
            committing.stage = stage;
        }
    }
}

impl Role<'_> {
    pub(crate) fn journal(&self) -> &Journal {
        self.journal
    }

    /// Commits the running transaction. False when there is none, or it has changed nothing. An error has made
    /// the journal be given up.
    pub(crate) fn commit(&self) -> Result<bool> {
        let journal = self.journal;
        if journal.is_aborted() {
            return Err(Errno::EIO);
        }
        let _prio = Meanwhile::of(journal.tuning().ioprio);
        let begun = time::monotonic_ns();
        journal.step(Step::Start);
        if !self.lock() {
            return Ok(false);
        }
        let locked = time::monotonic_ns();
        let Some(mut commit) = self.switch() else { return Ok(false) };
        let callbacks = core::mem::take(&mut commit.callbacks);
        let switched = time::monotonic_ns();
        let done = self.write(&mut commit).inspect_err(|&error| journal.abort(error));
        if done.is_ok() {
            journal.state().lock().note_commit_time(time::monotonic_ns() - switched);
        }
        commit.run.locked_ns = locked - begun;
        commit.run.logging_ns = time::monotonic_ns() - switched;
        callbacks.into_iter().for_each(|call| call(done));
        if done.is_ok() {
            journal.counters().count(&commit.run);
            trace::run_stats(journal, commit.tid, &commit.run);
            journal.state().lock().committed(commit.tid);
        }
        done.map(|()| true)
    }

    /// No handle starts any more, and those that are active have ended. False when nothing is running.
    fn lock(&self) -> bool {
        let journal = self.journal;
        {
            let mut state = journal.state().lock();
            let Some(running) = &mut state.running else { return false };
            running.phase = Phase::Locked;
        }
        journal.step(Step::Locking);
        journal.drained.wait_until(|| {
            let mut state = journal.state().lock();
            let Some(running) = state.running.as_mut().filter(|running| running.updates > 0) else {
                // In one step with the look, or one with reserved credits could still join.
                state.running.iter_mut().for_each(|running| running.phase = Phase::Switching);
                return true;
            };
            debug_assert!(running.phase == Phase::Locked, "{running:?} is being switched");
            false
        });
        true
    }

    /// The running transaction becomes the one that commits; handles may start again. None when it is empty:
    /// then it goes on running.
    fn switch(&self) -> Option<Commit> {
        let journal = self.journal;
        let start = journal.end_of_log().block;
        let mut lists = journal.lists().lock();
        if lists.running.is_empty() {
            journal.state().lock().unlock(time::monotonic_ns());
            drop(lists);
            journal.moved.wake_all();
            return None;
        }
        let mut pending = core::mem::take(&mut lists.running);
        pending.keep_what_is_used();
        pending.buffers.retain(Buffer::begin_commit);
        let revoked: Vec<FsBlock> =
            pending.forgotten.iter().filter(|(_, f)| f.revoke).map(|(block, _)| *block).collect();
        lists.forgotten = pending.forgotten;
        let needed = journal.log_blocks(pending.buffers.len(), revoked.len());
        let mut state = journal.state().lock();
        let running = state.running.take();
        // Only who has the role takes it away.
        let tid = running.as_ref().map_or(state.next, |running| running.tid);
        state.committing = Some(Committing { tid, stage: Stage::Flush, outstanding: needed });
        drop(state);
        drop(lists);
        journal.moved.wake_all();
        let (ordered, callbacks) = (pending.ordered, pending.callbacks);
        let run = journal.count_switch(running);
        let start = Mark { tid, block: start };
        Some(Commit { tid, buffers: pending.buffers, revoked, ordered, callbacks, start, run })
    }

    /// From the switch to the end.
    fn write(&self, commit: &mut Commit) -> Result<()> {
        let journal = self.journal;
        self.see_to_room()?;
        // The flush that comes with the commit block makes durable what was taken home before: so the
        // tail may come here then, if that is worth a write.
        let tail = journal.oldest().filter(|&mark| journal.gain(mark) >= journal.limits().max_transaction);
        journal.note_not_empty()?;
        journal.step(Step::Flushing);
        let begun = time::monotonic_ns();
        submit_ordered(commit);
        commit.run.flushing_ns = time::monotonic_ns() - begun;
        journal.step(Step::Logging);
        let mut log = LogWriter::new(journal, commit.tid, commit.start.block);
        log.revoke(commit.revoked.iter().copied())?;
        log.blocks(&commit.buffers)?;
        log.submit()?;
        if !journal.options().async_commit {
            log.wait()?;
        }
        self.wait_ordered(commit)?;
        if journal.is_aborted() {
            // From then on nothing is frozen: a copy may have what a later operation changed.
            return Err(Errno::EIO);
        }
        self.write_record(&mut log)?;
        // A transaction has at most a quarter of the log's blocks.
        (commit.run.blocks, commit.run.blocks_logged) = (commit.buffers.len() as u32, log.used());
        journal.counters().revoked.add(commit.revoked.len() as u64);
        let used = log.used();
        drop(log);
        let buffers = core::mem::take(&mut commit.buffers);
        self.finish(commit, buffers, used);
        journal.void_fast_commits(commit.tid);
        tail.map_or(Ok(()), |mark| journal.move_tail(mark))?;
        trace::end_commit(journal, commit.tid, journal.tail_mark().tid);
        Ok(())
    }

    /// The log has room for the transaction: by the rule of `State::admit` it always has, unless handles
    /// took more than they asked for.
    fn see_to_room(&self) -> Result<()> {
        let short = {
            let state = self.journal.state().lock();
            state.committing.as_ref().is_some_and(|c| state.free <= c.outstanding)
        };
        if !short {
            return Ok(());
        }
        self.take_home(u32::MAX)?;
        let state = self.journal.state().lock();
        let needed = state.committing.as_ref().map_or(0, |committing| committing.outstanding);
        if state.free > needed {
            return Ok(());
        }
        let free = state.free;
        drop(state);
        log::error!("{}: a transaction of {needed} blocks, {free} are free in the log", self.journal);
        Err(Errno::ENOSPC)
    }

    fn wait_ordered(&self, commit: &Commit) -> Result<()> {
        let mut failed = Ok(());
        for (inode, range) in commit.ordered.values() {
            failed = failed.and(inode.wait_ordered(range.clone()));
        }
        match failed {
            Ok(()) => Ok(()),
            Err(error) => {
                log::warn!("{}: writing a file's data before a commit failed: {error}", self.journal);
                if self.journal.tuning().abort_on_data_error { Err(error) } else { Ok(()) }
            }
        }
    }

    /// The commit block: everything before it is durable before it is, and it is durable on return.
    fn write_record(&self, log: &mut LogWriter<'_>) -> Result<()> {
        let journal = self.journal;
        let barrier = journal.tuning().barrier;
        if barrier && journal.is_external() {
            journal.set_stage(Stage::Log);
            journal.setup().fs_device.flush()?;
        }
        if journal.options().async_commit {
            log.commit(BioFlags::empty())?;
            log.wait()?;
            journal.set_stage(Stage::Record);
            return if barrier { journal.setup().device.flush() } else { Ok(()) };
        }
        journal.set_stage(Stage::Record);
        log.commit(if barrier { BioFlags::PREFLUSH | BioFlags::FUA } else { BioFlags::empty() })?;
        log.wait()
    }

    /// The commit counts: its blocks may go home, those that it freed never.
    fn finish(&self, commit: &Commit, buffers: Vec<Buffer>, used: u32) {
        let journal = self.journal;
        let gone: Vec<FsBlock> = {
            let mut lists = journal.lists().lock();
            lists.finish(Logged { tid: commit.tid, start: commit.start.block }, buffers);
            lists.forgotten.keys().copied().collect()
        };
        // Nobody can have got such a block again before this commit is over.
        gone.iter().for_each(|&block| journal.setup().fs_device.forget(block));
        journal.lists().lock().forgotten.clear();
        journal.advance_head(used);
        let mut state = journal.state().lock();
        state.free = state.free.saturating_sub(used);
        state.committing = None;
        drop(state);
    }
}

/// Sends the data of the transaction's files. Who waits for them hears of the errors.
fn submit_ordered(commit: &Commit) {
    for (inode, range) in commit.ordered.values() {
        // What could not be begun is dirty still, and its file knows the error.
        let _ = inode.submit_ordered(range.clone());
    }
}
