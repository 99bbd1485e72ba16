//! Names in the model.

use std::collections::BTreeMap;

use base::{DevId, Errno, Result};

use super::{Id, Inode, Model, ModelNode, Times, flag, split};

const FIXED: u32 = flag::IMMUTABLE | flag::APPEND;

/// What renameat2(2) is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameHow {
    /// The new name may be there.
    Plain,
    /// RENAME_NOREPLACE.
    NoReplace,
    /// RENAME_EXCHANGE.
    Exchange,
    /// RENAME_WHITEOUT.
    Whiteout,
}

impl RenameHow {
    /// The word of the system call.
    pub fn flags(self) -> u32 {
        match self {
            RenameHow::Plain => 0,
            RenameHow::NoReplace => 1,
            RenameHow::Exchange => 2,
            RenameHow::Whiteout => 4,
        }
    }
}

impl Model {
    fn names(&mut self, dir: Id) -> Result<&mut BTreeMap<Vec<u8>, Id>> {
        match &mut self.inodes[dir].node {
            ModelNode::Directory(names) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// A new inode in a directory, which has no name for it yet.
    fn new_inode(&mut self, dir: Id, node: ModelNode, mode: u32) -> Id {
        let is_dir = matches!(node, ModelNode::Directory(_));
        let above = &self.inodes[dir];
        let mut flags = above.flags & flag::INHERITED;
        match node {
            ModelNode::Directory(_) => {}
            ModelNode::File(_) => flags &= !flag::FOR_DIRECTORIES,
            _ => flags &= flag::FOR_ALL,
        }
        // A directory with setgid gives its group, and to directories the bit.
        let setgid = above.mode & 0o2000 != 0;
        let inode = Inode {
            node,
            mode: if setgid && is_dir { mode | 0o2000 } else { mode },
            nlink: if is_dir { 2 } else { 1 },
            linkable: false,
            owner: (0, if setgid { above.owner.1 } else { 0 }),
            times: Times { atime: self.now, mtime: self.now, ctime: self.now },
            xattrs: BTreeMap::new(),
            flags,
            project: if above.flags & flag::PROJINHERIT != 0 && self.abilities.projects {
                above.project
            } else {
                0
            },
            reserved: 0,
        };
        self.inodes.push(inode);
        let id = self.inodes.len() - 1;
        self.inherit(dir, id);
        id
    }

    /// The directory of a name that is about to come. EEXIST, EPERM.
    fn place_for(&mut self, path: &[u8]) -> Result<Id> {
        let (dir, name) = split(path);
        let dir = self.find(dir)?;
        if self.names(dir)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.forbid(dir, flag::IMMUTABLE)?;
        Ok(dir)
    }

    fn make(&mut self, path: &[u8], node: ModelNode, mode: u32) -> Result<Id> {
        let dir = self.place_for(path)?;
        let id = self.new_inode(dir, node, mode);
        self.inodes[dir].nlink += u32::from(self.is_dir(id));
        self.name(dir, path, id)?;
        Ok(id)
    }

    fn name(&mut self, dir: Id, path: &[u8], id: Id) -> Result<()> {
        self.names(dir)?.insert(split(path).1.to_vec(), id);
        self.touch(dir);
        Ok(())
    }

    /// O_CREAT|O_EXCL.
    pub fn create(&mut self, path: &[u8], mode: u32) -> Result<()> {
        self.make(path, ModelNode::File(Vec::new()), mode).map(|_| ())
    }

    /// mkdir(2).
    pub fn mkdir(&mut self, path: &[u8]) -> Result<()> {
        self.make(path, ModelNode::Directory(BTreeMap::new()), 0o755).map(|_| ())
    }

    /// symlink(2).
    pub fn symlink(&mut self, target: &[u8], path: &[u8]) -> Result<()> {
        self.make(path, ModelNode::Symlink(target.to_vec()), 0o777).map(|_| ())
    }

    /// mknod(2) of what is no file.
    pub fn mknod(&mut self, path: &[u8], mode: u32, rdev: DevId) -> Result<()> {
        self.make(path, ModelNode::Special(mode & 0o170000, rdev), mode & 0o7777).map(|_| ())
    }

    /// open(2) with O_TMPFILE: a file without a name.
    pub fn tmpfile(&mut self, dir: &[u8], mode: u32) -> Result<Id> {
        let dir = self.find(dir)?;
        self.forbid(dir, flag::IMMUTABLE)?;
        let id = self.new_inode(dir, ModelNode::File(Vec::new()), mode);
        (self.inodes[id].nlink, self.inodes[id].linkable) = (0, true);
        Ok(id)
    }

    /// link(2).
    pub fn link(&mut self, old: &[u8], new: &[u8]) -> Result<()> {
        let id = self.find(old)?;
        self.link_open(id, new)
    }

    /// linkat(2) of an open file, with AT_EMPTY_PATH.
    pub fn link_open(&mut self, id: Id, new: &[u8]) -> Result<()> {
        let dir = self.place_for(new)?;
        self.forbid(id, FIXED)?;
        if self.is_dir(id) {
            return Err(Errno::EPERM);
        }
        if self.inodes[id].nlink == 0 && !self.inodes[id].linkable {
            return Err(Errno::ENOENT);
        }
        self.same_project(dir, id)?;
        self.inodes[id].linkable = false;
        self.inodes[id].nlink += 1;
        self.touch_change(id);
        self.name(dir, new, id)
    }

    /// What enters a directory that hands its project on must be of that project.
    fn same_project(&self, dir: Id, id: Id) -> Result<()> {
        let (dir, inode) = (&self.inodes[dir], &self.inodes[id]);
        if dir.flags & flag::PROJINHERIT != 0 && dir.project != inode.project {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// Whether a name may go.
    fn may_delete(&self, dir: Id, id: Id) -> Result<()> {
        self.forbid(dir, FIXED)?;
        self.forbid(id, FIXED)
    }

    /// unlink(2).
    pub fn unlink(&mut self, path: &[u8]) -> Result<()> {
        let (id, dir) = (self.find(path)?, self.find(split(path).0)?);
        self.may_delete(dir, id)?;
        if self.is_dir(id) {
            return Err(Errno::EISDIR);
        }
        self.names(dir)?.remove(split(path).1);
        self.touch(dir);
        self.inodes[id].nlink -= 1;
        self.touch_change(id);
        Ok(())
    }

    /// rmdir(2).
    pub fn rmdir(&mut self, path: &[u8]) -> Result<()> {
        let (id, dir) = (self.find(path)?, self.find(split(path).0)?);
        self.may_delete(dir, id)?;
        if !self.names(id)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.names(dir)?.remove(split(path).1);
        self.touch(dir);
        self.inodes[id].nlink = 0;
        self.inodes[dir].nlink -= 1;
        Ok(())
    }

    /// renameat2(2).
    pub fn rename(&mut self, old: &[u8], new: &[u8], how: RenameHow) -> Result<()> {
        let id = self.find(old)?;
        let (old_dir, new_dir) = (self.find(split(old).0)?, self.find(split(new).0)?);
        let victim = self.names(new_dir)?.get(split(new).1).copied();
        match how {
            RenameHow::NoReplace if victim.is_some() => return Err(Errno::EEXIST),
            RenameHow::Exchange if victim.is_none() => return Err(Errno::ENOENT),
            _ => {}
        }
        let below = |path: &[u8], above: &[u8]| path.starts_with(&[above, b"/"].concat());
        if below(new, old) {
            return Err(Errno::EINVAL);
        }
        if below(old, new) {
            return Err(if how == RenameHow::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if victim == Some(id) {
            return Ok(());
        }
        self.may_delete(old_dir, id)?;
        match victim {
            Some(victim) => self.may_delete(new_dir, victim)?,
            None => self.forbid(new_dir, flag::IMMUTABLE)?,
        }
        match victim {
            Some(victim) if how == RenameHow::Exchange => {
                self.exchange((old_dir, old, id), (new_dir, new, victim))
            }
            _ => self.replace((old_dir, old, id), (new_dir, new), victim, how),
        }
    }

    fn exchange(&mut self, a: (Id, &[u8], Id), b: (Id, &[u8], Id)) -> Result<()> {
        self.same_project(b.0, a.2)?;
        self.same_project(a.0, b.2)?;
        for (from, to) in [(a, b), (b, a)] {
            self.name(to.0, to.1, from.2)?;
            self.touch_change(from.2);
            self.move_up(from.2, from.0, to.0);
        }
        Ok(())
    }

    /// A directory has another one above it.
    fn move_up(&mut self, id: Id, from: Id, to: Id) {
        if self.is_dir(id) {
            self.inodes[from].nlink -= 1;
            self.inodes[to].nlink += 1;
        }
    }

    fn replace(
        &mut self,
        from: (Id, &[u8], Id),
        to: (Id, &[u8]),
        victim: Option<Id>,
        how: RenameHow,
    ) -> Result<()> {
        let (old_dir, old, id) = from;
        if let Some(victim) = victim {
            match (self.is_dir(id), self.is_dir(victim)) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => {}
            }
        }
        self.same_project(to.0, id)?;
        if let Some(victim) = victim {
            if self.is_dir(victim) && !self.names(victim)?.is_empty() {
                return Err(Errno::ENOTEMPTY);
            }
            if self.is_dir(victim) {
                self.inodes[victim].nlink = 0;
                self.inodes[to.0].nlink -= 1;
            } else {
                self.inodes[victim].nlink -= 1;
                self.touch_change(victim);
            }
        }
        self.names(old_dir)?.remove(split(old).1);
        if how == RenameHow::Whiteout {
            let whiteout = self.new_inode(old_dir, ModelNode::Special(0o020000, DevId::new(0, 0)), 0);
            self.name(old_dir, old, whiteout)?;
        }
        self.touch(old_dir);
        self.name(to.0, to.1, id)?;
        self.touch_change(id);
        self.move_up(id, old_dir, to.0);
        Ok(())
    }
}
