//! Names: making, linking, renaming and removing them, walking directories, and where one is.
//!
//! Sources: mkdir(2), mknod(2), unlink(2), rename(2), link(2), symlink(2), getdents(2), getcwd(2),
//! chdir(2), chroot(2).

use alloc::vec::Vec;

use base::{DevId, Errno, Result};
use vfs::namei::{self, LookupFlags};
use vfs::{DirEntry, getcwd as vfs_getcwd, iterate_dir};

use crate::args::Args;
use crate::context::Cx;
use crate::path::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, UserPath};

/// mkdirat(2).
pub fn mkdirat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let path = UserPath::get(cx, args.int(0), args.addr(1))?;
    namei::mkdir(&path.at(), path.bytes(), args.uint(2)).map(|()| 0)
}

/// mknodat(2).
pub fn mknodat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let path = UserPath::get(cx, args.int(0), args.addr(1))?;
    let rdev = DevId::decode(args.uint(3).into());
    namei::mknod(&path.at(), path.bytes(), args.uint(2), rdev).map(|()| 0)
}

/// unlinkat(2).
pub fn unlinkat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(2);
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = UserPath::get(cx, args.int(0), args.addr(1))?;
    let remove = if flags & AT_REMOVEDIR != 0 { namei::rmdir } else { namei::unlink };
    remove(&path.at(), path.bytes()).map(|()| 0)
}

/// symlinkat(2).
pub fn symlinkat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let target = cx.memory().read_cstr(args.addr(0), namei::PATH_LEN_MAX)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let path = UserPath::get(cx, args.int(1), args.addr(2))?;
    namei::symlink(&path.at(), &target, path.bytes()).map(|()| 0)
}

/// linkat(2).
pub fn linkat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(4);
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    // Else a descriptor from a stranger could be given a name (CAP_DAC_READ_SEARCH).
    if flags & AT_EMPTY_PATH != 0 && !cx.process.cred().capable() {
        return Err(Errno::ENOENT);
    }
    // Without the flag an empty one is ENOENT before the other is looked at.
    let old = match flags & AT_EMPTY_PATH {
        0 => UserPath::get(cx, args.int(0), args.addr(1))?,
        _ => UserPath::get_at(cx, args.int(0), args.addr(1), flags)?,
    };
    let new = UserPath::get(cx, args.int(2), args.addr(3))?;
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    lookup.set(LookupFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    namei::link(&old.at(), old.bytes(), lookup, &new.at(), new.bytes()).map(|()| 0)
}

/// renameat(2).
pub fn renameat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    rename(cx, args, 0)
}

/// renameat2(2).
pub fn renameat2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    rename(cx, args, args.uint(4))
}

fn rename(cx: &Cx<'_>, args: Args, flags: u32) -> Result<u64> {
    // Before a path is looked at.
    namei::check_rename_flags(flags)?;
    let old = UserPath::get(cx, args.int(0), args.addr(1))?;
    let new = UserPath::get(cx, args.int(2), args.addr(3))?;
    namei::rename(&old.at(), old.bytes(), &new.at(), new.bytes(), flags).map(|()| 0)
}

/// The longest path with its NUL that a system call names (PATH_MAX).
const PATH_MAX: usize = 4096;

/// getcwd(2): answers the length with its NUL. A path that no call could name is ENAMETOOLONG however
/// large the buffer: libraries then climb through `..` themselves.
pub fn getcwd(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let fs = cx.process.fs();
    let mut path = vfs_getcwd(&fs.cwd(), &fs.root())?;
    path.push(0);
    if path.len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if path.len() > args.size(1) {
        return Err(Errno::ERANGE);
    }
    cx.memory().write_all(args.addr(0), &path)?;
    Ok(path.len() as u64)
}

/// chdir(2).
pub fn chdir(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let path = UserPath::get(cx, AT_FDCWD, args.addr(0))?;
    let place = path.lookup(LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    namei::chdir(&place, path.cred())?;
    cx.process.fs().set_cwd(place);
    Ok(0)
}

/// fchdir(2).
pub fn fchdir(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get(args.int(0))?;
    namei::chdir(file.path(), &cx.process.cred())?;
    cx.process.fs().set_cwd(file.path().clone());
    Ok(0)
}

/// chroot(2): the working directory stays.
pub fn chroot(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let path = UserPath::get(cx, AT_FDCWD, args.addr(0))?;
    let place = path.lookup(LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    namei::chdir(&place, path.cred())?;
    if !path.cred().capable() {
        return Err(Errno::EPERM);
    }
    cx.process.fs().set_root(place);
    Ok(0)
}

/// Bytes of `struct linux_dirent64` before the name: d_ino, d_off, d_reclen, d_type.
const DIRENT_HEAD: usize = 19;
/// The most that is gathered before it is copied out.
const CHUNK: usize = 32 * 1024;

/// Appends an entry as `struct linux_dirent64`, 8-byte aligned; false when it does not fit.
fn append(out: &mut Vec<u8>, room: usize, entry: &DirEntry<'_>) -> bool {
    let len = (DIRENT_HEAD + entry.name.len() + 1).next_multiple_of(8);
    if out.len() + len > room {
        return false;
    }
    let end = out.len() + len;
    out.extend_from_slice(&entry.ino.0.to_le_bytes());
    out.extend_from_slice(&entry.next.to_le_bytes());
    out.extend_from_slice(&(len as u16).to_le_bytes());
    out.push(entry.kind.map_or(0, |kind| kind.dirent_type()));
    out.extend_from_slice(entry.name);
    out.resize(end, 0);
    true
}

/// getdents64(2). EINVAL when not even one entry fits.
pub fn getdents64(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get_io(args.int(0))?;
    let room = (args.uint(2) as usize).min(CHUNK);
    // The entries are copied out after the directory is let go; a bad buffer must not eat them.
    if !args.addr(1).access_ok(room as u64) {
        return Err(Errno::EFAULT);
    }
    let begin = file.lock_pos().get();
    let mut out = Vec::new();
    let mut refused = false;
    iterate_dir(&file, &mut |entry: &DirEntry<'_>| {
        let fits = append(&mut out, room, entry);
        refused |= !fits;
        fits
    })?;
    if out.is_empty() {
        return if refused { Err(Errno::EINVAL) } else { Ok(0) };
    }
    if let Err(error) = cx.memory().write_all(args.addr(1), &out) {
        file.lock_pos().set(begin);
        return Err(error);
    }
    Ok(out.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Ino;
    use vfs::FileType;

    #[test]
    fn entries_are_laid_out_as_linux_does() {
        let mut out = Vec::new();
        let entry = DirEntry { name: b"abc", ino: Ino(12), kind: Some(FileType::Regular), next: 7 };
        assert!(append(&mut out, 24, &entry));
        assert!(!append(&mut out, 24, &entry));
        assert_eq!(out.len(), 24);
        assert_eq!(&out[..8], &12u64.to_le_bytes());
        assert_eq!(&out[8..16], &7u64.to_le_bytes());
        assert_eq!(&out[16..], &[24, 0, 8, b'a', b'b', b'c', 0, 0]);
    }
}
