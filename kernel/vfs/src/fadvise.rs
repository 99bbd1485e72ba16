//! posix_fadvise(2) and readahead(2): what is read before it is wanted, what is let go.
//!
//! NORMAL, SEQUENTIAL and RANDOM are about the open file as a whole, whatever range they name: they change
//! how far its reads go ahead. WILLNEED begins to read, DONTNEED lets go of what is clean and begins to
//! write what is not. NOREUSE changes nothing, as in Linux before 6.3.
//!
//! Source: posix_fadvise(2), readahead(2).

use core::ops::Range;

use base::{Errno, Result};
use pagecache::Pattern;

use crate::attr::FileType;
use crate::file::File;
use crate::file_ops::Pages;
use crate::flags::FMode;
use crate::pipe;

const NORMAL: u32 = 0;
const RANDOM: u32 = 1;
const SEQUENTIAL: u32 = 2;
const WILLNEED: u32 = 3;
const DONTNEED: u32 = 4;
const LAST: u32 = 5;

/// posix_fadvise(2): `len` 0 means to the end. ESPIPE for a pipe, EINVAL.
pub fn fadvise(file: &File, offset: i64, len: i64, advice: u32) -> Result<()> {
    file.check_open_for_io()?;
    if pipe::of(file).is_some() {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice > LAST {
        return Err(Errno::EINVAL);
    }
    let Some(Pages { mapping, ops }) = file.ops().pages() else { return Ok(()) };
    match advice {
        NORMAL => file.ra().advise(Pattern::Normal),
        RANDOM => file.ra().advise(Pattern::Random),
        SEQUENTIAL => file.ra().advise(Pattern::Sequential),
        WILLNEED => range(offset, len).map_or((), |r| pagecache::force_readahead(mapping, ops, r)),
        DONTNEED => range(offset, len).map_or((), |r| mapping.not_needed(ops, r)),
        _ => {}
    }
    Ok(())
}

/// The bytes an advice is about. None: as in Linux, a negative offset is a very large one, and nothing is
/// there.
fn range(offset: i64, len: i64) -> Option<Range<u64>> {
    let start = u64::try_from(offset).ok()?;
    let end = if len == 0 { u64::MAX } else { start.saturating_add(len.unsigned_abs()) };
    Some(start..end)
}

/// readahead(2). EBADF when it is not open for reading, EINVAL for what is neither a file nor a disk.
pub fn readahead(file: &File, offset: i64, len: u64) -> Result<()> {
    if !file.mode().contains(FMode::READ) {
        return Err(Errno::EBADF);
    }
    if !matches!(file.inode().file_type(), FileType::Regular | FileType::BlockDevice) {
        return Err(Errno::EINVAL);
    }
    fadvise(file, offset, i64::try_from(len).map_err(|_| Errno::EINVAL)?, WILLNEED)
}
