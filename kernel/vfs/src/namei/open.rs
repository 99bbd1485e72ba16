//! open(2): find or make, check, open, truncate.
//!
//! The order of errors is that of `build_open_flags`, `open_last_lookups`, `do_open` and `may_open`.
//! Worked examples: `open("f/", O_CREAT)` is EISDIR before anything is looked up; `open("link",
//! O_CREAT)` of a dangling link makes its target; with O_EXCL it is EEXIST; `open("dir", O_WRONLY)`
//! is EISDIR even for who may not read it; a file made with mode 0444 may be open for writing in the
//! call that made it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};

use super::query::{LookupFlags, lookup, with_slash};
use super::walk::{Last, Target, Walker, look_up};
use super::{At, directory, may_create, permission};
use crate::acl::mode_for_new;
use crate::attr::{FileType, S_IALLUGO};
use crate::attr_ops;
use crate::cred::Want;
use crate::dentry::Dentry;
use crate::device;
use crate::file::File;
use crate::flags::OpenFlags;
use crate::inode::Fixed;
use crate::mount::Path;
use crate::superblock::MountFlags;
use crate::write_count::Writing;

/// Opens a path. `mode` is for a file that is made.
pub fn open(at: &At<'_>, path: &[u8], flags: OpenFlags, mode: u32) -> Result<Arc<File>> {
    let flags = normalise(flags)?;
    if flags.contains(OpenFlags::PATH) {
        return open_path(at, path, flags);
    }
    if flags.contains(OpenFlags::TMPFILE_BIT) {
        return open_tmpfile(at, path, flags, mode & S_IALLUGO);
    }
    let (place, created) = find_or_make(at, path, flags, mode & S_IALLUGO)?;
    if created {
        return open_inode(place, flags, true);
    }
    let kind = place.inode()?.file_type();
    if flags.contains(OpenFlags::CREAT) {
        if flags.contains(OpenFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        if kind == FileType::Directory {
            return Err(Errno::EISDIR);
        }
    }
    if flags.contains(OpenFlags::DIRECTORY) && kind != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    open_existing(at, place, flags)
}

/// What the flags mean together (`build_open_flags`).
fn normalise(mut flags: OpenFlags) -> Result<OpenFlags> {
    if flags.contains(OpenFlags::PATH) {
        return Ok(
            flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC)
        );
    }
    if flags.contains(OpenFlags::SYNC_BIT) {
        flags |= OpenFlags::DSYNC;
    }
    if flags.contains(OpenFlags::TMPFILE_BIT) {
        let writes = matches!(flags.access_mode(), 1..=3);
        if !flags.contains(OpenFlags::TMPFILE) || flags.contains(OpenFlags::CREAT) || !writes {
            return Err(Errno::EINVAL);
        }
    }
    if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

fn open_path(at: &At<'_>, path: &[u8], flags: OpenFlags) -> Result<Arc<File>> {
    let mut how = LookupFlags::empty();
    how.set(LookupFlags::FOLLOW, !flags.contains(OpenFlags::NOFOLLOW));
    how.set(LookupFlags::DIRECTORY, flags.contains(OpenFlags::DIRECTORY));
    File::new_path(lookup(at, path, how)?, flags)
}

/// A file without a name in the directory `path` (`do_tmpfile`). ENOTDIR, EROFS, EACCES; EOPNOTSUPP
/// where the file system has none. What was just made is not asked for its own permissions.
fn open_tmpfile(at: &At<'_>, path: &[u8], flags: OpenFlags, mode: u32) -> Result<Arc<File>> {
    let mut how = LookupFlags::DIRECTORY;
    how.set(LookupFlags::FOLLOW, !flags.contains(OpenFlags::NOFOLLOW));
    let dir = lookup(at, path, how)?;
    let _change = dir.mount.want_write()?;
    let dir_inode = dir.inode()?;
    permission(&**dir_inode, Want::CHANGE_DIR, at.cred)?;
    let mode = mode_for_new(&**dir_inode, mode, at.umask)?;
    let inode = {
        let _held = dir_inode.rwsem().write();
        directory(dir_inode)?.tmpfile(mode, !flags.contains(OpenFlags::EXCL), at.cred)?
    };
    let dentry = Dentry::nameless(&dir.dentry, inode);
    open_inode(Path { mount: dir.mount.clone(), dentry }, flags, true)
}

/// The walk of an open: the place, and whether it was made just now.
fn find_or_make(at: &At<'_>, path: &[u8], flags: OpenFlags, mode: u32) -> Result<(Path, bool)> {
    let create = flags.contains(OpenFlags::CREAT);
    let stays = flags.contains(OpenFlags::NOFOLLOW) || (create && flags.contains(OpenFlags::EXCL));
    let follow = !stays;
    let mut walk = Walker::new(at);
    let mut text: Option<Vec<u8>> = None;
    loop {
        let (name, slash) = match walk.parent(text.as_deref().unwrap_or(path))? {
            Last::Root | Last::Dot => return Ok((walk.here, false)),
            Last::DotDot => {
                walk.dot_dot();
                return Ok((walk.here, false));
            }
            Last::Name { slash: true, .. } if create => return Err(Errno::EISDIR),
            Last::Name { name, slash } => (name, slash),
        };
        let (child, created) = if create {
            let (dentry, created) = look_up_or_create(at, &walk.here, &name, mode)?;
            (Path { mount: walk.here.mount.clone(), dentry }.cross_down(), created)
        } else {
            (walk.child(&name)?, false)
        };
        let kind = child.inode()?.file_type();
        if kind == FileType::Symlink && (follow || slash) {
            match walk.follow(&child)? {
                Target::Text(target) => {
                    text = Some(with_slash(target, slash));
                    continue;
                }
                Target::Place(place) if slash && !place.dentry.is_dir() => return Err(Errno::ENOTDIR),
                Target::Place(place) => return Ok((place, false)),
            }
        }
        if slash && kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        return Ok((child, created));
    }
}

/// The entry of a name in a directory, made when there is none (`lookup_open`).
fn look_up_or_create(at: &At<'_>, dir: &Path, name: &[u8], mode: u32) -> Result<(Arc<Dentry>, bool)> {
    if let Some(found) = dir.dentry.cached(name).filter(|d| d.inode().is_some()) {
        return Ok((found, false));
    }
    let may_write = dir.mount.want_write();
    let inode = dir.inode()?;
    let _held = inode.rwsem().write();
    let found = look_up(&dir.dentry, name)?;
    if found.inode().is_some() {
        return Ok((found, false));
    }
    let _change = may_write?;
    may_create(dir, at.cred)?;
    let mode = mode_for_new(&**inode, mode, at.umask)?;
    let new = directory(inode)?.create(name, mode, at.cred)?;
    Ok((dir.dentry.instantiate(name, new), true))
}

/// Opens what exists already: permissions, then the file, then O_TRUNC.
fn open_existing(at: &At<'_>, place: Path, flags: OpenFlags) -> Result<Arc<File>> {
    let inode = place.inode()?.clone();
    let kind = inode.file_type();
    let truncate = flags.contains(OpenFlags::TRUNC) && kind == FileType::Regular;
    let mount = place.mount.clone();
    let _change = if truncate { Some(mount.want_write()?) } else { None };
    may_open(at, &place, kind, flags)?;
    let file = open_inode(place, flags, false)?;
    if truncate {
        let _writing = Writing::begin(&inode)?;
        attr_ops::truncate_to(&inode, 0, attr_ops::TruncateBy::File, at.cred)?;
    }
    Ok(file)
}

/// `may_open`: what the kind allows, then the permission bits, append-only files, then O_NOATIME.
fn may_open(at: &At<'_>, place: &Path, kind: FileType, flags: OpenFlags) -> Result<()> {
    let mut want = match flags.access_mode() {
        0 => Want::READ,
        1 => Want::WRITE,
        _ => Want::READ.and(Want::WRITE),
    };
    if flags.contains(OpenFlags::TRUNC) && !matches!(kind, FileType::Fifo | FileType::Socket) {
        want = want.and(Want::WRITE);
    }
    match kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory if want.has(Want::WRITE) => return Err(Errno::EISDIR),
        kind if kind.is_device() && place.mount.flags().contains(MountFlags::NODEV) => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    let inode = place.inode()?;
    permission(&**inode, want, at.cred)?;
    if inode.fixed().contains(Fixed::APPEND) {
        let elsewhere = flags.access_mode() != 0 && !flags.contains(OpenFlags::APPEND);
        if elsewhere || flags.contains(OpenFlags::TRUNC) {
            return Err(Errno::EPERM);
        }
    }
    if flags.contains(OpenFlags::NOATIME) && !at.cred.owns(&inode.ownership()) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// The open file. Devices come from the device table; nobody stands at the other end of a FIFO or
/// socket, so those are ENXIO.
fn open_inode(place: Path, flags: OpenFlags, created: bool) -> Result<Arc<File>> {
    let inode = place.inode()?.clone();
    let ops = match inode.file_type() {
        FileType::Regular | FileType::Directory => inode.open(flags)?,
        kind @ (FileType::CharDevice | FileType::BlockDevice) => {
            device::open(kind, inode.attr().rdev, flags)?
        }
        FileType::Fifo | FileType::Socket => return Err(Errno::ENXIO),
        FileType::Symlink => return Err(Errno::ELOOP),
    };
    File::new(place, ops, flags, created)
}
