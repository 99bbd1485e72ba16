//! The file system: its type, its superblock, and the inodes somebody holds.
//!
//! An inode holds the file system and not the other way round: the table here is weak, so that an
//! inode lives while a dentry or an open file wants it, and is the same one meanwhile.
//!
//! # Locking
//! `nodes` is a spin lock, held for a lookup; no inode is dropped under it.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use base::{DevId, Errno, PAGE_SIZE, Result, Timespec, time};
use pagecache::BlockDevice;
use sync::{RwLock, SpinLock};
use vfs::{FileSystemType, Inode, MountFlags, StatFs, SuperBlock, anonymous_dev};

use crate::node::Node;
use crate::source::ProcSource;
use crate::sysctl;
use crate::table::Id;

/// "PROC_SUPER_MAGIC" of statfs(2).
const MAGIC: u64 = 0x9fa0;

/// The type, for `vfs::register_filesystem`.
pub struct ProcFsType {
    source: Arc<dyn ProcSource>,
}

impl ProcFsType {
    /// The type whose files tell what `source` knows.
    pub fn new(source: Arc<dyn ProcSource>) -> ProcFsType {
        ProcFsType { source }
    }
}

impl FileSystemType for ProcFsType {
    fn name(&self) -> &'static str {
        "proc"
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
        if !options.is_empty() {
            return Err(Errno::EINVAL);
        }
        Ok(mount(self.source.clone()))
    }
}

/// A /proc, to be put on the tree with `vfs::mount_at`.
pub fn mount(source: Arc<dyn ProcSource>) -> Arc<dyn SuperBlock> {
    let boot_id = sysctl::make_uuid(&*source);
    Arc::new(Super(Arc::new(ProcFs {
        source,
        dev: anonymous_dev(),
        mounted: time::coarse_now(),
        boot_id,
        nodes: SpinLock::new(BTreeMap::new()),
    })))
}

/// One mounted /proc.
pub(crate) struct ProcFs {
    pub source: Arc<dyn ProcSource>,
    dev: DevId,
    /// The time of every inode.
    pub mounted: Timespec,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: [u8; 16],
    nodes: SpinLock<BTreeMap<Id, Weak<Node>>>,
}

impl ProcFs {
    /// The inode of an id: the one somebody holds, or a new one.
    pub fn node(self: &Arc<Self>, id: Id) -> Arc<Node> {
        let new = Arc::new(Node { fs: self.clone(), id, rwsem: RwLock::new(()) });
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&id).and_then(Weak::upgrade) {
            drop(nodes);
            return node;
        }
        nodes.insert(id, Arc::downgrade(&new));
        new
    }

    /// An inode goes. Another may have taken its place already.
    pub fn forget(&self, id: Id) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&id).is_some_and(|node| node.strong_count() == 0) {
            nodes.remove(&id);
        }
    }
}

/// The file system as the vfs holds it: a handle, since an inode needs one that counts.
pub(crate) struct Super(pub Arc<ProcFs>);

impl SuperBlock for Super {
    fn root(&self) -> Arc<dyn Inode> {
        self.0.node(Id::ROOT)
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

    fn remount(&self, _flags: MountFlags, options: &str) -> Result<()> {
        if options.is_empty() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn fs_type(&self) -> &'static str {
        "proc"
    }

    fn dev(&self) -> DevId {
        self.0.dev
    }
}
