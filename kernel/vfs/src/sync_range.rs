//! sync_file_range(2): starts the writing of some bytes of a file, waits for it, or both.
//!
//! ```text
//!   WAIT_BEFORE   wait for what is on its way already
//!   WRITE         start what is dirty; with both WAITs, as a sweep that leaves nothing out
//!   WAIT_AFTER    wait for all of it
//! ```
//! No metadata is written and no cache of a disk flushed: after a power cut the bytes may be gone. A page
//! whose writing failed is told as fsync tells it, once through each open file, by whoever waits.
//!
//! Source: sync_file_range(2); what a WRITE without both WAITs leaves out is told by Linux's code alone.

use core::ops::Range;

use base::{Errno, Result};
use bitflags::bitflags;
use pagecache::{WritebackControl, filemap_fdatawait_range, filemap_fdatawrite_range};

use crate::attr::FileType;
use crate::file::File;
use crate::file_ops::Pages;

bitflags! {
    /// SYNC_FILE_RANGE_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct SyncFileRange: u32 {
        /// Waits for what is being written already.
        const WAIT_BEFORE = 1;
        /// Starts what is dirty.
        const WRITE = 2;
        /// Waits for what is being written then.
        const WAIT_AFTER = 4;
    }
}

/// sync_file_range(2): `len` 0 means to the end. EBADF, EINVAL for flags and ranges that are none, ESPIPE for
/// what is no file, disk or directory; EIO, ENOSPC when a wait finds that writing has failed.
pub fn sync_file_range(file: &File, offset: i64, len: i64, flags: u32) -> Result<()> {
    file.check_open_for_io()?;
    let flags = SyncFileRange::from_bits(flags).ok_or(Errno::EINVAL)?;
    let range = byte_range(offset, len).ok_or(Errno::EINVAL)?;
    if !matches!(file.inode().file_type(), FileType::Regular | FileType::BlockDevice | FileType::Directory) {
        return Err(Errno::ESPIPE);
    }
    // What has no pages on a disk has nothing to write.
    let Some(pages) = file.ops().pages() else { return Ok(()) };
    if flags.contains(SyncFileRange::WAIT_BEFORE) {
        wait(file, pages, range.clone())?;
    }
    if flags.contains(SyncFileRange::WRITE) {
        start(pages, range.clone(), flags == SyncFileRange::all())?;
    }
    if flags.contains(SyncFileRange::WAIT_AFTER) {
        wait(file, pages, range)?;
    }
    Ok(())
}

/// None where the end lies past what a position can be.
fn byte_range(offset: i64, len: i64) -> Option<Range<u64>> {
    let start = u64::try_from(offset).ok()?;
    let len = u64::try_from(len).ok()?;
    let end = start.checked_add(len).filter(|&end| end <= i64::MAX as u64)?;
    Some(start..if len == 0 { u64::MAX } else { end })
}

fn start(pages: Pages<'_>, range: Range<u64>, all: bool) -> Result<()> {
    let Pages { mapping, ops } = pages;
    if all {
        return filemap_fdatawrite_range(mapping, ops, range);
    }
    if !mapping.has_dirty() {
        return Ok(());
    }
    ops.writepages(mapping, &mut WritebackControl::start(range))
}

fn wait(file: &File, pages: Pages<'_>, range: Range<u64>) -> Result<()> {
    let done = filemap_fdatawait_range(pages.mapping, range);
    // Told now even when it came while this call waited: it is the same trouble.
    done.and(file.take_writeback_error())
}
