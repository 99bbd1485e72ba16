//! A disk that fails: who hears of it, and what stays dirty.
use std::sync::atomic::Ordering;

use base::{Errno, PageIndex};

use super::support::*;
use crate::*;

fn sector_of(fs: &TestFs, file_block: u64) -> u64 {
    fs.blocks.lock().unwrap()[&file_block] << (fs.block_bits() - 9)
}

#[test]
fn a_failed_write_stays_dirty_and_is_told_to_each_file_once() {
    for bits in 10..13 {
        let fs = TestFs::new(bits, bits == 11);
        fs.write(0, &pattern(20_000, 1)).unwrap();
        let (a, b) = (ErrSeqCursor::of(fs.mapping.wb_err()), ErrSeqCursor::of(fs.mapping.wb_err()));
        fs.driver.bad_writes.lock().unwrap().insert(sector_of(&fs, 1));
        assert_eq!(fs.fsync(), Err(Errno::EIO));
        assert!(fs.mapping.has_dirty() && !fs.mapping.has_writeback());
        assert_eq!(fs.mapping.wb_err().check_and_advance(&a), Err(Errno::EIO));
        assert_eq!(fs.mapping.wb_err().check_and_advance(&a), Ok(()));
        // As long as the disk fails, so does fsync.
        assert_eq!(fs.fsync(), Err(Errno::EIO));
        fs.driver.bad_writes.lock().unwrap().clear();
        assert_eq!(fs.fsync(), Ok(()));
        assert_eq!(fs.mapping.wb_err().check_and_advance(&b), Err(Errno::EIO));
        assert_eq!(fs.on_disk()[..20_000], pattern(20_000, 1));
    }
}

#[test]
fn a_failed_read_is_eio_and_can_be_tried_again() {
    for bits in 10..13 {
        let fs = TestFs::with_content(bits, false, &pattern(40_000, 1));
        fs.driver.bad_reads.lock().unwrap().insert(sector_of(&fs, 20_000 >> bits));
        // Up to the bad page the bytes come, from it on EIO.
        let good = fs.read(0, 40_000).unwrap();
        assert_eq!(good, pattern(40_000, 1)[..16384]);
        assert_eq!(fs.read(16384, 100), Err(Errno::EIO));
        assert_eq!(fs.read(20480, 19520).unwrap(), pattern(40_000, 1)[20480..]);
        fs.driver.bad_reads.lock().unwrap().clear();
        assert_eq!(fs.read(0, 40_000).unwrap(), pattern(40_000, 1));
    }
}

#[test]
fn a_partial_write_of_a_page_that_cannot_be_read_is_eio() {
    let fs = TestFs::with_content(12, false, &pattern(8192, 1));
    fs.driver.bad_reads.lock().unwrap().insert(sector_of(&fs, 1));
    assert_eq!(fs.write(5000, b"x"), Err(Errno::EIO));
    assert!(!fs.mapping.has_dirty());
    fs.driver.bad_reads.lock().unwrap().clear();
    assert_eq!(fs.write(5000, b"x"), Ok(1));
    let mut expected = pattern(8192, 1);
    expected[5000] = b'x';
    assert_eq!(fs.read(0, 8192).unwrap(), expected);
}

#[test]
fn a_full_disk_ends_the_write_short() {
    for bits in 10..13 {
        let fs = TestFs::new(bits, false);
        let left = 3 << (12 - bits);
        fs.free.lock().unwrap().truncate(left + 1);
        let n = fs.write(100, &pattern(30_000, 1)).unwrap();
        assert!((2 * 4096..=5 * 4096).contains(&n), "{n}");
        assert_eq!(fs.write(60_000, b"x"), Err(Errno::ENOSPC));
        fs.fsync().unwrap();
        assert_eq!(fs.on_disk()[100..100 + n], pattern(30_000, 1)[..n]);
    }
}

#[test]
fn writeback_without_a_place_keeps_the_page() {
    let fs = TestFs::new(12, false);
    fs.write(0, &pattern(3 * 4096, 1)).unwrap();
    // As a shared mapping over a hole would leave it: dirty, without a place.
    let page = fs.mapping.find_get_page(PageIndex(1)).unwrap();
    page.heads()[0].discard();
    page.heads()[0].set(head::DIRTY | head::UPTODATE);
    let old = fs.blocks.lock().unwrap().remove(&1).unwrap();
    let free = std::mem::take(&mut *fs.free.lock().unwrap());
    assert_eq!(fs.fsync(), Err(Errno::ENOSPC));
    assert!(page.is_dirty());
    assert!(!fs.mapping.find_get_page(PageIndex(2)).unwrap().is_dirty());
    *fs.free.lock().unwrap() = free;
    assert_eq!(fs.fsync(), Ok(()));
    assert_ne!(fs.blocks.lock().unwrap()[&1], old);
    assert_eq!(fs.on_disk()[..], pattern(3 * 4096, 1));
}

#[test]
fn many_pages_without_a_place_ask_once() {
    let fs = TestFs::new(10, false);
    fs.write(0, &pattern(64 * 4096, 9)).unwrap();
    for i in 0..64 {
        let page = fs.mapping.find_get_page(PageIndex(i)).unwrap();
        for head in page.heads() {
            head.discard();
            head.set(head::DIRTY | head::UPTODATE);
        }
    }
    fs.blocks.lock().unwrap().clear();
    fs.maps.store(0, Ordering::Relaxed);
    fs.fsync().unwrap();
    assert_eq!(fs.maps.load(Ordering::Relaxed), 1);
    assert_eq!(fs.on_disk(), pattern(64 * 4096, 9));
}
