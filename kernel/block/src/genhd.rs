//! The disk as its driver made it (Linux's `gendisk`): driver, queue, name and number; who has claimed
//! it; and the list of all disks.
//!
//! # Names and numbers
//! ```text
//!   vda   254:0      vda1   254:1   …  vda15  254:15     vda16  259:0
//!   vdb   254:16     vdb1   254:17                       vda17  259:1
//!   ram0    1:0      ram0p1 259:2      a name that ends with a digit gets a p
//! ```
//! A driver has room for some minors per disk, of which the first is the whole disk's. A partition
//! that finds no place among them gets the next free minor of the major 259, `blkext`.
//!
//! # Claims
//! Who mounts a disk claims it: nobody else then may, and neither may anybody claim a part of it or the
//! whole of which it is a part. Two partitions are nothing to each other.
//!
//! # Locking
//! Spin locks, none inside another: the list of disks, the claims of a disk, the extended minors.
//! `scan` is a sleeping lock: one thread at a time reads a partition table.
//!
//! Source: Linux, Documentation/admin-guide/devices.txt.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use base::{DevId, Errno, Result, Sector};
use smallvec::SmallVec;
use sync::{Mutex, SpinLock};

use crate::disk::Disk;
use crate::driver::Driver;
use crate::partition;
use crate::queue::RequestQueue;

/// The major number of partitions that have no minor of their driver's.
const BLOCK_EXT_MAJOR: u32 = 259;

/// What a disk and its partitions share.
pub struct Gendisk {
    name: String,
    dev: DevId,
    /// How many minors from `dev` on are its own.
    minors: u32,
    read_only: bool,
    queue: Arc<RequestQueue>,
    /// The numbers of the claimed partitions; 0 is the whole disk.
    claims: SpinLock<Vec<u32>>,
    /// How many opens of partitions there are.
    open_partitions: AtomicUsize,
    /// Held while the partition table is read.
    pub(crate) scan: Mutex<()>,
}

impl Gendisk {
    pub(crate) fn new(
        name: &str,
        dev: DevId,
        minors: u32,
        driver: Arc<dyn Driver>,
        elevator: &str,
    ) -> Result<Arc<Gendisk>> {
        Ok(Arc::new(Gendisk {
            name: name.to_string(),
            dev,
            minors,
            read_only: driver.read_only(),
            queue: RequestQueue::new(name, dev, driver, elevator)?,
            claims: SpinLock::new(Vec::new()),
            open_partitions: AtomicUsize::new(0),
            scan: Mutex::new(()),
        }))
    }

    /// `vda`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole disk's number.
    pub fn dev(&self) -> DevId {
        self.dev
    }

    /// How many minors from the whole disk's on belong to it.
    pub fn minors(&self) -> u32 {
        self.minors
    }

    /// The whole disk's size. It changes when the device is resized.
    pub fn capacity(&self) -> Sector {
        self.queue.driver().capacity()
    }

    /// Whether the device refuses writes.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Its queue.
    pub fn queue(&self) -> &Arc<RequestQueue> {
        &self.queue
    }

    /// `vda1`; `ram0p1`.
    pub(crate) fn partition_name(&self, number: u32) -> String {
        let between = if self.name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        [&self.name, between, &number.to_string()].concat()
    }

    /// A number for a partition.
    pub(crate) fn partition_dev(&self, number: u32) -> Number {
        if number < self.minors {
            return Number::Own(DevId::new(self.dev.major, self.dev.minor + number));
        }
        let mut taken = EXTENDED.lock();
        let free = taken.iter().position(|&taken| !taken).unwrap_or(taken.len());
        if free == taken.len() {
            taken.push(true);
        } else {
            taken[free] = true;
        }
        // Fewer than 2^20 partitions exist.
        Number::Extended(free as u32)
    }

    /// Whether anybody has claimed or opened a partition.
    pub(crate) fn partition_in_use(&self) -> bool {
        self.open_partitions.load(Ordering::Acquire) > 0
            || self.claims.lock().iter().any(|&number| number > 0)
    }
}

/// Which minors of `blkext` are in use.
static EXTENDED: SpinLock<Vec<bool>> = SpinLock::new(Vec::new());

/// A device number, given back when it is dropped.
pub(crate) enum Number {
    /// One of the driver's.
    Own(DevId),
    /// A minor of `blkext`.
    Extended(u32),
}

impl Number {
    pub fn dev(&self) -> DevId {
        match *self {
            Number::Own(dev) => dev,
            Number::Extended(minor) => DevId::new(BLOCK_EXT_MAJOR, minor),
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Number::Extended(minor) = *self
            && let Some(taken) = EXTENDED.lock().get_mut(minor as usize)
        {
            *taken = false;
        }
    }
}

/// An open disk or partition, until it is dropped. While a partition is open its disk's table is not read
/// anew (BLKRRPART).
pub struct Opened(Arc<Disk>);

impl Disk {
    /// Opens it.
    pub fn open(self: &Arc<Self>) -> Opened {
        self.gendisk().open_partitions.fetch_add(usize::from(self.partno().is_some()), Ordering::AcqRel);
        Opened(self.clone())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let disk = &self.0;
        disk.gendisk().open_partitions.fetch_sub(usize::from(disk.partno().is_some()), Ordering::AcqRel);
    }
}

/// A hold on a disk or partition, until it is dropped.
pub struct Claim(Arc<Disk>);

impl Disk {
    /// Takes it for oneself. EBUSY while it, the whole of which it is a part, or a part of it is
    /// somebody's.
    pub fn claim(self: &Arc<Self>) -> Result<Claim> {
        let mut claims = self.gendisk().claims.lock();
        let number = self.partno().unwrap_or(0);
        let busy = claims.iter().any(|&other| other == number || other == 0 || number == 0);
        if busy {
            return Err(Errno::EBUSY);
        }
        claims.push(number);
        Ok(Claim(self.clone()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let number = self.0.partno().unwrap_or(0);
        self.0.gendisk().claims.lock().retain(|&other| other != number);
    }
}

/// What a disk is, for its name and number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskKind {
    /// `vda`, `vdb`, …; major 254, 16 minors each.
    Virtio,
    /// `ram0`, `ram1`, …; major 1, one minor each.
    Ram,
}

impl DiskKind {
    fn name(self, index: u32) -> String {
        match self {
            DiskKind::Virtio => ["vd", &letters(index)].concat(),
            DiskKind::Ram => ["ram", &index.to_string()].concat(),
        }
    }

    /// Minors of each disk.
    const fn minors(self) -> u32 {
        match self {
            DiskKind::Virtio => 16,
            DiskKind::Ram => 1,
        }
    }

    fn dev(self, index: u32) -> DevId {
        let major = match self {
            DiskKind::Virtio => 254,
            DiskKind::Ram => 1,
        };
        DevId::new(major, index * self.minors())
    }
}

/// 0 → a, 25 → z, 26 → aa, 27 → ab.
fn letters(index: u32) -> String {
    let mut reversed: SmallVec<[char; 8]> = SmallVec::new();
    let mut left = index + 1;
    while left > 0 {
        // Below 26.
        reversed.push(char::from(b'a' + ((left - 1) % 26) as u8));
        left = (left - 1) / 26;
    }
    reversed.iter().rev().collect()
}

static DISKS: SpinLock<Vec<(DiskKind, Arc<Disk>)>> = SpinLock::new(Vec::new());

/// Makes a disk of the next free name of its kind, reads its partition table, and puts it in the
/// list. Called at boot, by one thread. EINVAL as [`Disk::new`]. A table that cannot be read or is
/// wrong is told in the log, and the disk has no partitions then.
pub fn register(kind: DiskKind, driver: Arc<dyn Driver>, elevator: &str) -> Result<Arc<Disk>> {
    // Fewer than 2^32 disks exist.
    let index = DISKS.lock().iter().filter(|(k, _)| *k == kind).count() as u32;
    let gendisk = Gendisk::new(&kind.name(index), kind.dev(index), kind.minors(), driver, elevator)?;
    let disk = Disk::whole_of(gendisk);
    DISKS.lock().push((kind, disk.clone()));
    partition::scan(&disk);
    Ok(disk)
}

/// All whole disks, in the order of their registration.
pub fn disks() -> Vec<Arc<Disk>> {
    DISKS.lock().iter().map(|(_, disk)| disk.clone()).collect()
}

/// All that bios can be submitted to: each disk, followed by its partitions.
pub fn devices() -> Vec<Arc<Disk>> {
    let with_partitions = |disk: Arc<Disk>| {
        let partitions = disk.partitions();
        core::iter::once(disk).chain(partitions)
    };
    disks().into_iter().flat_map(with_partitions).collect()
}

/// The disk or partition of that name, without `/dev/`.
pub fn find(name: &str) -> Option<Arc<Disk>> {
    devices().into_iter().find(|disk| disk.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ramdisk::RamDisk;

    #[test]
    fn disks_are_named_like_linux_names_them() {
        let names = [0, 1, 25, 26, 27, 701, 702].map(|i| DiskKind::Virtio.name(i));
        assert_eq!(names, ["vda", "vdb", "vdz", "vdaa", "vdab", "vdzz", "vdaaa"]);
        assert_eq!(DiskKind::Ram.name(3), "ram3");
        assert_eq!(DiskKind::Virtio.dev(1), DevId::new(254, 16));
    }

    fn gendisk(name: &str, minors: u32) -> Arc<Gendisk> {
        Gendisk::new(name, DevId::new(254, 32), minors, RamDisk::new(vec![0; 65536]), "noop").unwrap()
    }

    #[test]
    fn partitions_are_named_and_numbered_like_linux_does() {
        let (vdc, ram) = (gendisk("vdc", 16), gendisk("ram0", 1));
        assert_eq!((vdc.partition_name(1), ram.partition_name(12)), ("vdc1".into(), "ram0p12".into()));
        assert_eq!(vdc.partition_dev(15).dev(), DevId::new(254, 47));
        let (first, second) = (vdc.partition_dev(16), ram.partition_dev(1));
        assert_eq!((first.dev().major, second.dev().major), (259, 259));
        assert_ne!(first.dev(), second.dev());
    }
}
