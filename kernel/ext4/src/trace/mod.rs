//! The trace points of ext4, of those that Linux has the ones on the path of a write; delayed allocation's are in
//! [`delayed`], those of fast commits in [`fast_commit`]. Docs: docs/tracing.md.
//!
//! A write over bytes that are cached on blocks that have a place asks nobody and has no
//! `ext4_write_begin`; a place that the extent cache knows has no `ext4_ext_map_blocks_enter`.
//!
//! Source: Linux 6.1, include/trace/events/ext4.h.

mod delayed;
mod fast_commit;

use core::fmt;

use base::trace::{Dev, Event, Record, Symbols, kdev};
use base::{Errno, FsBlock, Result};
use pagecache::{Extent, ExtentKind, MapMode, SyncMode, WritebackControl};
use vfs::{File, FileType};

use crate::balloc::blocks::Request;
use crate::inode::Node;

pub(crate) use delayed::{
    alloc_da_blocks, da_release_space, da_reserve_space, da_update_reserve_space, da_write_pages,
    da_write_pages_extent,
};
pub(crate) use fast_commit::{
    FcStatus, fc_commit_start, fc_commit_stop, fc_replay, fc_replay_scan, fc_track_inode, fc_track_name,
    fc_track_range,
};

/// The events of this layer.
pub static EVENTS: [&Event; 25] = [
    &WRITE_BEGIN,
    &WRITE_END,
    &MAP_ENTER,
    &MAP_EXIT,
    &REQUEST_BLOCKS,
    &ALLOCATE_BLOCKS,
    &SYNC_ENTER,
    &SYNC_EXIT,
    &WRITEPAGES,
    &WRITEPAGES_RESULT,
    &delayed::RESERVE_SPACE,
    &delayed::RELEASE_SPACE,
    &delayed::UPDATE_RESERVE_SPACE,
    &delayed::WRITE_PAGES,
    &delayed::WRITE_PAGES_EXTENT,
    &delayed::ALLOC_DA_BLOCKS,
    &fast_commit::COMMIT_START,
    &fast_commit::COMMIT_STOP,
    &fast_commit::TRACK_CREATE,
    &fast_commit::TRACK_LINK,
    &fast_commit::TRACK_UNLINK,
    &fast_commit::TRACK_INODE,
    &fast_commit::TRACK_RANGE,
    &fast_commit::REPLAY,
    &fast_commit::REPLAY_SCAN,
];

macro_rules! event {
    ($vis:vis $name:ident, $linux:literal, [$($field:literal),*], $render:expr) => {
        $vis static $name: Event = Event::new("ext4", $linux, &["dev_t dev", "ino_t ino", $($field),*], $render);
    };
}
use event;

event!(WRITE_BEGIN, "ext4_write_begin", ["loff_t pos", "unsigned int len"], |r, out| {
    write!(out, "{} pos {} len {}", Of(r), r.signed(2), r.arg(3))
});
event!(WRITE_END, "ext4_write_end", ["loff_t pos", "unsigned int len", "unsigned int copied"], |r, out| {
    write!(out, "{} pos {} len {} copied {}", Of(r), r.signed(2), r.arg(3), r.arg(4))
});
event!(
    MAP_ENTER,
    "ext4_ext_map_blocks_enter",
    ["ext4_lblk_t lblk", "unsigned int len", "unsigned int flags"],
    |r, out| write!(out, "{} lblk {} len {} flags {}", Of(r), r.arg(2), r.arg(3), map_flags(r.arg(4)))
);
event!(
    MAP_EXIT,
    "ext4_ext_map_blocks_exit",
    [
        "ext4_lblk_t lblk",
        "ext4_fsblk_t pblk",
        "unsigned int len",
        "unsigned int flags",
        "unsigned int mflags",
        "int ret"
    ],
    |r, out| {
        write!(out, "{} flags {} lblk {} pblk {}", Of(r), map_flags(r.arg(5)), r.arg(2), r.arg(3))?;
        write!(out, " len {} mflags {} ret {}", r.arg(4), found(r.arg(6)), r.signed(7))
    }
);
event!(
    REQUEST_BLOCKS,
    "ext4_request_blocks",
    ["unsigned int len", "__u32 logical", "__u64 goal", "unsigned int flags"],
    |r, out| {
        write!(out, "{} flags {} len {}", Of(r), allocation_flags(r.arg(5)), r.arg(2))?;
        write!(out, " lblk {} goal {} lleft 0 lright 0 pleft 0 pright 0 ", r.arg(3), r.arg(4))
    }
);
event!(
    ALLOCATE_BLOCKS,
    "ext4_allocate_blocks",
    ["unsigned int len", "__u32 logical", "__u64 goal", "unsigned int flags", "__u64 block"],
    |r, out| {
        write!(out, "{} flags {} len {}", Of(r), allocation_flags(r.arg(5)), r.arg(2))?;
        write!(
            out,
            " block {} lblk {} goal {} lleft 0 lright 0 pleft 0 pright 0",
            r.arg(6),
            r.arg(3),
            r.arg(4)
        )
    }
);
event!(SYNC_ENTER, "ext4_sync_file_enter", ["ino_t parent", "int datasync"], |r, out| {
    write!(out, "{} parent {} datasync {} ", Of(r), r.arg(2), r.arg(3))
});
event!(SYNC_EXIT, "ext4_sync_file_exit", ["int ret"], |r, out| {
    write!(out, "{} ret {}", Of(r), r.signed(2))
});
event!(
    WRITEPAGES,
    "ext4_writepages",
    [
        "long nr_to_write",
        "loff_t range_start",
        "loff_t range_end",
        "int sync_mode",
        "char range_cyclic",
        "unsigned long writeback_index"
    ],
    |r, out| {
        write!(out, "{} nr_to_write {} pages_skipped 0", Of(r), r.signed(2))?;
        write!(out, " range_start {} range_end {} sync_mode {}", r.signed(3), r.signed(4), r.arg(5))?;
        write!(out, " for_kupdate 0 range_cyclic {} writeback_index {}", r.arg(6), r.arg(7))
    }
);
event!(
    WRITEPAGES_RESULT,
    "ext4_writepages_result",
    ["int ret", "int pages_written", "long pages_skipped", "int sync_mode", "unsigned long writeback_index"],
    |r, out| {
        write!(out, "{} ret {} pages_written {}", Of(r), r.signed(2), r.arg(3))?;
        write!(out, " pages_skipped {} sync_mode {} writeback_index {}", r.arg(4), r.arg(5), r.arg(6))
    }
);

/// What every line begins with.
struct Of<'a>(&'a Record);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dev {} ino {}", Dev(self.0.arg(0)), self.0.arg(1))
    }
}

/// New, mapped, unwritten.
fn found(bits: u64) -> Symbols<'static> {
    Symbols { bits, between: "", names: &[(1, "N"), (2, "M"), (4, "U")] }
}

fn map_flags(bits: u64) -> Symbols<'static> {
    Symbols { bits, between: "|", names: &[(1, "CREATE"), (4, "DELALLOC"), (0x400, "IO_SUBMIT")] }
}

fn allocation_flags(bits: u64) -> Symbols<'static> {
    Symbols { bits, between: "|", names: &[(4, "HINT_MDATA"), (0x20, "HINT_DATA")] }
}

fn of(node: &Node) -> [u64; 2] {
    [kdev(node.fs().device().disk().dev()), node.ino32().into()]
}

fn answer(done: &Result<()>) -> u64 {
    done.map_or_else(Errno::as_return, |()| 0)
}

/// A write call wants a page.
#[inline(always)]
pub(crate) fn write_begin(node: &Node, pos: u64, len: usize) {
    WRITE_BEGIN.emit(move || {
        let [dev, ino] = of(node);
        [dev, ino, pos, len as u64]
    });
}

/// The bytes are in the page, and are now to count.
#[inline(always)]
pub(crate) fn write_end(node: &Node, pos: u64, len: usize, copied: usize) {
    WRITE_END.emit(move || {
        let [dev, ino] = of(node);
        [dev, ino, pos, len as u64, copied as u64]
    });
}

fn flags(how: MapMode) -> u64 {
    match how {
        MapMode::Read => 0,
        MapMode::Write { .. } => 1,
        MapMode::Writeback { unwritten: false } => 0x401,
        MapMode::Writeback { unwritten: true } => 0x40b,
    }
}

/// Where does this block lie?
#[inline(always)]
pub(crate) fn map_blocks_enter(node: &Node, block: u32, count: u64, how: MapMode) {
    MAP_ENTER.emit(move || {
        let [dev, ino] = of(node);
        [dev, ino, block.into(), count, flags(how)]
    });
}

/// There.
#[inline(always)]
pub(crate) fn map_blocks_exit(node: &Node, block: u32, count: u64, how: MapMode, found: &Result<Extent>) {
    MAP_EXIT.emit(move || {
        let [dev, ino] = of(node);
        let (place, len, state, ret) = match found {
            Ok(extent) => {
                let len = extent.len.min(count);
                let (place, state, ret) = match extent.kind {
                    ExtentKind::Hole => (0, 0, 0),
                    ExtentKind::Unwritten => (0, 4, 0),
                    ExtentKind::Delayed => (0, 8, 0),
                    ExtentKind::Mapped { block } => (block.0, 2, len),
                };
                (place, len, state | u64::from(extent.new), ret)
            }
            Err(error) => (0, count, 0, error.as_return()),
        };
        [dev, ino, block.into(), place, len, flags(how), state, ret]
    });
}

fn allocation(node: &Node, block: u32, request: &Request) -> [u64; 4] {
    let data = node.kind() == FileType::Regular;
    [request.want.into(), block.into(), request.goal.0, if data { 0x20 } else { 4 }]
}

/// Blocks are wanted.
#[inline(always)]
pub(crate) fn request_blocks(node: &Node, block: u32, request: &Request) {
    REQUEST_BLOCKS.emit(move || {
        let ([dev, ino], [want, lblk, goal, flags]) = (of(node), allocation(node, block, request));
        [dev, ino, want, lblk, goal, flags]
    });
}

/// Blocks are found and marked in use.
#[inline(always)]
pub(crate) fn allocate_blocks(node: &Node, block: u32, request: &Request, start: FsBlock, got: u32) {
    ALLOCATE_BLOCKS.emit(move || {
        let ([dev, ino], [_, lblk, goal, flags]) = (of(node), allocation(node, block, request));
        [dev, ino, got.into(), lblk, goal, flags, start.0]
    });
}

/// An fsync begins.
#[inline(always)]
pub(crate) fn sync_file_enter(node: &Node, file: &File, datasync: bool) {
    SYNC_ENTER.emit(move || {
        let [dev, ino] = of(node);
        let parent = file.path().dentry.parent();
        let parent = parent.and_then(|dentry| dentry.inode().map(|inode| inode.ino().0)).unwrap_or(0);
        [dev, ino, parent, u64::from(datasync)]
    });
}

/// An fsync is over.
#[inline(always)]
pub(crate) fn sync_file_exit(node: &Node, done: &Result<()>) {
    SYNC_EXIT.emit(move || {
        let [dev, ino] = of(node);
        [dev, ino, answer(done)]
    });
}

/// Dirty pages are to go.
#[inline(always)]
pub(crate) fn writepages(node: &Node, control: &WritebackControl) {
    WRITEPAGES.emit(move || {
        let [dev, ino] = of(node);
        let most = |n: u64| n.min(i64::MAX as u64);
        let (start, end) = (control.range.start, most(control.range.end.saturating_sub(1)));
        let sync = u64::from(control.sync_mode == SyncMode::All);
        let index = node.mapping().writeback_cursor();
        [dev, ino, most(control.nr_to_write), start, end, sync, u64::from(control.range_cyclic), index]
    });
}

/// They are on their way.
#[inline(always)]
pub(crate) fn writepages_result(node: &Node, control: &WritebackControl, done: &Result<()>) {
    WRITEPAGES_RESULT.emit(move || {
        let [dev, ino] = of(node);
        let sync = u64::from(control.sync_mode == SyncMode::All);
        let index = node.mapping().writeback_cursor();
        [dev, ino, answer(done), control.pages_written, control.pages_skipped, sync, index]
    });
}
