//! A file system of maps and vectors: what every operation should do.
//!
//! Paths are absolute, their directories exist and no component is followed through a link: the
//! random runs see to that. Root asks. The errnos, and which times move when, are Linux's.
//!
//! ```text
//!   names.rs   create, mkdir, link, unlink, rename, O_TMPFILE, who may change a directory
//!   data.rs    write, truncate, fallocate, what reading does to atime
//!   attrs.rs   mode, owner, times, extended attributes, chattr's flags, projects
//!   acl.rs     access control lists, and how they and the mode follow each other
//! ```

mod acl;
mod attrs;
mod data;
mod names;

use std::collections::BTreeMap;

use base::time::{COARSE_NS, Timespec};
use base::{DevId, Errno, Result};
use vfs::MountFlags;

use crate::image::Image;
use crate::tree::{Entry, Kind, Tree};

pub use acl::{ACCESS, Acl, DEFAULT};
pub use attrs::flag;
pub use names::RenameHow;

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

/// What the disk and the mount can do, as far as the answers depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// Bytes of a block.
    pub block: u64,
    /// Inodes have room for nanoseconds.
    pub fine: bool,
    /// Files have extents.
    pub extents: bool,
    /// Blocks kept for maps that must grow: 2 % of them, as Linux does where files have extents.
    pub reserve: u64,
    /// There is a journal.
    pub journal: bool,
    /// Inodes belong to projects.
    pub projects: bool,
    /// Which reads move atime.
    pub mount: MountFlags,
}

impl Abilities {
    /// Of an image, mounted with these flags.
    pub fn of(image: &Image, mount: MountFlags) -> Abilities {
        let (incompat, ro_compat) = (image.word(0x60), image.word(0x64));
        let extents = incompat & 0x40 != 0;
        Abilities {
            block: 1024 << image.word(0x18),
            fine: image.inode_size() > 128,
            extents,
            reserve: if extents { image.word(0x04) / 50 } else { 0 },
            journal: image.word(0x5c) & 0x4 != 0,
            projects: ro_compat & 0x2000 != 0,
            mount,
        }
    }
}

/// Of a disk by mke2fs's defaults, on which no read moves atime.
impl Default for Abilities {
    fn default() -> Abilities {
        Abilities {
            block: 4096,
            fine: true,
            extents: true,
            reserve: 0,
            journal: true,
            projects: false,
            mount: MountFlags::NOATIME,
        }
    }
}

/// The three times of an inode that programs see.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    atime: Timespec,
    mtime: Timespec,
    ctime: Timespec,
}

#[derive(Clone, Debug)]
struct Inode {
    node: ModelNode,
    mode: u32,
    nlink: u32,
    /// O_TMPFILE made it, and it never had a name.
    linkable: bool,
    owner: (u32, u32),
    times: Times,
    xattrs: BTreeMap<String, Vec<u8>>,
    flags: u32,
    project: u32,
    /// Bytes that blocks behind the end may take.
    reserved: usize,
}

/// The whole file system.
#[derive(Clone, Debug)]
pub struct Model {
    inodes: Vec<Inode>,
    abilities: Abilities,
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
        Model::new(Abilities::default())
    }
}

impl Model {
    /// An empty root.
    pub fn new(abilities: Abilities) -> Model {
        let root = Inode {
            node: ModelNode::Directory(BTreeMap::new()),
            mode: 0o755,
            nlink: 2,
            linkable: false,
            owner: (0, 0),
            times: Times::default(),
            xattrs: BTreeMap::new(),
            flags: 0,
            project: 0,
            reserved: 0,
        };
        Model { inodes: vec![root], abilities, now: Timespec::default() }
    }

    /// What the disk can do.
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// From now on it is `ns` after 1970.
    pub fn set_time(&mut self, ns: u64) {
        self.now = self.stored(Timespec::from_ns(ns - ns % COARSE_NS));
    }

    /// A time as an inode keeps it.
    fn stored(&self, time: Timespec) -> Timespec {
        Timespec { nsec: if self.abilities.fine { time.nsec } else { 0 }, ..time }
    }

    /// Content changed: mtime and ctime.
    fn touch(&mut self, id: Id) {
        let times = &mut self.inodes[id].times;
        (times.mtime, times.ctime) = (self.now, self.now);
    }

    /// Something else did.
    fn touch_change(&mut self, id: Id) {
        self.inodes[id].times.ctime = self.now;
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

    fn is_dir(&self, id: Id) -> bool {
        matches!(self.inodes[id].node, ModelNode::Directory(_))
    }

    fn is_symlink(&self, id: Id) -> bool {
        matches!(self.inodes[id].node, ModelNode::Symlink(_))
    }

    /// Whether a path leads to a directory.
    pub fn is_directory(&self, path: &[u8]) -> bool {
        self.find(path).is_ok_and(|id| self.is_dir(id))
    }

    /// The paths of what is immutable or append-only.
    pub fn fixed(&self) -> Vec<Vec<u8>> {
        let fixed = |path: &[u8]| {
            self.find(path).is_ok_and(|id| self.forbid(id, flag::IMMUTABLE | flag::APPEND).is_err())
        };
        let mut paths: Vec<_> =
            self.paths().into_iter().map(|(path, _)| path).filter(|path| fixed(path)).collect();
        paths.sort();
        paths
    }

    /// EPERM for what chattr's flags forbid.
    fn forbid(&self, id: Id, flags: u32) -> Result<()> {
        if self.inodes[id].flags & flags != 0 { Err(Errno::EPERM) } else { Ok(()) }
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

    /// Bytes that all files with a name may take.
    pub fn total(&self) -> usize {
        self.inodes
            .iter()
            .filter(|i| i.nlink > 0)
            .map(|i| match &i.node {
                ModelNode::File(bytes) => bytes.len() + i.reserved,
                _ => 0,
            })
            .sum()
    }

    /// As a value, for comparison.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut first = BTreeMap::new();
        let mut paths = self.paths();
        paths.sort();
        for (path, kind) in paths {
            let Ok(id) = self.find(&path) else { continue };
            let inode = &self.inodes[id];
            let same_as = first.entry(id).or_insert_with(|| path.clone()).clone();
            let times = inode.times;
            let open = matches!(kind, 'd' | 'f');
            let entry = Entry {
                kind: kind_of(&inode.node),
                mode: inode.mode,
                owner: inode.owner,
                nlink: inode.nlink,
                same_as,
                times: Some([times.atime, times.mtime, times.ctime].map(|t| (t.sec, t.nsec))),
                xattrs: inode.xattrs.clone(),
                flags: open.then_some(inode.flags),
                project: open.then_some(inode.project),
            };
            tree.0.insert(path, entry);
        }
        tree
    }
}

fn kind_of(node: &ModelNode) -> Kind {
    match node {
        ModelNode::File(bytes) => Kind::File(bytes.clone()),
        ModelNode::Directory(_) => Kind::Directory,
        ModelNode::Symlink(target) => Kind::Symlink(target.clone()),
        ModelNode::Special(kind, rdev) => Kind::Special(*kind, rdev.encode()),
    }
}
