//! The trace points of reads, writes and fsyncs, where they leave this layer for the file system's
//! (or the device's) own operation. Docs: docs/tracing.md.
//!
//! Linux has none here; these follow the form of its others.

use base::trace::{Dev, Event, Record, kdev};

use crate::file::File;

/// The events of this layer.
pub static EVENTS: [&Event; 3] = [&WRITE, &READ, &FSYNC];

const FIELDS: &[&str] = &["dev_t dev", "ino_t ino", "loff_t pos", "size_t count"];

static WRITE: Event = Event::new("vfs", "vfs_write", FIELDS, line);
static READ: Event = Event::new("vfs", "vfs_read", FIELDS, line);
static FSYNC: Event = Event::new(
    "vfs",
    "vfs_fsync_range",
    &["dev_t dev", "ino_t ino", "loff_t start", "loff_t end", "int datasync"],
    |r, out| {
        write!(out, "dev {} ino {} start {} end {}", Dev(r.arg(0)), r.arg(1), r.arg(2), r.signed(3))?;
        write!(out, " datasync {}", r.arg(4))
    },
);

fn line(r: &Record, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    write!(out, "dev {} ino {} pos {} count {}", Dev(r.arg(0)), r.arg(1), r.arg(2), r.arg(3))
}

fn place(file: &File) -> [u64; 2] {
    let inode = file.inode();
    [kdev(inode.superblock().dev()), inode.ino().0]
}

/// `count` bytes are to be written at `pos`.
#[inline(always)]
pub(crate) fn write(file: &File, pos: u64, count: usize) {
    WRITE.emit(move || {
        let [dev, ino] = place(file);
        [dev, ino, pos, count as u64]
    });
}

/// Up to `count` bytes are to be read from `pos` on.
#[inline(always)]
pub(crate) fn read(file: &File, pos: u64, count: usize) {
    READ.emit(move || {
        let [dev, ino] = place(file);
        [dev, ino, pos, count as u64]
    });
}

/// The bytes `start..=end` shall be on the medium.
#[inline(always)]
pub(crate) fn fsync(file: &File, start: u64, end: u64, datasync: bool) {
    FSYNC.emit(move || {
        let [dev, ino] = place(file);
        [dev, ino, start, end.min(i64::MAX as u64), u64::from(datasync)]
    });
}
