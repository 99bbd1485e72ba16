//! The root file system: the disk or partition of `root=`, mounted, with /dev, /proc and /sys on it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use base::Errno;
use block::Disk;
use machine::cmdline::Options;
use pagecache::BlockDevice;
use vfs::namei::{At, LookupFlags, lookup};
use vfs::{Cred, Mount, MountFlags, Path, SuperBlock};

use crate::trouble::Trouble;

/// The disk when `root=` is not given.
const DEFAULT_ROOT: &str = "/dev/vda";
/// The type when `rootfstype=` is not given.
const DEFAULT_TYPE: &str = "ext4";

/// Mounts the disk that the command line names.
pub fn mount(options: &Options) -> Result<Arc<Mount>, Trouble> {
    let source = options.root.as_deref().unwrap_or(DEFAULT_ROOT);
    let devices = block::devices();
    let disk = block::early_lookup(source, &devices).ok_or_else(|| no_disk(source, &devices))?;
    let name = options.root_type.as_deref().unwrap_or(DEFAULT_TYPE);
    let kind = vfs::find_filesystem(name)
        .filter(|kind| kind.requires_dev())
        .ok_or_else(|| Trouble::new(format!("rootfstype={name}: there is no such file system for a disk")))?;
    let mut flags = MountFlags::RELATIME;
    flags.set(MountFlags::RDONLY, options.read_only || disk.read_only());
    if disk.read_only() && !options.read_only {
        log::warn!("root={source}: the disk is write-protected: mounted read-only");
    }
    let superblock = kind
        .mount(Some(BlockDevice::of(&disk)), flags, &options.root_flags)
        .map_err(|error| cannot_mount(source, name, error))?;
    flags.set(MountFlags::RDONLY, superblock.read_only());
    Ok(Mount::new_root(superblock, flags, &format!("/dev/{}", disk.name())))
}

fn no_disk(source: &str, devices: &[Arc<Disk>]) -> Trouble {
    let name = |disk: &Arc<Disk>| match disk.partuuid() {
        "" => format!(" /dev/{}", disk.name()),
        uuid => format!(" /dev/{} (PARTUUID={uuid})", disk.name()),
    };
    let names: String = devices.iter().map(name).collect();
    let there = if names.is_empty() { " none" } else { &names };
    let hint = match source.split_once('=') {
        Some(("UUID" | "LABEL", _)) => " (names of file systems are not known here: PARTUUID= is)",
        _ => "",
    };
    Trouble::new(format!("root={source}: there is no such disk{hint}; there is{there}"))
}

fn cannot_mount(source: &str, name: &str, error: Errno) -> Trouble {
    Trouble::new(format!("root={source} cannot be mounted as {name}: {error}"))
}

/// The file systems without a disk, and where they go.
const WITHOUT_DISK: [(&str, &str); 4] =
    [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("tracefs", "/sys/kernel/tracing")];

/// Mounts /dev, /proc, /sys and what stands on it.
pub fn attach_all(root: &Arc<Mount>) {
    for (name, at) in WITHOUT_DISK {
        attach(root, at, without_disk(name), name);
    }
}

/// A file system of the devices, mounted nowhere yet.
pub fn devtmpfs() -> base::Result<Arc<dyn SuperBlock>> {
    without_disk("devtmpfs")
}

fn without_disk(name: &str) -> base::Result<Arc<dyn SuperBlock>> {
    vfs::find_filesystem(name).ok_or(Errno::ENODEV)?.mount(None, MountFlags::empty(), "")
}

/// Puts a file system on a directory of the root. A root without that directory does without, and
/// the log says so; aloud only if it is one that programs miss.
fn attach(root: &Arc<Mount>, at: &str, superblock: base::Result<Arc<dyn SuperBlock>>, name: &str) {
    let flags = MountFlags::NOSUID | MountFlags::RELATIME;
    let mounted =
        superblock.and_then(|superblock| vfs::mount_at(&directory(root, at)?, superblock, flags, name));
    match mounted {
        Err(Errno::ENOENT) if at.starts_with("/sys") => log::info!("{name} is not mounted: no {at}"),
        Err(error) => log::warn!("{name} is not mounted on {at}: {error}"),
        // The nodes of partitions come and go there.
        Ok(mount) if name == "devtmpfs" => devfs::mounted(&mount),
        Ok(_) => {}
    }
}

fn directory(root: &Arc<Mount>, at: &str) -> base::Result<Path> {
    let root = root.root();
    let start = At { root: &root, base: &root, cred: &Cred::ROOT, umask: 0 };
    lookup(&start, at.as_bytes(), LookupFlags::FOLLOW | LookupFlags::DIRECTORY)
}
