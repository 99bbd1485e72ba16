//! chmod, chown, utimensat, truncate: who may change what of an inode, and what follows from it.
//!
//! Each takes the place (from a path or an open file), decides, and gives the file system a
//! [`SetAttr`] of plain values under the inode's `i_rwsem`. ctime becomes now with each.
//!
//! Sources: chmod(2), chown(2), utimensat(2), truncate(2), inode(7).

use alloc::sync::Arc;

use base::{DevId, Errno, Result, Timespec, time};

use crate::acl::AclKind;
use crate::attr::{Attr, FileType, Ownership, S_IALLUGO, S_ISGID, S_ISUID, S_IXGRP, SetAttr};
use crate::cred::{Cred, Want};
use crate::file::File;
use crate::flags::FMode;
use crate::inode::{Fixed, Inode};
use crate::mount::Path;
use crate::namei::permission;
use crate::pipe;
use crate::write_count::Writing;
use crate::xattr;

/// What stat(2) tells: the inode's attributes and the device it lives on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// The inode's.
    pub attr: Attr,
    /// `st_dev`.
    pub dev: DevId,
}

/// stat of an inode.
pub fn stat(inode: &dyn Inode) -> Stat {
    Stat { attr: inode.attr(), dev: inode.superblock().dev() }
}

/// Does a change under the mount's and the inode's locks: `decide` sees the owner and mode as they
/// are then. EPERM when chattr's flags `forbid` it. An access list follows a new mode, a program's
/// capabilities go with a new owner.
fn change(place: &Path, forbid: Fixed, decide: impl FnOnce(&Ownership) -> Result<SetAttr>) -> Result<()> {
    let _change = place.mount.want_write()?;
    let inode = place.inode()?;
    let _held = inode.rwsem().write();
    if inode.fixed().intersects(forbid) {
        return Err(Errno::EPERM);
    }
    let new = decide(&inode.ownership())?;
    inode.setattr(&SetAttr { ctime: Some(new.ctime.unwrap_or_else(time::coarse_now)), ..new })?;
    if let Some(mode) = new.mode
        && let Ok(Some(acl)) = inode.acl(AclKind::Access)
    {
        inode.set_acl(AclKind::Access, Some(acl.after_chmod(mode)), None)?;
    }
    let owner_changes = new.uid.is_some() || new.gid.is_some();
    if owner_changes && inode.file_type() != FileType::Directory {
        xattr::kill_capability(&**inode)?;
    }
    Ok(())
}

/// fchmod(2) and fchmodat(2). EPERM for who does not own it. Who is not in its group and not root
/// cannot set S_ISGID: the bit is dropped. EOPNOTSUPP on a symbolic link.
pub fn chmod(place: &Path, mode: u32, cred: &Cred) -> Result<()> {
    if place.inode()?.file_type() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    change(place, Fixed::all(), |now| {
        if !cred.owns(now) {
            return Err(Errno::EPERM);
        }
        let mut mode = mode & S_IALLUGO;
        if !cred.in_group(now.gid) && !cred.capable() {
            mode &= !S_ISGID;
        }
        Ok(SetAttr { mode: Some(mode), ..SetAttr::default() })
    })
}

/// fchown(2) and fchownat(2); None leaves an id as it is. Only root gives a file away; its owner may
/// give it to a group of his. The set-id bits of what is no directory go, whoever asks.
pub fn chown(place: &Path, uid: Option<u32>, gid: Option<u32>, cred: &Cred) -> Result<()> {
    let directory = place.dentry.is_dir();
    change(place, Fixed::all(), |now| {
        let owner = cred.fsuid == now.uid;
        let may_uid = uid.is_none_or(|uid| cred.capable() || (owner && uid == now.uid));
        let may_gid =
            gid.is_none_or(|gid| cred.capable() || (owner && (gid == now.gid || cred.in_group(gid))));
        if !may_uid || !may_gid {
            return Err(Errno::EPERM);
        }
        let mode = if directory { None } else { without_set_id(now, cred) };
        Ok(SetAttr { uid, gid, mode, ..SetAttr::default() })
    })
}

/// The permission bits without S_ISUID and S_ISGID, if that changes them
/// (`setattr_should_drop_suidgid`). S_ISGID without group execution once meant mandatory locking
/// and goes only when the caller is outside the group.
fn without_set_id(now: &Ownership, cred: &Cred) -> Option<u32> {
    let mut mode = now.mode & !S_ISUID;
    let outside = !cred.in_group(now.gid) && !cred.capable();
    if mode & S_IXGRP != 0 || outside {
        mode &= !S_ISGID;
    }
    (mode != now.mode).then_some(mode & S_IALLUGO)
}

/// What a write or truncate by `cred` does to the mode (`file_remove_privs`): for a file system's
/// write_iter, when [`crate::KiocbFlags::KILL_PRIV`] is set. None: nothing.
pub fn mode_after_write(now: &Ownership, cred: &Cred) -> Option<u32> {
    let has_some = now.mode & (S_ISUID | S_ISGID) != 0;
    if !has_some || FileType::of_mode(now.mode) != Some(FileType::Regular) {
        return None;
    }
    without_set_id(now, cred)
}

/// One of the two times of utimensat(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUpdate {
    /// UTIME_NOW.
    Now,
    /// UTIME_OMIT.
    Omit,
    /// That moment.
    To(Timespec),
}

impl TimeUpdate {
    /// From the program's timespec. EINVAL for nanoseconds out of range.
    pub const fn from_user(sec: i64, nsec: i64) -> Result<TimeUpdate> {
        match nsec {
            0x3fff_ffff => Ok(TimeUpdate::Now),
            0x3fff_fffe => Ok(TimeUpdate::Omit),
            0..=999_999_999 => Ok(TimeUpdate::To(Timespec { sec, nsec: nsec as u32 })),
            _ => Err(Errno::EINVAL),
        }
    }

    fn resolve(self, now: Timespec) -> Option<Timespec> {
        match self {
            TimeUpdate::Now => Some(now),
            TimeUpdate::Omit => None,
            TimeUpdate::To(moment) => Some(moment),
        }
    }
}

/// utimensat(2). To set both to now (or `times` None) one must own it or be allowed to write it,
/// EACCES; for anything else own it, EPERM. When both are Omit the system call does nothing, not
/// even look at the path.
pub fn utimens(place: &Path, times: Option<[TimeUpdate; 2]>, cred: &Cred) -> Result<()> {
    let times = times.filter(|t| *t != [TimeUpdate::Now, TimeUpdate::Now]);
    let inode = place.inode()?;
    // To say "now" is a touch, which an append-only file takes.
    let forbid = if times.is_none() { Fixed::IMMUTABLE } else { Fixed::all() };
    change(place, forbid, |owner| {
        if !cred.owns(owner) {
            match times {
                None => permission(&**inode, Want::WRITE, cred)?,
                Some(_) => return Err(Errno::EPERM),
            }
        }
        let now = time::coarse_now();
        let [atime, mtime] = times.unwrap_or([TimeUpdate::Now; 2]);
        let (atime, mtime) = (atime.resolve(now), mtime.resolve(now));
        Ok(SetAttr { atime, mtime, ctime: Some(now), ..SetAttr::default() })
    })
}

/// Through what a file is truncated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TruncateBy {
    /// truncate(2): the times move only when the size does.
    Path,
    /// ftruncate(2) and O_TRUNC: the times always move.
    File,
}

/// truncate(2) after the lookup. EINVAL for a negative length (which the system call checks before
/// the path), EISDIR, EINVAL for what is no regular file, EROFS, EACCES, ETXTBSY, EFBIG past `fsize_limit`
/// (the caller sends SIGXFSZ) or s_maxbytes.
pub fn truncate(place: &Path, len: i64, fsize_limit: u64, cred: &Cred) -> Result<()> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let inode = place.inode()?;
    match inode.file_type() {
        FileType::Regular => {}
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    let _change = place.mount.want_write()?;
    permission(&**inode, Want::WRITE, cred)?;
    if inode.fixed().contains(Fixed::APPEND) {
        return Err(Errno::EPERM);
    }
    let _writing = Writing::begin(inode)?;
    check_size(&**inode, len, fsize_limit, place.mount.superblock().max_bytes())?;
    truncate_to(inode, len, TruncateBy::Path, cred)
}

/// ftruncate(2). EINVAL when the file is not regular or not open for writing.
pub fn ftruncate(file: &File, len: i64, fsize_limit: u64, cred: &Cred) -> Result<()> {
    file.check_open_for_io()?;
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let inode = file.inode();
    if inode.file_type() != FileType::Regular || !file.mode().contains(FMode::WRITE) {
        return Err(Errno::EINVAL);
    }
    if inode.fixed().contains(Fixed::APPEND) {
        return Err(Errno::EPERM);
    }
    let _change = file.path().mount.start_write();
    check_size(&**inode, len, fsize_limit, file.max_bytes())?;
    truncate_to(inode, len, TruncateBy::File, cred)
}

/// `inode_newsize_ok`: limits are for growing.
fn check_size(inode: &dyn Inode, len: u64, fsize_limit: u64, max_bytes: u64) -> Result<()> {
    let grows = len > inode.size();
    if grows && len > fsize_limit.min(max_bytes) { Err(Errno::EFBIG) } else { Ok(()) }
}

/// Cuts or extends a regular file; the caller may do it and holds write access to the mount. Set-id
/// bits go unless root does it.
pub fn truncate_to(inode: &Arc<dyn Inode>, len: u64, by: TruncateBy, cred: &Cred) -> Result<()> {
    let _held = inode.rwsem().write();
    let mode = if cred.capable() { None } else { mode_after_write(&inode.ownership(), cred) };
    let now = (by == TruncateBy::File || mode.is_some()).then(time::coarse_now);
    let mtime = now.filter(|_| by == TruncateBy::File);
    xattr::kill_capability(&**inode)?;
    inode.setattr(&SetAttr { size: Some(len), mode, mtime, ctime: now, ..SetAttr::default() })
}

/// fallocate(2): checks in Linux's order, then the file system. EINVAL, EOPNOTSUPP for a mode that is
/// unknown or no whole, EBADF when not open for writing, EPERM, ESPIPE, EISDIR, ENODEV, EFBIG. Set-id
/// bits go unless root does it.
pub fn fallocate(file: &File, mode: u32, offset: i64, len: i64, fsize_limit: u64, cred: &Cred) -> Result<()> {
    file.check_open_for_io()?;
    let (Ok(start), Ok(count)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL);
    };
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    check_fallocate_mode(mode)?;
    if !file.mode().contains(FMode::WRITE) {
        return Err(Errno::EBADF);
    }
    let inode = file.inode();
    let fixed = inode.fixed();
    if fixed.contains(Fixed::IMMUTABLE) || (fixed.contains(Fixed::APPEND) && mode & !KEEP_SIZE != 0) {
        return Err(Errno::EPERM);
    }
    match inode.file_type() {
        FileType::Fifo if pipe::of(file).is_some() => return Err(Errno::ESPIPE),
        FileType::Directory => return Err(Errno::EISDIR),
        FileType::Regular | FileType::BlockDevice => {}
        _ => return Err(Errno::ENODEV),
    }
    let end = start.checked_add(count).filter(|&end| end <= file.max_bytes()).ok_or(Errno::EFBIG)?;
    let _write = file.path().mount.start_write();
    file.ops().check_fallocate(mode)?;
    if mode & !ZERO_RANGE == 0 && inode.file_type() == FileType::Regular {
        check_size(&**inode, end, fsize_limit, file.max_bytes())?;
    }
    file.ops().fallocate(file, mode, start, count)?;
    if inode.file_type() == FileType::Regular && !cred.capable() {
        let _held = inode.rwsem().write();
        if let Some(mode) = mode_after_write(&inode.ownership(), cred) {
            let ctime = Some(time::coarse_now());
            inode.setattr(&SetAttr { mode: Some(mode), ctime, ..SetAttr::default() })?;
        }
    }
    Ok(())
}

const KEEP_SIZE: u32 = 0x01;
const PUNCH_HOLE: u32 = 0x02;
const COLLAPSE_RANGE: u32 = 0x08;
const ZERO_RANGE: u32 = 0x10;
const INSERT_RANGE: u32 = 0x20;
const UNSHARE_RANGE: u32 = 0x40;

/// Which flags of fallocate(2) go together (`vfs_fallocate`).
fn check_fallocate_mode(mode: u32) -> Result<()> {
    const KNOWN: u32 = KEEP_SIZE | PUNCH_HOLE | COLLAPSE_RANGE | ZERO_RANGE | INSERT_RANGE | UNSHARE_RANGE;
    let has = |flag: u32| mode & flag != 0;
    let alone = |flag: u32, with: u32| !has(flag) || mode & !(flag | with) == 0;
    if mode & !KNOWN != 0 || (has(PUNCH_HOLE) && (has(ZERO_RANGE) || !has(KEEP_SIZE))) {
        return Err(Errno::EOPNOTSUPP);
    }
    if alone(COLLAPSE_RANGE, 0) && alone(INSERT_RANGE, 0) && alone(UNSHARE_RANGE, KEEP_SIZE) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}
