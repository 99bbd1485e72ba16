//! sendfile(2): a file's bytes to another file, through the kernel's memory, or to a pipe, by handle.
//!
//! The input is looked at before the output ([`check`]), as in Linux. Source: sendfile(2), `do_sendfile`.

use base::{Errno, Result};

use crate::attr::FileType;
use crate::file::File;
use crate::file_ops::KiocbFlags;
use crate::flags::{FMode, OpenFlags};
use crate::pipe::{self, Wait};
use crate::read_write::{Io, MAX_RW_COUNT, check_mode, read_for_copy, splice_write, verify_area};

/// The checks of sendfile(2)'s input, which come before the output is looked at: EBADF, ESPIPE, EINVAL. Where it is
/// read from; None: from its own position on.
pub fn check(from: &File, offset: Option<i64>, count: usize) -> Result<Option<u64>> {
    check_mode(from, FMode::READ, FMode::CAN_READ)?;
    if offset.is_some() && !from.mode().contains(FMode::PREAD) {
        return Err(Errno::ESPIPE);
    }
    let offset = offset.map(u64::try_from).transpose().map_err(|_| Errno::EINVAL)?;
    verify_area(from, offset.unwrap_or_else(|| from.lock_pos().get()), count)?;
    Ok(offset)
}

/// sendfile(2) between two files through the kernel's memory: reads from `offset` (or the input's
/// own position), writes at the output's position. Into a pipe it is a splice: as much as fits. EINVAL when
/// the output appends.
/// `offset` is what [`check`] answered.
pub fn sendfile(
    io: &Io<'_>,
    to: &File,
    from: &File,
    offset: Option<u64>,
    count: usize,
) -> Result<(usize, u64)> {
    const CHUNK: usize = 16 * base::PAGE_SIZE;
    check_mode(to, FMode::WRITE, FMode::CAN_WRITE)?;
    let mut pos = offset.unwrap_or_else(|| from.lock_pos().get());
    let count = cut_copy(from, pos, to, count.min(MAX_RW_COUNT))?;
    if to.kiocb_flags().contains(KiocbFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    if from.inode().file_type() == FileType::Directory || !from.ops().has_splice_read() {
        return Err(Errno::EINVAL);
    }
    if let Some(target) = pipe::of(to) {
        // As much as fits, by the page.
        let wait = if to.flags().contains(OpenFlags::NONBLOCK) { Wait::No } else { Wait::Yes };
        let done = pipe::splice_to_pipe(io, from, &mut pos, target, count, wait)?;
        if offset.is_none() {
            from.lock_pos().set(pos);
        }
        return Ok((done, pos));
    }
    if !from.mode().contains(FMode::LSEEK) {
        return Err(Errno::EINVAL);
    }
    if count > 0 {
        check_copy(from, pos, to)?;
    }
    let mut chunk = alloc::vec![0; CHUNK.min(count)];
    let mut done = 0;
    while done < count {
        let want = chunk.len().min(count - done);
        let step = copy_chunk(io, to, from, pos, &mut chunk[..want]);
        match step {
            Ok(0) => break,
            Ok(n) => {
                done += n;
                pos += n as u64;
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    if offset.is_none() {
        from.lock_pos().set(pos);
    }
    Ok((done, pos))
}

/// How much of a copy lies before the largest position that both files have. EOVERFLOW where nothing does.
fn cut_copy(from: &File, pos: u64, to: &File, count: usize) -> Result<usize> {
    // What devices and pipes could have is more than any.
    let limited = |file: &&File| matches!(file.inode().file_type(), FileType::Regular | FileType::Directory);
    let Some(most) = [from, to].into_iter().filter(limited).map(File::max_bytes).min() else {
        return Ok(count);
    };
    match most.checked_sub(pos).filter(|&left| left > 0) {
        Some(left) => Ok(count.min(usize::try_from(left).unwrap_or(count))),
        None if count == 0 && pos == most => Ok(0),
        None => Err(Errno::EOVERFLOW),
    }
}

/// EINVAL for a copy from the cached page's middle by direct I/O: the pages themselves are what is written.
pub(crate) fn check_copy(from: &File, pos: u64, to: &File) -> Result<()> {
    let direct = |file: &File| file.kiocb_flags().contains(KiocbFlags::DIRECT);
    let by_pages = direct(to) && !direct(from) && pos < from.inode().size();
    if by_pages { pipe::direct_unit(to).check(pos, 0) } else { Ok(()) }
}

/// One step of a copy: how many bytes came all the way.
fn copy_chunk(io: &Io<'_>, to: &File, from: &File, mut pos: u64, chunk: &mut [u8]) -> Result<usize> {
    let got = read_for_copy(io, from, &mut pos, chunk)?;
    if got == 0 {
        return Ok(0);
    }
    if !to.ops().has_write_iter() {
        return Err(Errno::EINVAL);
    }
    let mut position = to.lock_pos();
    let mut at = position.get();
    let put = splice_write(io, to, &mut at, &chunk[..got]);
    position.set(at);
    put
}
