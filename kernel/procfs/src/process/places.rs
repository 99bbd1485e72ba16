//! cwd, root and exe: links that lead to a place without a walk, so that they work across chroot and
//! for files whose name is gone.

use vfs::Path;

use crate::source::ProcessView;

pub(crate) fn cwd(process: &dyn ProcessView) -> Path {
    process.cwd()
}

pub(crate) fn root(process: &dyn ProcessView) -> Path {
    process.root()
}

pub(crate) fn exe(process: &dyn ProcessView) -> Path {
    process.exe()
}
