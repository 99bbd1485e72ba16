//! The superblock, and the inodes somebody holds.
//!
//! An inode holds the file system and not the other way round: the table here is weak, so that an
//! inode lives while a dentry or an open file wants it, and is the same one meanwhile.
//!
//! # Locking
//! `nodes` and `changes` are spin locks, held for a lookup; no inode is dropped under them.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use base::{DevId, Errno, PAGE_SIZE, Result, Timespec, time};
use sync::{RwLock, SpinLock};
use vfs::{Inode, MountFlags, SetAttr, StatFs, SuperBlock, anonymous_dev};

use crate::node::Node;
use crate::tree::Tree;

/// A file system of this tree, to be put somewhere with `vfs::mount_at`.
pub fn mount<T: Tree>(tree: T) -> Arc<dyn SuperBlock> {
    Arc::new(Super(Arc::new(KernFs {
        tree,
        dev: anonymous_dev(),
        mounted: time::coarse_now(),
        nodes: SpinLock::new(BTreeMap::new()),
        changes: SpinLock::new(BTreeMap::new()),
    })))
}

/// One mounted tree.
pub(crate) struct KernFs<T: Tree> {
    pub tree: T,
    dev: DevId,
    /// The time of every inode that nobody has set another.
    pub mounted: Timespec,
    nodes: SpinLock<BTreeMap<T::Id, Weak<Node<T>>>>,
    /// What was set by chmod, chown and utimensat.
    changes: SpinLock<BTreeMap<T::Id, SetAttr>>,
}

impl<T: Tree> KernFs<T> {
    /// The inode of an id: the one somebody holds, or a new one.
    pub fn node(self: &Arc<Self>, id: T::Id) -> Arc<Node<T>> {
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
    pub fn forget(&self, id: T::Id) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&id).is_some_and(|node| node.strong_count() == 0) {
            nodes.remove(&id);
        }
    }

    /// What was set of a node.
    pub fn changed(&self, id: T::Id) -> SetAttr {
        if !T::RULES.keeps_changes {
            return SetAttr::default();
        }
        self.changes.lock().get(&id).copied().unwrap_or_default()
    }

    /// Keeps what is Some.
    pub fn change(&self, id: T::Id, new: &SetAttr) {
        let mut changes = self.changes.lock();
        let kept = changes.entry(id).or_default();
        *kept = SetAttr {
            mode: new.mode.or(kept.mode),
            uid: new.uid.or(kept.uid),
            gid: new.gid.or(kept.gid),
            size: None,
            atime: new.atime.or(kept.atime),
            mtime: new.mtime.or(kept.mtime),
            ctime: new.ctime.or(kept.ctime),
        };
    }
}

/// The file system as the vfs holds it: a handle, since an inode needs one that counts.
pub(crate) struct Super<T: Tree>(pub Arc<KernFs<T>>);

impl<T: Tree> SuperBlock for Super<T> {
    fn root(&self) -> Arc<dyn Inode> {
        self.0.node(self.0.tree.root())
    }

    fn statfs(&self) -> Result<StatFs> {
        let magic = T::RULES.magic;
        Ok(StatFs { magic, block_size: PAGE_SIZE as u64, name_max: 255, ..StatFs::default() })
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
        T::RULES.name
    }

    fn dev(&self) -> DevId {
        self.0.dev
    }
}
