//! Operations that change nothing: lookup (for stat and all that goes by a path), access, readlink
//! and the checks of chdir.

use alloc::vec::Vec;

use base::{Errno, Result};
use bitflags::bitflags;

use super::walk::{Last, Target, Walker};
use super::{At, permission};
use crate::attr::FileType;
use crate::cred::Want;
use crate::mount::Path;
use crate::superblock::MountFlags;

bitflags! {
    /// How the last component is taken.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LookupFlags: u32 {
        /// A symbolic link there is followed.
        const FOLLOW = 1;
        /// An empty path is the base itself (AT_EMPTY_PATH).
        const EMPTY = 2;
        /// Only a directory will do.
        const DIRECTORY = 4;
    }
}

/// What a path leads to. ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG.
pub fn lookup(at: &At<'_>, path: &[u8], flags: LookupFlags) -> Result<Path> {
    if path.is_empty() && flags.contains(LookupFlags::EMPTY) {
        return Ok(at.base.clone());
    }
    let mut walk = Walker::new(at);
    let place = walk_whole(&mut walk, path, flags)?;
    if flags.contains(LookupFlags::DIRECTORY) && !place.dentry.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    Ok(place)
}

fn walk_whole(walk: &mut Walker<'_>, path: &[u8], flags: LookupFlags) -> Result<Path> {
    let mut text = None;
    loop {
        let (name, slash) = match walk.parent(text.as_deref().unwrap_or(path))? {
            Last::Root | Last::Dot => return Ok(walk.here.clone()),
            Last::DotDot => {
                walk.dot_dot();
                return Ok(walk.here.clone());
            }
            Last::Name { name, slash } => (name, slash),
        };
        let mut child = walk.child(&name)?;
        let kind = child.inode()?.file_type();
        if kind == FileType::Symlink && (slash || flags.contains(LookupFlags::FOLLOW)) {
            match walk.follow(&child)? {
                Target::Place(place) => child = place,
                Target::Text(target) => {
                    text = Some(with_slash(target, slash));
                    continue;
                }
            }
        }
        return if slash && !child.dentry.is_dir() { Err(Errno::ENOTDIR) } else { Ok(child) };
    }
}

/// A link's target keeps the slash that stood behind the link.
pub fn with_slash(mut target: Vec<u8>, slash: bool) -> Vec<u8> {
    if slash {
        target.push(b'/');
    }
    target
}

/// faccessat(2): whether `at.cred` may. The caller passes [`crate::Cred::real`] unless AT_EACCESS.
/// EACCES; EROFS for writing where nothing can be written.
pub fn access(at: &At<'_>, path: &[u8], want: Want, flags: LookupFlags) -> Result<()> {
    let place = lookup(at, path, flags)?;
    let inode = place.inode()?;
    let kind = inode.file_type();
    let noexec = place.mount.flags().contains(MountFlags::NOEXEC);
    if want.has(Want::EXEC) && kind == FileType::Regular && noexec {
        return Err(Errno::EACCES);
    }
    permission(&**inode, want, at.cred)?;
    let special = kind.is_device() || matches!(kind, FileType::Fifo | FileType::Socket);
    if want.has(Want::WRITE) && !special && place.mount.read_only() {
        return Err(Errno::EROFS);
    }
    Ok(())
}

/// readlinkat(2): the target of a link. EINVAL when it is none. An empty path means the base, for
/// a descriptor opened with O_PATH and O_NOFOLLOW; ENOENT when that is no link.
pub fn readlink(at: &At<'_>, path: &[u8]) -> Result<Vec<u8>> {
    let place = lookup(at, path, LookupFlags::EMPTY)?;
    readlink_at(&place).map_err(|e| if path.is_empty() && e == Errno::EINVAL { Errno::ENOENT } else { e })
}

/// The target of the link at a place. EINVAL when it is none.
pub fn readlink_at(place: &Path) -> Result<Vec<u8>> {
    let symlink = place.inode()?.as_symlink().ok_or(Errno::EINVAL)?;
    symlink.accessed(place.mount.flags());
    symlink.readlink()
}

/// Whether a place may become the working directory or root: ENOTDIR, EACCES.
pub fn chdir(place: &Path, cred: &crate::cred::Cred) -> Result<()> {
    if !place.dentry.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    permission(&**place.inode()?, Want::EXEC, cred)
}
