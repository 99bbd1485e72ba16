//! Calls on a descriptor that move no data: dup(2), fcntl(2), flock(2), ioctl(2), lseek(2), posix_fadvise(2).

use base::{Errno, Result};
use vfs::{Caller, FMode, FileType, OpenFlags, flock, share_range};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::{self, Flock};
use crate::args::Args;
use crate::context::Cx;
use crate::{attr, pipe};

/// dup(2).
pub fn dup(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.files().dup(args.int(0), cx.process.files_limit()).map(|fd| fd as u64)
}

/// dup3(2).
pub fn dup3(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let limit = cx.process.files_limit();
    cx.process.files().dup3(args.int(0), args.int(1), args.uint(2), limit).map(|fd| fd as u64)
}

const F_DUPFD: u32 = 0;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;
const F_GETLK: u32 = 5;
const F_SETLK: u32 = 6;
const F_SETLKW: u32 = 7;
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const FD_CLOEXEC: u64 = 1;

/// fcntl(2): descriptors, flags, and record locks.
pub fn fcntl(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (fd, cmd) = (args.int(0), args.uint(1));
    let files = cx.process.files();
    let file = files.get(fd)?;
    let allowed_with_path = matches!(cmd, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL);
    if !allowed_with_path {
        file.check_open_for_io()?;
    }
    match cmd {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let limit = cx.process.files_limit();
            files.dup_from(fd, args.int(2), cmd == F_DUPFD_CLOEXEC, limit).map(|fd| fd as u64)
        }
        F_GETFD => files.cloexec(fd).map(u64::from),
        F_SETFD => files.set_cloexec(fd, args.ulong(2) & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => Ok(file.flags().bits().into()),
        F_SETFL => file.set_flags(OpenFlags::from_user(args.uint(2))).map(|()| 0),
        F_SETPIPE_SZ => pipe::set_size(cx, &file, args.ulong(2)),
        F_GETPIPE_SZ => pipe::get_size(&file),
        F_GETLK | F_SETLK | F_SETLKW => record_lock(cx, &file, args),
        _ => Err(Errno::EINVAL),
    }
}

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

/// Record locks of the only process there is: its own never conflict, so every lock is granted and
/// none is in the way. Arguments are checked as under Linux. Record locks of open files (F_OFD_*) can
/// conflict within a process; they are refused rather than granted to everybody.
fn record_lock(cx: &Cx<'_>, file: &vfs::File, args: Args) -> Result<u64> {
    let mut lock: Flock = abi::get(cx.memory(), args.addr(2))?;
    check_range(&lock, |whence| match whence {
        0 => Ok(0),
        // Neither passes the largest signed number.
        1 => Ok(file.lock_pos().get() as i64),
        2 => Ok(file.inode().size() as i64),
        _ => Err(Errno::EINVAL),
    })?;
    if args.uint(1) == F_GETLK {
        if !matches!(lock.l_type, F_RDLCK | F_WRLCK) {
            return Err(Errno::EINVAL);
        }
        lock.l_type = F_UNLCK;
        abi::put(cx.memory(), args.addr(2), &lock)?;
        return Ok(0);
    }
    match lock.l_type {
        F_RDLCK if !file.mode().contains(FMode::READ) => Err(Errno::EBADF),
        F_WRLCK if !file.mode().contains(FMode::WRITE) => Err(Errno::EBADF),
        F_RDLCK | F_WRLCK | F_UNLCK => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// Where a range begins and that it ends (`flock_to_posix_lock`): `from` is what SEEK_CUR and SEEK_END count
/// from. Below 0 is EINVAL, past the largest number EOVERFLOW.
fn check_range(lock: &Flock, from: impl FnOnce(i16) -> Result<i64>) -> Result<()> {
    let start = from(lock.l_whence)?.checked_add(lock.l_start);
    let start = start.ok_or(if lock.l_start > 0 { Errno::EOVERFLOW } else { Errno::EINVAL })?;
    if start < 0 || (lock.l_len < 0 && start.checked_add(lock.l_len).is_none_or(|first| first < 0)) {
        return Err(Errno::EINVAL);
    }
    if lock.l_len > 0 && lock.l_len - 1 > i64::MAX - start {
        return Err(Errno::EOVERFLOW);
    }
    Ok(())
}

/// flock(2).
pub fn flock(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    const SHARED: u32 = 1;
    const EXCLUSIVE: u32 = 2;
    const NONBLOCK: u32 = 4;
    const UNLOCK: u32 = 8;
    const MANDATORY: u32 = 32;
    let command = args.uint(1);
    // Linux took these out and says yes to them.
    if command & MANDATORY != 0 {
        return Ok(0);
    }
    let kind = match command & !NONBLOCK {
        SHARED => Some(flock::Kind::Shared),
        EXCLUSIVE => Some(flock::Kind::Exclusive),
        UNLOCK => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = cx.process.files().get_io(args.int(0))?;
    match kind {
        Some(_) if !file.mode().intersects(FMode::READ | FMode::WRITE) => return Err(Errno::EBADF),
        Some(kind) => flock::lock(&file, kind, command & NONBLOCK == 0)?,
        None => flock::unlock(&file),
    }
    Ok(0)
}

const FIOCLEX: u32 = 0x5451;
const FIONCLEX: u32 = 0x5450;
const FIONBIO: u32 = 0x5421;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const FICLONE: u32 = 0x4004_9409;
const FICLONERANGE: u32 = 0x4020_940d;
const FIDEDUPERANGE: u32 = 0xc018_9436;
const FIGETBSZ: u32 = 2;
const FIOQSIZE: u32 = 0x5460;
const FIONREAD: u32 = 0x541b;

/// ioctl(2): the commands that belong to any descriptor; the rest is the file's.
pub fn ioctl(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (fd, cmd) = (args.int(0), args.uint(1));
    let files = cx.process.files();
    let file = files.get_io(fd)?;
    match cmd {
        FIOCLEX | FIONCLEX => files.set_cloexec(fd, cmd == FIOCLEX).map(|()| 0),
        FIONBIO => {
            let on: u32 = abi::get(cx.memory(), args.addr(2))?;
            let mut flags = file.flags();
            flags.set(OpenFlags::NONBLOCK, on != 0);
            file.set_flags(flags).map(|()| 0)
        }
        FICLONE => Err(share_range::clone_range(&*files.get_io(args.int(2))?, &file)),
        FICLONERANGE => {
            let [from, ..]: [u64; 4] = abi::get(cx.memory(), args.addr(2))?;
            // An int in eight bytes, as the call itself has it.
            Err(share_range::clone_range(&*files.get_io(from as i32)?, &file))
        }
        FIDEDUPERANGE => {
            let range: DedupeRange = abi::get(cx.memory(), args.addr(2))?;
            Err(range.refused(&file))
        }
        _ if file.inode().file_type() == FileType::Regular
            && let Some(done) = attr::reserve(cx, &file, cmd, args.addr(2)) =>
        {
            done
        }
        _ => {
            let cred = cx.process.cred();
            let caller = Caller { memory: cx.memory(), capable: cred.capable(), uid: cred.fsuid };
            let done = file.ops().ioctl(&file, cmd, args.ulong(2), &caller);
            if done == Err(Errno::ENOTTY) { generic_ioctl(&file, cmd, args.ulong(2), &caller) } else { done }
        }
    }
}

/// `struct file_dedupe_range` as far as it is looked at.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct DedupeRange {
    from: u64,
    len: u64,
    dest_count: u16,
    reserved: [u16; 3],
}

impl DedupeRange {
    /// Why nothing is shared. ENOMEM when more is asked for than a page says.
    fn refused(&self, file: &vfs::File) -> Errno {
        const ONE: usize = 32;
        let len = size_of::<DedupeRange>() + usize::from(self.dest_count) * ONE;
        if len > base::PAGE_SIZE {
            return Errno::ENOMEM;
        }
        share_range::dedupe_range(file, self.reserved != [0; 3])
    }
}

/// What every file answers, where its own file system has no answer (`do_vfs_ioctl`).
fn generic_ioctl(file: &vfs::File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    match cmd {
        FS_IOC_FIEMAP => Err(Errno::EOPNOTSUPP),
        // What is left to be read, as an int, whatever that makes of it.
        FIONREAD if file.inode().file_type() == FileType::Regular => {
            let left = file.inode().size().wrapping_sub(file.lock_pos().get());
            caller.put(arg, &(left as i32).to_ne_bytes())
        }
        // What it takes on the disk.
        FIOQSIZE => match file.inode().file_type() {
            FileType::Regular | FileType::Directory | FileType::Symlink => {
                caller.put(arg, &(file.inode().attr().blocks << 9).to_ne_bytes())
            }
            _ => Err(Errno::ENOTTY),
        },
        FIGETBSZ => caller.put(arg, &file.inode().attr().blksize.to_ne_bytes()),
        _ => Err(Errno::ENOTTY),
    }
}

/// lseek(2).
pub fn lseek(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    vfs::lseek::lseek(&file, args.long(1), args.uint(2))
}

/// posix_fadvise(2).
pub fn fadvise64(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    vfs::fadvise::fadvise(&file, args.long(1), args.long(2), args.uint(3)).map(|()| 0)
}

/// readahead(2).
pub fn readahead(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    vfs::fadvise::readahead(&file, args.long(1), args.ulong(2)).map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(l_whence: i16, l_start: i64, l_len: i64) -> Flock {
        Flock { l_type: F_WRLCK, l_whence, pad: 0, l_start, l_len, l_pid: 0, pad2: 0 }
    }

    #[test]
    fn lock_ranges_are_checked() {
        let check = |whence, start, len| {
            check_range(&lock(whence, start, len), |whence| match whence {
                0 => Ok(0),
                1 => Ok(100),
                _ => Err(Errno::EINVAL),
            })
        };
        assert_eq!((check(0, 0, 0), check(0, 10, -10)), (Ok(()), Ok(())));
        assert_eq!((check(0, 10, -11), check(0, -1, 5)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        assert_eq!((check(0, i64::MAX, 1), check(0, i64::MAX, 2)), (Ok(()), Err(Errno::EOVERFLOW)));
        assert_eq!((check(1, -100, 0), check(1, -101, 0)), (Ok(()), Err(Errno::EINVAL)));
        assert_eq!(
            (check(1, i64::MIN, 0), check(1, i64::MAX, 0)),
            (Err(Errno::EINVAL), Err(Errno::EOVERFLOW))
        );
        assert_eq!(check(3, 0, 0), Err(Errno::EINVAL));
    }
}
