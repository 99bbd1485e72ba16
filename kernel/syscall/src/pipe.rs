//! Pipes, and what moves bytes without the program: pipe2(2), splice(2), tee(2), vmsplice(2),
//! copy_file_range(2).

use base::{Errno, IovIter, Result, UserAddr};
use vfs::copy_range::{Spot, copy_file_range as copy_range};
use vfs::pipe::{self, Pipe, Wait};
use vfs::read_write::{self, MAX_RW_COUNT};
use vfs::{FMode, File, OpenFlags};

use crate::abi;
use crate::args::Args;
use crate::context::Cx;
use crate::read::user_vec;
use crate::write::finish;

/// pipe2(2). EINVAL, EMFILE, EFAULT: then no descriptor is left open.
pub fn pipe2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    let flags = OpenFlags::from_bits(args.uint(1)).filter(|flags| known.contains(*flags));
    let flags = flags.ok_or(Errno::EINVAL)?;
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let (reader, writer) = pipe::pipe(flags - OpenFlags::CLOEXEC, &cx.process.cred())?;
    let (files, limit) = (cx.process.files(), cx.process.files_limit());
    let first = files.install(reader, cloexec, limit)?;
    let done = files.install(writer, cloexec, limit).and_then(|second| {
        abi::put(cx.memory(), args.addr(0), &[first, second]).map_err(|e| close(cx, second, e))
    });
    done.map_err(|error| close(cx, first, error)).map(|()| 0)
}

/// Closes a descriptor that is not to be seen.
fn close(cx: &Cx<'_>, fd: i32, error: Errno) -> Errno {
    // It was just installed; only the program itself could have closed it.
    let _ = cx.process.files().close(fd);
    error
}

/// F_GETPIPE_SZ. EBADF for what is no pipe.
pub(crate) fn get_size(file: &File) -> Result<u64> {
    pipe::of(file).map(|pipe| pipe.size() as u64).ok_or(Errno::EBADF)
}

/// F_SETPIPE_SZ.
pub(crate) fn set_size(cx: &Cx<'_>, file: &File, size: u64) -> Result<u64> {
    let pipe = pipe::of(file).ok_or(Errno::EBADF)?;
    pipe.set_size(size, cx.process.cred().capable()).map(|size| size as u64)
}

/// SPLICE_F_NONBLOCK, and all flags there are (MOVE, MORE, GIFT are hints).
const SPLICE_F_NONBLOCK: u32 = 2;
const SPLICE_F_ALL: u32 = 15;

fn wait_of(flags: u32, files: [&File; 2]) -> Wait {
    let is_nonblocking = |file: &File| pipe::of(file).is_some() && file.flags().contains(OpenFlags::NONBLOCK);
    let never = flags & SPLICE_F_NONBLOCK != 0 || files.into_iter().any(is_nonblocking);
    if never { Wait::No } else { Wait::Yes }
}

/// An offset argument: none, or the number it points at. ESPIPE for a pipe.
fn offset(cx: &Cx<'_>, at: Option<UserAddr>, file: &File) -> Result<Option<i64>> {
    match at {
        Some(_) if pipe::of(file).is_some() => Err(Errno::ESPIPE),
        Some(at) => abi::get(cx.memory(), at).map(Some),
        None => Ok(None),
    }
}

/// Where a transfer begins: at the offset given, or at the file's own position. EINVAL for an offset in a file
/// that has none, or below 0.
fn position(offset: Option<i64>, file: &File, mode: FMode) -> Result<u64> {
    let Some(offset) = offset else { return Ok(file.lock_pos().get()) };
    if !file.mode().contains(mode) {
        return Err(Errno::EINVAL);
    }
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// Where a transfer goes on: the number the argument points at, or the file's own position.
fn set_position(cx: &Cx<'_>, at: Option<UserAddr>, file: &File, pos: u64) -> Result<()> {
    match at {
        Some(at) => abi::put(cx.memory(), at, &pos),
        None => {
            file.lock_pos().set(pos);
            Ok(())
        }
    }
}

/// splice(2).
pub fn splice(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (len, flags) = (args.size(4), args.uint(5));
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let files = cx.process.files();
    let (from, to) = (files.get_io(args.int(0))?, files.get_io(args.int(2))?);
    let (off_in, off_out) = (args.optional_addr(1), args.optional_addr(3));
    let (source, target) = (pipe::of(&from), pipe::of(&to));
    let (given_in, given_out) = (offset(cx, off_in, &from)?, offset(cx, off_out, &to)?);
    if !from.mode().contains(FMode::READ) || !to.mode().contains(FMode::WRITE) {
        return Err(Errno::EBADF);
    }
    let (io, wait, len) = (cx.io(), wait_of(flags, [&from, &to]), len.min(MAX_RW_COUNT));
    let done = match (source, target) {
        (Some(source), Some(target)) => pipe::splice_between(source, target, len, wait),
        (None, Some(target)) => {
            let mut pos = position(given_in, &from, FMode::PREAD)?;
            let done = pipe::splice_to_pipe(&io, &from, &mut pos, target, len, wait);
            done.and_then(|done| set_position(cx, off_in, &from, pos).map(|()| done))
        }
        (Some(source), None) => {
            let mut pos = position(given_out, &to, FMode::PWRITE)?;
            if to.flags().contains(OpenFlags::APPEND) {
                return Err(Errno::EINVAL);
            }
            let done = pipe::splice_from_pipe(&io, source, &to, &mut pos, len, wait);
            done.and_then(|done| set_position(cx, off_out, &to, pos).map(|()| done))
        }
        (None, None) => Err(Errno::EINVAL),
    };
    finish(cx, done)
}

/// tee(2). EINVAL where one is no pipe, or both are the same.
pub fn tee(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (len, flags) = (args.size(2), args.uint(3));
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(0);
    }
    let files = cx.process.files();
    let (from, to) = (files.get_io(args.int(0))?, files.get_io(args.int(1))?);
    if !from.mode().contains(FMode::READ) || !to.mode().contains(FMode::WRITE) {
        return Err(Errno::EBADF);
    }
    let (Some(source), Some(target)) = (pipe::of(&from), pipe::of(&to)) else { return Err(Errno::EINVAL) };
    let done = pipe::tee(source, target, len.min(MAX_RW_COUNT), wait_of(flags, [&from, &to]));
    finish(cx, done)
}

/// vmsplice(2): into the end that is written; from the end that is read, as readv(2). EBADF for what is no
/// pipe.
pub fn vmsplice(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(3);
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    let vec = user_vec(args);
    let done = match pipe::of(&file) {
        Some(pipe) if file.mode().contains(FMode::WRITE) => {
            read_write::with_user_vec(&cx.io(), vec, |from| {
                vmsplice_in(pipe, from, wait_of(flags, [&file, &file]))
            })
        }
        Some(_) => read_write::readv(&cx.io(), &file, vec),
        // Nothing needs no pipe.
        None if file.mode().intersects(FMode::READ | FMode::WRITE) => {
            let empty = read_write::with_user_vec(&cx.io(), vec, |all| Ok(all.count() == 0))?;
            if empty { Ok(0) } else { Err(Errno::EBADF) }
        }
        None => Err(Errno::EBADF),
    };
    finish(cx, done)
}

fn vmsplice_in(pipe: &Pipe, from: &mut IovIter<'_>, wait: Wait) -> Result<usize> {
    pipe::vmsplice_in(pipe, from, wait)
}

/// copy_file_range(2).
pub fn copy_file_range(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let files = cx.process.files();
    let (from, to) = (files.get_io(args.int(0))?, files.get_io(args.int(2))?);
    let (off_in, off_out) = (args.optional_addr(1), args.optional_addr(3));
    let position = |at: Option<UserAddr>, file: &File| match at {
        Some(at) => abi::get::<i64>(cx.memory(), at),
        // A position never passes the largest signed number.
        None => Ok(file.lock_pos().get() as i64),
    };
    let (pos_in, pos_out) = (position(off_in, &from)?, position(off_out, &to)?);
    if args.uint(5) != 0 {
        return Err(Errno::EINVAL);
    }
    let done = copy_range(
        &cx.io(),
        Spot { file: &from, pos: pos_in },
        Spot { file: &to, pos: pos_out },
        args.size(4),
    );
    if let Ok(n @ 1..) = done {
        // What was copied began at no negative place.
        set_position(cx, off_in, &from, pos_in.cast_unsigned() + n as u64)?;
        set_position(cx, off_out, &to, pos_out.cast_unsigned() + n as u64)?;
    }
    finish(cx, done)
}
