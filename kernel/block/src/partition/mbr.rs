//! The MBR: four partitions in sector 0, one of which may hold a chain of further ones.
//!
//! ```text
//!   block 0     MBR  [1: data] [2: extended 1000+9000] [3: —] [4: —]
//!   block 1000  EBR  [data, 63 behind this EBR]  [extended, 4000 behind block 1000]     number 5
//!   block 5000  EBR  [data, 63 behind this EBR]  [—]                                    number 6
//! ```
//! The primary partitions are 1 to 4, each in its slot; the logical ones are 5 and up, in the order of
//! the chain. A data entry counts from its EBR, a link from the extended partition's start. The
//! extended partition itself is a partition of two sectors, enough for a boot loader: nobody can make
//! a file system over what is inside it.
//!
//! Numbers in the table count logical blocks, whatever their size.
//!
//! # A hostile chain
//! ends after [`MAX_LINKS`] links without a partition, at number 255, or where it comes back to an EBR
//! that it has been at.
//!
//! Source: UEFI Specification 2.10, 5.2 (legacy MBR); the numbering and the limits are Linux's.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use base::units::SECTOR_SIZE;
use base::{Errno, Sector};
use gpt_disk_types::{MasterBootRecord, MbrPartitionRecord};

use super::{Blocks, Entry, MAX_NUMBER};

/// Links in a row that lead to no partition.
const MAX_LINKS: u32 = 100;
/// The type of the entry that guards a GPT.
const PROTECTIVE: u8 = 0xee;
/// The types of an extended partition: DOS's, Windows's, Linux's.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// What is wrong with a chain of logical partitions; those before it are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// An EBR cannot be read.
    Io(u64, Errno),
    /// An EBR lacks its signature.
    Signature(u64),
    /// A link leads to an EBR that was there before.
    Loop(u64),
    /// Too many links without a partition.
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(block, errno) => write!(f, "block {block} cannot be read: {errno}"),
            Error::Signature(block) => write!(f, "block {block} is no partition table"),
            Error::Loop(block) => write!(f, "it comes back to block {block}"),
            Error::TooLong => write!(f, "{MAX_LINKS} links without a partition"),
        }
    }
}

/// A table of four entries, MBR or EBR.
pub struct Table {
    record: MasterBootRecord,
}

impl Table {
    /// The table in a block. None when it lacks the signature, or what would be the entries is
    /// something else (a FAT's boot sector).
    pub fn parse(block: &[u8]) -> Option<Table> {
        let record: MasterBootRecord = bytemuck::pod_read_unaligned(block.get(..SECTOR_SIZE)?);
        let sane = record.partitions.iter().all(|entry| entry.boot_indicator & 0x7f == 0);
        (record.signature == [0x55, 0xaa] && sane).then_some(Table { record })
    }

    /// Whether it stands before a GPT.
    pub fn is_protective(&self) -> bool {
        let guards = |e: &MbrPartitionRecord| e.os_indicator == PROTECTIVE && e.starting_lba.to_u32() == 1;
        self.record.partitions.iter().any(guards)
    }

    fn entries(&self) -> impl Iterator<Item = Slot> {
        self.record.partitions.iter().map(|entry| Slot {
            kind: entry.os_indicator,
            start: entry.starting_lba.to_u32().into(),
            blocks: entry.size_in_lba.to_u32().into(),
        })
    }
}

/// An entry of a table, in logical blocks.
#[derive(Clone, Copy)]
struct Slot {
    kind: u8,
    start: u64,
    blocks: u64,
}

impl Slot {
    fn is_extended(&self) -> bool {
        EXTENDED.contains(&self.kind)
    }
}

/// The partitions of an MBR.
pub fn read(disk: &dyn Blocks, table: &Table) -> Vec<Entry> {
    if table.record.partitions.iter().any(|entry| entry.os_indicator == PROTECTIVE) {
        return Vec::new();
    }
    let signature = u32::from_le_bytes(table.record.unique_mbr_disk_signature);
    let mut found = Found { disk, signature, entries: Vec::new(), next: 5 };
    for (slot, number) in table.entries().zip(1..) {
        if slot.blocks == 0 {
            continue;
        }
        if !slot.is_extended() {
            found.put(number, slot.start, slot.blocks);
            continue;
        }
        let two_sectors = (2 * SECTOR_SIZE as u64).div_ceil(u64::from(disk.block_size()));
        found.put(number, slot.start, slot.blocks.min(two_sectors));
        if let Err(error) = found.chain(slot) {
            log::warn!("{}: the chain of logical partitions ends early: {error}", disk.name());
        }
    }
    base::sort::by_key(&mut found.entries, |entry| entry.number);
    found.entries
}

struct Found<'a> {
    disk: &'a dyn Blocks,
    signature: u32,
    entries: Vec<Entry>,
    /// The next logical partition's number.
    next: u32,
}

impl Found<'_> {
    /// Follows the chain in an extended partition.
    fn chain(&mut self, extended: Slot) -> Result<(), Error> {
        let mut seen = Vec::new();
        let mut idle = 0;
        let mut here = Slot { kind: 0, ..extended };
        while self.next <= MAX_NUMBER {
            if seen.contains(&here.start) {
                return Err(Error::Loop(here.start));
            }
            if idle == MAX_LINKS {
                return Err(Error::TooLong);
            }
            seen.push(here.start);
            let block = self.disk.read(here.start, 1).map_err(|errno| Error::Io(here.start, errno))?;
            let table = Table::parse(&block).ok_or(Error::Signature(here.start))?;
            let before = self.next;
            self.logical(&table, here, extended);
            idle = if self.next > before { 0 } else { idle + 1 };
            let link = table.entries().find(|slot| slot.blocks > 0 && slot.is_extended());
            let Some(link) = link else { return Ok(()) };
            // Two u32s.
            here = Slot { start: extended.start + link.start, ..link };
        }
        Ok(())
    }

    /// The data entries of an EBR. Usually there is one, in the first slot; one of the last two slots
    /// counts only when it stays within the EBR's part and the extended partition.
    fn logical(&mut self, table: &Table, here: Slot, extended: Slot) {
        for (slot, index) in table.entries().zip(0..) {
            if slot.blocks == 0 || slot.is_extended() || self.next > MAX_NUMBER {
                continue;
            }
            let start = here.start + slot.start;
            let inside = slot.start + slot.blocks <= here.blocks
                && start >= extended.start
                && start + slot.blocks <= extended.start + extended.blocks;
            if index < 2 || inside {
                self.put(self.next, start, slot.blocks);
                self.next += 1;
            }
        }
    }

    /// Enters a partition, as far as it lies on the disk.
    fn put(&mut self, number: u32, start: u64, blocks: u64) {
        let (name, end) = (self.disk.name(), self.disk.blocks());
        let Some(room) = end.checked_sub(start).filter(|&room| room > 0) else {
            log::warn!("{name}: partition {number} begins at block {start}, beyond the end of the disk");
            return;
        };
        if blocks > room {
            log::warn!(
                "{name}: partition {number} of {blocks} blocks ends beyond the disk, and is cut there"
            );
        }
        // The disk's size in sectors fits in 64 bits, and this is within the disk.
        let sectors = u64::from(self.disk.block_size()) / SECTOR_SIZE as u64;
        self.entries.push(Entry {
            number,
            start: Sector(start * sectors),
            sectors: blocks.min(room) * sectors,
            uuid: format!("{:08x}-{number:02x}", self.signature),
            label: alloc::string::String::new(),
        });
    }
}
