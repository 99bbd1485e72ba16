//! The trace points of the journal: handles, the steps of a commit, checkpoints, the superblock. Docs:
//! docs/tracing.md.
//!
//! Linux's names and lines. `type` and `line_no` of a handle, which say where in the file system's source it
//! was started, are 0 here.
//!
//! Source: Linux 6.1, include/trace/events/jbd2.h.

use base::trace::{Dev, Event, Record, kdev};

use crate::journal::Journal;
use crate::units::Tid;

/// The events of this layer.
pub static EVENTS: [&Event; 13] = [
    &HANDLE_START,
    &HANDLE_EXTEND,
    &HANDLE_RESTART,
    &HANDLE_STATS,
    &START_COMMIT,
    &COMMIT_LOCKING,
    &COMMIT_FLUSHING,
    &COMMIT_LOGGING,
    &END_COMMIT,
    &CHECKPOINT,
    &DROP_TRANSACTION,
    &UPDATE_LOG_TAIL,
    &WRITE_SUPERBLOCK,
];

macro_rules! event {
    ($name:ident, $linux:literal, [$($field:literal),*], $render:expr) => {
        static $name: Event = Event::new("jbd2", $linux, &["dev_t dev", $($field),*], $render);
    };
}

event!(HANDLE_START, "jbd2_handle_start", ["tid_t tid", "int requested_blocks"], handle_line);
event!(HANDLE_RESTART, "jbd2_handle_restart", ["tid_t tid", "int requested_blocks"], handle_line);
event!(
    HANDLE_EXTEND,
    "jbd2_handle_extend",
    ["tid_t tid", "int buffer_credits", "int requested_blocks"],
    |r, out| {
        write!(out, "dev {} tid {} type 0 line_no 0 ", Dev(r.arg(0)), r.arg(1))?;
        write!(out, "buffer_credits {} requested_blocks {}", r.arg(2), r.arg(3))
    }
);
event!(
    HANDLE_STATS,
    "jbd2_handle_stats",
    ["tid_t tid", "int sync", "int requested_blocks", "int dirtied_blocks"],
    |r, out| {
        write!(out, "dev {} tid {} type 0 line_no 0 ", Dev(r.arg(0)), r.arg(1))?;
        write!(out, "sync {} requested_blocks {} dirtied_blocks {}", r.arg(2), r.arg(3), r.arg(4))
    }
);
event!(START_COMMIT, "jbd2_start_commit", ["tid_t transaction"], commit_line);
event!(COMMIT_LOCKING, "jbd2_commit_locking", ["tid_t transaction"], commit_line);
event!(COMMIT_FLUSHING, "jbd2_commit_flushing", ["tid_t transaction"], commit_line);
event!(COMMIT_LOGGING, "jbd2_commit_logging", ["tid_t transaction"], commit_line);
event!(DROP_TRANSACTION, "jbd2_drop_transaction", ["tid_t transaction"], commit_line);
event!(END_COMMIT, "jbd2_end_commit", ["tid_t transaction", "tid_t head"], |r, out| {
    write!(out, "dev {} transaction {} sync 0 head {}", Dev(r.arg(0)), r.arg(1), r.arg(2))
});
event!(CHECKPOINT, "jbd2_checkpoint", ["int result"], |r, out| {
    write!(out, "dev {} result {}", Dev(r.arg(0)), r.signed(1))
});
event!(
    UPDATE_LOG_TAIL,
    "jbd2_update_log_tail",
    ["tid_t tail_sequence", "tid_t first_tid", "unsigned long block_nr", "unsigned long freed"],
    |r, out| {
        write!(out, "dev {} from {} to {}", Dev(r.arg(0)), r.arg(1), r.arg(2))?;
        write!(out, " offset {} freed {}", r.arg(3), r.arg(4))
    }
);
event!(WRITE_SUPERBLOCK, "jbd2_write_superblock", ["blk_opf_t write_flags"], |r, out| {
    write!(out, "dev {} write_flags {:x}", Dev(r.arg(0)), r.arg(1))
});

fn handle_line(r: &Record, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    write!(out, "dev {} tid {} type 0 line_no 0 ", Dev(r.arg(0)), r.arg(1))?;
    write!(out, "requested_blocks {}", r.arg(2))
}

fn commit_line(r: &Record, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    write!(out, "dev {} transaction {} sync 0", Dev(r.arg(0)), r.arg(1))
}

fn of(journal: &Journal) -> u64 {
    kdev(journal.setup().fs_device.disk().dev())
}

/// A thread has a handle.
#[inline(always)]
pub(crate) fn handle_start(journal: &Journal, tid: Tid, credits: u32) {
    HANDLE_START.emit(move || [of(journal), tid.0.into(), credits.into()]);
}

/// It goes on in another transaction.
#[inline(always)]
pub(crate) fn handle_restart(journal: &Journal, tid: Tid, credits: u32) {
    HANDLE_RESTART.emit(move || [of(journal), tid.0.into(), credits.into()]);
}

/// It has more credits.
#[inline(always)]
pub(crate) fn handle_extend(journal: &Journal, tid: Tid, left: u32, more: u32) {
    HANDLE_EXTEND.emit(move || [of(journal), tid.0.into(), left.into(), more.into()]);
}

/// It has ended, with so many of its credits left.
#[inline(always)]
pub(crate) fn handle_stats(journal: &Journal, tid: Tid, sync: bool, asked: u32, left: u32) {
    HANDLE_STATS.emit(move || {
        let dirtied = asked.saturating_sub(left);
        [of(journal), tid.0.into(), sync.into(), asked.into(), dirtied.into()]
    });
}

/// The steps of a commit.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Start,
    Locking,
    Flushing,
    Logging,
    /// Not a step: its blocks are all at home.
    Drop,
}

/// A commit has come so far.
#[inline(always)]
pub(crate) fn commit(journal: &Journal, tid: Tid, step: Step) {
    let event = match step {
        Step::Start => &START_COMMIT,
        Step::Locking => &COMMIT_LOCKING,
        Step::Flushing => &COMMIT_FLUSHING,
        Step::Logging => &COMMIT_LOGGING,
        Step::Drop => &DROP_TRANSACTION,
    };
    event.emit(move || [of(journal), tid.0.into()]);
}

/// It is over; `tail` is where the log begins.
#[inline(always)]
pub(crate) fn end_commit(journal: &Journal, tid: Tid, tail: Tid) {
    END_COMMIT.emit(move || [of(journal), tid.0.into(), tail.0.into()]);
}

/// Blocks were taken home because the log had no room.
#[inline(always)]
pub(crate) fn checkpoint(journal: &Journal, result: u64) {
    CHECKPOINT.emit(move || [of(journal), result]);
}

/// The log begins further on.
#[inline(always)]
pub(crate) fn update_log_tail(journal: &Journal, from: Tid, to: Tid, block: u32, freed: u32) {
    UPDATE_LOG_TAIL.emit(move || [of(journal), from.0.into(), to.0.into(), block.into(), freed.into()]);
}

/// The superblock is written.
#[inline(always)]
pub(crate) fn write_superblock(journal: &Journal, flags: u64) {
    WRITE_SUPERBLOCK.emit(move || [of(journal), flags]);
}
