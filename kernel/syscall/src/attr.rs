//! Changing what a file is: chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), umask(2).

use base::{Errno, Result, UserAddr};
use vfs::attr_ops::{self, TimeUpdate};
use vfs::namei::LookupFlags;
use vfs::{File, Path};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::{self, KernelTimespec};
use crate::args::Args;
use crate::context::Cx;
use crate::path::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, UserPath, lookup_flags};

/// The place an *at() call means, with its AT_* flags checked.
fn place(cx: &Cx<'_>, args: Args, flags: u32) -> Result<Path> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    UserPath::get_at(cx, args.int(0), args.addr(1), flags)?.lookup(lookup_flags(flags))
}

/// fchmod(2).
pub fn fchmod(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    attr_ops::chmod(file.path(), args.uint(1), &cx.process.cred()).map(|()| 0)
}

/// fchmodat(2) as the kernel has it: without flags.
pub fn fchmodat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    attr_ops::chmod(&place(cx, args, 0)?, args.uint(2), &cx.process.cred()).map(|()| 0)
}

/// fchmodat2(2): with flags.
pub fn fchmodat2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let place = place(cx, args, args.uint(3))?;
    attr_ops::chmod(&place, args.uint(2), &cx.process.cred()).map(|()| 0)
}

/// An id argument; -1 leaves it as it is.
fn id(n: u32) -> Option<u32> {
    (n != u32::MAX).then_some(n)
}

/// fchown(2).
pub fn fchown(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    attr_ops::chown(file.path(), id(args.uint(1)), id(args.uint(2)), &cx.process.cred()).map(|()| 0)
}

/// fchownat(2).
pub fn fchownat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let place = place(cx, args, args.uint(4))?;
    attr_ops::chown(&place, id(args.uint(2)), id(args.uint(3)), &cx.process.cred()).map(|()| 0)
}

/// utimensat(2). A NULL path means the descriptor itself, NULL times mean now.
pub fn utimensat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let times = match args.optional_addr(2) {
        Some(at) => Some(abi::get::<[KernelTimespec; 2]>(cx.memory(), at)?),
        None => None,
    };
    let times = match times {
        Some([atime, mtime]) => Some([
            TimeUpdate::from_user(atime.tv_sec, atime.tv_nsec)?,
            TimeUpdate::from_user(mtime.tv_sec, mtime.tv_nsec)?,
        ]),
        None => None,
    };
    if matches!(times, Some([TimeUpdate::Omit, TimeUpdate::Omit])) {
        return Ok(0);
    }
    let place = match args.optional_addr(1) {
        None if args.int(0) != AT_FDCWD => {
            if args.uint(3) != 0 {
                return Err(Errno::EINVAL);
            }
            cx.process.files().get_io(args.int(0))?.path().clone()
        }
        _ => place(cx, args, args.uint(3))?,
    };
    attr_ops::utimens(&place, times, &cx.process.cred()).map(|()| 0)
}

/// umask(2): answers the old one.
pub fn umask(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    Ok(cx.process.fs().set_umask(args.uint(0) & 0o777).into())
}

/// truncate(2).
pub fn truncate(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.long(1) < 0 {
        return Err(Errno::EINVAL);
    }
    let path = UserPath::get(cx, AT_FDCWD, args.addr(0))?;
    let place = path.lookup(LookupFlags::FOLLOW)?;
    let limit = cx.process.file_size_limit();
    let done = attr_ops::truncate(&place, args.long(1), limit, path.cred());
    finish(cx, done, args.long(1))
}

/// ftruncate(2).
pub fn ftruncate(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.long(1) < 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.process.files().get_io(args.int(0))?;
    let cred = cx.process.cred();
    let done = attr_ops::ftruncate(&file, args.long(1), cx.process.file_size_limit(), &cred);
    finish(cx, done, args.long(1))
}

/// EFBIG for a size past RLIMIT_FSIZE comes with SIGXFSZ; for one past the file system's limit alone it
/// does not.
fn finish(cx: &Cx<'_>, done: Result<()>, size: i64) -> Result<u64> {
    if done == Err(Errno::EFBIG) && size.unsigned_abs() > cx.process.file_size_limit() {
        cx.file_too_big();
    }
    done.map(|()| 0)
}

/// fallocate(2).
pub fn fallocate(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    allocate(cx, &file, args.uint(1), args.long(2), args.long(3))
}

const FALLOC_FL_KEEP_SIZE: u32 = 0x1;
const FALLOC_FL_PUNCH_HOLE: u32 = 0x2;
const FALLOC_FL_ZERO_RANGE: u32 = 0x10;

fn allocate(cx: &Cx<'_>, file: &File, mode: u32, start: i64, len: i64) -> Result<u64> {
    let (limit, cred) = (cx.process.file_size_limit(), cx.process.cred());
    let done = attr_ops::fallocate(file, mode, start, len, limit, &cred);
    // The largest file comes first, and without a signal; so do ranges that are put in or taken out.
    let end = start.saturating_add(len);
    let silent = end.unsigned_abs() > file.max_bytes() || mode & !FALLOC_FL_ZERO_RANGE != 0;
    finish(cx, done, if silent { 0 } else { end })
}

/// `struct space_resv`: what fallocate(2) was before it was a call.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SpaceReservation {
    kind: i16,
    whence: i16,
    _gap: u32,
    start: i64,
    len: i64,
    _rest: [u64; 3],
}

/// FS_IOC_RESVSP, FS_IOC_UNRESVSP and FS_IOC_ZERO_RANGE, with or without 64 (`ioctl_preallocate`): None when the
/// command is none of these. EFAULT, EINVAL, and what fallocate(2) says.
pub(crate) fn reserve(cx: &Cx<'_>, file: &File, command: u32, at: UserAddr) -> Option<Result<u64>> {
    let mode = match command {
        0x4030_5828 | 0x4030_582a => 0,
        0x4030_5829 | 0x4030_582b => FALLOC_FL_PUNCH_HOLE,
        0x4030_5839 => FALLOC_FL_ZERO_RANGE,
        _ => return None,
    };
    let range = || {
        let asked: SpaceReservation = abi::get(cx.memory(), at)?;
        let from = match asked.whence {
            0 => 0,
            // Neither passes the largest signed number.
            1 => file.lock_pos().get() as i64,
            2 => file.inode().size() as i64,
            _ => return Err(Errno::EINVAL),
        };
        // Past the largest number it is below 0, which fallocate refuses.
        allocate(cx, file, mode | FALLOC_FL_KEEP_SIZE, from.wrapping_add(asked.start), asked.len)
    };
    Some(range())
}
