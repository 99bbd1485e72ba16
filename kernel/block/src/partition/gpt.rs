//! The GPT: a header and an array of entries at the disk's start, and both again at its end.
//!
//! ```text
//!   block 0   1        2 … 33             34 …            … end-33 … end-1     end
//!   MBR       header   entries            partitions      entries              header
//!             └ my_lba 1, alternate end                                        └ my_lba end, alternate 1
//! ```
//! With blocks of 512 bytes; the array of 128 entries of 128 bytes has 32 of them, or 4 of 4096 bytes.
//!
//! # Which of the two is used
//! The primary one, if it passes every check; else the backup, where the primary header says that it is
//! if only the array is damaged, and in the disk's last block otherwise. A primary whose backup is damaged
//! is used, and the log tells. Both damaged: no partitions.
//!
//! # What is checked
//! In this order, an [`Error`] each: signature, header size, header CRC, the header's own place, the
//! usable range, size and number of entries, the array's place, its CRC. Of an entry: that it begins
//! before it ends, on the disk.
//!
//! Source: UEFI Specification 2.10, 5.3. The layouts are `gpt_disk_types`'.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::mem::{offset_of, size_of};
use core::ops::Range;

use base::units::SECTOR_SIZE;
use base::{Errno, Sector};
use gpt_disk_types::crc::Crc;
use gpt_disk_types::{Crc32, GptHeader, GptPartitionEntry, GptPartitionType};

use super::{Blocks, Entry, MAX_NUMBER};

/// Where the primary header is.
const PRIMARY: u64 = 1;
/// The longest array that is read: the usual one has 16 KiB.
const MAX_ARRAY: u64 = 1 << 20;

/// Why a header is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// It, or its array, cannot be read.
    Io(Errno),
    /// It does not begin with "EFI PART".
    Signature,
    /// Its size is less than a header's, or more than a block's.
    HeaderSize(u32),
    /// Its checksum is wrong.
    HeaderCrc,
    /// It says that it is elsewhere.
    MyLba(u64),
    /// The blocks for partitions are not a range on the disk.
    Usable(u64, u64),
    /// The size of an entry is not 128·2ⁿ, up to 4096.
    EntrySize(u32),
    /// More entries than anybody has.
    EntryCount(u32),
    /// The array does not lie on the disk.
    ArrayPlace(u64),
    /// The array's checksum is wrong.
    ArrayCrc,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(errno) => write!(f, "it cannot be read: {errno}"),
            Error::Signature => f.write_str("no signature"),
            Error::HeaderSize(size) => write!(f, "header of {size} bytes"),
            Error::HeaderCrc => f.write_str("wrong checksum of the header"),
            Error::MyLba(lba) => write!(f, "header for block {lba}"),
            Error::Usable(first, last) => write!(f, "usable blocks from {first} to {last}"),
            Error::EntrySize(size) => write!(f, "entries of {size} bytes"),
            Error::EntryCount(count) => write!(f, "{count} entries"),
            Error::ArrayPlace(lba) => write!(f, "entries from block {lba} on, beyond the end of the disk"),
            Error::ArrayCrc => f.write_str("wrong checksum of the entries"),
        }
    }
}

/// A table that passed every check.
struct Table {
    header: GptHeader,
    array: Vec<u8>,
}

/// The partitions of a disk with a protective MBR.
pub fn read(disk: &dyn Blocks) -> Vec<Entry> {
    let name = disk.name();
    let table = match Table::read(disk, PRIMARY) {
        Ok(table) => {
            let alternate = table.header.alternate_lba.to_u64();
            if let Err(error) = Table::read(disk, alternate) {
                log::warn!("{name}: the backup GPT in block {alternate} is damaged: {error}");
            }
            table
        }
        Err(primary) => match backup(disk) {
            Ok(table) => {
                log::warn!("{name}: the primary GPT is damaged ({primary}); its backup is used");
                table
            }
            Err(backup) => {
                log::error!(
                    "{name}: no partitions: the primary GPT is damaged ({primary}), the backup too ({backup})"
                );
                return Vec::new();
            }
        },
    };
    table.entries(disk)
}

/// The backup: where a primary header says it is, whose array is what is damaged; or in the last block.
fn backup(disk: &dyn Blocks) -> Result<Table, Error> {
    let header = disk.read(PRIMARY, 1).ok().and_then(|block| header(&block, PRIMARY, disk.blocks()).ok());
    if let Some(header) = header
        && let Ok(table) = Table::read(disk, header.alternate_lba.to_u64())
    {
        return Ok(table);
    }
    Table::read(disk, disk.blocks().saturating_sub(1))
}

impl Table {
    /// The table whose header is in this block.
    fn read(disk: &dyn Blocks, lba: u64) -> Result<Table, Error> {
        if lba >= disk.blocks() {
            return Err(Error::Io(Errno::EIO));
        }
        let block = disk.read(lba, 1).map_err(Error::Io)?;
        let header = header(&block, lba, disk.blocks())?;
        let range = array(&header, disk)?;
        let mut array = disk.read(range.start, range.end - range.start).map_err(Error::Io)?;
        array.truncate(array_bytes(&header) as usize);
        if crc32(&[&array]) != header.partition_entry_array_crc32.0.to_u32() {
            return Err(Error::ArrayCrc);
        }
        Ok(Table { header, array })
    }

    /// Its entries that are in use and make sense.
    fn entries(&self, disk: &dyn Blocks) -> Vec<Entry> {
        let size = self.header.size_of_partition_entry.to_u32() as usize;
        let numbered = (1..=MAX_NUMBER).zip(self.array.chunks_exact(size));
        numbered.filter_map(|(number, raw)| entry(disk, number, raw)).collect()
    }
}

/// A header that is in block `lba` of a disk of so many blocks.
fn header(block: &[u8], lba: u64, blocks: u64) -> Result<GptHeader, Error> {
    let raw = block.get(..size_of::<GptHeader>()).ok_or(Error::HeaderSize(0))?;
    let header: GptHeader = bytemuck::pod_read_unaligned(raw);
    if !header.is_signature_valid() {
        return Err(Error::Signature);
    }
    let size = header.header_size.to_u32();
    let whole = block.get(..size as usize).filter(|whole| whole.len() >= raw.len());
    let whole = whole.ok_or(Error::HeaderSize(size))?;
    let crc = offset_of!(GptHeader, header_crc32);
    // The checksum is taken with zeros in its own place.
    if crc32(&[&whole[..crc], &[0; 4], &whole[crc + 4..]]) != header.header_crc32.0.to_u32() {
        return Err(Error::HeaderCrc);
    }
    if header.my_lba.to_u64() != lba {
        return Err(Error::MyLba(header.my_lba.to_u64()));
    }
    let (first, last) = (header.first_usable_lba.to_u64(), header.last_usable_lba.to_u64());
    if first > last || last >= blocks {
        return Err(Error::Usable(first, last));
    }
    Ok(header)
}

/// The blocks of a header's array.
fn array(header: &GptHeader, disk: &dyn Blocks) -> Result<Range<u64>, Error> {
    let size = header.size_of_partition_entry.to_u32();
    if !size.is_power_of_two() || !(size_of::<GptPartitionEntry>() as u32..=4096).contains(&size) {
        return Err(Error::EntrySize(size));
    }
    let bytes = array_bytes(header);
    if bytes == 0 || bytes > MAX_ARRAY {
        return Err(Error::EntryCount(header.number_of_partition_entries.to_u32()));
    }
    let start = header.partition_entry_lba.to_u64();
    let end = start.checked_add(bytes.div_ceil(disk.block_size().into()));
    let end = end.filter(|&end| start > 0 && end <= disk.blocks()).ok_or(Error::ArrayPlace(start))?;
    Ok(start..end)
}

/// Two u32s multiplied.
fn array_bytes(header: &GptHeader) -> u64 {
    u64::from(header.number_of_partition_entries.to_u32())
        * u64::from(header.size_of_partition_entry.to_u32())
}

/// An entry that is in use and lies on the disk.
fn entry(disk: &dyn Blocks, number: u32, raw: &[u8]) -> Option<Entry> {
    let raw: GptPartitionEntry = bytemuck::pod_read_unaligned(raw.get(..size_of::<GptPartitionEntry>())?);
    if { raw.partition_type_guid } == GptPartitionType::UNUSED {
        return None;
    }
    let (first, last) = (raw.starting_lba.to_u64(), raw.ending_lba.to_u64());
    if first > last || last >= disk.blocks() {
        let name = disk.name();
        log::warn!("{name}: partition {number} from block {first} to {last} is not on the disk: left out");
        return None;
    }
    // Within the disk, whose size in sectors fits in 64 bits.
    let sectors = u64::from(disk.block_size()) / SECTOR_SIZE as u64;
    Some(Entry {
        number,
        start: Sector(first * sectors),
        sectors: (last - first + 1) * sectors,
        uuid: { raw.unique_partition_guid }.to_string(),
        label: { raw.name }.to_string(),
    })
}

/// CRC-32 over pieces, as the UEFI Specification has it.
pub(crate) fn crc32(pieces: &[&[u8]]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&Crc32::ALGORITHM);
    let mut digest = CRC.digest();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize()
}

/// Whether the table whose header is in this block passes.
#[cfg(test)]
pub(crate) fn check(disk: &dyn Blocks, lba: u64) -> Result<(), Error> {
    Table::read(disk, lba).map(drop)
}
