//! FICLONE, FICLONERANGE and FIDEDUPERANGE of ioctl(2): files that share blocks. No file system here can, so
//! what passes the checks is EOPNOTSUPP, as on Linux's ext4; `cp --reflink=auto` then copies.
//!
//! Source: ioctl_ficlonerange(2), ioctl_fideduperange(2); the order of the checks is that of
//! `do_clone_file_range` and `vfs_dedupe_file_range`.

use base::Errno;

use crate::attr::FileType;
use crate::copy_range::{check_files, check_same_file_system};
use crate::file::File;
use crate::flags::FMode;

/// Why `to` does not share the blocks of `from`: EXDEV, EISDIR, EINVAL (no regular file), EBADF, EOPNOTSUPP.
pub fn clone_range(from: &File, to: &File) -> Errno {
    let checked = check_same_file_system(from, to).and_then(|()| check_files(from, to));
    checked.err().unwrap_or(Errno::EOPNOTSUPP)
}

/// Why equal bytes of `from` and other files do not share blocks: EINVAL (not open for reading, no regular file,
/// `reserved` is not 0), EISDIR, EOPNOTSUPP.
pub fn dedupe_range(from: &File, reserved: bool) -> Errno {
    match from.inode().file_type() {
        _ if !from.mode().contains(FMode::READ) || reserved => Errno::EINVAL,
        FileType::Directory => Errno::EISDIR,
        FileType::Regular => Errno::EOPNOTSUPP,
        _ => Errno::EINVAL,
    }
}
