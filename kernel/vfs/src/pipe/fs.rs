//! pipefs: the file system that pipes without a name are of. It is mounted nowhere a path leads.
//!
//! Its one mount is made with the first pipe. A pipe's inode is what fstat(2) and /proc/self/fd tell of it.

use alloc::format;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use base::{DevId, Errno, Ino, PAGE_SIZE, Result, time};
use sync::{Once, RwLock, SpinLock};

use crate::attr::{Attr, FileType, S_IALLUGO, SetAttr, StatFs};
use crate::cred::Cred;
use crate::dentry::Dentry;
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;
use crate::inode::{Directory, Inode};
use crate::mount::{Mount, Path};
use crate::superblock::{MountFlags, SuperBlock, anonymous_dev};

/// "PIPEFS_MAGIC" of statfs(2).
const MAGIC: u64 = 0x5049_5045;
const NAME_MAX: u64 = 255;

/// The root has 1.
static NEXT_INO: AtomicU64 = AtomicU64::new(2);

struct Instance {
    sb: Arc<dyn SuperBlock>,
    mount: Arc<Mount>,
}

/// The one there is.
fn instance() -> &'static Instance {
    static INSTANCE: Once<Instance> = Once::new();
    INSTANCE.call_once(|| {
        let root = Arc::new(Node::new(FileType::Directory, 0o500, Ino(1), &Cred::ROOT));
        let sb: Arc<dyn SuperBlock> = Arc::new(PipeFs { dev: anonymous_dev(), root });
        Instance { mount: Mount::new_root(sb.clone(), MountFlags::NOSUID, "pipefs"), sb }
    })
}

/// The place of a new pipe, owned by who makes it.
pub(super) fn place(cred: &Cred) -> Path {
    let ino = Ino(NEXT_INO.fetch_add(1, Ordering::Relaxed));
    let node = Arc::new(Node::new(FileType::Fifo, 0o600, ino, cred));
    let dentry = Dentry::pseudo(format!("pipe:[{ino}]").as_bytes(), node);
    Path { mount: instance().mount.clone(), dentry }
}

struct PipeFs {
    dev: DevId,
    root: Arc<Node>,
}

impl SuperBlock for PipeFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: PAGE_SIZE as u64, name_max: NAME_MAX, ..StatFs::default() })
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
        "pipefs"
    }

    fn dev(&self) -> DevId {
        self.dev
    }
}

/// A pipe's inode, or the root's.
struct Node {
    ino: Ino,
    kind: FileType,
    attr: SpinLock<Attr>,
    rwsem: RwLock<()>,
}

impl Node {
    fn new(kind: FileType, perm: u32, ino: Ino, cred: &Cred) -> Node {
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
        Node { ino, kind, attr: SpinLock::new(attr), rwsem: RwLock::new(()) }
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

    fn setattr(&self, new: &SetAttr) -> Result<()> {
        let mut attr = self.attr.lock();
        if let Some(mode) = new.mode {
            attr.mode = self.kind.mode() | (mode & S_IALLUGO);
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
        instance().sb.clone()
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        (self.kind == FileType::Directory).then_some(self)
    }

    /// By a path that /proc tells: there is no way yet to open a pipe anew.
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
