//! Mode, owner, times, extended attributes, flags and projects in the model.

use base::time::Timespec;
use base::{Errno, Result};

use super::{Id, Model, ModelNode};

/// The flags of chattr(1) that the runs set.
pub mod flag {
    /// Writes reach the disk at once.
    pub const SYNC: u32 = 0x8;
    /// Nothing changes.
    pub const IMMUTABLE: u32 = 0x10;
    /// Content only grows, names only come.
    pub const APPEND: u32 = 0x20;
    /// dump(8) leaves it out.
    pub const NODUMP: u32 = 0x40;
    /// atime stays.
    pub const NOATIME: u32 = 0x80;
    /// Data go through the journal, where there is one.
    pub const JOURNAL_DATA: u32 = 0x4000;
    /// Names reach the disk at once.
    pub const DIRSYNC: u32 = 0x1_0000;
    /// The allocator spreads what is below.
    pub const TOPDIR: u32 = 0x2_0000;
    /// What comes into a directory gets its project.
    pub const PROJINHERIT: u32 = 0x2000_0000;
    /// All of them.
    pub const ALL: u32 =
        SYNC | IMMUTABLE | APPEND | NODUMP | NOATIME | JOURNAL_DATA | DIRSYNC | TOPDIR | PROJINHERIT;
    /// What new entries take over.
    pub const INHERITED: u32 = SYNC | NODUMP | NOATIME | JOURNAL_DATA | DIRSYNC | PROJINHERIT;
    /// What has a meaning for directories only.
    pub const FOR_DIRECTORIES: u32 = DIRSYNC | TOPDIR | PROJINHERIT;
    /// What is no file and no directory may have.
    pub const FOR_ALL: u32 = NODUMP | NOATIME;
}

const FIXED: u32 = flag::IMMUTABLE | flag::APPEND;

impl Model {
    /// chmod(2).
    pub fn chmod(&mut self, path: &[u8], mode: u32) -> Result<()> {
        let id = self.find(path)?;
        if self.is_symlink(id) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.forbid(id, FIXED)?;
        self.inodes[id].mode = mode;
        self.mode_to_list(id);
        self.touch_change(id);
        Ok(())
    }

    /// lchown(2).
    pub fn chown(&mut self, path: &[u8], uid: u32, gid: u32) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, FIXED)?;
        let inode = &mut self.inodes[id];
        inode.owner = (uid, gid);
        // setuid goes, setgid goes where the group may execute; not for directories.
        if !matches!(inode.node, ModelNode::Directory(_)) {
            inode.mode &= !0o4000;
            if inode.mode & 0o010 != 0 {
                inode.mode &= !0o2000;
            }
        }
        self.touch_change(id);
        Ok(())
    }

    /// utimensat(2), not through a link; None leaves a time as it is.
    pub fn utimens(&mut self, path: &[u8], atime: Option<Timespec>, mtime: Option<Timespec>) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, FIXED)?;
        let (atime, mtime) = (atime.map(|t| self.stored(t)), mtime.map(|t| self.stored(t)));
        let times = &mut self.inodes[id].times;
        times.atime = atime.unwrap_or(times.atime);
        times.mtime = mtime.unwrap_or(times.mtime);
        self.touch_change(id);
        Ok(())
    }

    /// lsetxattr(2) without flags.
    pub fn set_xattr(&mut self, path: &[u8], name: &str, value: &[u8]) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, FIXED)?;
        self.put_xattr(id, name, Some(value.into()));
        Ok(())
    }

    /// lremovexattr(2).
    pub fn remove_xattr(&mut self, path: &[u8], name: &str) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, FIXED)?;
        if !self.inodes[id].xattrs.contains_key(name) {
            return Err(Errno::ENODATA);
        }
        self.put_xattr(id, name, None);
        Ok(())
    }

    /// ctime moves when anything changes.
    pub(super) fn put_xattr(&mut self, id: Id, name: &str, value: Option<Vec<u8>>) {
        let xattrs = &mut self.inodes[id].xattrs;
        if xattrs.get(name) == value.as_ref() {
            return;
        }
        match value {
            Some(value) => xattrs.insert(name.into(), value),
            None => xattrs.remove(name),
        };
        self.touch_change(id);
    }

    /// FS_IOC_SETFLAGS with these of the known flags, the others as they are.
    pub fn set_flags(&mut self, path: &[u8], flags: u32) -> Result<()> {
        let id = self.find(path)?;
        if !self.is_dir(id) && flags & flag::FOR_DIRECTORIES != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let old = self.inodes[id].flags;
        if old & flags & flag::IMMUTABLE != 0 && old != flags {
            return Err(Errno::EPERM);
        }
        let passed_over = if self.abilities.journal { 0 } else { flag::JOURNAL_DATA };
        self.inodes[id].flags = flags & !passed_over;
        self.touch_change(id);
        Ok(())
    }

    /// FS_IOC_FSSETXATTR of the project alone.
    pub fn set_project(&mut self, path: &[u8], project: u32) -> Result<()> {
        let id = self.find(path)?;
        let inode = &self.inodes[id];
        if inode.flags & flag::IMMUTABLE != 0 && inode.project != project {
            return Err(Errno::EPERM);
        }
        // The flags are set before, to what they were.
        self.touch_change(id);
        let inode = &mut self.inodes[id];
        if inode.project != project && !self.abilities.projects {
            return Err(Errno::EOPNOTSUPP);
        }
        inode.project = project;
        Ok(())
    }
}
