//! A file system of maps and vectors: what every operation should do.
//!
//! Paths are absolute, their directories exist and no component is followed through a link: the
//! random runs see to that. The errnos are Linux's.

use std::collections::BTreeMap;

use base::time::{COARSE_NS, Timespec};
use base::{DevId, Errno, Result};

use crate::tree::{Entry, Kind, Tree};

/// The number of an inode of the model.
pub type Id = usize;

/// What an inode is.
#[derive(Clone, Debug)]
pub enum ModelNode {
    /// A file.
    File(Vec<u8>),
    /// A directory: names and the directory above.
    Directory(BTreeMap<Vec<u8>, Id>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A device, FIFO or socket: the type bits of its mode and its number.
    Special(u32, DevId),
}

#[derive(Clone, Debug)]
struct Inode {
    node: ModelNode,
    mode: u32,
    nlink: u32,
    owner: (u32, u32),
    mtime: Timespec,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// The whole file system.
#[derive(Clone, Debug)]
pub struct Model {
    inodes: Vec<Inode>,
    /// What a time becomes that is set now: the last tick.
    now: Timespec,
}

const ROOT: Id = 0;

/// A path's directory and last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
    (&path[..slash], &path[slash + 1..])
}

impl Default for Model {
    fn default() -> Model {
        let root = Inode {
            node: ModelNode::Directory(BTreeMap::new()),
            mode: 0o755,
            nlink: 2,
            owner: (0, 0),
            mtime: Timespec::default(),
            xattrs: BTreeMap::new(),
        };
        Model { inodes: vec![root], now: Timespec::default() }
    }
}

impl Model {
    /// From now on it is `ns` after 1970.
    pub fn set_time(&mut self, ns: u64) {
        self.now = Timespec::from_ns(ns - ns % COARSE_NS);
    }

    fn touch(&mut self, id: Id) {
        self.inodes[id].mtime = self.now;
    }

    /// The inode of a path.
    pub fn find(&self, path: &[u8]) -> Result<Id> {
        path.split(|&b| b == b'/').filter(|name| !name.is_empty()).try_fold(ROOT, |dir, name| {
            match &self.inodes[dir].node {
                ModelNode::Directory(names) => names.get(name).copied().ok_or(Errno::ENOENT),
                _ => Err(Errno::ENOTDIR),
            }
        })
    }

    /// The bytes of a file.
    pub fn bytes(&self, id: Id) -> Option<&Vec<u8>> {
        match &self.inodes[id].node {
            ModelNode::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The same, to change them.
    pub(crate) fn bytes_mut(&mut self, id: Id) -> Result<&mut Vec<u8>> {
        match &mut self.inodes[id].node {
            ModelNode::File(bytes) => Ok(bytes),
            ModelNode::Directory(_) => Err(Errno::EISDIR),
            ModelNode::Symlink(_) | ModelNode::Special(..) => Err(Errno::EINVAL),
        }
    }

    fn is_dir(&self, id: Id) -> bool {
        matches!(self.inodes[id].node, ModelNode::Directory(_))
    }

    fn names(&mut self, dir: Id) -> Result<&mut BTreeMap<Vec<u8>, Id>> {
        match &mut self.inodes[dir].node {
            ModelNode::Directory(names) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Every path, with its kind: `d`, `f`, `l` or `s`.
    pub fn paths(&self) -> Vec<(Vec<u8>, char)> {
        let mut all = Vec::new();
        let mut todo = vec![(Vec::new(), ROOT)];
        while let Some((prefix, dir)) = todo.pop() {
            let ModelNode::Directory(names) = &self.inodes[dir].node else { continue };
            for (name, &id) in names {
                let path = [&prefix[..], b"/", name].concat();
                let kind = match self.inodes[id].node {
                    ModelNode::File(_) => 'f',
                    ModelNode::Directory(_) => 'd',
                    ModelNode::Symlink(_) => 'l',
                    ModelNode::Special(..) => 's',
                };
                if kind == 'd' {
                    todo.push((path.clone(), id));
                }
                all.push((path, kind));
            }
        }
        all
    }

    /// Bytes in all files that have a name.
    pub fn total(&self) -> usize {
        self.inodes
            .iter()
            .filter(|i| i.nlink > 0)
            .map(|i| match &i.node {
                ModelNode::File(bytes) => bytes.len(),
                _ => 0,
            })
            .sum()
    }

    fn make(&mut self, path: &[u8], node: ModelNode, mode: u32) -> Result<Id> {
        let (dir, name) = split(path);
        let dir = self.find(dir)?;
        if self.names(dir)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let is_dir = matches!(node, ModelNode::Directory(_));
        let id = self.inodes.len();
        let nlink = if is_dir { 2 } else { 1 };
        self.inodes.push(Inode {
            node,
            mode,
            nlink,
            owner: (0, 0),
            mtime: self.now,
            xattrs: BTreeMap::new(),
        });
        self.names(dir)?.insert(name.to_vec(), id);
        self.inodes[dir].nlink += u32::from(is_dir);
        self.touch(dir);
        Ok(id)
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

    /// link(2).
    pub fn link(&mut self, old: &[u8], new: &[u8]) -> Result<()> {
        let id = self.find(old)?;
        let (dir, name) = split(new);
        let dir = self.find(dir)?;
        if self.names(dir)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if self.is_dir(id) {
            return Err(Errno::EPERM);
        }
        self.names(dir)?.insert(name.to_vec(), id);
        self.touch(dir);
        self.inodes[id].nlink += 1;
        Ok(())
    }

    /// unlink(2).
    pub fn unlink(&mut self, path: &[u8]) -> Result<()> {
        let id = self.find(path)?;
        if self.is_dir(id) {
            return Err(Errno::EISDIR);
        }
        self.remove(path)?;
        self.inodes[id].nlink -= 1;
        Ok(())
    }

    /// rmdir(2).
    pub fn rmdir(&mut self, path: &[u8]) -> Result<()> {
        let id = self.find(path)?;
        if !self.names(id)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        let above = self.remove(path)?;
        self.inodes[id].nlink = 0;
        self.inodes[above].nlink -= 1;
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) -> Result<Id> {
        let (dir, name) = split(path);
        let dir = self.find(dir)?;
        self.names(dir)?.remove(name);
        self.touch(dir);
        Ok(dir)
    }

    /// renameat2(2): NOREPLACE 1, EXCHANGE 2, WHITEOUT 4.
    pub fn rename(&mut self, old: &[u8], new: &[u8], flags: u32) -> Result<()> {
        let [noreplace, exchange, whiteout] = [1, 2, 4].map(|flag| flags & flag != 0);
        let id = self.find(old)?;
        let (old_dir, old_name) = split(old);
        let (new_dir, new_name) = split(new);
        let (old_dir, new_dir) = (self.find(old_dir)?, self.find(new_dir)?);
        let victim = self.names(new_dir)?.get(new_name).copied();
        if noreplace && victim.is_some() {
            return Err(Errno::EEXIST);
        }
        if exchange && victim.is_none() {
            return Err(Errno::ENOENT);
        }
        let below = |path: &[u8], above: &[u8]| path.starts_with(&[above, b"/"].concat());
        if below(new, old) {
            return Err(Errno::EINVAL);
        }
        if below(old, new) {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if victim == Some(id) {
            return Ok(());
        }
        if let Some(victim) = victim.filter(|_| !exchange) {
            self.replace(id, victim)?;
        }
        self.names(old_dir)?.remove(old_name);
        self.names(new_dir)?.insert(new_name.to_vec(), id);
        self.touch(old_dir);
        self.touch(new_dir);
        if self.is_dir(id) {
            self.inodes[old_dir].nlink -= 1;
            self.inodes[new_dir].nlink += 1;
        }
        match victim {
            Some(victim) if exchange => {
                self.names(old_dir)?.insert(old_name.to_vec(), victim);
                if self.is_dir(victim) {
                    self.inodes[new_dir].nlink -= 1;
                    self.inodes[old_dir].nlink += 1;
                }
            }
            Some(victim) if self.is_dir(victim) => self.inodes[new_dir].nlink -= 1,
            _ => {}
        }
        if whiteout {
            self.make(old, ModelNode::Special(0o020000, DevId::default()), 0)?;
        }
        Ok(())
    }

    fn replace(&mut self, id: Id, victim: Id) -> Result<()> {
        match (self.is_dir(id), self.is_dir(victim)) {
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            (true, true) if !self.names(victim)?.is_empty() => Err(Errno::ENOTEMPTY),
            (true, true) => {
                self.inodes[victim].nlink = 0;
                Ok(())
            }
            (false, false) => {
                self.inodes[victim].nlink -= 1;
                Ok(())
            }
        }
    }

    /// pwrite(2) on an inode.
    pub fn pwrite(&mut self, id: Id, pos: usize, bytes: &[u8]) -> Result<()> {
        let file = self.bytes_mut(id)?;
        if !bytes.is_empty() {
            file.resize(file.len().max(pos + bytes.len()), 0);
            file[pos..pos + bytes.len()].copy_from_slice(bytes);
            self.touch(id);
        }
        Ok(())
    }

    /// truncate(2) on an inode. ext4 moves the time even when the size stays.
    pub fn truncate(&mut self, id: Id, len: usize) -> Result<()> {
        self.bytes_mut(id)?.resize(len, 0);
        self.touch(id);
        Ok(())
    }

    /// lchown(2).
    pub fn chown(&mut self, path: &[u8], uid: u32, gid: u32) -> Result<()> {
        let id = self.find(path)?;
        let inode = &mut self.inodes[id];
        inode.owner = (uid, gid);
        // setuid goes, setgid goes where the group may execute; not for directories.
        if !matches!(inode.node, ModelNode::Directory(_)) {
            inode.mode &= !0o4000;
            if inode.mode & 0o010 != 0 {
                inode.mode &= !0o2000;
            }
        }
        Ok(())
    }

    /// lsetxattr(2) without flags.
    pub fn set_xattr(&mut self, path: &[u8], name: &str, value: &[u8]) -> Result<()> {
        let id = self.find(path)?;
        self.inodes[id].xattrs.insert(name.into(), value.into());
        Ok(())
    }

    /// lremovexattr(2).
    pub fn remove_xattr(&mut self, path: &[u8], name: &str) -> Result<()> {
        let id = self.find(path)?;
        self.inodes[id].xattrs.remove(name).map(|_| ()).ok_or(Errno::ENODATA)
    }

    /// utimensat(2) of the modification time alone, not through a link.
    pub fn set_mtime(&mut self, path: &[u8], mtime: Timespec) -> Result<()> {
        let id = self.find(path)?;
        self.inodes[id].mtime = mtime;
        Ok(())
    }

    /// chmod(2).
    pub fn chmod(&mut self, path: &[u8], mode: u32) -> Result<()> {
        let id = self.find(path)?;
        if matches!(self.inodes[id].node, ModelNode::Symlink(_)) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.inodes[id].mode = mode;
        Ok(())
    }

    /// As a value, for comparison.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut first = BTreeMap::new();
        let mut paths = self.paths();
        paths.sort();
        for (path, _) in paths {
            let Ok(id) = self.find(&path) else { continue };
            let inode = &self.inodes[id];
            let kind = match &inode.node {
                ModelNode::File(bytes) => Kind::File(bytes.clone()),
                ModelNode::Directory(_) => Kind::Directory,
                ModelNode::Symlink(target) => Kind::Symlink(target.clone()),
                ModelNode::Special(kind, rdev) => Kind::Special(*kind, rdev.encode()),
            };
            let same_as = first.entry(id).or_insert_with(|| path.clone()).clone();
            let entry = Entry {
                kind,
                mode: inode.mode,
                owner: inode.owner,
                nlink: inode.nlink,
                same_as,
                mtime: Some((inode.mtime.sec, inode.mtime.nsec)),
                xattrs: inode.xattrs.clone(),
            };
            tree.0.insert(path, entry);
        }
        tree
    }
}
