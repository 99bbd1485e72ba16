//! File systems that no path leads to: pipefs, anon_inodefs (`init_pseudo`, `alloc_anon_inode`).
//!
//! Such a file system is one mount, made with its first file, and a root without names. Its inodes are what
//! fstat(2) and /proc/self/fd tell of open files that have no place in any tree.
//!
//! A file system is a `static` behind a function ([`Instance`]), which its inodes hold to find their way back.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use base::{DevId, Errno, Ino, PAGE_SIZE, Result, time};
use sync::{RwLock, SpinLock};

use crate::attr::{Attr, FileType, S_IALLUGO, SetAttr, StatFs};
use crate::cred::Cred;
use crate::dentry::Dentry;
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;
use crate::inode::{Directory, Inode};
use crate::mount::{Mount, Path};
use crate::superblock::{MountFlags, SuperBlock, anonymous_dev};

const NAME_MAX: u64 = 255;
const ROOT: Ino = Ino(1);

/// Tells the one file system of its kind, after making it when it is the first time.
pub(crate) type Instance = fn() -> &'static PseudoFs;

/// One file system.
pub(crate) struct PseudoFs {
    sb: Arc<dyn SuperBlock>,
    mount: Arc<Mount>,
    next_ino: AtomicU64,
}

impl PseudoFs {
    /// What `instance` keeps. `magic`: of statfs(2).
    pub(crate) fn new(instance: Instance, name: &'static str, magic: u64, flags: MountFlags) -> PseudoFs {
        let root = Arc::new(Node::new(instance, FileType::Directory, 0o500, ROOT, &Cred::ROOT));
        let sb: Arc<dyn SuperBlock> = Arc::new(Super { name, magic, dev: anonymous_dev(), root });
        let mount = Mount::new_root(sb.clone(), flags, name);
        PseudoFs { sb, mount, next_ino: AtomicU64::new(ROOT.0 + 1) }
    }

    /// A number for the next inode.
    pub(crate) fn next_ino(&self) -> Ino {
        Ino(self.next_ino.fetch_add(1, Ordering::Relaxed))
    }

    /// Where an open file of this inode is, for who asks.
    pub(crate) fn place(&self, name: &str, inode: Arc<dyn Inode>) -> Path {
        Path { mount: self.mount.clone(), dentry: Dentry::pseudo(name.as_bytes(), inode) }
    }
}

struct Super {
    name: &'static str,
    magic: u64,
    dev: DevId,
    root: Arc<Node>,
}

impl SuperBlock for Super {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        let block_size = PAGE_SIZE as u64;
        Ok(StatFs { magic: self.magic, block_size, name_max: NAME_MAX, ..StatFs::default() })
    }

    fn sync(&self, _wait: bool) -> Result<()> {
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        Ok(())
    }

    fn read_only(&self) -> bool {
        false
    }

    fn fs_type(&self) -> &'static str {
        self.name
    }

    fn dev(&self) -> DevId {
        self.dev
    }
}

/// An inode of such a file system.
pub(crate) struct Node {
    instance: Instance,
    ino: Ino,
    kind: FileType,
    attr: SpinLock<Attr>,
    rwsem: RwLock<()>,
}

impl Node {
    /// An inode owned by who makes it.
    pub(crate) fn new(instance: Instance, kind: FileType, perm: u32, ino: Ino, cred: &Cred) -> Node {
        let now = time::now();
        let attr = Attr {
            ino,
            mode: kind.mode() | perm,
            nlink: 1,
            uid: cred.fsuid,
            gid: cred.fsgid,
            rdev: DevId::default(),
            size: 0,
            blocks: 0,
            blksize: PAGE_SIZE as u32,
            atime: now,
            mtime: now,
            ctime: now,
            btime: None,
            attributes: 0,
            attributes_mask: 0,
        };
        Node { instance, ino, kind, attr: SpinLock::new(attr), rwsem: RwLock::new(()) }
    }

    /// The inode that all open files of a kind share (`anon_inode_inode`): of no kind in st_mode, though a
    /// stream is what it is most like.
    pub(crate) fn shared(instance: Instance, perm: u32, ino: Ino) -> Node {
        let mut node = Node::new(instance, FileType::Fifo, perm, ino, &Cred::ROOT);
        node.attr.get_mut().mode = perm;
        node
    }
}

impl Inode for Node {
    fn ino(&self) -> Ino {
        self.ino
    }

    fn file_type(&self) -> FileType {
        self.kind
    }

    fn attr(&self) -> Attr {
        *self.attr.lock()
    }

    /// Also of what all share, as in Linux 6.1 (later ones refuse it).
    fn setattr(&self, new: &SetAttr) -> Result<()> {
        let mut attr = self.attr.lock();
        if let Some(mode) = new.mode {
            attr.mode = (attr.mode & !S_IALLUGO) | (mode & S_IALLUGO);
        }
        attr.uid = new.uid.unwrap_or(attr.uid);
        attr.gid = new.gid.unwrap_or(attr.gid);
        attr.atime = new.atime.unwrap_or(attr.atime);
        attr.mtime = new.mtime.unwrap_or(attr.mtime);
        attr.ctime = new.ctime.unwrap_or(attr.ctime);
        Ok(())
    }

    fn rwsem(&self) -> &RwLock<()> {
        &self.rwsem
    }

    fn superblock(&self) -> Arc<dyn SuperBlock> {
        (self.instance)().sb.clone()
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        (self.kind == FileType::Directory).then_some(self)
    }

    /// By a path that /proc tells: there is no way yet to open such a file anew.
    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Err(Errno::ENXIO)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The root, which nobody can come to: no name is in it.
impl Directory for Node {
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }
}
