//! For the tests of the file systems that are made with kernfs: a tree of mounts and somebody who
//! uses it, through the vfs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::user::FakeUser;
use base::{Ino, Result, UserAddr};
use vfs::attr_ops::{Stat, stat};
use vfs::namei::{self, At, LookupFlags};
use vfs::ramfs::RamFsType;
use vfs::read_write::{self, Io, IoAccounting};
use vfs::{
    Cred, DirEntry, File, FileSystemType, FileType, Mount, MountFlags, OpenFlags, Path, SuperBlock,
    iterate_dir, mount_at,
};

/// Where the user's buffer is.
pub const BUF: u64 = 0x10000;
/// How large it is.
pub const BUF_LEN: usize = 0x4000;

/// An entry of a directory, as readdir tells it.
pub struct Found {
    /// From the root on.
    pub path: String,
    /// Its kind.
    pub kind: FileType,
    /// Its inode number.
    pub ino: Ino,
}

/// A user in front of a root that is a ramfs. What fails panics.
pub struct User {
    /// The root.
    pub root: Path,
    /// Who it is.
    pub cred: Cred,
    /// The user's memory.
    pub memory: FakeUser,
    /// What the user has read and written.
    pub account: IoAccounting,
}

impl Default for User {
    fn default() -> User {
        let ramfs = RamFsType.mount(None, MountFlags::empty(), "").unwrap();
        let root = Mount::new_root(ramfs, MountFlags::RELATIME, "/dev/vda").root();
        let (memory, account) = (FakeUser::new(BUF, BUF_LEN), IoAccounting::new());
        User { root, cred: Cred::ROOT, memory, account }
    }
}

impl User {
    /// Mounts on a directory, which is made if it is not there.
    pub fn mount(&self, path: &str, sb: Arc<dyn SuperBlock>, source: &str) -> Arc<Mount> {
        let _ = namei::mkdir(&self.at(), path.as_bytes(), 0o755);
        let place = self.lookup(path, LookupFlags::FOLLOW).unwrap();
        mount_at(&place, sb, MountFlags::RELATIME, source).unwrap()
    }

    /// The user's place, for namei.
    pub fn at(&self) -> At<'_> {
        At { root: &self.root, base: &self.root, cred: &self.cred, umask: 0 }
    }

    /// The user's memory, for read_write.
    pub fn io(&self) -> Io<'_> {
        Io { memory: &self.memory, account: &self.account, fsize_limit: u64::MAX, capable: true }
    }

    /// open(2).
    pub fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<File>> {
        namei::open(&self.at(), path.as_bytes(), flags, 0o666)
    }

    /// Opens and closes.
    pub fn try_open(&self, path: &str, flags: OpenFlags) -> Result<()> {
        self.open(path, flags).map(drop)
    }

    /// read(2).
    pub fn read(&self, file: &File, count: usize) -> Result<Vec<u8>> {
        let n = read_write::read(&self.io(), file, UserAddr(BUF), count)?;
        Ok(self.memory.get(BUF, n))
    }

    /// write(2).
    pub fn write(&self, file: &File, bytes: &[u8]) -> Result<usize> {
        self.memory.put(BUF, bytes);
        read_write::write(&self.io(), file, UserAddr(BUF), bytes.len())
    }

    /// What one read finds.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        self.read(&*self.open(path, OpenFlags::empty())?, BUF_LEN)
    }

    /// The same as text.
    pub fn cat(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).unwrap()).unwrap()
    }

    /// `echo TEXT > PATH`, the newline included.
    pub fn echo(&self, text: &str, path: &str) -> Result<()> {
        let file = self.open(path, OpenFlags::WRONLY | OpenFlags::TRUNC)?;
        let line = format!("{text}\n");
        let n = self.write(&file, line.as_bytes())?;
        assert_eq!(n, line.len());
        Ok(())
    }

    /// The place of a path.
    pub fn lookup(&self, path: &str, flags: LookupFlags) -> Result<Path> {
        namei::lookup(&self.at(), path.as_bytes(), flags)
    }

    /// lstat(2).
    pub fn lstat(&self, path: &str) -> Result<Stat> {
        Ok(stat(&**self.lookup(path, LookupFlags::empty())?.inode()?))
    }

    /// readlink(2).
    pub fn readlink(&self, path: &str) -> Result<String> {
        let place = self.lookup(path, LookupFlags::empty())?;
        namei::readlink_at(&place).map(|text| String::from_utf8(text).unwrap())
    }

    /// The names in a directory, with the dots.
    pub fn ls(&self, path: &str) -> Result<Vec<String>> {
        let dir = self.open(path, OpenFlags::DIRECTORY)?;
        let mut names = Vec::new();
        iterate_dir(&dir, &mut |e: &DirEntry<'_>| {
            names.push(String::from_utf8(e.name.to_vec()).unwrap());
            true
        })?;
        Ok(names)
    }

    /// Everything below a directory, depth first.
    pub fn walk(&self, path: &str) -> Vec<Found> {
        let dir = self.open(path, OpenFlags::DIRECTORY).unwrap();
        let mut here = Vec::new();
        iterate_dir(&dir, &mut |e: &DirEntry<'_>| {
            let name = core::str::from_utf8(e.name).unwrap().to_string();
            here.push(Found { path: format!("{path}/{name}"), kind: e.kind.unwrap(), ino: e.ino });
            true
        })
        .unwrap();
        let mut all = Vec::new();
        for found in here.into_iter().skip(2) {
            let inner = (found.kind == FileType::Directory).then(|| found.path.clone());
            all.push(found);
            all.extend(inner.into_iter().flat_map(|inner| self.walk(&inner)));
        }
        all
    }

    /// Walks, and sees that stat and readdir tell the same, and that no inode number comes twice.
    pub fn check_tree(&self, path: &str) -> Vec<Found> {
        let all = self.walk(path);
        let dev = self.lookup(path, LookupFlags::FOLLOW).unwrap().mount.superblock().dev();
        for Found { path, kind, ino } in &all {
            let stat = self.lstat(path).unwrap();
            assert_eq!(stat.attr.file_type(), Some(*kind), "{path}");
            assert_eq!((stat.attr.ino, stat.dev), (*ino, dev), "{path}");
        }
        let mut numbers: Vec<_> = all.iter().map(|found| found.ino).collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), all.len());
        all
    }
}
