//! /proc on a tree with a fake program, through the vfs.

mod fake;
mod links;
mod mounts;
mod process;
mod reading;
mod system;
mod tree;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use base::user::FakeUser;
use base::{Errno, Result, UserAddr};
use vfs::attr_ops::{Stat, stat};
use vfs::namei::{self, At, LookupFlags};
use vfs::ramfs::RamFsType;
use vfs::read_write::{self, Io, IoAccounting};
use vfs::{
    Cred, DirEntry, FdTable, File, FileSystemType, Mount, MountFlags, OpenFlags, Path, SuperBlock,
    iterate_dir, mount_at,
};

use crate::ProcFsType;
use fake::{FakeProcess, FakeSource};

const RDONLY: OpenFlags = OpenFlags::empty();
const BUF: u64 = 0x10000;

/// A root with /bin/prog and /home, and /proc on it.
struct World {
    root: Path,
    source: Arc<FakeSource>,
    proc: Arc<Mount>,
    cred: Cred,
    user: FakeUser,
    account: IoAccounting,
}

fn ramfs() -> Arc<dyn SuperBlock> {
    RamFsType.mount(None, MountFlags::empty(), "").unwrap()
}

impl World {
    fn new() -> World {
        let root = Mount::new_root(ramfs(), MountFlags::RELATIME, "/dev/vda").root();
        World::on(root)
    }

    fn on(root: Path) -> World {
        let at = At { root: &root, base: &root, cred: &Cred::ROOT, umask: 0 };
        for dir in ["/proc", "/bin", "/home"] {
            namei::mkdir(&at, dir.as_bytes(), 0o755).unwrap();
        }
        drop(namei::open(&at, b"/bin/prog", OpenFlags::CREAT | OpenFlags::WRONLY, 0o755).unwrap());
        let place = |path: &str| namei::lookup(&at, path.as_bytes(), LookupFlags::FOLLOW).unwrap();
        let process = Arc::new(FakeProcess {
            root: root.clone(),
            cwd: place("/home"),
            exe: place("/bin/prog"),
            files: FdTable::new(),
            comm: Mutex::new(b"prog".to_vec()),
            cred: Mutex::new(Cred::ROOT),
        });
        let source = FakeSource::new(Some(process));
        let sb = ProcFsType::new(source.clone()).mount(None, MountFlags::empty(), "").unwrap();
        let proc = mount_at(&place("/proc"), sb, MountFlags::RELATIME, "proc").unwrap();
        let (user, account) = (FakeUser::new(BUF, 0x4000), IoAccounting::new());
        World { root, source, proc, cred: Cred::ROOT, user, account }
    }

    fn process(&self) -> Arc<FakeProcess> {
        self.source.process.lock().unwrap().clone().unwrap()
    }

    fn at(&self) -> At<'_> {
        At { root: &self.root, base: &self.root, cred: &self.cred, umask: 0 }
    }

    fn io(&self) -> Io<'_> {
        Io { memory: &self.user, account: &self.account, fsize_limit: u64::MAX, capable: true }
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<File>> {
        namei::open(&self.at(), path.as_bytes(), flags, 0o666)
    }

    /// Opens and closes.
    fn try_open(&self, path: &str, flags: OpenFlags) -> Result<()> {
        self.open(path, flags).map(drop)
    }

    fn read(&self, file: &File, count: usize) -> Result<Vec<u8>> {
        let n = read_write::read(&self.io(), file, UserAddr(BUF), count)?;
        Ok(self.user.get(BUF, n))
    }

    fn write(&self, file: &File, bytes: &[u8]) -> Result<usize> {
        self.user.put(BUF, bytes);
        read_write::write(&self.io(), file, UserAddr(BUF), bytes.len())
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        self.read(&*self.open(path, RDONLY)?, 0x4000)
    }

    fn cat(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).unwrap()).unwrap()
    }

    fn lookup(&self, path: &str, flags: LookupFlags) -> Result<Path> {
        namei::lookup(&self.at(), path.as_bytes(), flags)
    }

    fn lstat(&self, path: &str) -> Result<Stat> {
        Ok(stat(&**self.lookup(path, LookupFlags::empty())?.inode()?))
    }

    fn readlink(&self, path: &str) -> Result<String> {
        let place = self.lookup(path, LookupFlags::empty())?;
        namei::readlink_at(&place).map(|text| String::from_utf8(text).unwrap())
    }

    fn ls(&self, path: &str) -> Result<Vec<String>> {
        let dir = self.open(path, OpenFlags::DIRECTORY)?;
        let mut names = Vec::new();
        iterate_dir(&dir, &mut |e: &DirEntry<'_>| {
            names.push(String::from_utf8(e.name.to_vec()).unwrap());
            true
        })?;
        Ok(names)
    }
}

const fn err(e: Errno) -> Result<()> {
    Err(e)
}
