//! The file system: its type, and its answers to kernfs.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{DevId, Errno, Ino, PAGE_SIZE, Result};
use block::{Disk, RequestQueue, elevator};
use kernfs::{Emit, FsType, LongWrite, Rules, Text, Tree};
use vfs::FileType;

use crate::device::{self, Device};
use crate::ext4::{MountedExt4, MountedList};
use crate::fixed::{self, Links, ROWS, What};
use crate::id::Id;
use crate::{bdi, disk, ext4, queue};

/// Tells which whole disks there are, in the order in which they came.
pub type DiskList = Box<dyn Fn() -> Vec<Arc<Disk>> + Send + Sync>;

/// The type whose /sys shows these disks and file systems, for `vfs::register_filesystem`.
pub fn fs_type(disks: DiskList, ext4: MountedList) -> FsType {
    FsType::new(SysFs { disks, ext4 })
}

/// /sys.
pub(crate) struct SysFs {
    pub disks: DiskList,
    pub ext4: MountedList,
}

pub(crate) fn row(index: u8) -> Option<&'static fixed::Row> {
    ROWS.get(usize::from(index))
}

/// The name of an elevator's place, while it is the queue's.
fn present(queue: &RequestQueue, elevator: u8) -> Option<&'static str> {
    let name = queue.elevator();
    (elevator::NAMES.get(usize::from(elevator)) == Some(&name)).then_some(name)
}

impl SysFs {
    /// ENODEV when it is gone.
    pub fn device(&self, dev: DevId) -> Result<Device> {
        device::find((self.disks)(), dev).ok_or(Errno::ENODEV)
    }

    pub fn queue(&self, dev: DevId) -> Result<Arc<RequestQueue>> {
        Ok(self.device(dev)?.disk.queue().clone())
    }

    /// ENODEV once it is unmounted.
    fn ext4(&self, number: u32) -> Result<MountedExt4> {
        (self.ext4)().into_iter().find(|fs| fs.number == number).ok_or(Errno::ENODEV)
    }

    /// Queue and name of a tunable. ENODEV once there is another elevator.
    fn tunable(&self, dev: DevId, elevator: u8, index: u8) -> Result<(Arc<RequestQueue>, &'static str)> {
        let queue = self.queue(dev)?;
        present(&queue, elevator).ok_or(Errno::ENODEV)?;
        let name = queue.tunables().get(usize::from(index)).copied().ok_or(Errno::ENODEV)?;
        Ok((queue, name))
    }

    /// From /sys to the directory of a disk or partition.
    fn path(&self, dev: DevId) -> Result<String> {
        let device = self.device(dev)?;
        let (whole, name) = (device.disk.gendisk().name(), device.disk.name());
        Ok(if device.is_whole() {
            format!("{}/{name}", fixed::DISKS)
        } else {
            format!("{}/{whole}/{name}", fixed::DISKS)
        })
    }
}

impl Tree for SysFs {
    type Id = Id;

    const RULES: Rules = Rules {
        name: "sysfs",
        magic: 0x6265_6572,
        block_size: PAGE_SIZE as u32,
        no_new_names: None,
        keeps_changes: true,
        seeks_from_end: true,
        long_write: LongWrite::Cut,
    };

    fn root(&self) -> Id {
        Id::ROOT
    }

    fn ino(&self, id: Id) -> Ino {
        id.ino()
    }

    fn kind(&self, id: Id) -> FileType {
        match id {
            Id::Fixed(index) => row(index).map_or(FileType::Regular, fixed::Row::kind),
            Id::Link(..) | Id::Subsystem(_) | Id::BdiSubsystem(_) | Id::BdiLink(_) => FileType::Symlink,
            Id::Device(_) | Id::Empty(..) | Id::Queue(_) | Id::Iosched(_) | Id::Bdi(_) | Id::Ext4(_) => {
                FileType::Directory
            }
            Id::Attribute(..)
            | Id::QueueAttribute(..)
            | Id::Tunable(..)
            | Id::BdiAttribute(..)
            | Id::Ext4Attribute(..) => FileType::Regular,
        }
    }

    fn mode(&self, id: Id) -> u32 {
        match id {
            Id::Fixed(index) => row(index).map_or(0, |row| row.mode),
            Id::Attribute(_, index) => disk::ATTRIBUTES.get(usize::from(index)).map_or(0, |a| a.mode()),
            Id::QueueAttribute(_, index) => queue::ATTRIBUTES.get(usize::from(index)).map_or(0, |a| a.mode()),
            Id::BdiAttribute(_, index) => bdi::ATTRIBUTES.get(usize::from(index)).map_or(0, |a| a.mode()),
            Id::Ext4Attribute(_, index) => ext4::ATTRIBUTES.get(usize::from(index)).map_or(0, |a| a.mode()),
            Id::Tunable(..) => 0o644,
            Id::Link(..) | Id::Subsystem(_) | Id::BdiSubsystem(_) | Id::BdiLink(_) => 0o777,
            Id::Device(_) | Id::Empty(..) | Id::Queue(_) | Id::Iosched(_) | Id::Bdi(_) | Id::Ext4(_) => 0o755,
        }
    }

    /// A file says that it is a page long, whatever is in it.
    fn size(&self, id: Id) -> u64 {
        if self.kind(id) == FileType::Regular { PAGE_SIZE as u64 } else { 0 }
    }

    fn lookup(&self, dir: Id, name: &[u8]) -> Option<Id> {
        self.children(dir).into_iter().find(|(n, _)| n.as_bytes() == name).map(|(_, id)| id)
    }

    /// An entry stands at its place in the listing.
    fn list(&self, dir: Id, from: u64, emit: &mut Emit<'_, Id>) -> Result<()> {
        for (position, (name, id)) in (0..).zip(self.children(dir)) {
            if position >= from && !emit(position, name.as_bytes(), id) {
                break;
            }
        }
        Ok(())
    }

    /// Only what has no disk in it.
    fn fixed(&self, dir: Id) -> bool {
        matches!(dir, Id::Fixed(index) if row(index).is_some_and(|row| matches!(row.what, What::Directory)))
    }

    fn show(&self, id: Id, text: &mut Text) -> Result<()> {
        match id {
            Id::Fixed(index) => match row(index).map(|row| &row.what) {
                Some(What::Text(fixed)) => text.bytes(fixed.as_bytes()),
                _ => return Err(Errno::EIO),
            },
            Id::Attribute(dev, index) => {
                let file = disk::ATTRIBUTES.get(usize::from(index)).ok_or(Errno::ENODEV)?;
                (file.show)(&self.device(dev)?, text);
            }
            Id::BdiAttribute(dev, index) => {
                let file = bdi::ATTRIBUTES.get(usize::from(index)).ok_or(Errno::ENODEV)?;
                (file.show)(&self.device(dev)?, text);
            }
            Id::Ext4Attribute(number, index) => {
                let file = ext4::ATTRIBUTES.get(usize::from(index)).ok_or(Errno::ENODEV)?;
                (file.show)(&self.ext4(number)?, text);
            }
            Id::QueueAttribute(dev, index) => {
                let file = queue::ATTRIBUTES.get(usize::from(index)).ok_or(Errno::ENODEV)?;
                (file.show)(&self.queue(dev)?, text);
            }
            Id::Tunable(dev, elevator, index) => {
                let (queue, name) = self.tunable(dev, elevator, index)?;
                writeln!(text, "{}", queue.tunable(name).ok_or(Errno::ENODEV)?);
            }
            _ => return Err(Errno::EIO),
        }
        Ok(())
    }

    /// A write of nothing sets nothing.
    fn store(&self, id: Id, bytes: &[u8]) -> Result<()> {
        match id {
            _ if bytes.is_empty() => Ok(()),
            Id::Attribute(dev, index) => {
                let store = disk::ATTRIBUTES.get(usize::from(index)).and_then(|a| a.store);
                store.ok_or(Errno::EIO)?(&self.device(dev)?, bytes)
            }
            Id::BdiAttribute(dev, index) => {
                let store = bdi::ATTRIBUTES.get(usize::from(index)).and_then(|a| a.store);
                store.ok_or(Errno::EIO)?(&self.device(dev)?, bytes)
            }
            Id::QueueAttribute(dev, index) => {
                let store = queue::ATTRIBUTES.get(usize::from(index)).and_then(|a| a.store);
                store.ok_or(Errno::EIO)?(&self.queue(dev)?, bytes)
            }
            Id::Tunable(dev, elevator, index) => {
                let (queue, name) = self.tunable(dev, elevator, index)?;
                queue::set_tunable(&queue, name, bytes)
            }
            _ => Err(Errno::EIO),
        }
    }

    fn readlink(&self, id: Id) -> Result<Vec<u8>> {
        let target = match id {
            Id::Fixed(index) => match row(index).map(|row| &row.what) {
                Some(What::Link(target)) => target.to_string(),
                _ => return Err(Errno::EINVAL),
            },
            Id::Link(links @ Links::Bdi, dev) => {
                format!("{}{}/{}:{}", links.to_root(), fixed::BDIS, dev.major, dev.minor)
            }
            Id::BdiSubsystem(_) => "../../../../class/bdi".to_string(),
            // From the disk's directory, which stands beside it.
            Id::BdiLink(dev) => format!("../../bdi/{}:{}", dev.major, dev.minor),
            Id::Link(links, dev) => format!("{}{}", links.to_root(), self.path(dev)?),
            Id::Subsystem(dev) => {
                let depth = self.path(dev)?.split('/').count();
                format!("{}class/block", "../".repeat(depth))
            }
            _ => return Err(Errno::EINVAL),
        };
        Ok(target.into_bytes())
    }

    /// Linux's sysfs holds even root to them.
    fn binds_root(&self, _id: Id) -> bool {
        true
    }
}
