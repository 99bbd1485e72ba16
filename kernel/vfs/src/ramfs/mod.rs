//! ramfs: a file system in memory.
//!
//! It has everything the vfs can ask for and no disk below, so the tests of the vfs run on it, and
//! `boot` can mount it where a place to mount on is needed. What is written stays until it is removed
//! or the mount goes.
//!
//! # Data model
//! ```text
//!   RamFs ──▶ root Node ──▶ Node …      a Node knows its file system weakly: no cycle
//!   Node { meta, body: File(pages) | Directory(entries) | Symlink(target) | Special }
//! ```
//! File bytes are [`base::Frame`]s by page index, so holes take no memory.
//!
//! # Locking
//! `i_rwsem` as the vfs asks; then `meta` (spin), `entries`, `pages` and `xattrs` (sleeping), none of them
//! held while another is taken.

mod dir;
mod file;
mod xattr;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::{DevId, Errno, Ino, PAGE_SIZE, Result, Timespec, time};
use pagecache::BlockDevice;
use sync::{Mutex, RwLock, SpinLock};

use crate::attr::{Attr, FileType, Ownership, S_IALLUGO, S_IFMT, SetAttr, StatFs};
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;
use crate::inode::{Directory, Inode, Symlink};
use crate::superblock::{FileSystemType, MountFlags, SuperBlock, anonymous_dev};
use crate::write_count::WriteCount;
use crate::xattr::Xattrs;

/// The largest file: what a 64-bit position can name, in whole pages.
const MAX_BYTES: u64 = i64::MAX as u64 & !(PAGE_SIZE as u64 - 1);
/// "RAMFS_MAGIC" of statfs(2).
const MAGIC: u64 = 0x8584_58f6;

/// The type, for `register_filesystem`.
pub struct RamFsType;

impl FileSystemType for RamFsType {
    fn name(&self) -> &'static str {
        "ramfs"
    }

    fn requires_dev(&self) -> bool {
        false
    }

    fn mount(
        &self,
        _source: Option<Arc<BlockDevice>>,
        flags: MountFlags,
        options: &str,
    ) -> Result<Arc<dyn SuperBlock>> {
        if !options.is_empty() {
            return Err(Errno::EINVAL);
        }
        let fs = RamFs::new();
        fs.read_only.store(flags.contains(MountFlags::RDONLY), Ordering::Relaxed);
        Ok(fs)
    }
}

/// One ramfs.
pub struct RamFs {
    name: &'static str,
    dev: DevId,
    next_ino: AtomicU64,
    /// Live inodes.
    inodes: AtomicU64,
    read_only: AtomicBool,
    root: Arc<Node>,
}

impl RamFs {
    /// An empty one whose root is owned by root with mode 0755.
    pub fn new() -> Arc<RamFs> {
        RamFs::named("ramfs")
    }

    /// The same under another type's name: devtmpfs is one with device nodes in it.
    pub fn named(name: &'static str) -> Arc<RamFs> {
        Arc::new_cyclic(|fs: &Weak<RamFs>| RamFs {
            name,
            dev: anonymous_dev(),
            next_ino: AtomicU64::new(2),
            inodes: AtomicU64::new(0),
            read_only: AtomicBool::new(false),
            root: Node::root(fs.clone()),
        })
    }
}

impl Drop for RamFs {
    /// Takes the tree apart level by level: dropping it as it stands would recurse as deep as it is.
    fn drop(&mut self) {
        let mut going = alloc::vec![self.root.clone()];
        while let Some(node) = going.pop() {
            if let Body::Directory(entries) = &node.body {
                going.extend(entries.lock().drain());
            }
        }
    }
}

impl SuperBlock for RamFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        let block_size = PAGE_SIZE as u64;
        let files = self.inodes.load(Ordering::Relaxed);
        Ok(StatFs { magic: MAGIC, block_size, files, name_max: 255, ..StatFs::default() })
    }

    fn sync(&self, _wait: bool) -> Result<()> {
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        Ok(())
    }

    fn read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    fn remount(&self, flags: MountFlags, options: &str) -> Result<()> {
        if !options.is_empty() {
            return Err(Errno::EINVAL);
        }
        self.read_only.store(flags.contains(MountFlags::RDONLY), Ordering::Relaxed);
        Ok(())
    }

    fn fs_type(&self) -> &'static str {
        self.name
    }

    fn dev(&self) -> DevId {
        self.dev
    }

    fn max_bytes(&self) -> u64 {
        MAX_BYTES
    }
}

enum Body {
    File(file::Pages),
    Directory(Mutex<dir::Entries>),
    Symlink(Vec<u8>),
    /// A device node, FIFO or socket: only its attributes matter.
    Special,
}

#[derive(Clone, Copy)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    size: u64,
    rdev: DevId,
    atime: Timespec,
    mtime: Timespec,
    ctime: Timespec,
    btime: Timespec,
}

/// One inode.
struct Node {
    ino: Ino,
    kind: FileType,
    fs: Weak<RamFs>,
    rwsem: RwLock<()>,
    meta: SpinLock<Meta>,
    xattrs: xattr::Attributes,
    /// Made without a name, and may get one.
    linkable: AtomicBool,
    writers: WriteCount,
    body: Body,
}

impl Node {
    fn root(fs: Weak<RamFs>) -> Arc<Node> {
        let owner = Ownership { mode: FileType::Directory.mode() | 0o755, uid: 0, gid: 0 };
        Node::make(fs, Ino(1), FileType::Directory, owner, Body::Directory(Mutex::new(dir::Entries::new())))
    }

    fn make(fs: Weak<RamFs>, ino: Ino, kind: FileType, owner: Ownership, body: Body) -> Arc<Node> {
        let now = time::coarse_now();
        let Ownership { mode, uid, gid } = owner;
        let size = match &body {
            Body::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        let nlink = if kind == FileType::Directory { 2 } else { 1 };
        let meta = Meta {
            mode: kind.mode() | (mode & S_IALLUGO),
            uid,
            gid,
            nlink,
            size,
            rdev: DevId::default(),
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
        };
        let xattrs = xattr::Attributes::default();
        let (rwsem, meta) = (RwLock::new(()), SpinLock::new(meta));
        Arc::new(Node {
            ino,
            kind,
            fs,
            rwsem,
            meta,
            xattrs,
            linkable: AtomicBool::new(false),
            writers: WriteCount::default(),
            body,
        })
    }

    /// A new inode of the same file system. ENOSPC while the file system goes away.
    fn sibling(&self, kind: FileType, owner: Ownership, body: Body) -> Result<Arc<Node>> {
        let fs = self.fs.upgrade().ok_or(Errno::ENOSPC)?;
        let ino = Ino(fs.next_ino.fetch_add(1, Ordering::Relaxed));
        fs.inodes.fetch_add(1, Ordering::Relaxed);
        Ok(Node::make(self.fs.clone(), ino, kind, owner, body))
    }

    /// Both times of a changed content.
    fn touch(&self) {
        let now = time::coarse_now();
        let mut meta = self.meta.lock();
        meta.mtime = now;
        meta.ctime = now;
    }

    fn change_links(&self, change: impl FnOnce(u32) -> u32) {
        let mut meta = self.meta.lock();
        meta.nlink = change(meta.nlink);
        meta.ctime = time::coarse_now();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(fs) = self.fs.upgrade() {
            fs.inodes.fetch_sub(1, Ordering::Relaxed);
        }
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
        let meta = *self.meta.lock();
        let pages = if let Body::File(pages) = &self.body { pages.count() } else { 0 };
        Attr {
            ino: self.ino,
            mode: meta.mode,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            rdev: meta.rdev,
            size: meta.size,
            blocks: pages * (PAGE_SIZE as u64 / 512),
            blksize: PAGE_SIZE as u32,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(meta.btime),
            attributes: 0,
            attributes_mask: 0,
        }
    }

    fn ownership(&self) -> Ownership {
        let meta = self.meta.lock();
        Ownership { mode: meta.mode, uid: meta.uid, gid: meta.gid }
    }

    fn size(&self) -> u64 {
        self.meta.lock().size
    }

    fn setattr(&self, new: &SetAttr) -> Result<()> {
        if let Some(size) = new.size {
            self.resize(size)?;
        }
        let mut meta = self.meta.lock();
        if let Some(mode) = new.mode {
            meta.mode = (meta.mode & S_IFMT) | (mode & S_IALLUGO);
        }
        meta.uid = new.uid.unwrap_or(meta.uid);
        meta.gid = new.gid.unwrap_or(meta.gid);
        meta.atime = new.atime.unwrap_or(meta.atime);
        meta.mtime = new.mtime.unwrap_or(meta.mtime);
        meta.ctime = new.ctime.unwrap_or(meta.ctime);
        Ok(())
    }

    fn rwsem(&self) -> &RwLock<()> {
        &self.rwsem
    }

    fn write_count(&self) -> Option<&WriteCount> {
        Some(&self.writers)
    }

    fn is_linkable(&self) -> bool {
        self.linkable.load(Ordering::Relaxed)
    }

    fn superblock(&self) -> Arc<dyn SuperBlock> {
        // An inode outlives its file system only in hands that no mount holds; what they see then
        // is an empty file system.
        self.fs.upgrade().unwrap_or_else(RamFs::new)
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        if self.kind == FileType::Directory { Some(self) } else { None }
    }

    fn as_symlink(&self) -> Option<&dyn Symlink> {
        if self.kind == FileType::Symlink { Some(self) } else { None }
    }

    fn as_xattrs(&self) -> Option<&dyn Xattrs> {
        Some(self)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Ok(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Symlink for Node {
    fn readlink(&self) -> Result<Vec<u8>> {
        match &self.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }
}
