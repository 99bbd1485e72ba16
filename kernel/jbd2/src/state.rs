//! Where the journal stands: the running transaction's counters, who commits, what was asked for.
//!
//! All of it is behind one `SpinLock`, held for a few instructions: a handle's start and stop are little
//! more than one visit here. What takes longer (the lists of buffers) is in `transaction`.
//!
//! # Invariants
//! 1. While a handle is active, `running` is its transaction: the switch waits for `updates` to be 0, and from the
//!    moment that sees it none joins.
//! 2. `running.outstanding` is what its handles have spent and may yet spend; so it is never less than the
//!    blocks that are filed, as long as nobody takes more than he asked for (`Stats::overruns`).
//! 3. `commit_sequence` is before `committing.tid`, and that is the one before `running.tid`.

use base::Errno;
use sync::thread::ThreadId;

use crate::superblock::LogSuperblock;
use crate::tuning::Tuning;
use crate::units::Tid;

/// What the running transaction lets its handles do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Takes new handles.
    Running,
    /// Takes only those with reserved credits: it waits for those it has.
    Locked,
    /// Takes none at all, and has none: it is about to become the one that commits.
    Switching,
}

/// The running transaction's counters.
#[derive(Debug)]
pub(crate) struct Running {
    pub tid: Tid,
    pub phase: Phase,
    /// Active handles.
    pub updates: u32,
    /// Log blocks that were asked for.
    pub outstanding: u32,
    /// Handles that were ever started.
    pub handles: u32,
    /// When it began and when it is to be committed at the latest, CLOCK_MONOTONIC.
    pub started: u64,
    pub expires: u64,
    /// The longest that one of its handles waited to get in.
    pub max_wait_ns: u64,
    /// Something in it cannot be told by a fast commit.
    pub ineligible: bool,
    /// When its commit was asked for.
    pub requested: Option<u64>,
}

/// How far a commit has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// The data that must be there before it are on their way.
    Flush,
    /// Its blocks are on their way to the log.
    Log,
    /// The commit block is on its way, and with it the flush: data written from now on is not covered.
    Record,
}

/// The transaction that commits.
#[derive(Debug)]
pub(crate) struct Committing {
    pub tid: Tid,
    pub stage: Stage,
    /// Log blocks that it will take at most.
    pub outstanding: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    pub running: Option<Running>,
    pub committing: Option<Committing>,
    /// The number of the next transaction that begins.
    pub next: Tid,
    /// The last one that is committed.
    pub commit_sequence: Tid,
    /// The last one whose commit was asked for.
    pub commit_request: Tid,
    /// Somebody runs a commit or a checkpoint.
    pub busy: bool,
    /// How many want no handle to start ([`crate::Journal::lock_updates`]).
    pub barriers: u32,
    /// Of these, those that have seen the last one end and want none with reserved credits either.
    pub held: u32,
    /// Credits put aside (`reserved`).
    pub reserved: u32,
    /// Handles may start: between `begin` and `end`.
    pub open: bool,
    /// Why the journal was given up.
    pub aborted: Option<Errno>,
    /// Free blocks of the log.
    pub free: u32,
    /// How long a commit takes, in nanoseconds, smoothed.
    pub average_commit_ns: u64,
    /// Who waited last for the commit of a synchronous handle.
    pub last_sync: Option<ThreadId>,
    /// What a remount may change.
    pub tuning: Tuning,
}

/// Why a handle cannot start now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Aborted,
    /// All handles are held back.
    Barrier,
    /// The running transaction takes no more handles.
    Locked(Tid),
    /// It would become too large.
    Full(Tid),
    /// Beside what is reserved there is no room for so many.
    Reserved(u32),
    /// The log has too little room.
    NoSpace,
}

/// What a transaction may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Log blocks of one transaction: a quarter of the log.
    pub max_transaction: u32,
    /// Of these, what handles may ask for; the rest is for descriptors, revoke blocks, and the commit block.
    pub max_credits: u32,
    /// Free blocks that the log must have for a handle to start: a whole transaction and something for what
    /// nobody asked for.
    pub room: u32,
    /// Revoke records in a block of them.
    pub revokes_per_block: usize,
}

impl Limits {
    /// Of a log with this superblock. As in Linux a transaction is at most a quarter of the log, so that one
    /// can run, one commit, and some wait to be taken home.
    pub(crate) fn of(superblock: &LogSuperblock) -> Limits {
        let (ring, format) = (superblock.ring(), superblock.format());
        let max_transaction = ring.blocks() / 4;
        // Both are a few hundred at most, and at least 1 for any block size.
        let tags = format.tags_per_block() as u32;
        let revokes_per_block = format.revokes_per_block();
        // The commit block, the descriptors, and the first blocks of revoke records.
        let max_credits = max_transaction.saturating_sub(2 + max_transaction.div_ceil(tags));
        let room = max_transaction + max_transaction / 8;
        Limits { max_transaction, max_credits, room, revokes_per_block }
    }
}

impl State {
    /// Of a journal with a free log of so many blocks, whose next transaction is `next`.
    pub(crate) fn new(next: Tid, free: u32, tuning: Tuning) -> State {
        State {
            running: None,
            committing: None,
            next,
            commit_sequence: Tid(next.0.wrapping_sub(1)),
            commit_request: Tid(next.0.wrapping_sub(1)),
            busy: false,
            barriers: 0,
            held: 0,
            reserved: 0,
            open: false,
            aborted: None,
            free,
            average_commit_ns: 0,
            last_sync: None,
            tuning,
        }
    }

    /// Lets a handle of so many credits into the running transaction, or a new one.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        credits: u32,
        limits: &Limits,
        now: impl Fn() -> u64,
    ) -> Result<Tid, Refused> {
        if self.aborted.is_some() || !self.open {
            return Err(Refused::Aborted);
        }
        if self.barriers != 0 {
            return Err(Refused::Barrier);
        }
        if let Some(running) = self.running.as_ref().filter(|running| running.phase != Phase::Running) {
            return Err(Refused::Locked(running.tid));
        }
        if !self.fits(credits, limits) {
            let used = self.running.as_ref().filter(|running| running.outstanding > 0);
            return Err(used.map_or(Refused::Reserved(credits), |running| Refused::Full(running.tid)));
        }
        if self.room() < limits.room {
            return Err(Refused::NoSpace);
        }
        let running = self.running_or_new(now);
        running.updates += 1;
        running.handles += 1;
        running.outstanding += credits;
        Ok(running.tid)
    }

    /// Log blocks that the running transaction's handles have asked for.
    #[inline]
    pub(crate) fn asked(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.outstanding)
    }

    /// Whether a transaction has room for so many credits more, beside those that are reserved.
    #[inline]
    pub(crate) fn fits(&self, credits: u32, limits: &Limits) -> bool {
        self.asked().saturating_add(credits).saturating_add(self.reserved) <= limits.max_credits
    }

    /// Free blocks of the log but those that the commit under way will take. As long as this is a whole
    /// transaction for every handle that starts, the running transaction always fits.
    pub(crate) fn room(&self) -> u32 {
        self.free.saturating_sub(self.committing.as_ref().map_or(0, |c| c.outstanding))
    }

    /// The running transaction, begun now if there is none.
    #[inline]
    pub(crate) fn running_or_new(&mut self, now: impl Fn() -> u64) -> &mut Running {
        let (next, interval) = (&mut self.next, self.tuning.commit_interval_ns);
        self.running.get_or_insert_with(|| {
            let tid = *next;
            *next = tid.next();
            let started = now();
            let expires = started.saturating_add(interval);
            Running {
                tid,
                phase: Phase::Running,
                updates: 0,
                outstanding: 0,
                handles: 0,
                started,
                expires,
                max_wait_ns: 0,
                ineligible: false,
                requested: None,
            }
        })
    }

    /// A handle that is in the running transaction now has waited for it so long.
    pub(crate) fn note_wait(&mut self, ns: u64) {
        if let Some(running) = &mut self.running {
            running.max_wait_ns = running.max_wait_ns.max(ns);
        }
    }

    /// More credits for a handle that is active; false when the transaction would become too large.
    pub(crate) fn extend(&mut self, credits: u32, limits: &Limits) -> bool {
        let granted = self.fits(credits, limits);
        let Some(running) = self.running.as_mut().filter(|r| r.phase == Phase::Running) else { return false };
        if granted {
            running.outstanding += credits;
        }
        granted
    }

    /// A handle ends with `unspent` credits. Whether it was the last that a commit waits for.
    #[inline]
    pub(crate) fn leave(&mut self, unspent: u32) -> bool {
        let Some(running) = &mut self.running else { return false };
        running.updates = running.updates.saturating_sub(1);
        running.outstanding = running.outstanding.saturating_sub(unspent);
        running.updates == 0 && (running.phase == Phase::Locked || self.barriers != 0)
    }

    /// Whether no handle is active.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.updates == 0)
    }

    /// This transaction is to be committed.
    pub(crate) fn request(&mut self, tid: Tid, now: impl Fn() -> u64) {
        if self.commit_request.is_before(tid) {
            self.commit_request = tid;
        }
        if let Some(running) = self.running.as_mut().filter(|r| r.tid == tid) {
            running.requested.get_or_insert_with(now);
        }
    }

    /// Whether this transaction runs or commits.
    pub(crate) fn is_pending(&self, tid: Tid) -> bool {
        let is = |other: Tid| other == tid;
        self.running.as_ref().is_some_and(|r| is(r.tid))
            || self.committing.as_ref().is_some_and(|c| is(c.tid))
    }

    /// The locked transaction has nothing to commit: it takes handles again, and is as if it began now. Nobody
    /// waits for it any more.
    pub(crate) fn unlock(&mut self, now: u64) {
        let interval = self.tuning.commit_interval_ns;
        let Some(running) = &mut self.running else { return };
        running.phase = Phase::Running;
        running.started = now;
        running.requested = None;
        running.expires = now.saturating_add(interval);
        self.commit_request = self.commit_sequence;
    }

    /// The transaction that the next commit puts into the log.
    pub(crate) fn next_to_log(&self) -> Tid {
        let committing = self.committing.as_ref().map(|c| c.tid);
        committing.or(self.running.as_ref().map(|r| r.tid)).unwrap_or(self.next)
    }

    /// How long `thread`, whose synchronous handle was in this transaction, shall wait for others to join it: as
    /// long as a commit takes. Not when the same thread came before, for then it is alone.
    pub(crate) fn batch_ns(&mut self, tid: Tid, thread: ThreadId, now: u64) -> u64 {
        if self.last_sync.replace(thread) == Some(thread) || self.tuning.max_batch_ns == 0 {
            return 0;
        }
        let wait = self.average_commit_ns.max(self.tuning.min_batch_ns).min(self.tuning.max_batch_ns);
        let running = self.running.as_ref().filter(|r| r.tid == tid && r.phase == Phase::Running);
        running.filter(|r| now.saturating_sub(r.started) < wait).map_or(0, |_| wait)
    }

    /// A commit took so long.
    pub(crate) fn note_commit_time(&mut self, ns: u64) {
        let average = self.average_commit_ns;
        self.average_commit_ns = if average == 0 { ns } else { average / 4 * 3 + ns / 4 };
    }

    /// The transaction is committed, and whoever it calls was called.
    pub(crate) fn committed(&mut self, tid: Tid) {
        self.commit_sequence = tid;
    }

    /// Whether this transaction's commit is over.
    pub(crate) fn is_committed(&self, tid: Tid) -> bool {
        tid.is_at_most(self.commit_sequence)
    }
}
