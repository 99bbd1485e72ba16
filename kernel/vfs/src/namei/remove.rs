//! unlink and rmdir: a name goes.
//!
//! Linux asks for write access to the mount before it looks for the name, so EROFS comes before
//! ENOENT. A slash behind the name of a file is ENOTDIR for unlink, behind that of a directory
//! EISDIR. What stands on another mount's way is EBUSY.

use base::{Errno, Result};

use super::walk::{Last, Walker, look_up};
use super::{At, directory, lock_unless, may_delete};

/// unlinkat(2) without AT_REMOVEDIR.
pub fn unlink(at: &At<'_>, path: &[u8]) -> Result<()> {
    let mut walk = Walker::new(at);
    let Last::Name { name, slash } = walk.parent(path)? else { return Err(Errno::EISDIR) };
    let dir = walk.here;
    let _change = dir.mount.want_write()?;
    let dir_inode = dir.inode()?;
    let held = dir_inode.rwsem().write();
    let victim = look_up(&dir.dentry, &name)?;
    let inode = victim.inode().ok_or(Errno::ENOENT)?;
    if slash {
        return Err(if victim.is_dir() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    may_delete(&dir, &victim, false, at.cred)?;
    if victim.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    let victim_held = lock_unless(inode, &[dir_inode]);
    directory(dir_inode)?.unlink(&name)?;
    victim.delete();
    drop(victim_held);
    // The last drop of the inode, when `victim` goes, frees its blocks: not under the directory.
    drop(held);
    Ok(())
}

/// unlinkat(2) with AT_REMOVEDIR. EINVAL for ".", ENOTEMPTY for "..", EBUSY for "/" and a mount
/// point.
pub fn rmdir(at: &At<'_>, path: &[u8]) -> Result<()> {
    let mut walk = Walker::new(at);
    let name = match walk.parent(path)? {
        Last::Name { name, .. } => name,
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Root => return Err(Errno::EBUSY),
    };
    let dir = walk.here;
    let _change = dir.mount.want_write()?;
    let dir_inode = dir.inode()?;
    let held = dir_inode.rwsem().write();
    let victim = look_up(&dir.dentry, &name)?;
    let inode = victim.inode().ok_or(Errno::ENOENT)?;
    may_delete(&dir, &victim, true, at.cred)?;
    if victim.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    let victim_held = lock_unless(inode, &[dir_inode]);
    directory(dir_inode)?.rmdir(&name)?;
    victim.delete();
    victim.forget_children();
    drop(victim_held);
    drop(held);
    Ok(())
}
