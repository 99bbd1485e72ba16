//! Partition tables: which parts of a disk are disks of their own.
//!
//! ```text
//!   register, Disk::rescan ─▶ scan ─▶ gpt::read   a protective MBR in sector 0, then header and entries
//!                                └──▶ mbr::read   otherwise: four entries, and a chain of further ones
//! ```
//! # The one door
//! The disk's bytes come in by [`Blocks::read`], whole logical blocks at a time, and leave the two
//! readers as [`Entry`]s that lie within the disk. What a table says is an allegation: each check has
//! an error of its own ([`gpt::Error`], [`mbr::Error`]); loops are bounded; arithmetic is checked.
//!
//! # What is wrong with a table
//! is told in the log, by name. A damaged primary GPT is replaced by its backup, at once: a Linux
//! without `gpt` on its command line has no partitions then. With both damaged there are none. An
//! entry that begins behind the disk's end is left out; an MBR's that ends behind it is cut there, as
//! in Linux.
//!
//! # Reading a table anew
//! [`Disk::rescan`] is what BLKRRPART asks for. A partition that is still where it was stays the same
//! [`Disk`]. The table is read from the device: who has changed it through a page cache writes that back
//! first.

pub mod gpt;
pub mod mbr;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::mbr_for_tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{Errno, PAGE_SIZE, Result, Sector, frame};

use crate::bio::{Bio, BioFlags, BioOp};
use crate::disk::Disk;

/// The highest number that a partition may have (Linux's DISK_MAX_PARTS, less one).
pub const MAX_NUMBER: u32 = 255;

/// A partition as its table describes it, within the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Counted from 1.
    pub number: u32,
    /// Its first sector.
    pub start: Sector,
    /// Its size, at least one logical block.
    pub sectors: u64,
    /// What `PARTUUID=` calls it: a GUID, or `1234abcd-01` of an MBR.
    pub uuid: String,
    /// What `PARTLABEL=` calls it, or nothing.
    pub label: String,
}

/// The door for a disk's bytes.
pub trait Blocks {
    /// For the log.
    fn name(&self) -> &str;
    /// Bytes in a logical block, a power of two from 512 on.
    fn block_size(&self) -> u32;
    /// Logical blocks on the disk.
    fn blocks(&self) -> u64;
    /// `count` blocks from `first` on. EIO, ENOMEM.
    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>>;
}

impl Blocks for Disk {
    fn name(&self) -> &str {
        Disk::name(self)
    }

    fn block_size(&self) -> u32 {
        self.logical_block_size()
    }

    fn blocks(&self) -> u64 {
        self.capacity().0 / self.sectors_per_block()
    }

    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>> {
        let sectors = self.sectors_per_block();
        let (first, count) = (first.checked_mul(sectors), count.checked_mul(sectors));
        let (mut sector, count) = first.zip(count).ok_or(Errno::EIO)?;
        let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(SECTOR_SIZE)).ok_or(Errno::EIO)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(len, 0);
        for piece in bytes.chunks_mut(PAGE_SIZE.max(self.logical_block_size() as usize)) {
            self.read_piece(Sector(sector), piece)?;
            sector += (piece.len() / SECTOR_SIZE) as u64;
        }
        Ok(bytes)
    }
}

impl Disk {
    /// Whether it is what this entry describes.
    fn is(&self, entry: &Entry) -> bool {
        self.entry().is_some_and(|mine| mine == entry)
    }

    fn sectors_per_block(&self) -> u64 {
        u64::from(self.logical_block_size()) / SECTOR_SIZE as u64
    }

    /// Whole logical blocks.
    fn read_piece(&self, sector: Sector, piece: &mut [u8]) -> Result<()> {
        let mut bio = Bio::new(BioOp::Read, sector);
        bio.flags |= BioFlags::SYNC;
        let mut frames = Vec::new();
        for page in piece.chunks(PAGE_SIZE) {
            let frame = frame::alloc_zeroed()?;
            // At most PAGE_SIZE.
            bio.add(&frame, 0, page.len() as u32);
            frames.push(frame);
        }
        self.submit_and_wait(bio)?;
        piece.chunks_mut(PAGE_SIZE).zip(frames).for_each(|(page, frame)| frame.read(0, page));
        Ok(())
    }

    /// Reads the partition table of a whole disk anew. EBUSY when somebody has claimed or opened a partition;
    /// EINVAL for a partition. What cannot be read is told in the log and leaves no partitions.
    pub fn rescan(self: &Arc<Self>) -> Result<()> {
        if self.partno().is_some() {
            return Err(Errno::EINVAL);
        }
        if self.gendisk().partition_in_use() {
            return Err(Errno::EBUSY);
        }
        scan(self);
        Ok(())
    }
}

/// Reads the table of a whole disk; its partitions are those of the table from now on.
pub(crate) fn scan(disk: &Arc<Disk>) {
    let _alone = disk.gendisk().scan.lock();
    let entries = entries(&**disk);
    let before = disk.partitions();
    let same = |entry: &Entry| before.iter().find(|partition| partition.is(entry)).cloned();
    let partitions: Vec<Arc<Disk>> =
        entries.into_iter().map(|entry| same(&entry).unwrap_or_else(|| disk.partition_of(entry))).collect();
    let places: Vec<_> = partitions.iter().map(|partition| partition.place()).collect();
    disk.queue().count_partitions(&places);
    if !partitions.is_empty() {
        let names: Vec<&str> = partitions.iter().map(|partition| partition.name()).collect();
        log::info!("{}: {}", disk.name(), names.join(" "));
    }
    // Dropped without the lock: it may be the last handle.
    let before = core::mem::replace(&mut *disk.partitions.lock(), partitions);
    drop(before);
}

/// What the disk's table says, by number; nothing when it has none.
fn entries(disk: &dyn Blocks) -> Vec<Entry> {
    let name = disk.name();
    if disk.blocks() == 0 {
        return Vec::new();
    }
    let table = match disk.read(0, 1) {
        Ok(block) => match mbr::Table::parse(&block) {
            Some(table) => table,
            None => return Vec::new(),
        },
        Err(errno) => {
            log::warn!("{name}: the partition table cannot be read: {errno}");
            return Vec::new();
        }
    };
    if table.is_protective() {
        return gpt::read(disk);
    }
    mbr::read(disk, &table)
}
