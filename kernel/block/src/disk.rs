//! What bios are submitted to (Linux's `block_device`): a whole disk, or one of its partitions.
//!
//! ```
//! use block::{DiskKind, RamDisk, elevator};
//! let disk = block::register(DiskKind::Ram, RamDisk::new(vec![0; 1 << 20]), elevator::DEFAULT).unwrap();
//! assert_eq!(disk.name(), "ram0");
//! assert!(block::find("ram0").is_some());
//! assert!(disk.partitions().is_empty());
//! ```
//! # A partition
//! is a [`Disk`] like any other: with a name, a number and a size of its own, and sectors that begin
//! at 0. A bio to it is checked against its size, moved by its start, and goes the way of all others
//! through the one queue of the whole disk. `vda1` with its 2048 sectors from 2048 on: its sector 7 is
//! the disk's sector 2055, and its sector 2048 is EIO.
//!
//! # Who owns whom
//! ```text
//!   Disk vda ──▶ Disk vda1, Disk vda2          the list of its partitions
//!      └──▶ Gendisk ◀──┘                       driver, queue, name, size (genhd.rs)
//! ```
//! A partition that somebody still holds works on after the table was read anew without it.
//!
//! # Locking
//! `partitions` is a `SpinLock`, held for copies of the list.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use base::{DevId, Errno, RateLimit, Result, Sector};
use sync::SpinLock;

use crate::bio::{Bio, BioOp, Direction};
use crate::driver::{Driver, Limits};
use crate::genhd::{Gendisk, Number};
use crate::partition::Entry;
use crate::plug::{self, PlugGuard};
use crate::queue::RequestQueue;
use crate::split::split;
use crate::stats::DiskStats;
use crate::wait::Completion;
use crate::{task_io, trace};

/// A file system on a disk that has shrunk, or must no longer be written, has much to say.
static REFUSED: RateLimit = RateLimit::new();

/// A disk or a partition.
pub struct Disk {
    name: String,
    number: Number,
    gendisk: Arc<Gendisk>,
    start: Sector,
    /// What the partition table says; None: the whole disk.
    entry: Option<Entry>,
    /// The whole disk.
    whole: Weak<Disk>,
    /// Somebody has said so (BLKROSET).
    set_read_only: AtomicBool,
    /// Of a whole disk.
    pub(crate) partitions: SpinLock<Vec<Arc<Disk>>>,
}

impl Disk {
    /// A whole disk that is in no list. EINVAL when there is no such elevator, or the driver's limits
    /// are impossible.
    pub fn new(name: &str, dev: DevId, driver: Arc<dyn Driver>, elevator: &str) -> Result<Arc<Disk>> {
        Gendisk::new(name, dev, 1, driver, elevator).map(Disk::whole_of)
    }

    /// The whole disk.
    pub(crate) fn whole_of(gendisk: Arc<Gendisk>) -> Arc<Disk> {
        Arc::new_cyclic(|whole| Disk {
            name: gendisk.name().into(),
            number: Number::Own(gendisk.dev()),
            start: Sector(0),
            entry: None,
            whole: whole.clone(),
            set_read_only: AtomicBool::new(false),
            partitions: SpinLock::new(Vec::new()),
            gendisk,
        })
    }

    /// A partition of this whole disk.
    pub(crate) fn partition_of(self: &Arc<Self>, entry: Entry) -> Arc<Disk> {
        Arc::new(Disk {
            name: self.gendisk.partition_name(entry.number),
            number: self.gendisk.partition_dev(entry.number),
            gendisk: self.gendisk.clone(),
            start: entry.start,
            entry: Some(entry),
            whole: Arc::downgrade(self),
            set_read_only: AtomicBool::new(false),
            partitions: SpinLock::new(Vec::new()),
        })
    }

    /// `vda`, `vda1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its device number.
    pub fn dev(&self) -> DevId {
        self.number.dev()
    }

    /// Its size. A whole disk's changes when the device is resized.
    pub fn capacity(&self) -> Sector {
        match &self.entry {
            Some(entry) => Sector(entry.sectors),
            None => self.gendisk.capacity(),
        }
    }

    /// Where it begins on the whole disk; 0 of a whole disk.
    pub fn start(&self) -> Sector {
        self.start
    }

    /// Its number in the partition table, from 1; None of a whole disk.
    pub fn partno(&self) -> Option<u32> {
        self.entry.as_ref().map(|entry| entry.number)
    }

    /// What the partition table says of it; None of a whole disk.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// What `root=PARTUUID=` calls it, in lower case; nothing of a whole disk.
    pub fn partuuid(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.uuid)
    }

    /// The name that a GPT gives it, or nothing.
    pub fn partlabel(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.label)
    }

    /// The whole disk: itself, if it is one. None when nobody has the whole disk any more.
    pub fn whole(&self) -> Option<Arc<Disk>> {
        self.whole.upgrade()
    }

    /// Its partitions, by number; none of a partition.
    pub fn partitions(&self) -> Vec<Arc<Disk>> {
        self.partitions.lock().clone()
    }

    /// What the partitions and the whole disk share.
    pub fn gendisk(&self) -> &Arc<Gendisk> {
        &self.gendisk
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
        self.gendisk.read_only() || self.set_read_only.load(Ordering::Relaxed)
    }

    /// Refuses writes from now on, or no longer, as far as the device takes them (BLKROSET). A whole
    /// disk's setting is not its partitions'.
    pub fn set_read_only(&self, on: bool) {
        self.set_read_only.store(on, Ordering::Relaxed);
    }

    /// The serial number that the device tells, or nothing.
    pub fn serial(&self) -> String {
        self.queue().driver().serial()
    }

    /// What one request may be.
    pub fn limits(&self) -> Limits {
        self.queue().limits()
    }

    /// The whole disk's queue: elevator, counters.
    pub fn queue(&self) -> &Arc<RequestQueue> {
        self.gendisk.queue()
    }

    /// What it has done so far: a whole disk with what its partitions have done.
    pub fn stats(&self) -> DiskStats {
        match self.entry {
            None => self.queue().stats(),
            Some(_) => self.queue().partition_stats(&self.place()),
        }
    }

    /// Its sectors on the whole disk.
    pub(crate) fn place(&self) -> Range<u64> {
        // Within the disk, so it does not overflow.
        self.start.0..self.start.0 + self.capacity().0
    }

    /// Begins a transfer. The bio's `end_io` runs exactly once: with Ok when the device has done it
    /// all; with EIO when the range leaves the disk, the disk is read-only, or the device says so;
    /// EINVAL when the bio is malformed; EOPNOTSUPP when the device lacks the operation. May sleep
    /// when the queue is full; not for interrupts.
    pub fn submit_bio(&self, mut bio: Bio) {
        task_io::account_bio(&bio);
        if let Err(errno) = self.check(&bio) {
            return bio.complete(Err(errno));
        }
        bio.remap(self.start);
        let dev = self.gendisk.dev();
        if self.entry.is_some() {
            trace::bio_remap(dev, &bio, self.dev(), self.start);
        }
        trace::bio_queue(dev, &bio);
        match split(bio, &self.limits()) {
            Ok(parts) => {
                trace::split(dev, &parts);
                parts.into_iter().for_each(|part| self.queue().submit(part));
            }
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
        if bio.op().direction() == Direction::Write && self.read_only() && bio.op() != BioOp::Flush {
            if let Some(missed) = REFUSED.admit() {
                log::error!("{}: write to a read-only disk, {bio:?}{missed}", self.name);
            }
            return Err(Errno::EIO);
        }
        if bio.end() > self.capacity() {
            if let Some(missed) = REFUSED.admit() {
                let (name, end) = (&self.name, self.capacity());
                log::error!("{name}: attempt to access beyond the end, {bio:?}, {end} sectors{missed}");
            }
            return Err(Errno::EIO);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::mbr_for_tests;
    use crate::ramdisk::RamDisk;
    use crate::testing::page_bio;
    use std::sync::Mutex;
    use std::vec::Vec as StdVec;

    /// A disk of 1 MiB with partitions of 64 sectors at 64 and 128.
    fn partitioned() -> (Arc<RamDisk>, Arc<Disk>) {
        let mut bytes = vec![0; 1 << 20];
        bytes[..512].copy_from_slice(&mbr_for_tests(&[(64, 64), (128, 64)]));
        let ram = RamDisk::new(bytes);
        let disk = Disk::new("vdx", DevId::new(254, 0), ram.clone(), "noop").unwrap();
        disk.rescan().unwrap();
        (ram, disk)
    }

    fn ended(disk: &Disk, bio: Bio) -> Result<()> {
        let end = Arc::new(Mutex::new(StdVec::new()));
        let sink = end.clone();
        disk.submit_bio(bio.end_io(move |result| sink.lock().unwrap().push(result)));
        let results = end.lock().unwrap().clone();
        assert_eq!(results.len(), 1);
        results[0]
    }

    #[test]
    fn a_partition_is_a_disk_with_its_own_sectors() {
        let (ram, disk) = partitioned();
        let parts = disk.partitions();
        let names: StdVec<&str> = parts.iter().map(|part| part.name()).collect();
        assert_eq!(names, ["vdx1", "vdx2"]);
        let second = &parts[1];
        assert_eq!((second.start(), second.capacity(), second.partno()), (Sector(128), Sector(64), Some(2)));
        assert!(Arc::ptr_eq(&second.whole().unwrap(), &disk));
        let (bio, _frames) = page_bio(BioOp::Write, 56, 1, 7);
        assert_eq!(ended(second, bio), Ok(()));
        let bytes = ram.bytes();
        assert_eq!((bytes[184 * 512 - 1], bytes[184 * 512], bytes[192 * 512 - 1]), (0, 7, 7));
        assert_eq!(second.flush(), Ok(()));
    }

    #[test]
    fn a_bio_that_leaves_the_partition_is_refused() {
        let (ram, disk) = partitioned();
        let before = ram.bytes();
        for sector in [57, 64, 65, u64::MAX / 512] {
            let (bio, _frames) = page_bio(BioOp::Write, sector, 1, 7);
            assert_eq!(ended(&disk.partitions()[0], bio), Err(Errno::EIO));
        }
        assert!(ram.bytes() == before);
    }

    #[test]
    fn each_partition_counts_for_itself_and_the_disk_for_all() {
        let (_, disk) = partitioned();
        let parts = disk.partitions();
        let reads_of_the_table = disk.stats().read.ios;
        for part in &parts {
            ended(part, page_bio(BioOp::Write, 0, 1, 1).0).unwrap();
        }
        ended(&parts[0], page_bio(BioOp::Read, 0, 1, 1).0).unwrap();
        let (first, second, all) = (parts[0].stats(), parts[1].stats(), disk.stats());
        assert_eq!((first.read.ios, first.write.sectors), (1, 8));
        assert_eq!((second.read.ios, second.write.sectors), (0, 8));
        assert_eq!((all.read.ios - reads_of_the_table, all.write.sectors), (1, 16));
    }

    #[test]
    fn a_table_is_read_anew_unless_a_partition_is_in_use() {
        let (_, disk) = partitioned();
        let first = disk.partitions()[0].clone();
        let claim = first.claim().unwrap();
        assert_eq!((first.claim().err(), disk.claim().err()), (Some(Errno::EBUSY), Some(Errno::EBUSY)));
        assert!(disk.partitions()[1].claim().is_ok());
        assert_eq!((disk.rescan(), first.rescan()), (Err(Errno::EBUSY), Err(Errno::EINVAL)));
        drop(claim);
        assert!(disk.claim().is_ok());
        let (open, _whole) = (first.open(), disk.open());
        assert_eq!(disk.rescan(), Err(Errno::EBUSY));
        drop(open);

        let (bio, frames) = page_bio(BioOp::Write, 0, 1, 0);
        frames[0].write(0, &mbr_for_tests(&[(64, 64), (256, 32), (300, 10)]));
        ended(&disk, bio).unwrap();
        disk.rescan().unwrap();
        let parts = disk.partitions();
        assert!(Arc::ptr_eq(&parts[0], &first), "it is where it was");
        assert_eq!((parts.len(), parts[1].start(), parts[2].name()), (3, Sector(256), "vdx3"));
    }
}
