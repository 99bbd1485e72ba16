//! posix_fadvise(2) and readahead(2): what is read before it is wanted, what is let go.
//!
//! NORMAL, SEQUENTIAL, RANDOM and NOREUSE change nothing: reading finds its own window.

use base::{Errno, Result};

use crate::file::File;
use crate::file_ops::Mmap;
use crate::flags::FMode;

const WILLNEED: u32 = 3;
const DONTNEED: u32 = 4;
const LAST: u32 = 5;

/// posix_fadvise(2): `len` 0 means to the end. ESPIPE where there are no positions, EINVAL.
pub fn fadvise(file: &File, offset: i64, len: i64, advice: u32) -> Result<()> {
    file.check_open_for_io()?;
    if !file.ops().seekable() {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice > LAST {
        return Err(Errno::EINVAL);
    }
    // As Linux, where a negative offset is a very large one: nothing is there.
    let Ok(start) = u64::try_from(offset) else { return Ok(()) };
    let end = if len == 0 { u64::MAX } else { start.saturating_add(len.unsigned_abs()) };
    if !matches!(advice, WILLNEED | DONTNEED) {
        return Ok(());
    }
    let Ok(Mmap::Pages { mapping, ops }) = file.ops().mmap(file) else { return Ok(()) };
    if advice == WILLNEED {
        pagecache::force_readahead(&mapping, &*ops, start..end);
    } else {
        mapping.not_needed(&*ops, start..end);
    }
    Ok(())
}

/// readahead(2). EBADF when it is not open for reading, EINVAL for what has no pages.
pub fn readahead(file: &File, offset: i64, len: u64) -> Result<()> {
    if !file.mode().contains(FMode::READ) {
        return Err(Errno::EBADF);
    }
    if file.ops().mapping().is_none() {
        return Err(Errno::EINVAL);
    }
    let Ok(len) = i64::try_from(len) else { return Err(Errno::EINVAL) };
    if len == 0 { Ok(()) } else { fadvise(file, offset, len, WILLNEED) }
}
