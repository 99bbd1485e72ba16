//! A mounted file system and its type.
//!
//! A [`FileSystemType`] makes a [`SuperBlock`] from a disk; `mount.rs` puts that on the tree.
//! `boot` names the types it knows to [`register_filesystem`], and /proc/filesystems lists them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use base::{DevId, Errno, Result};
use bitflags::bitflags;
use pagecache::BlockDevice;
use sync::SpinLock;

use crate::attr::StatFs;
use crate::inode::Inode;

bitflags! {
    /// Mount flags, valued as mount(2) has them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u32 {
        /// Nothing may be written.
        const RDONLY = 1;
        /// Writes are on the medium before they are told: a flag of the file system, not of one mount.
        const SYNCHRONOUS = 16;
        /// Changes of names are; likewise.
        const DIRSYNC = 128;
        /// Times that changed wait in memory; likewise.
        const LAZYTIME = 1 << 25;
        /// Set-id bits mean nothing.
        const NOSUID = 2;
        /// Device nodes cannot be opened.
        const NODEV = 4;
        /// Programs cannot be started.
        const NOEXEC = 8;
        /// Reading leaves atime alone.
        const NOATIME = 1024;
        /// Reading sets atime only when it is older than mtime or a day.
        const RELATIME = 1 << 21;
    }
}

/// A mounted file system.
pub trait SuperBlock: Send + Sync {
    /// Its root directory.
    fn root(&self) -> Arc<dyn Inode>;

    /// What statfs(2) tells.
    fn statfs(&self) -> Result<StatFs>;

    /// Writes everything back; with `wait` returns only when it is on the medium. EIO.
    fn sync(&self, wait: bool) -> Result<()>;

    /// Writes everything back and marks the disk clean. No file is open any more.
    fn unmount(&self) -> Result<()>;

    /// Whether nothing may be written: mounted so, or become so after an error.
    fn read_only(&self) -> bool;

    /// Changes flags and options while mounted. EINVAL for what cannot change.
    fn remount(&self, _flags: MountFlags, _options: &str) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// "ext4".
    fn fs_type(&self) -> &'static str;

    /// `st_dev` of its files.
    fn dev(&self) -> DevId;

    /// Its own options as /proc/mounts shows them after `rw`, each with a leading comma; or "".
    fn options(&self) -> String {
        String::new()
    }

    /// Which of the flags hold that are the file system's and not one mount's.
    fn flags(&self) -> MountFlags {
        MountFlags::empty()
    }

    /// The largest file (`s_maxbytes`).
    fn max_bytes(&self) -> u64 {
        i64::MAX as u64
    }
}

/// A kind of file system.
pub trait FileSystemType: Send + Sync {
    /// "ext4".
    fn name(&self) -> &'static str;

    /// Whether it lives on a disk; else /proc/filesystems says "nodev".
    fn requires_dev(&self) -> bool;

    /// Reads a disk's superblock, or makes a file system out of nothing. `options` is the comma
    /// list of mount(2) and `rootflags=`. EINVAL when the disk holds something else or an option
    /// is unknown, EUCLEAN when it is damaged.
    fn mount(
        &self,
        source: Option<Arc<BlockDevice>>,
        flags: MountFlags,
        options: &str,
    ) -> Result<Arc<dyn SuperBlock>>;
}

static NEXT_ANONYMOUS: AtomicU32 = AtomicU32::new(1);

/// A device number for a file system without a disk: major 0, a minor of its own.
pub fn anonymous_dev() -> DevId {
    DevId::new(0, NEXT_ANONYMOUS.fetch_add(1, Ordering::Relaxed) & 0xf_ffff)
}

static TYPES: SpinLock<Vec<&'static dyn FileSystemType>> = SpinLock::new(Vec::new());

/// Makes a type known. The same name again changes nothing.
pub fn register_filesystem(kind: &'static dyn FileSystemType) {
    let mut types = TYPES.lock();
    if types.iter().all(|t| t.name() != kind.name()) {
        types.push(kind);
    }
}

/// The types known, in the order they came.
pub fn filesystems() -> Vec<&'static dyn FileSystemType> {
    TYPES.lock().clone()
}

/// The type of a name.
pub fn find_filesystem(name: &str) -> Option<&'static dyn FileSystemType> {
    TYPES.lock().iter().copied().find(|t| t.name() == name)
}
