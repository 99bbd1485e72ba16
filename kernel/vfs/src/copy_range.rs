//! copy_file_range(2): bytes from one file to another of the same file system, within the kernel.
//!
//! Source: copy_file_range(2); the order of the checks is that of `generic_copy_file_checks`.

use base::{Errno, Result};

use crate::attr::FileType;
use crate::file::File;
use crate::file_ops::KiocbFlags;
use crate::flags::FMode;
use crate::inode::{Fixed, same_inode};
use crate::read_write::{Io, MAX_RW_COUNT, read_for_copy, splice_write};
use crate::sendfile::check_copy;

/// How much is in the kernel's memory at a time.
const CHUNK: usize = 16 * base::PAGE_SIZE;

/// A place in a file.
#[derive(Clone, Copy)]
pub struct Spot<'a> {
    /// The file.
    pub file: &'a File,
    /// The byte, as the program says it.
    pub pos: i64,
}

/// Copies at most `len` bytes. How many: 0 at the end of the input. EISDIR, EINVAL (no regular file, the ranges
/// overlap), EBADF (mode, O_APPEND), EXDEV, EOVERFLOW, EFBIG, EPERM, and what the files say.
pub fn copy_file_range(io: &Io<'_>, from: Spot<'_>, to: Spot<'_>, len: usize) -> Result<usize> {
    check_files(from.file, to.file)?;
    check_same_file_system(from.file, to.file)?;
    let (mut read_pos, mut write_pos, len) = check_range(io, from, to, len)?;
    if len > 0 {
        check_copy(from.file, read_pos, to.file)?;
    }
    let mut chunk = alloc::vec![0; CHUNK.min(len)];
    let mut done = 0;
    while done < len {
        let want = chunk.len().min(len - done);
        let step = read_for_copy(io, from.file, &mut read_pos, &mut chunk[..want])
            .and_then(|got| splice_write(io, to.file, &mut write_pos, &chunk[..got]).map(|put| (got, put)));
        match step {
            Ok((_, put)) if put < want => return Ok(done + put),
            Ok((_, put)) => done += put,
            Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
        }
    }
    Ok(done)
}

/// What copying and sharing bytes want of two files (`generic_file_rw_checks`). EISDIR, EINVAL, EBADF.
pub(crate) fn check_files(from: &File, to: &File) -> Result<()> {
    let kinds = [from, to].map(|file| file.inode().file_type());
    if kinds.contains(&FileType::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds.iter().any(|&kind| kind != FileType::Regular) {
        return Err(Errno::EINVAL);
    }
    let appends = to.kiocb_flags().contains(KiocbFlags::APPEND);
    let open = from.mode().contains(FMode::READ) && to.mode().contains(FMode::WRITE);
    if open && !appends { Ok(()) } else { Err(Errno::EBADF) }
}

/// EXDEV when they lie on different file systems.
pub(crate) fn check_same_file_system(from: &File, to: &File) -> Result<()> {
    let devices = [from, to].map(|file| file.inode().superblock().dev());
    if devices[0] == devices[1] { Ok(()) } else { Err(Errno::EXDEV) }
}

/// Where both begin, and how much of `len` there is to copy.
fn check_range(io: &Io<'_>, from: Spot<'_>, to: Spot<'_>, len: usize) -> Result<(u64, u64, usize)> {
    if to.file.inode().fixed().contains(Fixed::IMMUTABLE) {
        return Err(Errno::EPERM);
    }
    // As numbers without a sign: what is below 0 overflows, too.
    let overflows = |pos: i64| pos.cast_unsigned().checked_add(len as u64).is_none();
    if overflows(from.pos) || overflows(to.pos) {
        return Err(Errno::EOVERFLOW);
    }
    let size = i64::try_from(from.file.inode().size()).unwrap_or(i64::MAX);
    let there = size.saturating_sub(from.pos).max(0).cast_unsigned().min(len as u64);
    let limit = i64::try_from(io.fsize_limit.min(to.file.max_bytes())).unwrap_or(i64::MAX);
    if to.pos >= limit {
        return Err(Errno::EFBIG);
    }
    let count = there.min(limit.saturating_sub(to.pos).cast_unsigned());
    if same_inode(from.file.inode(), to.file.inode()) && from.pos.abs_diff(to.pos) < count {
        return Err(Errno::EINVAL);
    }
    let begin = |pos: i64| u64::try_from(pos).map_err(|_| Errno::EINVAL);
    // At most `len`.
    Ok((begin(from.pos)?, begin(to.pos)?, (count as usize).min(MAX_RW_COUNT)))
}
