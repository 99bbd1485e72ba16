//! Tests of the whole vfs on ramfs. [`World`] is a process with a root, a working directory and
//! credentials.

mod attrs;
mod cache;
mod descriptors;
mod io;
mod judge;
mod locks;
mod model;
mod mounts;
mod names;
mod opening;
mod pipes;
mod renames;
mod xattrs;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::user::FakeUser;
use base::{Errno, Result, UserAddr};

use crate::attr_ops::{Stat, stat};
use crate::namei::{self, At, LookupFlags};
use crate::ramfs::RamFs;
use crate::read_write::{self, Io, IoAccounting};
use crate::{Cred, DirEntry, File, Mount, MountFlags, OpenFlags, Path, iterate_dir};

pub struct World {
    pub root: Path,
    pub cwd: Path,
    pub cred: Cred,
    pub umask: u32,
    pub user: FakeUser,
    pub account: IoAccounting,
}

/// Where the user's buffer lies.
pub const BUF: u64 = 0x10000;

impl World {
    pub fn new() -> World {
        let mount = Mount::new_root(RamFs::new(), MountFlags::empty(), "none");
        World::on(mount.root())
    }

    pub fn on(root: Path) -> World {
        World {
            cwd: root.clone(),
            root,
            cred: Cred::ROOT,
            umask: 0o022,
            user: FakeUser::new(BUF, 0x10000),
            account: IoAccounting::new(),
        }
    }

    /// The same tree, seen by a user without privileges.
    pub fn as_user(&self, uid: u32) -> World {
        World { cred: Cred::user(uid, uid), cwd: self.cwd.clone(), ..World::on(self.root.clone()) }
    }

    pub fn at(&self) -> At<'_> {
        At { root: &self.root, base: &self.cwd, cred: &self.cred, umask: self.umask }
    }

    pub fn io(&self) -> Io<'_> {
        Io { memory: &self.user, account: &self.account, fsize_limit: u64::MAX, capable: self.cred.capable() }
    }

    pub fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<File>> {
        namei::open(&self.at(), path.as_bytes(), flags, 0o666)
    }

    /// Only whether it worked.
    pub fn try_open(&self, path: &str, flags: OpenFlags) -> Result<()> {
        self.open(path, flags).map(|_| ())
    }

    pub fn mkdir(&self, path: &str) -> Result<()> {
        namei::mkdir(&self.at(), path.as_bytes(), 0o777)
    }

    pub fn touch(&self, path: &str) -> Result<()> {
        self.try_open(path, OpenFlags::CREAT | OpenFlags::WRONLY)
    }

    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        namei::symlink(&self.at(), target.as_bytes(), path.as_bytes())
    }

    pub fn link(&self, old: &str, new: &str) -> Result<()> {
        let at = self.at();
        namei::link(&at, old.as_bytes(), LookupFlags::empty(), &at, new.as_bytes())
    }

    pub fn unlink(&self, path: &str) -> Result<()> {
        namei::unlink(&self.at(), path.as_bytes())
    }

    pub fn rmdir(&self, path: &str) -> Result<()> {
        namei::rmdir(&self.at(), path.as_bytes())
    }

    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        self.rename2(old, new, 0)
    }

    pub fn rename2(&self, old: &str, new: &str, flags: u32) -> Result<()> {
        let at = self.at();
        namei::rename(&at, old.as_bytes(), &at, new.as_bytes(), flags)
    }

    pub fn lookup(&self, path: &str, flags: LookupFlags) -> Result<Path> {
        namei::lookup(&self.at(), path.as_bytes(), flags)
    }

    pub fn place(&self, path: &str) -> Path {
        self.lookup(path, LookupFlags::FOLLOW).unwrap()
    }

    pub fn stat(&self, path: &str) -> Result<Stat> {
        Ok(stat(&**self.lookup(path, LookupFlags::FOLLOW)?.inode()?))
    }

    pub fn lstat(&self, path: &str) -> Result<Stat> {
        Ok(stat(&**self.lookup(path, LookupFlags::empty())?.inode()?))
    }

    pub fn mode(&self, path: &str) -> u32 {
        self.stat(path).unwrap().attr.mode & 0o7777
    }

    pub fn chdir(&mut self, path: &str) -> Result<()> {
        let place = self.lookup(path, LookupFlags::FOLLOW)?;
        namei::chdir(&place, &self.cred)?;
        self.cwd = place;
        Ok(())
    }

    pub fn getcwd(&self) -> Result<String> {
        crate::getcwd(&self.cwd, &self.root).map(|p| String::from_utf8(p).unwrap())
    }

    /// write(2) of these bytes through the user's buffer.
    pub fn write(&self, file: &File, bytes: &[u8]) -> Result<usize> {
        self.user.put(BUF, bytes);
        read_write::write(&self.io(), file, UserAddr(BUF), bytes.len())
    }

    /// read(2) through the user's buffer.
    pub fn read(&self, file: &File, count: usize) -> Result<Vec<u8>> {
        let n = read_write::read(&self.io(), file, UserAddr(BUF), count)?;
        Ok(self.user.get(BUF, n))
    }

    pub fn put(&self, path: &str, content: &str) {
        let file = self.open(path, OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC).unwrap();
        assert_eq!(self.write(&file, content.as_bytes()), Ok(content.len()));
    }

    pub fn cat(&self, path: &str) -> Result<String> {
        let file = self.open(path, OpenFlags::empty())?;
        Ok(String::from_utf8(self.read(&file, 0x1000)?).unwrap())
    }

    /// The names in a directory, sorted.
    pub fn ls(&self, path: &str) -> Result<Vec<String>> {
        let dir = self.open(path, OpenFlags::DIRECTORY)?;
        let mut names = Vec::new();
        let mut sink = |e: &DirEntry<'_>| {
            names.push(String::from_utf8(e.name.to_vec()).unwrap());
            true
        };
        iterate_dir(&dir, &mut sink)?;
        names.sort();
        Ok(names)
    }
}

/// Checks a table of calls against what each must answer.
#[macro_export]
macro_rules! answers {
    ($($call:expr => $answer:expr),* $(,)?) => {
        $(assert_eq!($call, $answer, "{}", stringify!($call));)*
    };
}

pub const OK: Result<()> = Ok(());

pub const fn err(e: Errno) -> Result<()> {
    Err(e)
}
