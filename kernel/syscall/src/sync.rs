//! sync(2), syncfs(2), fsync(2), fdatasync(2), sync_file_range(2).

use base::Result;
use vfs::fsync as vfs_fsync;

use crate::args::Args;
use crate::context::Cx;

/// sync(2): every file system; it has no errors.
pub fn sync(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    vfs_fsync::sync_all(cx.process.root_mount());
    Ok(0)
}

/// syncfs(2).
pub fn syncfs(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    vfs_fsync::syncfs(&*cx.process.files().get_io(args.int(0))?).map(|()| 0)
}

/// fsync(2).
pub fn fsync(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    vfs_fsync::fsync(&*cx.process.files().get_io(args.int(0))?, false).map(|()| 0)
}

/// fdatasync(2).
pub fn fdatasync(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    vfs_fsync::fsync(&*cx.process.files().get_io(args.int(0))?, true).map(|()| 0)
}

/// sync_file_range(2).
pub fn sync_file_range(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    vfs::sync_range::sync_file_range(&file, args.long(1), args.long(2), args.uint(3)).map(|()| 0)
}
