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
use core::ops::{Deref, DerefMut};
use std::sync::Mutex;

use base::{Errno, Result, UserAddr};
use kernfs::testing::{BUF, User};
use vfs::namei::{self, LookupFlags};
use vfs::ramfs::RamFsType;
use vfs::{
    Cred, DirEntry, FdTable, FileSystemType, Mount, MountFlags, OpenFlags, SuperBlock, iterate_dir, mount_at,
    read_write,
};

use crate::fs_type;
use fake::{FakeProcess, FakeSource};

const RDONLY: OpenFlags = OpenFlags::empty();

/// A root with /bin/prog and /home, and /proc on it.
struct World {
    user: User,
    source: Arc<FakeSource>,
    proc: Arc<Mount>,
}

impl Deref for World {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut User {
        &mut self.user
    }
}

fn ramfs() -> Arc<dyn SuperBlock> {
    RamFsType.mount(None, MountFlags::empty(), "").unwrap()
}

impl World {
    fn new() -> World {
        let user = User::default();
        for dir in ["/bin", "/home"] {
            namei::mkdir(&user.at(), dir.as_bytes(), 0o755).unwrap();
        }
        user.try_open("/bin/prog", OpenFlags::CREAT | OpenFlags::WRONLY).unwrap();
        let place = |path: &str| user.lookup(path, LookupFlags::FOLLOW).unwrap();
        let process = Arc::new(FakeProcess {
            root: user.root.clone(),
            cwd: place("/home"),
            exe: place("/bin/prog"),
            files: FdTable::new(),
            comm: Mutex::new(b"prog".to_vec()),
            cred: Mutex::new(Cred::ROOT),
        });
        let source = FakeSource::new(Some(process));
        let sb = fs_type(source.clone()).mount(None, MountFlags::empty(), "").unwrap();
        let proc = user.mount("/proc", sb, "proc");
        World { user, source, proc }
    }

    fn process(&self) -> Arc<FakeProcess> {
        self.source.process.lock().unwrap().clone().unwrap()
    }
}

const fn err(e: Errno) -> Result<()> {
    Err(e)
}
