//! What is in each directory of /sys, in the order in which it is listed.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::DevId;
use block::{RequestQueue, elevator};
use kernfs::child_name;

use crate::device::{self, Device};
use crate::fixed::{self, Links, ROWS, What};
use crate::fs::{SysFs, row};
use crate::id::{EMPTY, Id};
use crate::{bdi, disk, ext4, queue};

/// A name in a directory and what it names.
pub(crate) type Child = (Cow<'static, str>, Id);

fn child(name: &'static str, id: Id) -> Child {
    (Cow::Borrowed(name), id)
}

/// A place in a table, which is short.
fn place(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

impl SysFs {
    /// What is in a directory, in the order in which it is listed.
    pub fn children(&self, dir: Id) -> Vec<Child> {
        match dir {
            Id::Fixed(index) => row(index).map(|row| self.fixed_children(row)).unwrap_or_default(),
            Id::Device(dev) => self.device(dev).map(|device| device_children(&device)).unwrap_or_default(),
            Id::Queue(dev) => self.queue(dev).map(|queue| queue_children(dev, &queue)).unwrap_or_default(),
            Id::Bdi(dev) => bdi_children(dev),
            Id::Ext4(number) => ext4_children(number),
            Id::Iosched(dev) => self.queue(dev).map(|queue| tunables(dev, &queue)).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn fixed_children(&self, of: &fixed::Row) -> Vec<Child> {
        let disks = (self.disks)();
        match of.what {
            What::Directory => fixed_rows(of.path),
            What::Disks => device::wholes(disks).map(|d| named(&d, Id::Device(d.disk.dev()))).collect(),
            What::Bdis => device::wholes(disks).map(|d| numbered(&d, Id::Bdi(d.disk.dev()))).collect(),
            What::Ext4 => {
                (self.ext4)().into_iter().map(|fs| (Cow::Owned(fs.disk), Id::Ext4(fs.number))).collect()
            }
            What::Links(links @ (Links::Block | Links::Bdi)) => {
                device::wholes(disks).map(|d| link(links, &d)).collect()
            }
            What::Links(links) => device::all(disks).map(|d| link(links, &d)).collect(),
            What::Text(_) | What::Link(_) => Vec::new(),
        }
    }
}

fn fixed_rows(prefix: &str) -> Vec<Child> {
    let here = |(index, row): (usize, &fixed::Row)| {
        let name = child_name(prefix, row.path)?;
        Some(child(name, Id::Fixed(place(index))))
    };
    ROWS.iter().enumerate().filter_map(here).collect()
}

fn named(device: &Device, id: Id) -> Child {
    (Cow::Owned(device.disk.name().to_string()), id)
}

fn numbered(device: &Device, id: Id) -> Child {
    let dev = device.disk.dev();
    (Cow::Owned(format!("{}:{}", dev.major, dev.minor)), id)
}

fn link(links: Links, device: &Device) -> Child {
    let dev = device.disk.dev();
    match links {
        Links::Numbers | Links::Bdi => numbered(device, Id::Link(links, dev)),
        Links::Block | Links::Class => named(device, Id::Link(links, dev)),
    }
}

/// Files, then directories, then partitions.
fn device_children(device: &Device) -> Vec<Child> {
    let dev = device.disk.dev();
    let mut all: Vec<Child> = Vec::new();
    let files = disk::ATTRIBUTES.iter().enumerate().filter(|(_, file)| (file.of)(device));
    all.extend(files.map(|(index, file)| child(file.name, Id::Attribute(dev, place(index)))));
    all.push(child("subsystem", Id::Subsystem(dev)));
    all.push(child(EMPTY[0], Id::Empty(dev, 0)));
    if device.is_whole() {
        all.push(child(EMPTY[1], Id::Empty(dev, 1)));
        all.push(child("bdi", Id::BdiLink(dev)));
        all.push(child("queue", Id::Queue(dev)));
    }
    all.extend(device.partitions().iter().map(|part| named(part, Id::Device(part.disk.dev()))));
    all
}

fn bdi_children(dev: DevId) -> Vec<Child> {
    let files = bdi::ATTRIBUTES.iter().enumerate();
    let files = files.map(|(index, file)| child(file.name, Id::BdiAttribute(dev, place(index))));
    files.chain([child("subsystem", Id::BdiSubsystem(dev))]).collect()
}

fn ext4_children(number: u32) -> Vec<Child> {
    let files = ext4::ATTRIBUTES.iter().enumerate();
    files.map(|(index, file)| child(file.name, Id::Ext4Attribute(number, place(index)))).collect()
}

fn queue_children(dev: DevId, queue: &Arc<RequestQueue>) -> Vec<Child> {
    let mut all: Vec<Child> = Vec::new();
    let files = queue::ATTRIBUTES.iter().enumerate().filter(|(_, file)| (file.of)(queue));
    all.extend(files.map(|(index, file)| child(file.name, Id::QueueAttribute(dev, place(index)))));
    all.push(child("iosched", Id::Iosched(dev)));
    all
}

fn tunables(dev: DevId, queue: &RequestQueue) -> Vec<Child> {
    let name = queue.elevator();
    let Some(elevator) = elevator::NAMES.iter().position(|n| *n == name) else { return Vec::new() };
    let names = queue.tunables().into_iter().enumerate();
    names.map(|(index, name)| child(name, Id::Tunable(dev, place(elevator), place(index)))).collect()
}
