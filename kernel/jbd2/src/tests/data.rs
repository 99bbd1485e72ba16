//! A file's data through the journal.

use std::sync::Arc;

use base::{Errno, FileBlock, FsBlock, IovIter, PAGE_SIZE, PageIndex, Result};
use block::Disk;
use pagecache::{AddressSpace, AddressSpaceOperations, BlockDevice, Extent, ExtentKind, LockedPage, MapMode};
use pagecache::{block_write_begin, block_write_end, filemap_write_and_wait_range, generic_perform_write};
use pagecache::{forget_unfilled, generic_page_mkwrite, journal_page_range, write_home};

use crate::testing::{Bench, Chance, Shape, fill, quiet, value, values};

/// A file that lies on the blocks 8 to 24 of the file system, all of them journalled.
struct Flat {
    bench: Bench,
    mapping: Arc<AddressSpace>,
}

const FIRST: u64 = 8;
const BLOCKS: u64 = 16;
const SHAPE: Shape = Shape { block_bits: 10, log_blocks: 64 };

impl Flat {
    fn new() -> Flat {
        let mapping = AddressSpace::new();
        mapping.set_journals_data(true);
        Flat { bench: Bench::new(SHAPE, quiet()), mapping }
    }

    fn device(&self) -> &Arc<BlockDevice> {
        &self.bench.device
    }

    /// Fills block `n` of the file with a number, by a write call of its own.
    fn put(&self, n: u64, number: u64) {
        let mut bytes = [0; 1024];
        fill(&mut bytes, number);
        let _handle = self.bench.journal.start(4).unwrap();
        let mut iter = IovIter::from_kernel(&bytes);
        assert_eq!(generic_perform_write(&self.mapping, self, n << 10, &mut iter), Ok(1024));
    }

    /// What the disk has of the file.
    fn on_disk(&self) -> std::vec::Vec<u64> {
        values(SHAPE, &self.bench.ram.bytes())[FIRST as usize..(FIRST + BLOCKS) as usize].to_vec()
    }
}

impl AddressSpaceOperations for Flat {
    fn block_bits(&self) -> u32 {
        10
    }

    fn disk(&self) -> &Arc<Disk> {
        self.device().disk()
    }

    fn size(&self) -> u64 {
        BLOCKS << 10
    }

    fn map(&self, first: FileBlock, _count: u64, _how: MapMode) -> Result<Extent> {
        let len = BLOCKS.checked_sub(first.0).filter(|&n| n > 0).ok_or(Errno::EIO)?;
        Ok(Extent { kind: ExtentKind::Mapped { block: FsBlock(FIRST + first.0) }, len, new: false })
    }

    fn write_begin(&self, mapping: &AddressSpace, pos: u64, len: usize, rest: usize) -> Result<LockedPage> {
        let page = block_write_begin(mapping, self, pos, len, rest)?;
        let from = pos as usize % PAGE_SIZE;
        journal_page_range(self.device(), &page, from..from + len)?;
        Ok(page)
    }

    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        let done = block_write_end(mapping, &page, pos, len, copied);
        if done < len {
            let from = pos as usize % PAGE_SIZE;
            forget_unfilled(&page, from..from + len);
        }
        Ok(done)
    }
}

/// The bytes that were to fill a block never came: what the disk has of it stays, in spite of write access.
#[test]
fn what_was_not_copied_is_not_logged() {
    let file = Flat::new();
    file.put(1, 3);
    file.bench.journal.flush().unwrap();
    file.mapping.truncate_pagecache(0);
    {
        let _handle = file.bench.journal.start(4).unwrap();
        let page = file.write_begin(&file.mapping, 1024, 1024, 1024).unwrap();
        assert_eq!(file.write_end(&file.mapping, page, 1024, 1024, 0), Ok(0));
    }
    file.put(2, 4);
    file.bench.journal.end().unwrap();
    assert_eq!(file.on_disk()[..3], [0, 3, 4]);
}

#[test]
fn data_are_in_the_log_first_and_at_home_later() {
    let file = Flat::new();
    let journal = &file.bench.journal;
    file.put(0, 5);
    file.put(2, 13);
    // Nothing goes home before the commit, whoever asks.
    filemap_write_and_wait_range(&file.mapping, &file, 0..u64::MAX).unwrap();
    assert_eq!(file.on_disk()[..3], [0, 0, 0]);
    journal.force_commit().unwrap();
    let image = file.bench.ram.cut(file.bench.ram.now(), &mut Chance(1));
    let after = Bench::mount(SHAPE, image, quiet());
    assert_eq!(values(SHAPE, &after.ram.bytes())[8..11], [5, 0, 13]);
    // Changed again, it stays; what the first commit has of it is home with the second.
    file.put(2, 21);
    filemap_write_and_wait_range(&file.mapping, &file, 0..u64::MAX).unwrap();
    assert_eq!(file.on_disk()[..3], [5, 0, 0]);
    journal.flush().unwrap();
    assert_eq!(file.on_disk()[..3], [5, 0, 21]);
    journal.end().unwrap();
    assert_eq!((journal.stats().stray, journal.stats().overruns), (0, 0));
}

/// A program stores to a page of which a commit has all: the store is of the next transaction, and a replay of
/// the older copy must not come over it.
#[test]
fn a_store_to_a_mapped_page_is_logged() {
    let file = Flat::new();
    (0..4).for_each(|n| file.put(n, 5));
    file.bench.journal.force_commit().unwrap();
    {
        let _handle = file.bench.journal.start(8).unwrap();
        let page = generic_page_mkwrite(&file.mapping, &file, PageIndex(0)).unwrap();
        let mut bytes = [0; 1024];
        fill(&mut bytes, 6);
        page.frame().write(1024, &bytes);
    }
    file.bench.journal.force_commit().unwrap();
    let ram = &file.bench.ram;
    let after = Bench::mount(SHAPE, ram.cut(ram.now(), &mut Chance(1)), quiet());
    assert_eq!(values(SHAPE, &after.ram.bytes())[8..12], [5, 6, 5, 5]);
}

#[test]
fn a_log_full_of_data_makes_room() {
    let file = Flat::new();
    // One block that nobody writes again keeps the log's tail where it is.
    file.put(BLOCKS - 1, 7);
    for i in 1..400 {
        file.put(i * 4 % (BLOCKS - 1), i);
    }
    assert!(file.bench.journal.stats().checkpoints > 0);
    file.bench.journal.end().unwrap();
    let newest = |n| (1..400).rev().find(|i| i * 4 % (BLOCKS - 1) == n);
    let expected: std::vec::Vec<u64> = (0..BLOCKS).map(|n| newest(n).unwrap_or(7)).collect();
    assert_eq!(file.on_disk(), expected);
}

#[test]
fn the_log_gives_home_what_a_dropped_file_leaves() {
    let file = Flat::new();
    file.put(3, 9);
    file.bench.journal.force_commit().unwrap();
    let Flat { bench, mapping } = file;
    drop(mapping);
    bench.journal.end().unwrap();
    let at = (FIRST as usize + 3) << 10;
    assert_eq!(value(&bench.ram.bytes()[at..at + 1024]), 9);
    assert_eq!(write_home(&mut []), Ok(()));
}
