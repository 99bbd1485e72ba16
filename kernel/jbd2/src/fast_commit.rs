//! Fast commits written: what the running transaction has changed, in the file system's own few words, in one
//! write instead of a commit.
//!
//! ```text
//!   journal.fast_commit(tid, |place| …Told::Record(blocks))?      Some(_): it is on stable storage
//!                                                                 None: only a commit makes it so
//! ```
//! # When
//! Only of the transaction that runs, and only as long as all that it changed can be told: who changes what the
//! words have no way to say calls [`Journal::mark_ineligible`] inside its handle. Then the next one that wants
//! durability commits the whole transaction, and the one after that begins anew.
//!
//! # How
//! ```text
//!   role       nobody commits or checkpoints meanwhile
//!   barrier    no handle is active: the file system tells how things are now
//!   data       of the transaction's files are written (`data=ordered`), handles go on
//!   record     into the area, behind the last one of the same transaction: PREFLUSH and FUA
//! ```
//! A record counts until its transaction is in the log; so the next transaction's begin the area anew. A replay
//! reads them after the log's last transaction, when they are of the one that comes next. e2fsck 1.47.0 takes
//! those of an older one for an error, and gives the whole log up: so when their transaction has committed, the
//! area's first block is wiped. (Nothing is lost when the power goes before that is on the medium but e2fsck's
//! part in the recovery: a mount does it.)
//!
//! # Invariants
//! 1. A record tells of a moment at which no handle was active, so of whole operations.
//! 2. Data that a record makes visible are on stable storage before it. Pages may be dropped instead of written
//!    while the data are waited for: who does so says it first ([`Journal::spoil_fast_commit`]), and then the record
//!    is not written.
//! 3. What a record could not tell is never lost: without the record the whole transaction is committed.
//!
//! # Locking
//! The role, and within it the barrier as long as the file system tells; page locks (ordered data) without the
//! barrier.
//!
//! Source: the kernel's ext4 documentation, "Fast commits"; `jbd2_fc_begin_commit`.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use base::{Result, frame};
use block::{BioFlags, BioOp, Completion};
use hashbrown::HashMap;

use crate::disk::Incompat;
use crate::journal::Journal;
use crate::log::LogSlot;
use crate::role::Role;
use crate::superblock::{LogSuperblock, MIN_LOG_BLOCKS, Ring};
use crate::transaction::Ordered;
use crate::units::{LogBlock, Tid};

/// What the file system has to say of its changes.
pub enum Told {
    /// All was told before.
    Nothing,
    /// Whole blocks, at most [`FastPlace::blocks`].
    Record(Vec<u8>),
    /// They cannot be told.
    Refused,
}

/// Where a record goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FastPlace {
    /// The transaction it is of.
    pub tid: Tid,
    /// It is the first of this transaction.
    pub first: bool,
    /// Blocks that there is room for.
    pub blocks: u32,
    /// Bytes of a block.
    pub block_size: usize,
}

/// The area, and what of it is used.
#[derive(Default)]
pub(crate) struct FastArea {
    /// Blocks of the log; none when there are no fast commits.
    blocks: Range<u32>,
    /// Whose records are in it, and how many blocks they take.
    tid: Tid,
    used: u32,
    /// Records whose writing was begun.
    begun: u64,
    /// Times that data were dropped which one under way may have told of.
    spoilt: u64,
}

impl FastArea {
    /// Of a journal whose log begins anew.
    pub(crate) fn new(blocks: Range<u32>) -> FastArea {
        FastArea { blocks, ..FastArea::default() }
    }

    /// The area is full of records of this transaction, which a recovery is about to replay.
    pub(crate) fn take_over(&mut self, tid: Tid) {
        (self.tid, self.used) = (tid, self.blocks.len() as u32);
    }

    fn used_by(&self, tid: Tid) -> u32 {
        if self.tid == tid { self.used } else { 0 }
    }
}

impl LogSuperblock {
    /// The same with an area of fast commits. None when it leaves too small a log.
    pub(crate) fn with_fast_commits(&self) -> Option<LogSuperblock> {
        let mut new = self.clone();
        let made = new.set_features(self.compat(), self.incompat() | Incompat::FAST_COMMIT);
        (made && new.ring().last.0 >= MIN_LOG_BLOCKS).then_some(new)
    }

    /// The same without.
    pub(crate) fn without_fast_commits(&self) -> LogSuperblock {
        let mut new = self.clone();
        // Nothing is asked for that it does not have.
        let _made = new.set_features(self.compat(), self.incompat() - Incompat::FAST_COMMIT);
        new
    }
}

impl Journal {
    /// Whether fast commits may be written.
    pub fn has_fast_commits(&self) -> bool {
        !self.fast_area().lock().blocks.is_empty()
    }

    /// What the running transaction changes cannot be told by a fast commit. Inside a handle.
    #[cold]
    pub fn mark_ineligible(&self) {
        if let Some(running) = &mut self.state().lock().running {
            running.ineligible = true;
        }
    }

    /// Whether the running transaction, if it is this one, has changed what cannot be told.
    pub fn is_ineligible(&self, tid: Tid) -> bool {
        let state = self.state().lock();
        state.running.as_ref().is_some_and(|running| running.tid == tid && running.ineligible)
    }

    /// Pages are about to be dropped whose data a fast commit under way may have told of: it will not do. One that
    /// begins later tells of how things are then. Inside the handle that makes the data unreachable.
    pub fn spoil_fast_commit(&self) {
        self.fast_area().lock().spoilt += 1;
    }

    fn times_spoilt(&self) -> u64 {
        self.fast_area().lock().spoilt
    }

    /// Whether a fast commit of the transaction may do: it is the one that runs.
    fn is_eligible(&self, tid: Tid) -> bool {
        let state = self.state().lock();
        let running = state.running.as_ref().filter(|running| running.tid == tid && !running.ineligible);
        running.is_some() && state.aborted.is_none()
    }

    /// Makes what the transaction has changed durable by a fast commit; `tell` says what that is. Some: it is,
    /// and whether a flush of the file system's device came with it that covers what was written before this
    /// call. None: [`Journal::complete_transaction`] has to do it.
    pub fn fast_commit(&self, tid: Tid, tell: impl FnOnce(&FastPlace) -> Told) -> Option<bool> {
        let before = self.fast_area().lock().begun;
        if self.current_handle() || !self.is_eligible(tid) {
            return None;
        }
        let role = self.take_role().ok()?;
        let told = role.fast_commit(tid, tell)?;
        // Who finds nothing left to tell may owe that to one who flushed in the meantime.
        let covered = told || self.fast_area().lock().begun > before;
        Some(covered && self.tuning().barrier)
    }

    /// The transaction is in the log: its records are of no use any more.
    pub(crate) fn void_fast_commits(&self, tid: Tid) {
        let first = {
            let mut area = self.fast_area().lock();
            let used = area.used_by(tid) > 0;
            area.used = 0;
            used.then_some(LogBlock(area.blocks.start))
        };
        if let Some(first) = first
            && let Err(error) = self.wipe_log_block(first)
        {
            log::warn!("{self}: old fast commits cannot be wiped: {error}");
        }
    }

    fn wipe_log_block(&self, block: LogBlock) -> Result<()> {
        let slot = LogSlot { block, frame: frame::alloc_zeroed()?, offset: 0 };
        let done = Completion::new();
        let flags = BioFlags::SYNC | BioFlags::META;
        let sent = self.log().submit(BioOp::Write, core::slice::from_ref(&slot), flags, &done);
        done.wait().and(sent)
    }

    fn fast_place(&self, tid: Tid) -> FastPlace {
        let area = self.fast_area().lock();
        let used = area.used_by(tid);
        let blocks = area.blocks.len() as u32 - used;
        FastPlace { tid, first: used == 0, blocks, block_size: self.log().block_size() as usize }
    }

    /// Gives a fast commit up: the whole transaction has to be committed.
    fn refuse(&self) -> Option<bool> {
        self.mark_ineligible();
        None
    }
}

impl Role<'_> {
    /// Whether a record was written; None when a commit has to do it.
    fn fast_commit(&self, tid: Tid, tell: impl FnOnce(&FastPlace) -> Told) -> Option<bool> {
        let journal = self.journal();
        let (place, record, ordered, spoilt) = {
            let _barrier = journal.hold_updates();
            if !journal.is_eligible(tid) {
                return None;
            }
            let spoilt = journal.times_spoilt();
            let place = journal.fast_place(tid);
            match tell(&place) {
                Told::Nothing => return Some(false),
                Told::Refused => return journal.refuse(),
                Told::Record(record) => {
                    let ordered = mem::take(&mut journal.lists().lock().running.ordered);
                    (place, record, ordered, spoilt)
                }
            }
        };
        let fits = record.len().div_ceil(place.block_size) <= place.blocks as usize;
        // In the order in which they must be done.
        let written = fits
            && self.write_fast_data(&ordered).is_ok()
            && journal.is_eligible(tid)
            && journal.times_spoilt() == spoilt
            && self.write_fast_record(&place, &record).is_ok();
        if written { Some(true) } else { journal.refuse() }
    }

    /// The data of the transaction's files. An error is the files' own to tell; the commit that follows makes of
    /// it what `data_err=` says.
    fn write_fast_data(&self, ordered: &HashMap<usize, Ordered>) -> Result<()> {
        for (inode, range) in ordered.values() {
            // What could not be begun is dirty still, and its file knows the error.
            let _ = inode.submit_ordered(range.clone());
        }
        let mut failed = Ok(());
        for (inode, range) in ordered.values() {
            failed = failed.and(inode.wait_ordered(range.clone()));
        }
        if let Err(error) = failed {
            log::warn!("{}: writing a file's data before a fast commit failed: {error}", self.journal());
            if self.journal().tuning().abort_on_data_error {
                self.journal().abort(error);
            }
        }
        failed
    }

    fn write_fast_record(&self, place: &FastPlace, record: &[u8]) -> Result<()> {
        let journal = self.journal();
        // A replay looks for them only in a log that is not empty, behind what it has.
        journal.note_not_empty()?;
        let barrier = journal.tuning().barrier;
        if barrier && journal.is_external() {
            journal.setup().fs_device.flush()?;
        }
        let (ring, at) = {
            let area = journal.fast_area().lock();
            let ring = Ring { first: LogBlock(area.blocks.start), last: LogBlock(area.blocks.end) };
            (ring, LogBlock(area.blocks.start + area.used_by(place.tid)))
        };
        let blocks = record.chunks(place.block_size);
        // There is room for them in the area, whose length is a u32.
        let count = blocks.len() as u32;
        let slots = journal.log().slots(&ring, at, count)?;
        for (slot, block) in slots.iter().zip(blocks) {
            slot.frame.write(slot.offset as usize, block);
        }
        let durable = if barrier { BioFlags::PREFLUSH | BioFlags::FUA } else { BioFlags::empty() };
        journal.fast_area().lock().begun += 1;
        let done = Completion::new();
        let sent =
            journal.log().submit(BioOp::Write, &slots, durable | BioFlags::SYNC | BioFlags::META, &done);
        let written = done.wait().and(sent);
        if let Err(error) = written {
            log::warn!("{journal}: a fast commit cannot be written: {error}");
            return written;
        }
        let mut area = journal.fast_area().lock();
        area.used = area.used_by(place.tid) + count;
        area.tid = place.tid;
        drop(area);
        journal.counters().fast_commits.add(1);
        journal.counters().fast_commit_blocks.add(count.into());
        Ok(())
    }
}
