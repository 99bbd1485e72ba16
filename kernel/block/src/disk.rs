//! A disk (`gendisk`): a name, a size, and the door through which bios enter its queue; and the list
//! of all disks.
//!
//! ```
//! use block::{DiskKind, RamDisk, elevator};
//! let disk = block::register(DiskKind::Ram, RamDisk::new(vec![0; 1 << 20]), elevator::DEFAULT).unwrap();
//! assert_eq!(disk.name(), "ram0");
//! assert!(block::find("ram0").is_some());
//! ```

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{DevId, Errno, Result, Sector};
use smallvec::SmallVec;
use sync::SpinLock;

use crate::bio::{Bio, BioOp, Direction};
use crate::driver::{Driver, Limits};
use crate::plug::{self, PlugGuard};
use crate::queue::RequestQueue;
use crate::split::split;
use crate::stats::DiskStats;
use crate::wait::Completion;

/// A disk.
pub struct Disk {
    name: String,
    dev: DevId,
    capacity: Sector,
    read_only: bool,
    queue: Arc<RequestQueue>,
}

impl Disk {
    /// A disk that is in no list. EINVAL when there is no such elevator, or the driver's limits are
    /// impossible.
    pub fn new(name: &str, dev: DevId, driver: Arc<dyn Driver>, elevator: &str) -> Result<Arc<Disk>> {
        let queue = RequestQueue::new(name, driver.clone(), elevator)?;
        Ok(Arc::new(Disk {
            name: name.to_string(),
            dev,
            capacity: driver.capacity(),
            read_only: driver.read_only(),
            queue,
        }))
    }

    /// `vda`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its device number.
    pub fn dev(&self) -> DevId {
        self.dev
    }

    /// Its size.
    pub fn capacity(&self) -> Sector {
        self.capacity
    }

    /// Bytes; every transfer is a multiple of it, in place and in length.
    pub fn logical_block_size(&self) -> u32 {
        self.limits().logical_block_size
    }

    /// Bytes that the device writes without reading first.
    pub fn physical_block_size(&self) -> u32 {
        self.limits().physical_block_size
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The serial number that the device tells, or nothing.
    pub fn serial(&self) -> String {
        self.queue.driver().serial()
    }

    /// What one request may be.
    pub fn limits(&self) -> Limits {
        self.queue.limits()
    }

    /// Its queue: elevator, counters.
    pub fn queue(&self) -> &Arc<RequestQueue> {
        &self.queue
    }

    /// What it has done so far.
    pub fn stats(&self) -> DiskStats {
        self.queue.stats()
    }

    /// Begins a transfer. The bio's `end_io` runs exactly once: with Ok when the device has done it
    /// all; with EIO when the range leaves the disk, the disk is read-only, or the device says so;
    /// EINVAL when the bio is malformed; EOPNOTSUPP when the device lacks the operation. May sleep
    /// when the queue is full; not for interrupts.
    pub fn submit_bio(&self, bio: Bio) {
        if let Err(errno) = self.check(&bio) {
            return bio.complete(Err(errno));
        }
        match split(bio, &self.limits()) {
            Ok(parts) => parts.into_iter().for_each(|part| self.queue.submit(part)),
            Err((bio, errno)) => bio.complete(Err(errno)),
        }
    }

    /// Submits and sleeps until it is over.
    pub fn submit_and_wait(&self, bio: Bio) -> Result<()> {
        let done = Completion::new();
        self.submit_bio(done.track(bio));
        plug::flush_current();
        done.wait()
    }

    /// Returns when all that was completed before is durable. Nothing to do for a device without a
    /// write cache.
    pub fn flush(&self) -> Result<()> {
        self.submit_and_wait(Bio::new(BioOp::Flush, Sector(0)))
    }

    /// Begins to hold back this thread's bios; see [`crate::plug()`].
    pub fn plug(&self) -> PlugGuard {
        plug::plug()
    }

    fn check(&self, bio: &Bio) -> Result<()> {
        bio.check(self.logical_block_size())?;
        if bio.op().direction() == Direction::Write && self.read_only && bio.op() != BioOp::Flush {
            log::error!("{}: write to a read-only disk, {bio:?}", self.name);
            return Err(Errno::EIO);
        }
        if bio.end() > self.capacity {
            log::error!(
                "{}: attempt to access beyond the end, {bio:?}, {} sectors",
                self.name,
                self.capacity
            );
            return Err(Errno::EIO);
        }
        Ok(())
    }
}

/// What a disk is, for its name and number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskKind {
    /// `vda`, `vdb`, …; major 254, 16 minors each.
    Virtio,
    /// `ram0`, `ram1`, …; major 1, one minor each (Documentation/admin-guide/devices.txt).
    Ram,
}

impl DiskKind {
    fn name(self, index: u32) -> String {
        match self {
            DiskKind::Virtio => ["vd", &letters(index)].concat(),
            DiskKind::Ram => ["ram", &index.to_string()].concat(),
        }
    }

    fn dev(self, index: u32) -> DevId {
        match self {
            DiskKind::Virtio => DevId::new(254, index * 16),
            DiskKind::Ram => DevId::new(1, index),
        }
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

/// Makes a disk of the next free name of its kind and puts it in the list. Called at boot, by one
/// thread. EINVAL as [`Disk::new`].
pub fn register(kind: DiskKind, driver: Arc<dyn Driver>, elevator: &str) -> Result<Arc<Disk>> {
    // Fewer than 2^32 disks exist.
    let index = DISKS.lock().iter().filter(|(k, _)| *k == kind).count() as u32;
    let disk = Disk::new(&kind.name(index), kind.dev(index), driver, elevator)?;
    DISKS.lock().push((kind, disk.clone()));
    Ok(disk)
}

/// All disks, in the order of their registration.
pub fn disks() -> Vec<Arc<Disk>> {
    DISKS.lock().iter().map(|(_, disk)| disk.clone()).collect()
}

/// The disk of that name, without `/dev/`.
pub fn find(name: &str) -> Option<Arc<Disk>> {
    DISKS.lock().iter().map(|(_, disk)| disk).find(|disk| disk.name() == name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_named_like_linux_names_them() {
        let names = [0, 1, 25, 26, 27, 701, 702].map(|i| DiskKind::Virtio.name(i));
        assert_eq!(names, ["vda", "vdb", "vdz", "vdaa", "vdab", "vdzz", "vdaaa"]);
        assert_eq!(DiskKind::Ram.name(3), "ram3");
        assert_eq!(DiskKind::Virtio.dev(1), DevId::new(254, 16));
    }
}
