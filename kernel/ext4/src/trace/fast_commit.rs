//! Fast commits: what is kept in mind to be told, what is told, and what a mount finds.
//!
//! `error` of an inode is -17 (EEXIST) when the transaction has it in mind already, as on Linux.

use core::fmt;
use core::ops::Range;

use base::trace::{Dev, Event, Record, kdev};
use base::{Errno, Result};
use jbd2::Tid;

use crate::disk::fast_commit::{Change, NameChange};
use crate::fs::Ext4Fs;
use crate::inode::Node;

macro_rules! event {
    ($vis:vis $name:ident, $linux:literal, $fields:expr, $render:expr) => {
        $vis static $name: Event = Event::new("ext4", $linux, $fields, $render);
    };
}

event!(pub(super) COMMIT_START, "ext4_fc_commit_start", &["dev_t dev", "tid_t tid"], |r, out| {
    write!(out, "dev {} tid {}", Dev(r.arg(0)), r.arg(1))
});
event!(
    pub(super) COMMIT_STOP,
    "ext4_fc_commit_stop",
    &["dev_t dev", "int nblks", "int reason", "int num_fc", "int num_fc_ineligible", "int nblks_agg", "tid_t tid"],
    |r, out| {
        write!(out, "dev {} nblks {}, reason {}, fc = {}", Dev(r.arg(0)), r.arg(1), r.arg(2), r.arg(3))?;
        write!(out, ", ineligible = {}, agg_nblks {}, tid {}", r.arg(4), r.arg(5), r.arg(6))
    }
);
event!(pub(super) TRACK_CREATE, "ext4_fc_track_create", TRACKED, name);
event!(pub(super) TRACK_LINK, "ext4_fc_track_link", TRACKED, name);
event!(pub(super) TRACK_UNLINK, "ext4_fc_track_unlink", TRACKED, name);
event!(pub(super) TRACK_INODE, "ext4_fc_track_inode", TRACKED, |r, out| inode(out, r, r.signed(4)));
event!(
    pub(super) TRACK_RANGE,
    "ext4_fc_track_range",
    &["dev_t dev", "tid_t t_tid", "ino_t i_ino", "tid_t i_sync_tid", "long start", "long end", "int error"],
    |r, out| {
        inode(out, r, r.signed(6))?;
        write!(out, ", start {}, end {}", r.signed(4), r.signed(5))
    }
);
event!(
    pub(super) REPLAY,
    "ext4_fc_replay",
    &["dev_t dev", "int tag", "int ino", "int priv1", "int priv2"],
    |r, out| {
        write!(out, "dev {}: tag {}, ino {}", Dev(r.arg(0)), r.arg(1), r.arg(2) as i32)?;
        // Numbers of blocks are shown as ints there.
        write!(out, ", data1 {}, data2 {}", r.arg(3) as i32, r.arg(4) as i32)
    }
);
event!(pub(super) REPLAY_SCAN, "ext4_fc_replay_scan", &["dev_t dev", "int error", "int off"], |r, out| {
    write!(out, "dev {} error {}, off {}", Dev(r.arg(0)), r.signed(1), r.arg(2))
});

/// Of a name and of an inode.
const TRACKED: &[&str] = &["dev_t dev", "tid_t t_tid", "ino_t i_ino", "tid_t i_sync_tid", "int error"];

fn name(r: &Record, out: &mut dyn fmt::Write) -> fmt::Result {
    let (dev, tid, ino, sync, error) = (Dev(r.arg(0)), r.arg(1), r.arg(2), r.arg(3), r.signed(4));
    write!(out, "dev {dev}, t_tid {tid}, ino {ino}, i_sync_tid {sync}, error {error}")
}

fn inode(out: &mut dyn fmt::Write, r: &Record, error: i64) -> fmt::Result {
    let (dev, tid, ino, sync) = (Dev(r.arg(0)), r.arg(1), r.arg(2), r.arg(3));
    write!(out, "dev {dev:#}, t_tid {tid}, inode {ino}, i_sync_tid {sync}, error {error}")
}

fn dev(fs: &Ext4Fs) -> u64 {
    kdev(fs.device().disk().dev())
}

/// Device, transaction, inode, the transaction that an fsync of it waits for.
fn of(node: &Node, tid: Tid) -> [u64; 4] {
    [dev(node.fs()), tid.0.into(), node.ino32().into(), node.tids.sync_tid().0.into()]
}

/// A fast commit is tried.
pub(crate) fn fc_commit_start(fs: &Ext4Fs, tid: Tid) {
    COMMIT_START.emit(move || [dev(fs), tid.0.into()]);
}

/// How it ended (`EXT4_FC_STATUS_*`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FcStatus {
    /// Written.
    Ok = 0,
    /// The transaction cannot be told.
    Ineligible = 1,
    /// There was nothing to tell.
    Skipped = 2,
    /// It did not come to it.
    Failed = 3,
}

/// It came to this, of so many blocks.
pub(crate) fn fc_commit_stop(fs: &Ext4Fs, blocks: u64, status: FcStatus, tid: Tid) {
    COMMIT_STOP.emit(move || {
        let [commits, ineligible, all] = fs.tracker.stats.sums();
        [dev(fs), blocks, status as u64, commits, ineligible, all, tid.0.into()]
    });
}

/// A name of the inode came or went.
pub(crate) fn fc_track_name(what: NameChange, node: &Node, tid: Tid) {
    let event = match what {
        NameChange::Create => &TRACK_CREATE,
        NameChange::Link => &TRACK_LINK,
        NameChange::Unlink => &TRACK_UNLINK,
    };
    event.emit(move || {
        let [dev, tid, ino, sync] = of(node, tid);
        [dev, tid, ino, sync, 0]
    });
}

/// The inode has changed; whether that was known.
pub(crate) fn fc_track_inode(node: &Node, tid: Tid, known: bool) {
    TRACK_INODE.emit(move || {
        let [dev, tid, ino, sync] = of(node, tid);
        [dev, tid, ino, sync, if known { Errno::EEXIST.as_return() } else { 0 }]
    });
}

/// Its map has, in these blocks.
pub(crate) fn fc_track_range(node: &Node, tid: Tid, blocks: Range<u64>) {
    TRACK_RANGE.emit(move || {
        let [dev, tid, ino, sync] = of(node, tid);
        // The last one, not the one behind it.
        [dev, tid, ino, sync, blocks.start, blocks.end.saturating_sub(1), 0]
    });
}

/// A mount has looked at a block of the log's area; 1 when it goes on, 0 when nothing behind it counts.
pub(crate) fn fc_replay_scan(fs: &Ext4Fs, went: Result<u64>, block: u32) {
    REPLAY_SCAN.emit(move || [dev(fs), went.unwrap_or_else(Errno::as_return), block.into()]);
}

/// A change is replayed: its tag, its inode and two more of its numbers.
pub(crate) fn fc_replay(fs: &Ext4Fs, change: &Change) {
    REPLAY.emit(|| {
        let [tag, ino, first, second] = match change {
            Change::Add { ino, entry } => [1, *ino, entry.block, entry.len],
            Change::Del { ino, first, len } => [2, *ino, *first, *len],
            Change::Name { what, parent, ino, name } => {
                let tag = match what {
                    NameChange::Create => 3,
                    NameChange::Link => 4,
                    NameChange::Unlink => 5,
                };
                // At most 255 bytes.
                [tag, *ino, *parent, name.len() as u32]
            }
            Change::Inode { ino, .. } => [6, *ino, 0, 0],
        };
        [dev(fs), tag.into(), ino.into(), first.into(), second.into()]
    });
}
