//! /dev: the devices a program expects, as files.
//!
//! ```text
//!   /dev  (devtmpfs: a ramfs with nodes)      the device table (vfs::device)
//!     null   c 1:3 ───────────────────────▶ mem.rs
//!     random c 1:8 ───────────────────────▶ random.rs   (getrandom(2) too)
//!     console c 5:1, tty c 5:0 ───────────▶ console.rs ─ line discipline ─▶ ConsoleDriver (boot)
//!     vda    b 254:0 ─────────────────────▶ bdev.rs ─ the disk's page cache
//!     fd stdin stdout stderr ─▶ /proc/self/fd…
//! ```
//! A node on any other file system with the same number is the same device.
//!
//! # How to use it
//! `boot` seeds [`random`], calls [`register`] with the console's driver and the disks, and [`mount`]
//! once the root file system is there.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bdev;
pub mod console;
mod line;
mod mem;
pub mod random;
pub mod termios;
#[cfg(test)]
mod tests;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::{DevId, Errno, Result};
use block::Disk;
use pagecache::BlockDevice;
use sync::Mutex;
use vfs::device;
use vfs::namei::{self, At, LookupFlags};
use vfs::ramfs::RamFs;
use vfs::{Cred, FileSystemType, FileType, Mount, MountFlags, Path, SuperBlock};

pub use console::{ConsoleDriver, InputState};

/// A character device: name, major, minor, mode.
struct Node(&'static str, u32, u32, u32);

const CHARACTER: [Node; 8] = [
    Node("null", 1, 3, 0o666),
    Node("zero", 1, 5, 0o666),
    Node("full", 1, 7, 0o666),
    Node("random", 1, 8, 0o666),
    Node("urandom", 1, 9, 0o666),
    Node("tty", 5, 0, 0o666),
    Node("console", 5, 1, 0o600),
    Node("ttyAMA0", 204, 64, 0o600),
];

const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Enters every device into the device table: the memory devices, the random numbers, the console
/// over `driver`, and the disks.
pub fn register(driver: Arc<dyn ConsoleDriver>, disks: &[Arc<Disk>]) {
    mem::register();
    random::register();
    console::register(driver);
    for disk in disks {
        bdev::register(disk);
    }
}

/// Mounts a devtmpfs on `/dev` of a tree. A root without the directory is left as it is, with a
/// line in the log; the program then has no /dev.
pub fn mount(root: &Path, disks: &[Arc<Disk>]) -> Result<()> {
    let at = At { root, base: root, cred: &Cred::ROOT, umask: 0 };
    let dev = match namei::lookup(&at, b"/dev", LookupFlags::FOLLOW | LookupFlags::DIRECTORY) {
        Ok(dev) => dev,
        Err(error) => {
            log::warn!("devfs: no directory /dev on the root file system ({error}); not mounted");
            return Ok(());
        }
    };
    let sb = populated(disks)?;
    let mount = vfs::mount_at(&dev, sb, MountFlags::NOSUID | MountFlags::RELATIME, "devtmpfs")?;
    mounted(&mount);
    Ok(())
}

/// This is /dev: its nodes follow when a partition table is read anew.
pub fn mounted(mount: &Arc<Mount>) {
    *DEV.lock() = Some(Arc::downgrade(mount));
}

/// Where /dev is mounted, for the nodes that come and go.
static DEV: Mutex<Option<Weak<Mount>>> = Mutex::new(None);

/// A disk's partition table was read anew: the nodes in /dev follow.
fn partitions_changed(before: &[Arc<Disk>], now: &[Arc<Disk>]) {
    let added = |part: &&Arc<Disk>| !before.iter().any(|old| Arc::ptr_eq(old, part));
    let gone = |part: &&Arc<Disk>| !now.iter().any(|new| Arc::ptr_eq(new, part));
    let mount = DEV.lock().as_ref().and_then(Weak::upgrade);
    let root = mount.as_ref().map(Mount::root);
    for part in before.iter().filter(gone) {
        device::unregister(FileType::BlockDevice, part.dev());
        // A node that the program has taken away needs no second time.
        let _ = with_dev(root.as_ref(), |at| namei::unlink(at, part.name().as_bytes()));
    }
    for part in now.iter().filter(added) {
        bdev::register(part);
        if let Err(error) = with_dev(root.as_ref(), |at| disk_node(at, part)) {
            log::warn!("devfs: no node for {}: {error}", part.name());
        }
    }
}

fn with_dev(root: Option<&Path>, act: impl FnOnce(&At<'_>) -> Result<()>) -> Result<()> {
    match root {
        Some(root) => act(&At { root, base: root, cred: &Cred::ROOT, umask: 0 }),
        None => Ok(()),
    }
}

fn disk_node(at: &At<'_>, disk: &Disk) -> Result<()> {
    namei::mknod(at, disk.name().as_bytes(), FileType::BlockDevice.mode() | 0o660, disk.dev())
}

/// A devtmpfs with its nodes.
fn populated(disks: &[Arc<Disk>]) -> Result<Arc<dyn SuperBlock>> {
    let sb = RamFs::named("devtmpfs");
    let root = Mount::new_root(sb.clone(), MountFlags::empty(), "devtmpfs").root();
    let at = At { root: &root, base: &root, cred: &Cred::ROOT, umask: 0 };
    for Node(name, major, minor, mode) in CHARACTER {
        let mode = FileType::CharDevice.mode() | mode;
        namei::mknod(&at, name.as_bytes(), mode, DevId::new(major, minor))?;
    }
    for disk in disks {
        disk_node(&at, disk)?;
    }
    for (name, target) in LINKS {
        namei::symlink(&at, target.as_bytes(), name.as_bytes())?;
    }
    namei::mkdir(&at, b"shm", 0o1777)?;
    Ok(sb)
}

/// The type's name for /proc/filesystems and mount(2).
pub struct DevFsType;

impl FileSystemType for DevFsType {
    fn name(&self) -> &'static str {
        "devtmpfs"
    }

    fn requires_dev(&self) -> bool {
        false
    }

    fn mount(
        &self,
        _source: Option<Arc<BlockDevice>>,
        _flags: MountFlags,
        options: &str,
    ) -> Result<Arc<dyn SuperBlock>> {
        if !options.is_empty() {
            return Err(Errno::EINVAL);
        }
        let disks: Vec<Arc<Disk>> = block::devices();
        populated(&disks)
    }
}
