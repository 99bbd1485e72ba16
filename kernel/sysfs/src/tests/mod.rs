//! /sys on a tree with RAM disks in it, through the vfs.

mod queue;
mod tree;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use base::{DevId, Errno, Result};
use block::{Disk, RamDisk};
use kernfs::testing::{Found, User};
use vfs::namei::LookupFlags;
use vfs::{Cred, FileSystemType, FileType, Mount, MountFlags, OpenFlags, SuperBlock};

use crate::{MountedExt4, fs_type};

const RDONLY: OpenFlags = OpenFlags::empty();
const QUEUE: &str = "/sys/block/vda/queue";

/// A root with /sys on it, which shows vda of 1 MiB and ram0 of 64 KiB.
struct World {
    user: User,
    vda: Arc<Disk>,
    sys: Arc<Mount>,
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

fn ram_disk(name: &str, dev: DevId, bytes: usize) -> Arc<Disk> {
    Disk::new(name, dev, RamDisk::new(vec![0; bytes]), "deadline").unwrap()
}

fn sysfs(disks: &[Arc<Disk>]) -> Arc<dyn SuperBlock> {
    let disks = disks.to_vec();
    fs_type(Box::new(move || disks.clone()), Box::new(mounted)).mount(None, MountFlags::empty(), "").unwrap()
}

/// vda is mounted, and has some bytes to place.
fn mounted() -> Vec<MountedExt4> {
    vec![MountedExt4 {
        number: 7,
        disk: "vda".into(),
        delayed_allocation_blocks: 12,
        session_write_kbytes: 340,
        lifetime_write_kbytes: 56_789,
        errors_count: 0,
    }]
}

impl World {
    fn new() -> World {
        let vda = ram_disk("vda", DevId::new(254, 0), 1 << 20);
        let user = User::default();
        let disks = [vda.clone(), ram_disk("ram0", DevId::new(1, 0), 65536)];
        let sys = user.mount("/sys", sysfs(&disks), "sysfs");
        World { user, vda, sys }
    }

    /// A file of vda's queue.
    fn queue(&self, name: &str) -> String {
        let text = self.cat(&format!("{QUEUE}/{name}"));
        text.strip_suffix('\n').unwrap_or_else(|| panic!("{name}: {text:?}")).into()
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        self.echo(value, &format!("{QUEUE}/{name}"))
    }
}
