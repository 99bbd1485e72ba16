//! Pages in a program's page table: what takes them away, and the right to store to them.
use std::sync::atomic::Ordering;
use std::thread;

use base::{Errno, FsBlock, PageIndex};

use super::support::*;
use super::table::Table;
use crate::{AddressSpaceOperations, filemap_flush};

#[test]
fn a_store_after_writeback_is_written_again() {
    let fs = TestFs::with_content(12, false, &pattern(4 * 4096, 1));
    let table = Table::map(&fs);
    for round in 0..3 {
        table.store(&fs, 4096 + 7, round).unwrap();
        assert!(fs.mapping.has_dirty());
        assert_eq!(table.count(), (1, 1));
        assert_eq!(fs.fsync(), Ok(()));
        assert_eq!(table.count(), (1, 0), "write-protected");
        assert_eq!(fs.on_disk()[4096 + 7], round);
    }
    assert_eq!(fs.read(4096 + 7, 1).unwrap(), [2]);
    assert_eq!(fs.write(4096 + 7, &[9]), Ok(1));
    assert_eq!(table.load(&fs, 4096 + 7), Ok(9));
}

#[test]
fn a_store_places_every_block_below_the_end_and_none_behind() {
    let fs = TestFs::new(10, false);
    fs.truncate(2 * 4096 + 1500).unwrap();
    let table = Table::map(&fs);
    assert_eq!(table.load(&fs, 5), Ok(0));
    assert!(fs.blocks.lock().unwrap().is_empty(), "a load places nothing");
    table.store(&fs, 2 * 4096 + 3000, 1).unwrap();
    assert_eq!(fs.blocks.lock().unwrap().keys().copied().collect::<std::vec::Vec<_>>(), [8, 9]);
    assert_eq!(table.store(&fs, 3 * 4096, 1), Err(Errno::EINVAL));
    assert_eq!(table.load(&fs, 3 * 4096), Err(Errno::EINVAL));
    // It grows within the page: what is stored there then has a block.
    fs.truncate(2 * 4096 + 4000).unwrap();
    assert_eq!(table.count().1, 0);
    assert_eq!(table.load(&fs, 2 * 4096 + 3000), Ok(0), "what was stored behind the end is gone");
    table.store(&fs, 2 * 4096 + 3000, 2).unwrap();
    assert_eq!(fs.fsync(), Ok(()));
    assert_eq!(fs.on_disk()[2 * 4096 + 3000], 2);
}

#[test]
fn what_is_stored_behind_the_end_does_not_reach_the_disk() {
    let fs = TestFs::with_content(12, false, &pattern(100, 1));
    let table = Table::map(&fs);
    table.store(&fs, 50, 1).unwrap();
    table.store(&fs, 200, 1).unwrap();
    assert_eq!(fs.fsync(), Ok(()));
    assert!(fs.on_disk()[100..].iter().all(|&b| b == 0));
    table.store(&fs, 300, 1).unwrap();
    assert_eq!(fs.write(1000, b"x"), Ok(1));
    assert!(fs.read(100, 900).unwrap().iter().all(|&b| b == 0));
}

#[test]
fn what_was_stored_behind_the_end_does_not_come_up_when_the_file_grows_unmapped() {
    for grow in [|fs: &TestFs| fs.truncate(4096), |fs: &TestFs| fs.write(3000, b"x").map(drop)] {
        let fs = TestFs::with_content(12, false, &pattern(100, 1));
        let table = Table::map(&fs);
        table.store(&fs, 200, 1).unwrap();
        table.unmap(&fs);
        grow(&fs).unwrap();
        assert!(fs.read(100, 2900).unwrap().iter().all(|&b| b == 0));
    }
}

#[test]
fn no_room_is_an_error_of_the_store() {
    let fs = TestFs::new(12, false);
    fs.truncate(4 * 4096).unwrap();
    fs.free.lock().unwrap().clear();
    let table = Table::map(&fs);
    assert_eq!(table.store(&fs, 0, 1), Err(Errno::ENOSPC));
    assert_eq!(table.load(&fs, 0), Ok(0));
    fs.free.lock().unwrap().push(3);
    assert_eq!(table.store(&fs, 0, 1), Ok(()));
}

#[test]
fn truncate_and_punch_take_pages_out() {
    let fs = TestFs::with_content(10, false, &pattern(8 * 4096, 1));
    let table = Table::map(&fs);
    (0..8).for_each(|n| table.store(&fs, n * 4096, 7).unwrap());
    fs.truncate(5 * 4096 + 10).unwrap();
    assert_eq!(table.count(), (6, 5), "the last page is asked for again");
    assert_eq!(table.load(&fs, 6 * 4096), Err(Errno::EINVAL));
    assert_eq!(fs.fsync(), Ok(()));
    let hole = 4096..3 * 4096 + 1024;
    fs.mapping.truncate_pagecache_range(hole);
    fs.blocks.lock().unwrap().retain(|block, _| !(4..13).contains(block));
    assert_eq!(table.count(), (4, 0));
    assert_eq!(table.load(&fs, 2 * 4096), Ok(0));
    table.store(&fs, 3 * 4096 + 5, 8).unwrap();
    assert_eq!(fs.fsync(), Ok(()));
    assert_eq!(fs.on_disk()[3 * 4096 + 5], 8, "into the punched block of a page that stayed");
    table.unmap(&fs);
    assert!(!fs.mapping.is_mapped());
}

#[test]
fn a_direct_write_takes_pages_out() {
    let fs = TestFs::with_content(12, false, &pattern(4 * 4096, 1));
    let table = Table::map(&fs);
    assert_eq!(table.load(&fs, 4096), Ok(pattern(4 * 4096, 1)[4096]));
    let block = FsBlock(fs.blocks.lock().unwrap()[&1]);
    fs.driver.bytes.lock().unwrap()[(block.0 << 12) as usize] = 77;
    fs.mapping.agree_with_disk(&fs.disk, 4096..8192);
    assert_eq!(table.count(), (0, 0));
    assert_eq!(table.load(&fs, 4096), Ok(77));
}

/// One stores counting values, others write back and cut the tail: nothing that was stored is lost.
#[test]
fn stores_race_with_writeback() {
    const STORES: u64 = 3000;
    for bits in [10, 12] {
        let fs = TestFs::with_content(bits, true, &pattern(4 * 4096, 1));
        let table = Table::map(&fs);
        thread::scope(|scope| {
            let flusher = scope.spawn(|| {
                while fs.inode.lock().is_ok() && fs.read(0, 1).unwrap() != [255] {
                    filemap_flush(&fs.mapping, &fs).unwrap();
                    fs.truncate(4 * 4096 + fs.maps.load(Ordering::Relaxed) as u64 % 100).unwrap();
                }
            });
            for n in 0..STORES {
                let pos = 1 + n % 4 * 4096 + n % 13 * 300;
                table.store(&fs, pos, n as u8).unwrap();
                assert_eq!(table.load(&fs, pos), Ok(n as u8));
            }
            table.store(&fs, 0, 255).unwrap();
            flusher.join().unwrap();
        });
        let cached = fs.read(0, 4 * 4096).unwrap();
        assert_eq!(fs.fsync(), Ok(()));
        assert!(fs.on_disk()[..4 * 4096] == cached[..], "the disk has what was stored");
        assert_eq!(fs.size() / 4096, 4);
    }
}

#[test]
fn memory_that_is_short_takes_pages_out() {
    let fs = TestFs::with_content(12, false, &pattern(2 * 4096, 1));
    let table = Table::map(&fs);
    table.store(&fs, 0, 9).unwrap();
    table.load(&fs, 4096).unwrap();
    let pages = [0, 1].map(|n| fs.mapping.find_get_page(PageIndex(n)).unwrap());
    let locked = pages[1].clone().lock();
    assert!(fs.mapping.try_unmap(&pages[0]) && !fs.mapping.try_unmap(&pages[1]));
    drop(locked);
    assert_eq!(table.count(), (1, 0));
    assert!(pages[0].is_dirty(), "what was stored is still to be written");
    assert!(fs.mapping.try_unmap(&pages[1]) && !fs.mapping.try_unmap(&pages[1]));
    assert_eq!(table.load(&fs, 0), Ok(9));
}
