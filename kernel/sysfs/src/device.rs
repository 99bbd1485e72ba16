//! A disk or a partition, as its files see it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::DevId;
use block::Disk;

/// A disk or a partition, with what its files need to know beside it.
pub(crate) struct Device {
    pub disk: Arc<Disk>,
    /// The whole disk's place among all that ever came, from 1 (`diskseq`).
    pub sequence: usize,
}

impl Device {
    pub fn is_partition(&self) -> bool {
        self.disk.partno().is_some()
    }

    pub fn is_whole(&self) -> bool {
        !self.is_partition()
    }

    /// Whether virtio-blk drives it: Linux gives only such disks some of the files.
    pub fn is_virtio(&self) -> bool {
        self.is_whole() && self.disk.name().starts_with("vd")
    }

    /// The partitions of a disk.
    pub fn partitions(&self) -> Vec<Device> {
        let of = |disk| Device { disk, sequence: self.sequence };
        self.disk.partitions().into_iter().map(of).collect()
    }
}

/// All disks.
pub(crate) fn wholes(disks: Vec<Arc<Disk>>) -> impl Iterator<Item = Device> {
    disks.into_iter().enumerate().map(|(index, disk)| Device { disk, sequence: index + 1 })
}

/// All disks and their partitions.
pub(crate) fn all(disks: Vec<Arc<Disk>>) -> impl Iterator<Item = Device> {
    wholes(disks).flat_map(|whole| {
        let partitions = whole.partitions();
        core::iter::once(whole).chain(partitions)
    })
}

/// The disk or partition of a number.
pub(crate) fn find(disks: Vec<Arc<Disk>>, dev: DevId) -> Option<Device> {
    all(disks).find(|device| device.disk.dev() == dev)
}
