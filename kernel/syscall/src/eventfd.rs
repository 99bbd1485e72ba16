//! eventfd2(2).

use base::{Errno, Result};
use vfs::OpenFlags;
use vfs::eventfd;

use crate::args::Args;
use crate::context::Cx;

/// eventfd2(2). EINVAL, EMFILE.
pub fn eventfd2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK;
    let flags = args.uint(1);
    let open = OpenFlags::from_bits(flags & !eventfd::SEMAPHORE).filter(|flags| known.contains(*flags));
    let open = open.ok_or(Errno::EINVAL)?;
    let file = eventfd::eventfd(args.uint(0), flags & eventfd::SEMAPHORE != 0, open - OpenFlags::CLOEXEC)?;
    let cloexec = open.contains(OpenFlags::CLOEXEC);
    Ok(cx.process.files().install(file, cloexec, cx.process.files_limit())? as u64)
}
