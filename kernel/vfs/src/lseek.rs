//! Where a seek leads: the helpers behind `llseek`, and lseek(2) itself.
//!
//! Positions are `0..=max_bytes`; what lies outside is EINVAL, a sum past i64 EOVERFLOW. SEEK_DATA
//! and SEEK_HOLE of a file system that keeps no map of holes: all of it is data, with a hole at the
//! end. Sources: lseek(2), `fs/read_write.c` as documented in Documentation/filesystems/vfs.rst.

use base::{Errno, Result};

use crate::attr::FileType;
use crate::file::File;
use crate::file_ops::Whence;
use crate::flags::FMode;

/// lseek(2): moves the file's position and tells it. ESPIPE on streams.
pub fn lseek(file: &File, offset: i64, whence: u32) -> Result<u64> {
    file.check_open_for_io()?;
    let mut position = file.lock_pos();
    let whence = Whence::from_user(whence)?;
    if !file.mode().contains(FMode::LSEEK) {
        return Err(Errno::ESPIPE);
    }
    let pos = file.ops().llseek(file, position.get(), offset, whence)?;
    position.set(pos);
    Ok(pos)
}

/// `generic_file_llseek`: the end is i_size, the limit s_maxbytes. A directory's positions are its
/// own, so only i64 limits them.
pub fn generic_file(file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
    let max = match file.inode().file_type() {
        FileType::Directory => i64::MAX as u64,
        _ => file.max_bytes(),
    };
    generic(pos, offset, whence, file.inode().size(), max)
}

/// Where a seek leads in a file of `size` bytes in which positions up to `max` exist.
pub fn generic(pos: u64, offset: i64, whence: Whence, size: u64, max: u64) -> Result<u64> {
    let from = match whence {
        Whence::Set => 0,
        Whence::Cur => pos,
        Whence::End => size,
        Whence::Data => return data(offset, size),
        Whence::Hole => return data(offset, size).map(|_| size),
    };
    let from = i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
    // Linux's sum wraps to a negative position, which is EINVAL too.
    let to = from.checked_add(offset).ok_or(Errno::EINVAL)?;
    check(to, max)
}

/// A position given as a number: EINVAL when it is negative or past `max` (`vfs_setpos`).
pub fn check(to: i64, max: u64) -> Result<u64> {
    u64::try_from(to).ok().filter(|&to| to <= max).ok_or(Errno::EINVAL)
}

/// ENXIO at or past the end, or before the start.
fn data(offset: i64, size: u64) -> Result<u64> {
    u64::try_from(offset).ok().filter(|&o| o < size).ok_or(Errno::ENXIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1 << 44;

    #[test]
    fn seeks_of_a_plain_file() {
        let seek = |offset, whence| generic(100, offset, whence, 1000, MAX);
        assert_eq!(seek(5, Whence::Set), Ok(5));
        assert_eq!(seek(-1, Whence::Set), Err(Errno::EINVAL));
        assert_eq!(seek(-100, Whence::Cur), Ok(0));
        assert_eq!(seek(-101, Whence::Cur), Err(Errno::EINVAL));
        assert_eq!(seek(0, Whence::End), Ok(1000));
        assert_eq!(seek(5000, Whence::End), Ok(6000));
        assert_eq!(seek(MAX as i64, Whence::Set), Ok(MAX));
        assert_eq!(seek(MAX as i64 + 1, Whence::Set), Err(Errno::EINVAL));
        assert_eq!(seek(i64::MAX, Whence::Cur), Err(Errno::EINVAL));
    }

    #[test]
    fn data_and_holes() {
        let seek = |offset, whence| generic(100, offset, whence, 1000, MAX);
        assert_eq!(seek(0, Whence::Data), Ok(0));
        assert_eq!(seek(999, Whence::Data), Ok(999));
        assert_eq!(seek(1000, Whence::Data), Err(Errno::ENXIO));
        assert_eq!(seek(-1, Whence::Data), Err(Errno::ENXIO));
        assert_eq!(seek(0, Whence::Hole), Ok(1000));
        assert_eq!(seek(1000, Whence::Hole), Err(Errno::ENXIO));
        assert_eq!(Whence::from_user(5), Err(Errno::EINVAL));
    }
}
