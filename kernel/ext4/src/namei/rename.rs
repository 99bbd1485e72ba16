//! Rename: the same inode under another name, and two names that change places.
//!
//! # The steps of a rename
//! 1. Look at everything: both entries, the victim's emptiness, the moved directory's `..`, room for
//!    one more subdirectory. Nothing has changed if one of these fails.
//! 2. Make the new name lead to the inode (a new entry, or the victim's entry retargeted).
//! 3. Take the old name away. It is searched again: step 2 may have moved it, when both names are in
//!    one directory and the new one split a block. If this fails, step 2 is undone.
//! 4. `..`, link counts, times, the victim's end.
//!
//! With RENAME_WHITEOUT a whiteout is made before 2, and 3 retargets the old name to it.
//!
//! Between 2 and 3 the inode has two names, never none.

use alloc::sync::Arc;

use base::{DevId, Errno, Result};
use vfs::{Cred, FileType};

use super::blocks::NodeDir;
use super::discard;
use super::readdir::file_type;
use crate::dir::{self, Found};
use crate::disk::fast_commit::NameChange;
use crate::inode::{Ext4Inode, Touch};
use crate::journal::Reason;
use crate::journal::credits;
use crate::options::Flag;

/// Gives `old_name` of `old_dir` the name `new_name` in `new_dir`; a `whiteout` of this owner stays at
/// the old one.
pub(super) fn rename(
    old_dir: &Ext4Inode,
    old_name: &[u8],
    new_dir: &Ext4Inode,
    new_name: &[u8],
    whiteout: Option<&Cred>,
) -> Result<()> {
    let old = old_dir.find(old_name)?.ok_or(Errno::ENOENT)?;
    let inode = old_dir.target(&old)?;
    let new = new_dir.find(new_name)?;
    let victim = new.map(|found| new_dir.target(&found)).transpose()?;
    if victim.as_ref().is_some_and(|victim| victim.ino32() == inode.ino32()) {
        return Ok(());
    }
    let is_dir = inode.kind() == FileType::Directory;
    let moves = old_dir.ino32() != new_dir.ino32();
    new_dir.check_project(&inode)?;
    old_dir.check_may_remove(&inode)?;
    match &victim {
        Some(victim) => new_dir.check_may_remove(victim)?,
        None => new_dir.check_may_add()?,
    }
    if let Some(victim) = &victim {
        check_kinds(&inode, victim)?;
    } else if is_dir && moves {
        new_dir.check_room_for_subdirectory()?;
    }
    if is_dir && moves {
        check_parent(&inode, old_dir)?;
    }
    let credits = credits::rename(old_dir, new_dir, whiteout.is_some());
    // `inode` and `victim` live longer than the handle.
    let step = Step { old_dir, old_name, new_dir, new_name, inode: &inode, new, victim: victim.as_deref() };
    if victim.is_some() && !old_dir.fs().flags_on().contains(Flag::NO_AUTO_DA_ALLOC) {
        // As Linux: who replaces a file means its bytes to be there. What fails is told by fsync.
        let _ = inode.alloc_delayed();
    }
    old_dir.fs().transact_tracked(credits, || {
        if is_dir {
            old_dir.fs().mark_ineligible(Reason::RenameDir);
        } else if whiteout.is_some() {
            old_dir.fs().mark_ineligible(Reason::Other);
        }
        step.take(whiteout)
    })
}

/// A rename of which everything was looked at.
struct Step<'a> {
    old_dir: &'a Ext4Inode,
    old_name: &'a [u8],
    new_dir: &'a Ext4Inode,
    new_name: &'a [u8],
    inode: &'a Ext4Inode,
    /// The victim's entry.
    new: Option<Found>,
    victim: Option<&'a Ext4Inode>,
}

impl Step<'_> {
    /// Steps 2 to 4, in one handle.
    fn take(&self, whiteout: Option<&Cred>) -> Result<()> {
        let Step { old_dir, old_name, new_dir, new_name, inode, ref new, victim } = *self;
        let is_dir = inode.kind() == FileType::Directory;
        let moves = old_dir.ino32() != new_dir.ino32();
        let whiteout = whiteout.map(|cred| make_whiteout(old_dir, old_name, cred)).transpose()?;
        let moved = match &new {
            Some(found) => retarget(new_dir, found, inode),
            None => new_dir.add_entry(new_name, inode),
        };
        let moved = moved.and_then(|()| {
            let left = leave_old(old_dir, old_name, inode, whiteout.as_deref());
            left.inspect_err(|_| undo(new_dir, new_name, victim, inode))
        });
        if let Err(error) = moved {
            return Err(whiteout.map_or(error, |whiteout| discard(&whiteout, error)));
        }
        if is_dir {
            if moves {
                dir::set_parent(&NodeDir::new(inode), new_dir.ino32())?;
            }
            old_dir.drop_nlink();
            old_dir.mark_dirty();
            if victim.is_none() {
                new_dir.inc_nlink()?;
                new_dir.mark_dirty();
            }
        }
        self.track();
        inode.touch(Touch::Changed);
        inode.mark_dirty();
        victim.map_or(Ok(()), Ext4Inode::drop_name)
    }

    /// Tells of the names, in the order that is Linux's too.
    fn track(&self) {
        let fs = self.old_dir.fs();
        let (old, new) = (self.old_dir.ino32(), self.new_dir.ino32());
        if let Some(victim) = self.victim {
            fs.track_name(NameChange::Unlink, new, victim, self.new_name);
        }
        fs.track_name(NameChange::Link, new, self.inode, self.new_name);
        fs.track_name(NameChange::Unlink, old, self.inode, self.old_name);
    }
}

/// Makes two names change places.
pub(super) fn exchange(a_dir: &Ext4Inode, a_name: &[u8], b_dir: &Ext4Inode, b_name: &[u8]) -> Result<()> {
    let a_found = a_dir.find(a_name)?.ok_or(Errno::ENOENT)?;
    let b_found = b_dir.find(b_name)?.ok_or(Errno::ENOENT)?;
    let (a, b) = (a_dir.target(&a_found)?, b_dir.target(&b_found)?);
    if a.ino32() == b.ino32() {
        return Ok(());
    }
    a_dir.check_project(&b)?;
    b_dir.check_project(&a)?;
    a_dir.check_may_remove(&a)?;
    b_dir.check_may_remove(&b)?;
    let moves = a_dir.ino32() != b_dir.ino32();
    let [a_is_dir, b_is_dir] = [&a, &b].map(|inode| inode.kind() == FileType::Directory);
    if moves {
        if a_is_dir {
            check_parent(&a, a_dir)?;
        }
        if b_is_dir {
            check_parent(&b, b_dir)?;
        }
        if a_is_dir && !b_is_dir {
            b_dir.check_room_for_subdirectory()?;
        }
        if b_is_dir && !a_is_dir {
            a_dir.check_room_for_subdirectory()?;
        }
    }
    let _handle = a_dir.fs().start_tracked(credits::rename(a_dir, b_dir, false))?;
    a_dir.fs().mark_ineligible(Reason::CrossRename);
    retarget(a_dir, &a_found, &b)?;
    if let Err(error) = retarget(b_dir, &b_found, &a) {
        // Best effort: the block was written a moment ago.
        let _ = retarget(a_dir, &a_found, &a);
        return Err(error);
    }
    if moves {
        if a_is_dir {
            dir::set_parent(&NodeDir::new(&a), b_dir.ino32())?;
        }
        if b_is_dir {
            dir::set_parent(&NodeDir::new(&b), a_dir.ino32())?;
        }
        match (a_is_dir, b_is_dir) {
            (true, false) => move_link(a_dir, b_dir)?,
            (false, true) => move_link(b_dir, a_dir)?,
            // One goes and one comes: a parent that is full stays full.
            _ => {}
        }
    }
    for inode in [&a, &b] {
        inode.touch(Touch::Changed);
        inode.mark_dirty();
    }
    Ok(())
}

/// The counts of the parents, after a directory went from one to the other.
fn move_link(from: &Ext4Inode, to: &Ext4Inode) -> Result<()> {
    from.drop_nlink();
    to.inc_nlink()?;
    from.mark_dirty();
    to.mark_dirty();
    Ok(())
}

/// Only a directory replaces a directory, and only an empty one is replaced.
fn check_kinds(inode: &Ext4Inode, victim: &Ext4Inode) -> Result<()> {
    match (inode.kind() == FileType::Directory, victim.kind() == FileType::Directory) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        (true, true) if !dir::is_empty(&NodeDir::new(victim))? => Err(Errno::ENOTEMPTY),
        _ => Ok(()),
    }
}

/// The `..` of a directory must be readable and name its parent, before anything is changed.
fn check_parent(inode: &Ext4Inode, parent: &Ext4Inode) -> Result<()> {
    let named = dir::parent(&NodeDir::new(inode))?;
    if named == parent.ino32() {
        return Ok(());
    }
    Err(inode.corrupt(format_args!("`..` names inode {named}, the directory is in {}", parent.ino32())))
}

fn retarget(dir: &Ext4Inode, found: &Found, inode: &Ext4Inode) -> Result<()> {
    dir::retarget(&NodeDir::new(dir), found, inode.ino32(), file_type(inode.kind()))?;
    dir.changed();
    Ok(())
}

/// A whiteout for the name that a rename leaves: mode 0, the device 0:0, its name still to come.
fn make_whiteout(dir: &Ext4Inode, name: &[u8], cred: &Cred) -> Result<Arc<Ext4Inode>> {
    let whiteout = dir.new_child(name, FileType::CharDevice, 0, cred)?;
    whiteout.set_rdev(DevId::default());
    whiteout.mark_dirty();
    Ok(whiteout)
}

/// Takes the old name away, or gives it to the whiteout, if it still leads to the inode.
fn leave_old(dir: &Ext4Inode, name: &[u8], inode: &Ext4Inode, whiteout: Option<&Ext4Inode>) -> Result<()> {
    match dir.find(name)? {
        Some(found) if found.ino == inode.ino32() => match whiteout {
            Some(whiteout) => retarget(dir, &found, whiteout),
            None => dir.remove_entry(&found),
        },
        _ => Err(dir.corrupt("an entry went away while it was renamed")),
    }
}

/// Takes back what step 2 did, as far as the disk lets it: the reason to be here is an error of the
/// disk, and there is nobody to tell about a second one.
fn undo(dir: &Ext4Inode, name: &[u8], victim: Option<&Ext4Inode>, inode: &Ext4Inode) {
    let Ok(Some(found)) = dir.find(name) else { return };
    if found.ino != inode.ino32() {
        return;
    }
    let _ = match victim {
        Some(victim) => retarget(dir, &found, victim),
        None => dir.remove_entry(&found),
    };
}
