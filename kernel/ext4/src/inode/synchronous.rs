//! Changes that wait for the medium, and times that wait in memory: `sync`, `dirsync`, `lazytime`.
//!
//! ```text
//!   mount option sync, chattr +S      a write, a change of attributes, of blocks: durable before it returns
//!   dirsync, chattr +D (directories)  a change of names: the same
//!   lazytime                          times alone that changed are kept in memory
//! ```
//! Lazy times reach the inode table with any other change of the inode, with fsync and sync, when the
//! inode's last use ends, at unmount, and when they are touched again half a day after they first
//! were (`dirtytime_expire_seconds`). A crash takes them back; nothing else.
//!
//! # Locking
//! None; the caller may hold `rwsem` of the inode and of directories, and has no handle: a commit waits for
//! those that are open.
//!
//! # Errors
//! A change is made, and told so, before it is made durable. When that fails, the error is noted as one
//! of the file system (`errors=`), as under Linux: to answer it would deny a name that is there.
//!
//! Source: mount(8), chattr(1); `inode_needs_sync`, `generic_update_time`.

use core::sync::atomic::Ordering;

use vfs::FileType;

use super::{Node, Touch};
use crate::disk::inode::InodeFlags;
use crate::error::Site;
use crate::options::Flag;

/// Lazy times are stored when they are touched after so many nanoseconds.
const EXPIRE_NS: u64 = 12 * 60 * 60 * 1_000_000_000;

impl Node {
    /// Whether a change of this inode is to be durable before it is told (`inode_needs_sync`).
    pub(crate) fn needs_sync(&self) -> bool {
        let (flags, mount) = (self.flags(), self.fs().flags_on());
        let directory = self.kind() == FileType::Directory;
        mount.contains(Flag::SYNC)
            || flags.contains(InodeFlags::SYNC)
            || (directory && (mount.contains(Flag::DIRSYNC) || flags.contains(InodeFlags::DIRSYNC)))
    }

    /// Makes the change that was just made durable, if this inode wants it so.
    pub(crate) fn commit_if_sync(&self) {
        if self.needs_sync()
            && let Err(error) = self.fsync(0, u64::MAX, false)
        {
            let site = Site::inode(self.ino32());
            let _told = self.fs().failed(site, error, "a synchronous change is not on the disk");
        }
    }

    /// The content was read or written, and nothing else is known to have changed: sets times, in the table
    /// too unless they may wait. Returns whether the caller has the inode to store, once it has done the
    /// rest.
    pub(crate) fn touch_lazily(&self, what: Touch) -> bool {
        if !self.touch(what) {
            return false;
        }
        if !self.fs().flags_on().contains(Flag::LAZYTIME) {
            return true;
        }
        // At least 1, which is not "never".
        let now = base::time::monotonic_ns().max(1);
        match self.lazy_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => false,
            Err(since) => now.saturating_sub(since) > EXPIRE_NS,
        }
    }

    /// Whether there are times that wait.
    pub(crate) fn has_lazy_times(&self) -> bool {
        self.lazy_since.load(Ordering::Relaxed) != 0
    }

    /// Stores times that waited.
    pub(crate) fn store_lazy_times(&self) {
        if self.has_lazy_times() {
            self.set_stale();
            self.store_if_stale();
        }
    }
}
