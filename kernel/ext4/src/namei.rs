//! Names to inodes, for the vfs: `vfs::Directory` of an ext4 directory.
//!
//! # What it is
//! Each operation joins three things: the entry in the directory's blocks ([`crate::dir`]), the
//! inode it names, and the counts and times of both.
//!
//! ```text
//! namei.rs     lookup, create, mkdir, mknod, symlink, link, unlink, rmdir
//! rename.rs    rename and exchange        blocks.rs   a directory's blocks
//! readdir.rs   an open directory
//! ```
//!
//! # Order of the steps, and what a failure leaves
//! A name never leads to an inode that is not in the table, so a new inode is written first, then
//! its entry; a name is taken away before its inode. When a step fails, those before it are undone:
//! a new inode without a name has `nlink` 0 and is freed with its last use, at once. What cannot be
//! undone because the disk gives EIO twice is left for e2fsck, in the direction that loses nothing:
//! a link count too high, an entry too many.
//!
//! In a directory that is to be synchronous (`dirsync`, chattr +D) all of it is on the medium before it is
//! told; see `inode/synchronous.rs`.
//!
//! # Locking
//! The vfs holds i_rwsem of the directories, and of the inodes that lose or gain a name, exclusively
//! (shared for lookup); see `vfs::inode`. Nothing here takes another. What an operation changes is in one
//! handle ([`crate::journal`]); inodes are looked up before it begins, since one may be on its way out.
//!
//! Source: the kernel's ext4 documentation; the errnos are those of the man pages of section 2.

mod blocks;
mod readdir;
mod rename;

use alloc::sync::Arc;

use base::{DevId, Errno, Ino, Result};
use vfs::{Cred, Directory, FileType, Inode, Ownership, RenameFlags};

use crate::dir::{self, Found};
use crate::disk::fast_commit::NameChange;
use crate::disk::feature::{Compat, RoCompat};
use crate::disk::inode::InodeFlags;
use crate::inode::{Ext4Inode, LINK_MAX, Touch};
use crate::journal::credits;
use crate::options::Flag;
use crate::symlink;

pub(crate) use blocks::NodeDir;
pub(crate) use readdir::DirFile;
pub(crate) use readdir::file_type;

impl Directory for Ext4Inode {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.find(name)?.ok_or(Errno::ENOENT)?;
        Ok(self.target(&found)?)
    }

    fn create(&self, name: &[u8], mode: u32, cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.fs()
            .transact_tracked(credits::create(self), || {
                let inode = self.new_child(name, FileType::Regular, mode, cred)?;
                self.name_it(name, inode)
            })
            .inspect(|_| self.commit_if_sync())
    }

    fn tmpfile(&self, mode: u32, linkable: bool, cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.fs().transact(credits::create(self), || {
            let inode = self.new_child(b"", FileType::Regular, mode, cred)?;
            inode.set_nlink(0);
            inode.set_linkable(linkable);
            inode.mark_dirty();
            // Without the list a crash would leave an inode that nothing leads to.
            inode.add_orphan()?;
            Ok(inode as Arc<dyn Inode>)
        })
    }

    fn mknod(&self, name: &[u8], mode: u32, rdev: DevId, cred: &Cred) -> Result<Arc<dyn Inode>> {
        let kind = FileType::of_mode(mode).ok_or(Errno::EINVAL)?;
        self.fs()
            .transact(credits::create(self), || {
                let inode = self.new_child(name, kind, mode, cred)?;
                if kind.is_device() {
                    inode.set_rdev(rdev);
                }
                self.name_it(name, inode)
            })
            .inspect(|_| self.commit_if_sync())
    }

    fn symlink(&self, name: &[u8], target: &[u8], cred: &Cred) -> Result<Arc<dyn Inode>> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= self.fs().geometry().block_size() {
            return Err(Errno::ENAMETOOLONG);
        }
        self.fs()
            .transact(credits::create(self), || {
                let inode = self.new_child(name, FileType::Symlink, 0o777, cred)?;
                match symlink::write_target(&inode, target) {
                    Ok(()) => self.name_it(name, inode),
                    Err(error) => Err(discard(&inode, error)),
                }
            })
            .inspect(|_| self.commit_if_sync())
    }

    fn mkdir(&self, name: &[u8], mode: u32, cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.check_room_for_subdirectory()?;
        self.fs()
            .transact(credits::create(self), || {
                let inode = self.new_child(name, FileType::Directory, mode, cred)?;
                if let Err(error) = self.fill_new_directory(&inode) {
                    return Err(discard(&inode, error));
                }
                let named = self.name_it(name, inode)?;
                // Cannot fail: there was room above, and nobody else changes this directory.
                self.inc_nlink()?;
                self.mark_dirty();
                Ok(named)
            })
            .inspect(|_| self.commit_if_sync())
    }

    fn link(&self, name: &[u8], inode: &Arc<dyn Inode>) -> Result<()> {
        self.fs().check_writable()?;
        let inode = ext4_inode(inode)?;
        self.check_may_add()?;
        if inode.flags().intersects(FIXED) {
            return Err(Errno::EPERM);
        }
        self.check_project(inode)?;
        self.fs()
            .transact_tracked(credits::link(self), || {
                inode.inc_nlink()?;
                let added = self.add_entry(name, inode);
                if added.is_ok() {
                    self.fs().track_name(NameChange::Link, self.ino32(), inode, name);
                    inode.touch(Touch::Changed);
                } else {
                    inode.drop_nlink();
                }
                inode.mark_dirty();
                added?;
                inode.set_linkable(false);
                // A file that O_TMPFILE made has its first name now.
                if inode.nlink() == 1 { inode.del_orphan() } else { Ok(()) }
            })
            .inspect(|()| self.commit_if_sync())
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.fs().check_writable()?;
        let found = self.find(name)?.ok_or(Errno::ENOENT)?;
        let inode = self.target(&found)?;
        self.check_may_remove(&inode)?;
        {
            let _handle = self.fs().start_tracked(credits::unlink())?;
            self.remove_entry(&found)?;
            self.fs().track_name(NameChange::Unlink, self.ino32(), &inode, name);
            inode.drop_name()?;
        }
        self.commit_if_sync();
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.fs().check_writable()?;
        let found = self.find(name)?.ok_or(Errno::ENOENT)?;
        let inode = self.target(&found)?;
        if inode.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.check_may_remove(&inode)?;
        if !dir::is_empty(&NodeDir::new(&inode))? {
            return Err(Errno::ENOTEMPTY);
        }
        {
            let _handle = self.fs().start(credits::unlink())?;
            self.remove_entry(&found)?;
            // It pointed here with its `..`.
            self.drop_nlink();
            self.mark_dirty();
            inode.drop_name()?;
        }
        self.commit_if_sync();
        Ok(())
    }

    fn rename(
        &self,
        old_name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
        cred: &Cred,
    ) -> Result<()> {
        self.fs().check_writable()?;
        let new_dir = ext4_inode(new_dir)?;
        if flags.contains(RenameFlags::EXCHANGE) {
            rename::exchange(self, old_name, new_dir, new_name)?;
        } else {
            let whiteout = flags.contains(RenameFlags::WHITEOUT).then_some(cred);
            rename::rename(self, old_name, new_dir, new_name, whiteout)?;
        }
        // One of them makes all of it durable.
        if self.needs_sync() {
            self.commit_if_sync()
        } else {
            new_dir.commit_if_sync()
        }
        Ok(())
    }
}

impl Ext4Inode {
    /// The entry of a name in this directory.
    fn find(&self, name: &[u8]) -> Result<Option<Found>> {
        dir::find(&NodeDir::new(self), name)
    }

    /// The inode an entry of this directory names. EUCLEAN when there is none.
    fn target(&self, found: &Found) -> Result<Arc<Ext4Inode>> {
        if found.ino == self.ino32() {
            return Err(self.corrupt("a name in the directory leads to the directory itself"));
        }
        match self.fs().iget(Ino(u64::from(found.ino))) {
            Err(Errno::ESTALE) => {
                Err(self
                    .corrupt(format_args!("a name in the directory leads to the free inode {}", found.ino)))
            }
            other => other,
        }
    }

    /// A new inode for this directory, not yet named.
    fn new_child(&self, name: &[u8], kind: FileType, mode: u32, cred: &Cred) -> Result<Arc<Ext4Inode>> {
        self.fs().check_writable()?;
        self.check_may_add()?;
        let (mode_here, uid, gid) = self.with_meta(|m| (u32::from(m.mode), m.uid, m.gid));
        let here = Ownership { mode: mode_here, uid, gid };
        let mut owner = cred.init_owner(&here, kind.mode() | (mode & vfs::S_IALLUGO));
        if self.fs().is_on(Flag::GRPID) {
            owner.gid = gid;
        }
        let inode = self.fs().new_inode(self, owner, name)?;
        inode.note_no_xattrs();
        match inode.inherit_acl(self) {
            Ok(()) => Ok(inode),
            Err(error) => Err(discard(&inode, error)),
        }
    }

    /// Gives a new inode its first name; when that fails the inode is freed again.
    fn name_it(&self, name: &[u8], inode: Arc<Ext4Inode>) -> Result<Arc<dyn Inode>> {
        inode.mark_dirty();
        match self.add_entry(name, &inode) {
            Ok(()) => {
                self.fs().track_name(NameChange::Create, self.ino32(), &inode, name);
                Ok(inode)
            }
            Err(error) => Err(discard(&inode, error)),
        }
    }

    /// Adds an entry to this directory, and tells so by its times.
    fn add_entry(&self, name: &[u8], inode: &Ext4Inode) -> Result<()> {
        let added = dir::add(&NodeDir::new(self), name, inode.ino32(), file_type(inode.kind()));
        if added.is_ok() {
            self.changed();
        }
        added
    }

    /// Takes an entry away from this directory.
    fn remove_entry(&self, found: &Found) -> Result<()> {
        dir::remove(&NodeDir::new(self), found)?;
        self.changed();
        Ok(())
    }

    /// The directory's content has changed; also when its times, within one tick, have not, an fsync waits
    /// for that.
    fn changed(&self) {
        if self.touch(Touch::Modified) {
            self.mark_dirty();
        } else {
            self.tids.note_stored(self.fs());
        }
    }

    /// One name less for this inode, whose entry is gone already; a directory has no more. Without
    /// names it waits on the orphan list for its last use to end.
    fn drop_name(&self) -> Result<()> {
        if self.kind() == FileType::Directory {
            self.set_nlink(0);
        } else {
            self.drop_nlink();
        }
        self.touch(Touch::Changed);
        if self.nlink() == 0 {
            self.track_end();
            return self.store_as_orphan();
        }
        self.mark_dirty();
        Ok(())
    }

    /// EPERM for an immutable directory (chattr +i).
    fn check_may_add(&self) -> Result<()> {
        if self.flags().contains(InodeFlags::IMMUTABLE) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EXDEV when this directory hands its project on and the inode is of another: then there is only
    /// copying.
    fn check_project(&self, inode: &Ext4Inode) -> Result<()> {
        let (hands_on, project) = self.with_meta(|m| (m.flags.contains(InodeFlags::PROJINHERIT), m.projid));
        if hands_on && project != inode.with_meta(|m| m.projid) { Err(Errno::EXDEV) } else { Ok(()) }
    }

    /// EPERM when this directory or the inode is immutable or append-only (chattr +i, +a).
    fn check_may_remove(&self, inode: &Ext4Inode) -> Result<()> {
        if (self.flags() | inode.flags()).intersects(FIXED) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EMLINK when this directory cannot take another directory: it has 65,000 links, and either no index
    /// or no dir_nlink.
    fn check_room_for_subdirectory(&self) -> Result<()> {
        let geometry = self.fs().geometry();
        let many = geometry.has_ro_compat(RoCompat::DIR_NLINK)
            && geometry.has_compat(Compat::DIR_INDEX)
            && self.flags().contains(InodeFlags::INDEX);
        if self.nlink() >= LINK_MAX && !many { Err(Errno::EMLINK) } else { Ok(()) }
    }

    /// Writes `.` and `..` into a new directory below this one.
    fn fill_new_directory(&self, new: &Ext4Inode) -> Result<()> {
        let blocks = NodeDir::new(new);
        let bytes = dir::first_block(dir::DirBlocks::shape(&blocks), new.ino32(), self.ino32());
        dir::DirBlocks::append(&blocks, &bytes)?;
        new.set_nlink(2);
        Ok(())
    }
}

/// The flags that keep names from being taken away.
const FIXED: InodeFlags = InodeFlags::IMMUTABLE.union(InodeFlags::APPEND);

/// Frees a new inode that could not be named, and hands the reason on. It goes when the handle has ended;
/// the orphan list leads a mount to it until then.
fn discard(inode: &Ext4Inode, error: Errno) -> Errno {
    inode.set_nlink(0);
    inode.mark_dirty();
    // The list cannot be written when nothing may be: then the new inode does not reach the disk either.
    let _ = inode.add_orphan();
    error
}

/// The ext4 inode behind the vfs's. EXDEV for a stranger.
fn ext4_inode(inode: &Arc<dyn Inode>) -> Result<&Ext4Inode> {
    inode.as_any().downcast_ref::<Ext4Inode>().ok_or(Errno::EXDEV)
}
