//! fsync, fdatasync, sync, syncfs: what must be on the medium before they return.
//!
//! An error of writeback that nobody waited for is noted in the file's mapping (errseq) and told
//! once through every file that was open then: by the next fsync of each.

use alloc::sync::Arc;

use base::Result;

use crate::file::File;
use crate::mount::Mount;
use crate::trace;

/// fsync(2) and fdatasync(2). EINVAL for what cannot be synced, EIO and ENOSPC from the medium.
pub fn fsync(file: &File, datasync: bool) -> Result<()> {
    fsync_range(file, 0, u64::MAX, datasync)
}

/// The same for the bytes `start..=end` (`vfs_fsync_range`): after O_SYNC writes too.
pub fn fsync_range(file: &File, start: u64, end: u64, datasync: bool) -> Result<()> {
    file.check_open_for_io()?;
    trace::fsync(file, start, end, datasync);
    let done = file.ops().fsync(file, start, end, datasync);
    // Told now even when there is an error of this call: it is the same trouble.
    let earlier = file.take_writeback_error();
    done.and(earlier)
}

/// syncfs(2): the file system an open file is on (`sync_filesystem`).
pub fn syncfs(file: &File) -> Result<()> {
    file.check_open_for_io()?;
    sync_filesystem(&file.path().mount)
}

/// Writes a file system back and waits. Nothing to do when it is read-only.
pub fn sync_filesystem(mount: &Mount) -> Result<()> {
    let sb = mount.superblock();
    if sb.read_only() { Ok(()) } else { sb.sync(true) }
}

/// sync(2): every file system below `root`. Starts all, then waits for each. sync has no errors;
/// they are logged.
pub fn sync_all(root: &Arc<Mount>) {
    let mounts = root.tree();
    for wait in [false, true] {
        for mount in mounts.iter().filter(|m| !m.superblock().read_only()) {
            if let Err(error) = mount.superblock().sync(wait) {
                log::error!("vfs: sync of {}: {error}", mount.source());
            }
        }
    }
}
