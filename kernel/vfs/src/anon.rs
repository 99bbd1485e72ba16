//! anon_inodefs: the file system of open files that have no place in any tree, such as an eventfd.
//!
//! Mounted nowhere a path leads; its one inode, mode 0600 of no kind, is what fstat(2) tells of all of them.
//! /proc/self/fd shows `anon_inode:[name]`.

use alloc::format;
use alloc::sync::Arc;
use core::any::Any;

use base::{DevId, Errno, Ino, PAGE_SIZE, Result, time};
use sync::{Once, RwLock};

use crate::attr::{Attr, FileType, SetAttr, StatFs};
use crate::dentry::Dentry;
use crate::file::File;
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;
use crate::inode::{Directory, Inode};
use crate::mount::{Mount, Path};
use crate::superblock::{MountFlags, SuperBlock, anonymous_dev};

/// ANON_INODE_FS_MAGIC of statfs(2).
const MAGIC: u64 = 0x0904_1934;

struct Instance {
    sb: Arc<dyn SuperBlock>,
    mount: Arc<Mount>,
    inode: Arc<Node>,
}

fn instance() -> &'static Instance {
    static INSTANCE: Once<Instance> = Once::new();
    INSTANCE.call_once(|| {
        let node = |ino, is_root| Arc::new(Node { ino: Ino(ino), is_root, rwsem: RwLock::new(()) });
        let sb: Arc<dyn SuperBlock> = Arc::new(AnonFs { dev: anonymous_dev(), root: node(1, true) });
        Instance {
            mount: Mount::new_root(sb.clone(), MountFlags::empty(), "anon_inodefs"),
            sb,
            inode: node(2, false),
        }
    })
}

/// An open file with these operations (`anon_inode_getfile`).
pub(crate) fn open(name: &str, ops: Arc<dyn FileOperations>, flags: OpenFlags) -> Result<Arc<File>> {
    let fs = instance();
    let dentry = Dentry::pseudo(format!("anon_inode:[{name}]").as_bytes(), fs.inode.clone());
    File::new(Path { mount: fs.mount.clone(), dentry }, ops, flags, false)
}

struct AnonFs {
    dev: DevId,
    root: Arc<Node>,
}

impl SuperBlock for AnonFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: PAGE_SIZE as u64, name_max: 255, ..StatFs::default() })
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
        "anon_inodefs"
    }

    fn dev(&self) -> DevId {
        self.dev
    }
}

/// The inode of all, or the root.
struct Node {
    ino: Ino,
    is_root: bool,
    rwsem: RwLock<()>,
}

impl Inode for Node {
    fn ino(&self) -> Ino {
        self.ino
    }

    /// Of no kind, in truth: a stream is what it is most like.
    fn file_type(&self) -> FileType {
        if self.is_root { FileType::Directory } else { FileType::Fifo }
    }

    fn attr(&self) -> Attr {
        let now = time::now();
        Attr {
            ino: self.ino,
            mode: if self.is_root { FileType::Directory.mode() | 0o500 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
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
        }
    }

    /// It is everybody's (`anon_inode_setattr`).
    fn setattr(&self, _new: &SetAttr) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn rwsem(&self) -> &RwLock<()> {
        &self.rwsem
    }

    fn superblock(&self) -> Arc<dyn SuperBlock> {
        instance().sb.clone()
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        self.is_root.then_some(self)
    }

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
