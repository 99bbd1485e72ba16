//! openat(2), close(2), close_range(2).

use base::{Errno, Result};
use vfs::{OpenFlags, namei};

use crate::args::Args;
use crate::context::Cx;
use crate::path::UserPath;

/// openat(2).
pub fn openat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let mut flags = OpenFlags::from_user(args.uint(2));
    // As on any 64-bit Linux; F_GETFL tells it.
    if !flags.contains(OpenFlags::PATH) {
        flags |= OpenFlags::LARGEFILE;
    }
    let path = UserPath::get(cx, args.int(0), args.addr(1))?;
    // The number first: EMFILE leaves no file made.
    let files = cx.process.files();
    let number = files.reserve(cx.process.files_limit())?;
    let file = namei::open(&path.at(), path.bytes(), flags, args.uint(3) & 0o7777)?;
    Ok(number.install(file, flags.contains(OpenFlags::CLOEXEC)) as u64)
}

/// close(2).
pub fn close(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.files().close(args.int(0)).map(|()| 0)
}

const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// close_range(2). The table is nobody else's, so it is unshared already.
pub fn close_range(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(2);
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = cx.process.files();
    files.close_range(args.uint(0), args.uint(1), flags & CLOSE_RANGE_CLOEXEC != 0).map(|()| 0)
}
