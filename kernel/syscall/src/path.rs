//! From a directory descriptor and a pointer to a string, to what the path walk takes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result, UserAddr};
use vfs::namei::{self, At, LookupFlags};
use vfs::{Cred, Path};

use crate::context::Cx;

/// The directory descriptor that means the working directory.
pub const AT_FDCWD: i32 = -100;
/// Not through a symbolic link at the end.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// Use the effective ids (faccessat2).
pub const AT_EACCESS: u32 = 0x200;
/// unlinkat: remove a directory.
pub const AT_REMOVEDIR: u32 = 0x200;
/// Through a symbolic link at the end (linkat).
pub const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// Do not trigger automounts; there are none.
pub const AT_NO_AUTOMOUNT: u32 = 0x800;
/// The empty path is the descriptor itself.
pub const AT_EMPTY_PATH: u32 = 0x1000;

/// A path from the program, and where and as whom it is walked.
pub struct UserPath {
    path: Vec<u8>,
    root: Path,
    base: Path,
    cred: Arc<Cred>,
    umask: u32,
}

impl UserPath {
    /// Copies the path in. EFAULT, ENAMETOOLONG past 4,095 bytes, ENOENT for an empty one; EBADF for the descriptor
    /// (looked at only when the path is relative).
    pub fn get(cx: &Cx<'_>, dirfd: i32, path: UserAddr) -> Result<UserPath> {
        let path = cx.memory().read_cstr(path, namei::PATH_LEN_MAX)?;
        if path.is_empty() { Err(Errno::ENOENT) } else { Self::of(cx, dirfd, path) }
    }

    /// The same for a call with AT_* flags: an empty path may be the descriptor itself. If it may not, the walk says
    /// so; here only what a bad descriptor would say before.
    pub fn get_at(cx: &Cx<'_>, dirfd: i32, path: UserAddr, at_flags: u32) -> Result<UserPath> {
        let path = cx.memory().read_cstr(path, namei::PATH_LEN_MAX)?;
        let missing = path.is_empty() && at_flags & AT_EMPTY_PATH == 0;
        Self::of(cx, dirfd, path).map_err(|error| if missing { Errno::ENOENT } else { error })
    }

    /// The same for a path that the kernel holds.
    pub fn of(cx: &Cx<'_>, dirfd: i32, path: Vec<u8>) -> Result<UserPath> {
        let fs = cx.process.fs();
        let base = cx.process.files().base(dirfd, &path, &fs.cwd())?;
        Ok(UserPath { path, root: fs.root(), base, cred: cx.process.cred(), umask: fs.umask() })
    }

    /// As somebody else: access(2) asks for the real ids.
    pub fn with_cred(mut self, cred: Cred) -> UserPath {
        self.cred = Arc::new(cred);
        self
    }

    /// What the walk needs beside the path.
    pub fn at(&self) -> At<'_> {
        At { root: &self.root, base: &self.base, cred: &self.cred, umask: self.umask }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.path
    }

    /// Who asks.
    pub fn cred(&self) -> &Cred {
        &self.cred
    }

    /// Walks it.
    pub fn lookup(&self, flags: LookupFlags) -> Result<Path> {
        namei::lookup(&self.at(), &self.path, flags)
    }
}

/// AT_* flags as lookup flags; other flags are the caller's to check.
pub fn lookup_flags(at_flags: u32) -> LookupFlags {
    let mut flags = LookupFlags::empty();
    flags.set(LookupFlags::FOLLOW, at_flags & AT_SYMLINK_NOFOLLOW == 0);
    flags.set(LookupFlags::EMPTY, at_flags & AT_EMPTY_PATH != 0);
    flags
}
