//! write(2), pwrite(2), writev(2), pwritev(2), pwritev2(2), sendfile(2): the top of the write path. The checks
//! are `vfs::read_write`'s.

use base::{Errno, Result};
use process::signal::{SigInfo, Signal};
use vfs::{read_write, sendfile};

use crate::abi;
use crate::args::Args;
use crate::context::Cx;
use crate::read::user_vec;

/// A write past RLIMIT_FSIZE is EFBIG, and SIGXFSZ besides; one to a pipe that nobody reads is EPIPE, and
/// SIGPIPE besides.
pub(crate) fn finish(cx: &Cx<'_>, done: Result<usize>) -> Result<u64> {
    match done {
        Err(Errno::EFBIG) => cx.file_too_big(),
        Err(Errno::EPIPE) => cx.process.signals().send(SigInfo::kernel(Signal::PIPE)),
        _ => {}
    }
    done.map(|n| n as u64)
}

/// write(2).
pub fn write(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    let done = read_write::write(&cx.io(), &file, args.addr(1), args.size(2));
    finish(cx, done)
}

/// pwrite(2).
pub fn pwrite64(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let pos = args.long(3);
    // Before the descriptor is looked at, as Linux does.
    if pos < 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    let done = read_write::pwrite(&cx.io(), &file, args.addr(1), args.size(2), pos);
    finish(cx, done)
}

/// writev(2).
pub fn writev(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    let done = read_write::writev(&cx.io(), &file, user_vec(args));
    finish(cx, done)
}

/// pwritev(2).
pub fn pwritev(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.long(3) < 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    let done = read_write::pwritev(&cx.io(), &file, user_vec(args), args.long(3));
    finish(cx, done)
}

/// pwritev2(2): position -1 means the file's own.
pub fn pwritev2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.long(3) < -1 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    let done = read_write::pwritev2(&cx.io(), &file, user_vec(args), args.long(3), args.uint(5));
    finish(cx, done)
}

/// sendfile(2). With an offset the input's own position stays, and the offset is moved on.
pub fn sendfile(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let offset = match args.optional_addr(2) {
        Some(at) => {
            let offset: i64 = abi::get(cx.memory(), at)?;
            Some(offset)
        }
        None => None,
    };
    let from = cx.process.files().get_io(args.int(1))?;
    let offset = sendfile::check(&from, offset, args.size(3))?;
    let to = cx.process.files().get_io(args.int(0))?;
    let done = sendfile::sendfile(&cx.io(), &to, &from, offset, args.size(3));
    if let (Some(at), Ok((_, after))) = (args.optional_addr(2), &done) {
        abi::put(cx.memory(), at, after)?;
    }
    finish(cx, done.map(|(count, _)| count))
}
