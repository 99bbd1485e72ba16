//! read(2), pread(2), readv(2), preadv(2), preadv2(2). The checks are `vfs::read_write`'s.

use base::{Errno, Result};
use vfs::read_write::{self, UserVec};

use crate::args::Args;
use crate::context::Cx;

/// read(2).
pub fn read(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    Ok(read_write::read(&cx.io(), &file, args.addr(1), args.size(2))? as u64)
}

/// pread(2).
pub fn pread64(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let pos = args.long(3);
    // Before the descriptor is looked at, as Linux does.
    if pos < 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    Ok(read_write::pread(&cx.io(), &file, args.addr(1), args.size(2), pos)? as u64)
}

/// The iovec array of a vectored call. Its length is an `unsigned long` that Linux cuts to an `unsigned int`.
pub(crate) fn user_vec(args: Args) -> UserVec {
    UserVec { base: args.addr(1), len: args.uint(2) as usize }
}

/// readv(2).
pub fn readv(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    Ok(read_write::readv(&cx.io(), &file, user_vec(args))? as u64)
}

/// preadv(2). The position is the fourth argument; the fifth, its upper half for 32-bit machines,
/// is not looked at.
pub fn preadv(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.long(3) < 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    Ok(read_write::preadv(&cx.io(), &file, user_vec(args), args.long(3))? as u64)
}

/// preadv2(2): position -1 means the file's own.
pub fn preadv2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.long(3) < -1 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    Ok(read_write::preadv2(&cx.io(), &file, user_vec(args), args.long(3), args.uint(5))? as u64)
}
