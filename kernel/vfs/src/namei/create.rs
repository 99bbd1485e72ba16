//! mkdir, mknod, symlink, link: a new name.
//!
//! The order of Linux's `filename_create`: a path that ends in `.`, `..` or `/` alone is EEXIST; so
//! is a name that exists, be it only a dangling link; a slash behind a name that is not to be a
//! directory is ENOENT; only then come EROFS and the permissions of the directory.

use alloc::sync::Arc;

use base::{DevId, Errno, Result};

use super::walk::{Last, Walker, look_up};
use super::{At, directory, lock_unless, may_create};
use crate::acl::mode_for_new;
use crate::attr::{FileType, S_IALLUGO, S_IFMT};
use crate::inode::{Directory, Inode};
use crate::mount::Path;
use crate::namei::query::{LookupFlags, lookup};

/// What the new name shall be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Other,
}

/// Makes a name: `make` is called with the directory held and the name free, and gives its inode.
fn create(
    at: &At<'_>,
    path: &[u8],
    kind: Kind,
    make: impl FnOnce(&Path, &dyn Directory, &[u8]) -> Result<Arc<dyn Inode>>,
) -> Result<()> {
    let mut walk = Walker::new(at);
    let Last::Name { name, slash } = walk.parent(path)? else { return Err(Errno::EEXIST) };
    let dir = walk.here;
    let may_write = dir.mount.want_write();
    let inode = dir.inode()?;
    let _held = inode.rwsem().write();
    if look_up(&dir.dentry, &name)?.inode().is_some() {
        return Err(Errno::EEXIST);
    }
    if slash && kind == Kind::Other {
        return Err(Errno::ENOENT);
    }
    let _change = may_write?;
    may_create(&dir, at.cred)?;
    let new = make(&dir, directory(inode)?, &name)?;
    dir.dentry.instantiate(&name, new);
    Ok(())
}

/// mkdirat(2).
pub fn mkdir(at: &At<'_>, path: &[u8], mode: u32) -> Result<()> {
    // The sticky bit is kept, set-id bits are not (S_IRWXUGO | S_ISVTX).
    let mode = mode & 0o1777;
    create(at, path, Kind::Directory, |place, dir, name| {
        dir.mkdir(name, mode_for_new(&**place.inode()?, mode, at.umask)?, at.cred)
    })
}

/// mknodat(2). A mode without type bits means a regular file. EPERM for a directory and for a
/// device made by who is not root, a whiteout (the character device 0:0) apart; EINVAL for a type that
/// does not exist.
pub fn mknod(at: &At<'_>, path: &[u8], mode: u32, rdev: DevId) -> Result<()> {
    let kind = match mode & S_IFMT {
        0 => FileType::Regular,
        _ => FileType::of_mode(mode).ok_or(Errno::EINVAL)?,
    };
    match kind {
        FileType::Directory => return Err(Errno::EPERM),
        FileType::Symlink => return Err(Errno::EINVAL),
        _ => {}
    }
    create(at, path, Kind::Other, |place, dir, name| {
        let mode = mode_for_new(&**place.inode()?, mode & S_IALLUGO, at.umask)?;
        match kind {
            FileType::Regular => dir.create(name, mode, at.cred),
            kind if kind.is_device() && !is_whiteout(kind, rdev) && !at.cred.capable() => Err(Errno::EPERM),
            kind => dir.mknod(name, kind.mode() | mode, rdev, at.cred),
        }
    })
}

/// Whether it is a whiteout, which opens no device and so is nobody's privilege.
fn is_whiteout(kind: FileType, rdev: DevId) -> bool {
    kind == FileType::CharDevice && rdev == DevId::default()
}

/// symlinkat(2): a link to `target` at `path`. ENOENT for an empty target.
pub fn symlink(at: &At<'_>, target: &[u8], path: &[u8]) -> Result<()> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    if target.len() > super::PATH_LEN_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    create(at, path, Kind::Other, |_, dir, name| dir.symlink(name, target, at.cred))
}

/// linkat(2): one more name for what `old` leads to. EXDEV across mounts, EPERM for a directory,
/// ENOENT for an inode whose last name is gone, unless O_TMPFILE made it. `old_at` and `new_at` differ in their base.
pub fn link(old_at: &At<'_>, old: &[u8], old_flags: LookupFlags, new_at: &At<'_>, new: &[u8]) -> Result<()> {
    let old = lookup(old_at, old, old_flags)?;
    create(new_at, new, Kind::Other, |dir_path, dir, name| {
        let inode = old.inode()?;
        if !Arc::ptr_eq(&old.mount, &dir_path.mount) {
            return Err(Errno::EXDEV);
        }
        if !inode.fixed().is_empty() {
            return Err(Errno::EPERM);
        }
        if inode.file_type() == FileType::Directory {
            return Err(Errno::EPERM);
        }
        let _held = lock_unless(inode, &[dir_path.inode()?]);
        if inode.attr().nlink == 0 && !inode.is_linkable() {
            return Err(Errno::ENOENT);
        }
        dir.link(name, inode)?;
        Ok(inode.clone())
    })
}
