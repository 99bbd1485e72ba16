//! renameat2(2): a name moves.
//!
//! # Locking
//! ```text
//!   rename mutex            when two directories are involved: the tree stands still above them
//!   i_rwsem of directories  the ancestor first; unrelated ones by address
//!   i_rwsem of the two      what moves and what is replaced, by address
//! ```
//! The first makes "is this directory below that one" a question with a lasting answer.
//!
//! # Order of errors
//! EINVAL for flags, EXDEV, EBUSY for `.` `..` `/` as a name, EROFS, then under the locks ENOENT,
//! EEXIST, ENOTDIR for a slash behind a file, EINVAL when a directory would move below itself,
//! ENOTEMPTY when the target is above the source, then permissions and kinds.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};
use sync::Mutex;

use super::walk::{Last, Walker, look_up};
use super::{At, directory, may_create, may_delete, permission};
use crate::cred::{Cred, Want};
use crate::dentry::Dentry;
use crate::inode::{Inode, RenameFlags, same_inode};
use crate::mount::Path;

static RENAME: Mutex<()> = Mutex::new(());

/// One side of a rename.
struct Side {
    dir: Path,
    name: Vec<u8>,
    slash: bool,
}

/// EINVAL for flags that are none, or that do not go together.
pub fn check_rename_flags(flags: u32) -> Result<RenameFlags> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let alone = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
    if flags.contains(RenameFlags::EXCHANGE) && flags.intersects(alone) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

/// renameat2(2). `flags` is the system call's word: EINVAL for what is not in [`RenameFlags`] or
/// does not go together.
pub fn rename(old_at: &At<'_>, old: &[u8], new_at: &At<'_>, new: &[u8], flags: u32) -> Result<()> {
    let flags = check_rename_flags(flags)?;
    let (old_dir, old_last) = parent(old_at, old)?;
    let (new_dir, new_last) = parent(new_at, new)?;
    if !Arc::ptr_eq(&old_dir.mount, &new_dir.mount) {
        return Err(Errno::EXDEV);
    }
    let Last::Name { name, slash } = old_last else { return Err(Errno::EBUSY) };
    let from = Side { dir: old_dir, name, slash };
    let Last::Name { name, slash } = new_last else {
        return Err(if flags.contains(RenameFlags::NOREPLACE) { Errno::EEXIST } else { Errno::EBUSY });
    };
    let to = Side { dir: new_dir, name, slash };
    let _change = from.dir.mount.want_write()?;
    let same_dir = Arc::ptr_eq(&from.dir.dentry, &to.dir.dentry);
    let _tree = if same_dir { None } else { Some(RENAME.lock()) };
    // What was replaced goes when the locks are gone: freeing an inode takes its time.
    let held = rename_locked(&from, &to, flags, old_at.cred)?;
    drop(held);
    Ok(())
}

fn parent(at: &At<'_>, path: &[u8]) -> Result<(Path, Last)> {
    let mut walk = Walker::new(at);
    let last = walk.parent(path)?;
    Ok((walk.here, last))
}

/// Does it, and gives back the two entries for the caller to drop.
fn rename_locked(from: &Side, to: &Side, flags: RenameFlags, cred: &Cred) -> Result<[Arc<Dentry>; 2]> {
    let (from_dir, to_dir) = (from.dir.inode()?, to.dir.inode()?);
    let mut locks = Locks::default();
    if from.dir.dentry.is_under(&to.dir.dentry) {
        locks.take(to_dir);
        locks.take(from_dir);
    } else if to.dir.dentry.is_under(&from.dir.dentry) {
        locks.take(from_dir);
        locks.take(to_dir);
    } else {
        locks.take_two(from_dir, to_dir);
    }
    let source = look_up(&from.dir.dentry, &from.name)?;
    let source_inode = source.inode().ok_or(Errno::ENOENT)?;
    let target = look_up(&to.dir.dentry, &to.name)?;
    check_names(from, to, &source, &target, flags)?;
    if target.inode().is_some_and(|t| same_inode(t, source_inode)) {
        return Ok([source, target]);
    }
    check_permissions(from, to, &source, &target, flags, cred)?;
    let mut inner = Locks { held: Vec::new(), outer: [from_dir, to_dir].to_vec() };
    inner.take_two(source_inode, target.inode().unwrap_or(source_inode));
    if source.is_mountpoint() || target.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    directory(from_dir)?.rename(&from.name, to_dir, &to.name, flags, cred)?;
    if flags.contains(RenameFlags::EXCHANGE) {
        source.exchange(&target);
    } else {
        source.rename(&to.dir.dentry, &to.name);
        if target.is_dir() {
            target.forget_children();
        }
    }
    drop(inner);
    Ok([source, target])
}

/// What the names and their slashes allow.
fn check_names(
    from: &Side,
    to: &Side,
    source: &Arc<Dentry>,
    target: &Arc<Dentry>,
    flags: RenameFlags,
) -> Result<()> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    if flags.contains(RenameFlags::NOREPLACE) && target.inode().is_some() {
        return Err(Errno::EEXIST);
    }
    if exchange {
        target.inode().ok_or(Errno::ENOENT)?;
        if to.slash && !target.is_dir() {
            return Err(Errno::ENOTDIR);
        }
    }
    // A slash is for directories; on the new side too, since the source will be what is there.
    if !source.is_dir() && (from.slash || (to.slash && !exchange)) {
        return Err(Errno::ENOTDIR);
    }
    if to.dir.dentry.is_under(source) {
        return Err(Errno::EINVAL);
    }
    if from.dir.dentry.is_under(target) {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    Ok(())
}

/// What the permissions and kinds allow (`vfs_rename`).
fn check_permissions(
    from: &Side,
    to: &Side,
    source: &Dentry,
    target: &Dentry,
    flags: RenameFlags,
    cred: &Cred,
) -> Result<()> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    may_delete(&from.dir, source, source.is_dir(), cred)?;
    match target.inode() {
        None => may_create(&to.dir, cred)?,
        Some(_) if exchange => may_delete(&to.dir, target, target.is_dir(), cred)?,
        Some(_) => may_delete(&to.dir, target, source.is_dir(), cred)?,
    }
    // A directory that gets another parent has its ".." rewritten.
    if !Arc::ptr_eq(&from.dir.dentry, &to.dir.dentry) {
        for moved in [Some(source), exchange.then_some(target)].into_iter().flatten() {
            if let (true, Some(inode)) = (moved.is_dir(), moved.inode()) {
                permission(&**inode, Want::WRITE, cred)?;
            }
        }
    }
    Ok(())
}

/// The `i_rwsem`s of one rename: each inode once, however many of its four roles it plays.
#[derive(Default)]
struct Locks<'a> {
    held: Vec<(&'a Arc<dyn Inode>, sync::WriteGuard<'a, ()>)>,
    /// Held by other locks already.
    outer: Vec<&'a Arc<dyn Inode>>,
}

impl<'a> Locks<'a> {
    fn take(&mut self, inode: &'a Arc<dyn Inode>) {
        let mut held = self.held.iter().map(|(h, _)| h).chain(&self.outer);
        if held.all(|h| !same_inode(h, inode)) {
            self.held.push((inode, inode.rwsem().write()));
        }
    }

    fn take_two(&mut self, a: &'a Arc<dyn Inode>, b: &'a Arc<dyn Inode>) {
        let address = |i: &Arc<dyn Inode>| Arc::as_ptr(i).cast::<()>() as usize;
        let (first, second) = if address(a) <= address(b) { (a, b) } else { (b, a) };
        self.take(first);
        self.take(second);
    }
}
