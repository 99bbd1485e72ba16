//! The type of a file system that is made of a tree.

use alloc::sync::Arc;

use base::{Errno, Result};
use pagecache::BlockDevice;
use vfs::{FileSystemType, MountFlags, SuperBlock};

use crate::fs::mount;
use crate::tree::Tree;

/// A type for `vfs::register_filesystem`. It needs no disk and takes no options (EINVAL), and all its
/// mounts are one file system.
pub struct FsType {
    name: &'static str,
    superblock: Arc<dyn SuperBlock>,
}

impl FsType {
    /// The type whose file system is this tree.
    pub fn new<T: Tree>(tree: T) -> FsType {
        FsType { name: T::RULES.name, superblock: mount(tree) }
    }
}

impl FileSystemType for FsType {
    fn name(&self) -> &'static str {
        self.name
    }

    fn requires_dev(&self) -> bool {
        false
    }

    fn mount(
        &self,
        _source: Option<Arc<BlockDevice>>,
        _flags: MountFlags,
        options: &str,
    ) -> Result<Arc<dyn SuperBlock>> {
        if options.is_empty() { Ok(self.superblock.clone()) } else { Err(Errno::EINVAL) }
    }
}
