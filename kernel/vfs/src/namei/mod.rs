//! Names to inodes: one function per operation on a path.
//!
//! Every function takes an [`At`]: where relative paths begin, where `/` is, who asks. The answer
//! and the errno are Linux's, and so is their order where two would fit; each file says which.
//!
//! ```text
//!   walk.rs    the walk: components, `..`, symbolic links, mounts, the dentry cache
//!   open.rs    open(2)
//!   create.rs  mkdir, mknod, symlink, link
//!   remove.rs  unlink, rmdir
//!   rename.rs  renameat2
//!   query.rs   stat, access, readlink, chdir
//! ```
//!
//! Sources: path_resolution(7), Documentation/filesystems/path-lookup.rst and the man page of each.

mod create;
mod open;
mod query;
mod remove;
mod rename;
mod walk;

use alloc::sync::Arc;

use base::{Errno, Result};

pub use create::{link, mkdir, mknod, symlink};
pub use open::open;
pub use query::{LookupFlags, access, chdir, lookup, readlink, readlink_at};
pub use remove::{rmdir, unlink};
pub use rename::{check_rename_flags, rename};

use crate::acl;
use crate::attr::FileType;
use crate::cred::{Cred, Want};
use crate::dentry::Dentry;
use crate::inode::{Directory, Fixed, Inode, same_inode};
use crate::mount::Path;

/// The longest path, without its NUL (PATH_MAX - 1).
pub const PATH_LEN_MAX: usize = 4095;
/// The longest name (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// How many symbolic links one walk follows.
pub const LINKS_MAX: u32 = 40;

/// From where and as whom a path is walked.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// Where `/` is.
    pub root: &'a Path,
    /// Where a relative path begins: the working directory or that of a descriptor.
    pub base: &'a Path,
    /// Who asks.
    pub cred: &'a Cred,
    /// Bits that a new inode's mode does not get.
    pub umask: u32,
}

/// Whether the permission bits and the file system's read-only state allow it
/// (`inode_permission`). EACCES, EROFS, EPERM to write what is immutable.
pub fn permission(inode: &dyn Inode, want: Want, cred: &Cred) -> Result<()> {
    let kind = inode.file_type();
    let on_disk = matches!(kind, FileType::Regular | FileType::Directory | FileType::Symlink);
    if want.has(Want::WRITE) && on_disk && inode.superblock().read_only() {
        return Err(Errno::EROFS);
    }
    if want.has(Want::WRITE) && inode.fixed().contains(Fixed::IMMUTABLE) {
        return Err(Errno::EPERM);
    }
    // The superuser's way through a directory tree does not look at modes.
    if cred.capable() && (kind == FileType::Directory || !want.has(Want::EXEC)) {
        return Ok(());
    }
    let owner = inode.ownership();
    let allowed = match acl::permits(inode, &owner, want, cred)? {
        // The superuser may all but execute what nobody may.
        Some(by_list) => by_list || (cred.capable() && cred.permits(&owner, want)),
        None => cred.permits(&owner, want),
    };
    if allowed { Ok(()) } else { Err(Errno::EACCES) }
}

/// The methods of a directory. ENOTDIR.
fn directory(inode: &Arc<dyn Inode>) -> Result<&dyn Directory> {
    inode.as_directory().ok_or(Errno::ENOTDIR)
}

/// Whether a name may be made in a directory (`may_create`): ENOENT when the directory was
/// removed, then its permissions. The caller found the name free and holds the directory.
fn may_create(dir: &Path, cred: &Cred) -> Result<()> {
    if dir.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    permission(&**dir.inode()?, Want::CHANGE_DIR, cred)
}

/// Whether a name may be taken from a directory (`may_delete`), in Linux's order: permissions of
/// the directory EACCES, sticky bit and chattr's flags EPERM, kind ENOTDIR or EISDIR, ENOENT when the directory was
/// removed. The caller holds the directory.
fn may_delete(dir: &Path, victim: &Dentry, as_directory: bool, cred: &Cred) -> Result<()> {
    let (dir_inode, inode) = (dir.inode()?, victim.inode().ok_or(Errno::ENOENT)?);
    permission(&**dir_inode, Want::CHANGE_DIR, cred)?;
    if !cred.capable() && cred.sticky_forbids(&dir_inode.ownership(), &inode.ownership()) {
        return Err(Errno::EPERM);
    }
    if dir_inode.fixed().contains(Fixed::APPEND) || !inode.fixed().is_empty() {
        return Err(Errno::EPERM);
    }
    match (as_directory, victim.is_dir()) {
        (true, false) => return Err(Errno::ENOTDIR),
        (false, true) => return Err(Errno::EISDIR),
        _ => {}
    }
    if dir.dentry.is_deleted() { Err(Errno::ENOENT) } else { Ok(()) }
}

/// Takes `i_rwsem` of an inode exclusively unless it is the same as one already held: a damaged
/// disk may name a directory inside itself.
fn lock_unless<'a>(inode: &'a Arc<dyn Inode>, held: &[&Arc<dyn Inode>]) -> Option<sync::WriteGuard<'a, ()>> {
    if held.iter().any(|h| same_inode(h, inode)) { None } else { Some(inode.rwsem().write()) }
}
