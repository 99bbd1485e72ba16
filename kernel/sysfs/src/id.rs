//! Which node of /sys: what stays the same while disks and elevators come and go.

use base::{DevId, Ino};

use crate::fixed::Links;

/// A node. Numbers are places in a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Id {
    /// A row of fixed.rs.
    Fixed(u8),
    /// A link to a disk or partition.
    Link(Links, DevId),
    /// The directory of a disk or partition.
    Device(DevId),
    /// A file of it.
    Attribute(DevId, u8),
    /// Its link to the class.
    Subsystem(DevId),
    /// Who uses it, and what it is made of: for devices built on others, which Quill has not.
    Empty(DevId, u8),
    /// `queue/`.
    Queue(DevId),
    /// A file in it.
    QueueAttribute(DevId, u8),
    /// `queue/iosched/`.
    Iosched(DevId),
    /// A file in it: of which elevator, and which of its tunables.
    Tunable(DevId, u8, u8),
    /// `/sys/class/bdi/MAJOR:MINOR`: what a whole disk's cache goes by.
    Bdi(DevId),
    /// A file in it.
    BdiAttribute(DevId, u8),
    /// Its link to the class.
    BdiSubsystem(DevId),
    /// The disk's link to it.
    BdiLink(DevId),
    /// `/sys/fs/ext4/DISK`, by the number of the mount.
    Ext4(u32),
    /// A file in it.
    Ext4Attribute(u32, u8),
}

/// The names of [`Id::Empty`].
pub(crate) const EMPTY: [&str; 2] = ["holders", "slaves"];

impl Id {
    /// /sys itself.
    pub const ROOT: Id = Id::Fixed(0);

    /// The inode number: which kind, which disk or mount, which place.
    pub fn ino(self) -> Ino {
        let of = |kind: u64, dev: DevId, high: u8, low: u8| {
            let disk = u64::from(dev.major) << 20 | u64::from(dev.minor);
            Ino(kind << 48 | disk << 16 | u64::from(high) << 8 | u64::from(low))
        };
        let mount =
            |kind: u64, number: u32, row: u8| Ino(kind << 48 | u64::from(number) << 16 | u64::from(row));
        match self {
            Id::Fixed(row) => Ino(1 + u64::from(row)),
            Id::Link(links, dev) => of(1, dev, 0, links as u8),
            Id::Device(dev) => of(2, dev, 0, 0),
            Id::Attribute(dev, row) => of(3, dev, 0, row),
            Id::Subsystem(dev) => of(4, dev, 0, 0),
            Id::Empty(dev, which) => of(5, dev, 0, which),
            Id::Queue(dev) => of(6, dev, 0, 0),
            Id::QueueAttribute(dev, row) => of(7, dev, 0, row),
            Id::Iosched(dev) => of(8, dev, 0, 0),
            Id::Tunable(dev, elevator, row) => of(9, dev, elevator, row),
            Id::Bdi(dev) => of(10, dev, 0, 0),
            Id::BdiAttribute(dev, row) => of(11, dev, 0, row),
            Id::BdiSubsystem(dev) => of(12, dev, 0, 0),
            Id::BdiLink(dev) => of(13, dev, 0, 0),
            Id::Ext4(number) => mount(14, number, 0),
            Id::Ext4Attribute(number, row) => mount(15, number, row),
        }
    }
}
