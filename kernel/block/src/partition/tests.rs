//! Tables made by `sfdisk` and by hand, and hostile ones.

use std::cell::Cell;
use std::io::Write;
use std::process::{Command, Stdio};
use std::string::String;
use std::vec::Vec;

use base::{Errno, Result, Sector};
use gpt_disk_types::{
    Crc32, GptHeader, GptPartitionEntry, GptPartitionType, LbaLe, MasterBootRecord, U32Le, guid,
};
use proptest::prelude::*;

use super::{Blocks, Entry, entries, gpt};

/// A disk that is a vector of bytes.
struct Image {
    bytes: Vec<u8>,
    block: usize,
    reads: Cell<usize>,
    /// A block that cannot be read.
    bad: Option<u64>,
}

impl Blocks for Image {
    fn name(&self) -> &str {
        "vda"
    }

    fn block_size(&self) -> u32 {
        self.block as u32
    }

    fn blocks(&self) -> u64 {
        (self.bytes.len() / self.block) as u64
    }

    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        assert!(count <= 4096, "a read of {count} blocks");
        let range = first as usize * self.block..(first + count) as usize * self.block;
        if self.bad.is_some_and(|bad| (first..first + count).contains(&bad)) {
            return Err(Errno::EIO);
        }
        self.bytes.get(range).map(<[u8]>::to_vec).ok_or(Errno::EIO)
    }
}

impl Image {
    fn new(block: usize, blocks: usize) -> Image {
        Image { bytes: vec![0; block * blocks], block, reads: Cell::new(0), bad: None }
    }

    fn block_mut(&mut self, lba: usize) -> &mut [u8] {
        let at = lba * self.block;
        &mut self.bytes[at..at + self.block]
    }

    /// Number, first sector, sectors.
    fn places(&self) -> Vec<(u32, u64, u64)> {
        entries(self).iter().map(|e| (e.number, e.start.0, e.sectors)).collect()
    }

    fn put<T: bytemuck::NoUninit>(&mut self, lba: usize, value: &T) {
        let bytes = bytemuck::bytes_of(value);
        self.block_mut(lba)[..bytes.len()].copy_from_slice(bytes);
    }
}

/// What sfdisk makes of a script; None where there is no sfdisk.
fn sfdisk(mib: usize, script: &str) -> Option<Image> {
    let path = std::env::temp_dir().join(std::format!("quill-{}-{mib}-{}", std::process::id(), script.len()));
    std::fs::write(&path, vec![0; mib << 20]).unwrap();
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let child = Command::new("sfdisk")
        .env("PATH", paths)
        .arg("-q")
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .inspect_err(|_| eprintln!("no sfdisk: skipped"))
        .ok();
    let made = child.map(|mut child| {
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        Image { bytes: std::fs::read(&path).unwrap(), ..Image::new(512, 0) }
    });
    std::fs::remove_file(&path).unwrap();
    made
}

#[test]
fn an_mbr_of_sfdisk() {
    let script = "label: dos\nlabel-id: 0x1234abcd\n\
                  start=2048, size=2048, type=83\nstart=4096, size=8192, type=5\n\
                  start=12288, size=100, type=83\n\
                  start=6144, size=1000, type=83\nstart=9216, size=2000, type=83\n";
    // The third of the script is primary; the last two lie in the extended partition.
    let Some(image) = sfdisk(8, script) else { return };
    let want = [(1, 2048, 2048), (2, 4096, 2), (3, 12288, 100), (5, 6144, 1000), (6, 9216, 2000)];
    assert_eq!(image.places(), want);
    let uuids: Vec<String> = entries(&image).into_iter().map(|e| e.uuid).collect();
    assert_eq!(uuids[0], "1234abcd-01");
    assert_eq!(uuids[4], "1234abcd-06");
}

const GPT_SCRIPT: &str = "label: gpt\n\
     start=2048, size=2048, name=boot, uuid=01234567-89AB-CDEF-0123-456789ABCDEF\n\
     5: start=4096, size=4096, name=\"the root\"\n";

#[test]
fn a_gpt_of_sfdisk() {
    let Some(mut image) = sfdisk(8, GPT_SCRIPT) else { return };
    let want = [(1, 2048, 2048), (5, 4096, 4096)];
    assert_eq!(image.places(), want);
    let found = entries(&image);
    assert_eq!(found[0].uuid, "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!((found[0].label.as_str(), found[1].label.as_str()), ("boot", "the root"));
    // The primary header, its array, an unreadable block: the backup is as good.
    for at in [512 + 17, 1024 + 3] {
        image.bytes[at] ^= 1;
        assert_eq!(image.places(), want);
    }
    image.bad = Some(1);
    assert_eq!(image.places(), want);
    let end = image.bytes.len() - 512;
    image.bytes[end + 20] ^= 1;
    assert_eq!(image.places(), []);
}

/// A GPT by hand: blocks of this size, and partitions (first, last).
fn gpt(block: usize, partitions: &[(u64, u64)]) -> Image {
    let blocks = 2048;
    let mut image = Image::new(block, blocks);
    image.put(0, &MasterBootRecord::protective_mbr(blocks as u64));
    let array = (128 * 128) / block;
    for (i, &(first, last)) in partitions.iter().enumerate() {
        let entry = GptPartitionEntry {
            partition_type_guid: GptPartitionType::BASIC_DATA,
            unique_partition_guid: guid!("37c75ffd-8932-467a-9c56-8cf1f0456b12"),
            starting_lba: LbaLe::from_u64(first),
            ending_lba: LbaLe::from_u64(last),
            ..GptPartitionEntry::default()
        };
        for array in [2, blocks - 1 - array] {
            let at = array * block + i * 128;
            image.bytes[at..at + 128].copy_from_slice(bytemuck::bytes_of(&entry));
        }
    }
    for (mine, other, array) in [(1, blocks - 1, 2), (blocks - 1, 1, blocks - 1 - array)] {
        let header = GptHeader {
            my_lba: LbaLe::from_u64(mine as u64),
            alternate_lba: LbaLe::from_u64(other as u64),
            first_usable_lba: LbaLe::from_u64(40),
            last_usable_lba: LbaLe::from_u64(blocks as u64 - 40),
            partition_entry_lba: LbaLe::from_u64(array as u64),
            number_of_partition_entries: U32Le::from_u32(128),
            ..GptHeader::default()
        };
        image.put(mine, &header);
        seal(&mut image, mine);
    }
    image
}

/// Makes the checksums of the header in this block right, whatever it says.
fn seal(image: &mut Image, lba: usize) {
    let mut header: GptHeader = bytemuck::pod_read_unaligned(&image.block_mut(lba)[..92]);
    let start = header.partition_entry_lba.to_u64().saturating_mul(image.block as u64);
    let len = u64::from(header.number_of_partition_entries.to_u32())
        * u64::from(header.size_of_partition_entry.to_u32());
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    if let Some(array) = image.bytes.get(start..start.saturating_add(len as usize)) {
        header.partition_entry_array_crc32 = Crc32(U32Le::from_u32(gpt::crc32(&[array])));
    }
    header.update_header_crc32();
    image.put(lba, &header);
}

#[test]
fn a_gpt_counts_in_logical_blocks() {
    for (block, sectors) in [(512, 1), (1024, 2), (4096, 8)] {
        let image = gpt(block, &[(40, 99), (100, 100)]);
        assert_eq!(image.places(), [(1, 40 * sectors, 60 * sectors), (2, 100 * sectors, sectors)]);
    }
}

#[test]
fn each_check_of_a_header_has_its_error() {
    use gpt::Error as E;
    let lba = LbaLe::from_u64;
    type Change = fn(&mut GptHeader);
    let sealed: [(Change, E); 11] = [
        (|h| h.signature.0.0[0] = b'X', E::Signature),
        (|h| h.header_size = U32Le::from_u32(91), E::HeaderSize(91)),
        (|h| h.header_size = U32Le::from_u32(513), E::HeaderSize(513)),
        (|h| h.my_lba = LbaLe::from_u64(7), E::MyLba(7)),
        (|h| h.last_usable_lba = LbaLe::from_u64(2048), E::Usable(40, 2048)),
        (|h| h.last_usable_lba = LbaLe::from_u64(39), E::Usable(40, 39)),
        (|h| h.size_of_partition_entry = U32Le::from_u32(0), E::EntrySize(0)),
        (|h| h.size_of_partition_entry = U32Le::from_u32(192), E::EntrySize(192)),
        (|h| h.number_of_partition_entries = U32Le::from_u32(u32::MAX), E::EntryCount(u32::MAX)),
        (|h| h.partition_entry_lba = LbaLe::from_u64(2040), E::ArrayPlace(2040)),
        (|h| h.partition_entry_lba = LbaLe::from_u64(u64::MAX), E::ArrayPlace(u64::MAX)),
    ];
    for (change, error) in sealed {
        let mut image = gpt(512, &[(40, 99)]);
        let mut header: GptHeader = bytemuck::pod_read_unaligned(&image.block_mut(1)[..92]);
        change(&mut header);
        image.put(1, &header);
        seal(&mut image, 1);
        assert_eq!(gpt::check(&image, 1), Err(error));
        assert_eq!(image.places(), [(1, 40, 60)], "{error}: the backup");
    }
    let mut image = gpt(512, &[(40, 99)]);
    image.block_mut(1)[80] ^= 1;
    assert_eq!(gpt::check(&image, 1), Err(E::HeaderCrc));
    let mut image = gpt(512, &[(40, 99)]);
    image.block_mut(2)[1] ^= 1;
    assert_eq!(gpt::check(&image, 1), Err(E::ArrayCrc));
    assert_eq!(gpt::check(&image, lba(5000).to_u64()), Err(E::Io(Errno::EIO)));
    image.bad = Some(3);
    assert_eq!(gpt::check(&image, 1), Err(E::Io(Errno::EIO)));
}

#[test]
fn entries_that_leave_the_disk_are_left_out() {
    let image = gpt(512, &[(40, 2047), (40, 2048), (99, 98), (u64::MAX, u64::MAX), (50, 50)]);
    assert_eq!(image.places(), [(1, 40, 2008), (5, 50, 1)]);
}

/// An MBR or EBR: type, start, size of each entry.
fn table(entries: &[(u8, u32, u32)]) -> MasterBootRecord {
    let mut record = MasterBootRecord { signature: [0x55, 0xaa], ..MasterBootRecord::default() };
    for (slot, &(kind, start, size)) in record.partitions.iter_mut().zip(entries) {
        slot.os_indicator = kind;
        slot.starting_lba = U32Le::from_u32(start);
        slot.size_in_lba = U32Le::from_u32(size);
    }
    record
}

/// A sector with an MBR of partitions (start, size).
pub fn mbr_for_tests(places: &[(u32, u32)]) -> [u8; 512] {
    let entries: Vec<_> = places.iter().map(|&(start, size)| (0x83, start, size)).collect();
    *bytemuck::bytes_of(&table(&entries)).first_chunk().unwrap()
}

#[test]
fn an_mbr_is_cut_at_the_end_of_the_disk() {
    let mut image = Image::new(512, 1000);
    image.put(0, &table(&[(0x83, 10, 100), (0x83, 1000, 1), (0x83, 900, u32::MAX), (0, 0, 0)]));
    assert_eq!(image.places(), [(1, 10, 100), (3, 900, 100)]);
    let mut image = Image::new(4096, 1000);
    image.put(0, &table(&[(0x83, 10, 100), (0x05, 900, 100), (0x83, u32::MAX, u32::MAX), (0, 0, 0)]));
    assert_eq!(image.places(), [(1, 80, 800), (2, 7200, 8)]);
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let mut image = Image::new(512, 1000);
    image.put(0, &table(&[(0x0f, 100, 900)]));
    image.put(100, &table(&[(0x83, 1, 9), (0x05, 50, 10)]));
    image.put(150, &table(&[(0x83, 1, 9), (0x05, 0, 10)]));
    assert_eq!(image.places(), [(1, 100, 2), (5, 101, 9), (6, 151, 9)]);
    // Links that lead from one to the next and to no partition.
    let mut image = Image::new(512, 1000);
    image.put(0, &table(&[(0x05, 100, 900)]));
    for lba in 100..400 {
        image.put(lba, &table(&[(0x05, lba as u32 - 99, 10)]));
    }
    assert_eq!(image.places(), [(1, 100, 2)]);
    assert!(image.reads.get() <= 102);
    // More than there are numbers.
    for lba in 100..400 {
        image.put(lba, &table(&[(0x83, 1, 1), (0x05, lba as u32 - 99, 10)]));
    }
    let places = image.places();
    assert_eq!((places.len(), places.last().copied()), (252, Some((255, 351, 1))));
}

#[test]
fn what_is_no_table_has_no_partitions() {
    let mut image = Image::new(512, 1000);
    assert_eq!(image.places(), []);
    let mut fat = table(&[(0x83, 10, 100)]);
    fat.partitions[0].boot_indicator = 0x20;
    image.put(0, &fat);
    assert_eq!(image.places(), []);
    // The guard of a GPT in the wrong place: neither.
    image.put(0, &table(&[(0xee, 2, 100), (0x83, 10, 100)]));
    assert_eq!(image.places(), []);
    // A guard without a GPT.
    image.put(0, &table(&[(0xee, 1, 100), (0x83, 10, 100)]));
    assert_eq!(image.places(), []);
    assert_eq!(Image::new(512, 0).places(), []);
    image.bad = Some(0);
    assert_eq!(image.places(), []);
}

fn sane(found: &[Entry], image: &Image) {
    let end = (image.bytes.len() / 512) as u64;
    for entry in found {
        assert!((1..=255).contains(&entry.number));
        assert!(entry.sectors > 0 && entry.start < Sector(end));
        assert!(entry.start.0 + entry.sectors <= end, "{entry:?}");
        assert!(entry.uuid.is_ascii());
    }
    assert!(found.windows(2).all(|two| two[0].number < two[1].number));
}

proptest! {
    /// Any header fields over right checksums, any bytes in the array.
    #[test]
    fn no_gpt_is_too_hostile(
        changes in prop::collection::vec((8usize..92, any::<u8>()), 0..6),
        array in prop::collection::vec((0usize..2048, any::<u8>()), 0..40),
        large in any::<bool>(),
    ) {
        let mut image = gpt(if large { 4096 } else { 512 }, &[(40, 99), (100, 2000)]);
        let block = image.block;
        array.iter().for_each(|&(at, byte)| image.bytes[2 * block + at] = byte);
        changes.iter().for_each(|&(at, byte)| image.block_mut(1)[at] = byte);
        // Not its size and place: they are checked first, and hide the rest.
        image.block_mut(1)[12..16].copy_from_slice(&92u32.to_le_bytes());
        image.block_mut(1)[24..32].copy_from_slice(&1u64.to_le_bytes());
        seal(&mut image, 1);
        sane(&entries(&image), &image);
    }

    /// Any chain: small numbers, so that it meets itself.
    #[test]
    fn no_mbr_is_too_hostile(
        tables in prop::collection::vec(
            prop::collection::vec((prop::sample::select(vec![0u8, 5, 0x0f, 0x83]),
                prop_oneof![0u32..40, any::<u32>()], prop_oneof![0u32..40, any::<u32>()]), 4),
            40),
    ) {
        let mut image = Image::new(512, 40);
        tables.iter().enumerate().for_each(|(lba, entries)| image.put(lba, &table(entries)));
        sane(&entries(&image), &image);
        prop_assert!(image.reads.get() < 1200);
    }
}
