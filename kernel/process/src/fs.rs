//! Where a process is in the tree: root, working directory, umask.

use core::sync::atomic::{AtomicU32, Ordering};

use sync::SpinLock;
use vfs::Path;

/// The file system context of a process (`fs_struct`).
pub struct FsContext {
    places: SpinLock<Places>,
    umask: AtomicU32,
}

struct Places {
    root: Path,
    cwd: Path,
}

impl FsContext {
    /// At the root, with umask 022.
    pub fn new(root: Path) -> FsContext {
        let cwd = root.clone();
        FsContext { places: SpinLock::new(Places { root, cwd }), umask: AtomicU32::new(0o022) }
    }

    /// Where `/` is.
    pub fn root(&self) -> Path {
        self.places.lock().root.clone()
    }

    /// Where a relative path begins.
    pub fn cwd(&self) -> Path {
        self.places.lock().cwd.clone()
    }

    /// chdir(2), the place already checked.
    pub fn set_cwd(&self, place: Path) {
        // The old place is dropped without the lock: that may free a dentry.
        let old = core::mem::replace(&mut self.places.lock().cwd, place);
        drop(old);
    }

    /// chroot(2), the place already checked.
    pub fn set_root(&self, place: Path) {
        let old = core::mem::replace(&mut self.places.lock().root, place);
        drop(old);
    }

    /// Bits that a new inode's mode does not get.
    #[inline]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// umask(2): the old one.
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }
}
