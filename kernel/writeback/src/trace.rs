//! The trace points of writeback: an inode becomes dirty, has its turn, a writer must wait. What
//! becomes dirty page by page is the page cache's (`writeback_dirty_folio`). Docs: docs/tracing.md.
//!
//! Fields that stand for what Quill has not (cgroups, shares of disks) are shown with the value they have where
//! Linux does not use them either.
//!
//! Source: Linux 6.1, include/trace/events/writeback.h.

use core::fmt;
use core::sync::atomic::Ordering;

use base::trace::{Dev, Event, Record, Symbols, kdev};
use base::{PAGE_SIZE, time};
use pagecache::stats;

use crate::WritebackControl;
use crate::bandwidth::{Bandwidth, Level};
use crate::bdi::Bdi;
use crate::state::DirtyInode;

/// The events of this layer.
pub static EVENTS: [&Event; 9] = [
    &DIRTY_INODE,
    &START,
    &WRITTEN,
    &SINGLE_INODE_START,
    &SINGLE_INODE,
    &WRITE_INODE_START,
    &WRITE_INODE,
    &GLOBAL_DIRTY_STATE,
    &BALANCE_DIRTY_PAGES,
];

macro_rules! event {
    ($name:ident, $linux:literal, $fields:expr, $render:expr) => {
        static $name: Event = Event::new("writeback", $linux, $fields, $render);
    };
}

const STATES: &[(u64, &str)] = &[(2, "I_DIRTY_SYNC"), (4, "I_DIRTY_DATASYNC"), (1, "I_DIRTY_PAGES")];
const WORK_FIELDS: &[&str] = &["dev_t bdi", "long nr_pages", "int reason"];
const SINGLE_FIELDS: &[&str] = &[
    "dev_t bdi",
    "ino_t ino",
    "unsigned long state",
    "unsigned long age",
    "unsigned long writeback_index",
    "long nr_to_write",
    "unsigned long wrote",
];
const WRITE_FIELDS: &[&str] = &["dev_t bdi", "ino_t ino", "int sync_mode"];

event!(DIRTY_INODE, "writeback_dirty_inode", &["dev_t bdi", "ino_t ino", "unsigned long state"], |r, out| {
    let flags = Symbols { bits: r.arg(2), between: "|", names: STATES };
    write!(out, "bdi {:#}: ino={} state={flags} flags={flags}", Dev(r.arg(0)), r.arg(1))
});
event!(START, "writeback_start", WORK_FIELDS, work_line);
event!(WRITTEN, "writeback_written", WORK_FIELDS, work_line);
event!(SINGLE_INODE_START, "writeback_single_inode_start", SINGLE_FIELDS, single_line);
event!(SINGLE_INODE, "writeback_single_inode", SINGLE_FIELDS, single_line);
event!(WRITE_INODE_START, "writeback_write_inode_start", WRITE_FIELDS, write_line);
event!(WRITE_INODE, "writeback_write_inode", WRITE_FIELDS, write_line);
event!(
    GLOBAL_DIRTY_STATE,
    "global_dirty_state",
    &[
        "unsigned long nr_dirty",
        "unsigned long nr_writeback",
        "unsigned long background_thresh",
        "unsigned long dirty_thresh",
        "unsigned long nr_dirtied",
        "unsigned long nr_written"
    ],
    |r, out| {
        write!(out, "dirty={} writeback={} bg_thresh={}", r.arg(0), r.arg(1), r.arg(2))?;
        write!(out, " thresh={} limit={} dirtied={} written={}", r.arg(3), r.arg(3), r.arg(4), r.arg(5))
    }
);
event!(
    BALANCE_DIRTY_PAGES,
    "balance_dirty_pages",
    &[
        "dev_t bdi",
        "unsigned long limit",
        "unsigned long setpoint",
        "unsigned long dirty",
        "unsigned long dirty_ratelimit",
        "unsigned long task_ratelimit",
        "unsigned int dirtied",
        "long pause"
    ],
    |r, out| {
        write!(out, "bdi {:#}: limit={} setpoint={} dirty={}", Dev(r.arg(0)), r.arg(1), r.arg(2), r.arg(3))?;
        write!(out, " bdi_setpoint=0 bdi_dirty=0 dirty_ratelimit={} task_ratelimit={}", r.arg(4), r.arg(5))?;
        write!(out, " dirtied={} dirtied_pause=0 paused=0 pause={}", r.arg(6), r.arg(7))?;
        write!(out, " period=0 think=0 cgroup_ino=1")
    }
);

/// Why a round of writeback begins (`enum wb_reason`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Too much is dirty.
    Background,
    /// Memory is short.
    Vmscan,
    /// What has been dirty for too long.
    Periodic,
    /// Blocks are short.
    FreeSpace,
}

const REASONS: [&str; 4] = ["background", "vmscan", "periodic", "fs_free_space"];

fn work_line(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    // The fields are of an enum above, so the index is in range; text that a reader can bear anyway.
    let reason = usize::try_from(r.arg(2)).ok().and_then(|i| REASONS.get(i)).copied().unwrap_or("");
    let (periodic, background) = (u8::from(r.arg(2) == 2), u8::from(r.arg(2) == 0));
    write!(out, "bdi {:#}: sb_dev 0:0 nr_pages={} sync_mode=0", Dev(r.arg(0)), r.signed(1))?;
    write!(out, " kupdate={periodic} range_cyclic=1 background={background} reason={reason} cgroup_ino=1")
}

fn single_line(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    let state = Symbols { bits: r.arg(2), between: "|", names: STATES };
    write!(out, "bdi {:#}: ino={} state={state}", Dev(r.arg(0)), r.arg(1))?;
    write!(out, " dirtied_when={} age={}", r.arg(7), r.arg(3))?;
    write!(out, " index={} to_write={} wrote={} cgroup_ino=1", r.arg(4), r.signed(5), r.arg(6))
}

fn write_line(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "bdi {:#}: ino={} sync_mode={} cgroup_ino=1", Dev(r.arg(0)), r.arg(1), r.arg(2))
}

/// An inode that was clean is dirty.
#[inline(always)]
pub(crate) fn dirty_inode(inode: &dyn DirtyInode) {
    DIRTY_INODE.emit(move || {
        let [dev, ino] = inode.mapping().host();
        [dev, ino, inode.dirty_state().flags().bits().into()]
    });
}

/// A round of the flusher begins.
#[inline(always)]
pub(crate) fn start(bdi: &Bdi, reason: Reason) {
    START.emit(move || [kdev(bdi.device().disk().dev()), i64::MAX as u64, reason as u64]);
}

/// A round of the flusher is over.
#[inline(always)]
pub(crate) fn written(bdi: &Bdi, reason: Reason, pages: u64) {
    WRITTEN.emit(move || [kdev(bdi.device().disk().dev()), pages, reason as u64]);
}

fn turn(inode: &dyn DirtyInode, control: &WritebackControl) -> [u64; 8] {
    let [dev, ino] = inode.mapping().host();
    let state = inode.dirty_state();
    let when = state.when.load(Ordering::Relaxed);
    let age = time::monotonic_ns().saturating_sub(when) / time::NSEC_PER_SEC;
    let left = control.nr_to_write.min(i64::MAX as u64);
    // In ticks of 4 ms, Linux's jiffies.
    let jiffies = when / time::COARSE_NS;
    let index = inode.mapping().writeback_cursor();
    [dev, ino, state.flags().bits().into(), age, index, left, control.pages_written, jiffies]
}

/// An inode's turn begins.
#[inline(always)]
pub(crate) fn single_inode_start(inode: &dyn DirtyInode, control: &WritebackControl) {
    SINGLE_INODE_START.emit(move || turn(inode, control));
}

/// An inode's turn is over.
#[inline(always)]
pub(crate) fn single_inode(inode: &dyn DirtyInode, control: &WritebackControl) {
    SINGLE_INODE.emit(move || turn(inode, control));
}

fn attributes(inode: &dyn DirtyInode, sync: bool) -> [u64; 3] {
    let [dev, ino] = inode.mapping().host();
    [dev, ino, u64::from(sync)]
}

/// An inode's attributes go to its block.
#[inline(always)]
pub(crate) fn write_inode_start(inode: &dyn DirtyInode, sync: bool) {
    WRITE_INODE_START.emit(move || attributes(inode, sync));
}

/// They are there.
#[inline(always)]
pub(crate) fn write_inode(inode: &dyn DirtyInode, sync: bool) {
    WRITE_INODE.emit(move || attributes(inode, sync));
}

/// A writer looks at how much is dirty.
#[inline(always)]
pub(crate) fn global_dirty_state(background: usize, limit: usize) {
    GLOBAL_DIRTY_STATE.emit(move || {
        let now = [stats::nr_dirty(), stats::nr_writeback(), background, limit];
        let [dirty, writeback, background, limit] = now.map(|n| n as u64);
        [dirty, writeback, background, limit, stats::nr_dirtied() as u64, stats::nr_written() as u64]
    });
}

/// A writer must wait. Rates are shown in KiB a second.
#[inline(always)]
pub(crate) fn balance_dirty_pages(
    bdi: &Bdi,
    level: Level,
    bandwidth: &Bandwidth,
    dirtied: usize,
    pause_ns: u64,
) {
    BALANCE_DIRTY_PAGES.emit(move || {
        let [limit, setpoint, unwritten] =
            [level.limit, level.setpoint(), level.unwritten].map(|pages| pages as u64);
        let [rate, task] = [bandwidth.ratelimit(), bandwidth.task_ratelimit(level)]
            .map(|pages| pages.saturating_mul(PAGE_SIZE as u64 / 1024));
        let dev = kdev(bdi.device().disk().dev());
        [dev, limit, setpoint, unwritten, rate, task, dirtied as u64, pause_ns / 1_000_000]
    });
}
