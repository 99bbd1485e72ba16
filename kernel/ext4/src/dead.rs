//! The root of a file system that was unmounted: everything is EIO.
//!
//! `SuperBlock::root` cannot fail, and a mounted file system keeps its root in memory. Who asks after
//! the unmount gets this, not a panic.

use alloc::sync::Arc;
use core::any::Any;

use base::{DevId, Errno, Ino, Result, Timespec};
use sync::RwLock;
use vfs::{Attr, Directory, FileOperations, FileType, Inode, OpenFlags, SetAttr, StatFs, SuperBlock};

use crate::disk::inode::ROOT_INO;

/// A directory in which nothing is.
pub struct DeadRoot {
    rwsem: RwLock<()>,
}

/// The file system it is on.
struct DeadSuper;

impl DeadRoot {
    /// A new one.
    pub fn new() -> Arc<DeadRoot> {
        Arc::new(DeadRoot { rwsem: RwLock::new(()) })
    }
}

impl Directory for DeadRoot {
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Errno::EIO)
    }
}

impl Inode for DeadRoot {
    fn ino(&self) -> Ino {
        Ino(u64::from(ROOT_INO))
    }

    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn attr(&self) -> Attr {
        let never = Timespec::default();
        Attr {
            ino: self.ino(),
            mode: FileType::Directory.mode(),
            nlink: 0,
            uid: 0,
            gid: 0,
            rdev: DevId::default(),
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: never,
            mtime: never,
            ctime: never,
            btime: None,
            attributes: 0,
            attributes_mask: 0,
        }
    }

    fn setattr(&self, _new: &SetAttr) -> Result<()> {
        Err(Errno::EIO)
    }

    fn rwsem(&self) -> &RwLock<()> {
        &self.rwsem
    }

    fn superblock(&self) -> Arc<dyn SuperBlock> {
        Arc::new(DeadSuper)
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Err(Errno::EIO)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl SuperBlock for DeadSuper {
    fn root(&self) -> Arc<dyn Inode> {
        DeadRoot::new()
    }

    fn statfs(&self) -> Result<StatFs> {
        Err(Errno::EIO)
    }

    fn sync(&self, _wait: bool) -> Result<()> {
        Err(Errno::EIO)
    }

    fn unmount(&self) -> Result<()> {
        Ok(())
    }

    fn read_only(&self) -> bool {
        true
    }

    fn fs_type(&self) -> &'static str {
        "ext4"
    }

    fn dev(&self) -> DevId {
        DevId::default()
    }
}
