//! The trace points of the journal: handles, the steps of a commit, checkpoints, the superblock. Docs:
//! docs/tracing.md.
//!
//! Linux's names and lines. `type` and `line_no` of a handle, which say where in the file system's source it
//! was started, are 0 here.
//!
//! Source: Linux 6.1, include/trace/events/jbd2.h.

use base::time;
use base::trace::{Dev, Event, Record, kdev};

use crate::checkpoint::CheckpointStats;
use crate::journal::Journal;
use crate::stats::RunStats;
use crate::units::Tid;

/// The events of this layer.
pub static EVENTS: [&Event; 15] = [
    &HANDLE_START,
    &HANDLE_EXTEND,
    &HANDLE_RESTART,
    &HANDLE_STATS,
    &START_COMMIT,
    &COMMIT_LOCKING,
    &COMMIT_FLUSHING,
    &COMMIT_LOGGING,
    &END_COMMIT,
    &RUN_STATS,
    &CHECKPOINT,
    &CHECKPOINT_STATS,
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
// More numbers than a record has words: two of 32 bits in each.
event!(
    RUN_STATS,
    "jbd2_run_stats",
    [
        "tid_t tid, unsigned int wait",
        "unsigned int request_delay, running",
        "unsigned int locked, flushing",
        "unsigned int logging, handle_count",
        "unsigned int blocks, blocks_logged"
    ],
    |r, out| {
        let (low, high) = (|n| r.arg(n) as u32, |n| r.arg(n) >> 32);
        write!(out, "dev {} tid {} wait {} ", Dev(r.arg(0)), low(1), high(1))?;
        write!(out, "request_delay {} running {} locked {} ", low(2), high(2), low(3))?;
        write!(out, "flushing {} logging {} handle_count {} ", high(3), low(4), high(4))?;
        write!(out, "blocks {} blocks_logged {}", low(5), high(5))
    }
);
event!(
    CHECKPOINT_STATS,
    "jbd2_checkpoint_stats",
    [
        "tid_t tid",
        "unsigned int chp_time",
        "unsigned int forced_to_close",
        "unsigned int written",
        "unsigned int dropped"
    ],
    |r, out| {
        write!(out, "dev {} tid {} chp_time {} ", Dev(r.arg(0)), r.arg(1), r.arg(2))?;
        write!(out, "forced_to_close {} written {} dropped {}", r.arg(3), r.arg(4), r.arg(5))
    }
);
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
}

/// A commit has come so far.
#[inline(always)]
pub(crate) fn commit(journal: &Journal, tid: Tid, step: Step) {
    let event = match step {
        Step::Start => &START_COMMIT,
        Step::Locking => &COMMIT_LOCKING,
        Step::Flushing => &COMMIT_FLUSHING,
        Step::Logging => &COMMIT_LOGGING,
    };
    event.emit(move || [of(journal), tid.0.into()]);
}

/// It is over; `tail` is where the log begins.
#[inline(always)]
pub(crate) fn end_commit(journal: &Journal, tid: Tid, tail: Tid) {
    END_COMMIT.emit(move || [of(journal), tid.0.into(), tail.0.into()]);
}

/// What a commit took.
#[inline(always)]
pub(crate) fn run_stats(journal: &Journal, tid: Tid, run: &RunStats) {
    RUN_STATS.emit(move || {
        // Milliseconds, as Linux shows them; a run has no 2^32 of them, nor of blocks.
        let ms = |ns: u64| (ns / 1_000_000) as u32;
        let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [
            of(journal),
            two(tid.0, ms(run.wait_ns)),
            two(ms(run.delay_ns), ms(run.running_ns)),
            two(ms(run.locked_ns), ms(run.flushing_ns)),
            two(ms(run.logging_ns), run.handles),
            two(run.blocks, run.blocks_logged),
        ]
    });
}

/// A transaction's blocks are all at home.
#[inline(always)]
pub(crate) fn dropped(journal: &Journal, tid: Tid, stats: &CheckpointStats) {
    DROP_TRANSACTION.emit(move || [of(journal), tid.0.into()]);
    CHECKPOINT_STATS.emit(move || {
        let took = stats.begun.map_or(0, |begun| time::monotonic_ns().saturating_sub(begun));
        let (forced, written) = (stats.forced_to_close.into(), stats.written.into());
        [of(journal), tid.0.into(), took / 1_000_000, forced, written, stats.dropped.into()]
    });
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
