//! Reads come in few large bios, holes cost none, and what lies behind the end is zero.
use std::sync::atomic::Ordering;
use std::vec;

use base::{Errno, PAGE_SIZE, PageIndex};

use super::support::*;
use crate::*;

#[test]
fn a_sequential_read_makes_few_requests_and_asks_once_per_extent() {
    for bits in 10..13 {
        let content = pattern(1 << 20, 5);
        let fs = TestFs::with_content(bits, false, &content);
        for i in 0..256 {
            assert!(fs.read(i * 4096, 4096).unwrap() == content[i as usize * 4096..][..4096]);
        }
        let reads = fs.driver.reads.load(Ordering::Relaxed);
        assert!(reads <= 8, "{reads} requests for 256 pages");
        let maps = fs.maps.load(Ordering::Relaxed);
        assert!(maps <= 8, "{maps} calls of map");
    }
}

#[test]
fn one_large_read_is_a_few_bios() {
    let content = pattern(1 << 20, 6);
    let fs = TestFs::with_content(12, true, &content);
    assert!(fs.read(0, 1 << 20).unwrap() == content);
    assert!(fs.driver.reads.load(Ordering::Relaxed) <= 6);
}

#[test]
fn a_random_read_reads_its_page_alone() {
    let fs = TestFs::with_content(12, false, &pattern(1 << 20, 7));
    assert_eq!(fs.read(500_000, 10).unwrap(), pattern(1 << 20, 7)[500_000..500_010]);
    assert_eq!(fs.mapping.nrpages(), 1);
}

#[test]
fn holes_are_zeros_without_io() {
    let fs = TestFs::new(10, false);
    fs.truncate(100_000).unwrap();
    fs.write(50_000, b"island").unwrap();
    fs.fsync().unwrap();
    fs.drop_cache();
    fs.driver.reads.store(0, Ordering::Relaxed);
    let mut expected = vec![0; 100_000];
    expected[50_000..50_006].copy_from_slice(b"island");
    assert!(fs.read(0, 200_000).unwrap() == expected);
    assert_eq!(fs.driver.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn what_the_disk_has_behind_the_end_is_not_shown() {
    let fs = TestFs::with_content(12, false, &pattern(100, 1));
    let block = fs.blocks.lock().unwrap()[&0] as usize;
    fs.driver.bytes.lock().unwrap()[block * 4096 + 100..][..50].fill(GARBAGE);
    let page = read_mapping_page(&fs.mapping, &fs, PageIndex(0)).unwrap();
    let mut tail = [1; PAGE_SIZE - 100];
    page.frame().read(100, &mut tail);
    assert!(tail.iter().all(|&b| b == 0));
    assert_eq!(read_mapping_page(&fs.mapping, &fs, PageIndex(1)).err(), Some(Errno::EINVAL));
}

#[test]
fn overwriting_whole_blocks_reads_nothing() {
    let fs = TestFs::with_content(10, false, &pattern(8192, 1));
    fs.write(1024, &pattern(2048, 2)).unwrap();
    fs.write(4096, &pattern(4096, 2)).unwrap();
    assert_eq!(fs.driver.reads.load(Ordering::Relaxed), 0);
    // A block that is cut at both ends costs one read for each of them.
    fs.write(100, &pattern(3900, 3)).unwrap();
    assert_eq!(fs.driver.reads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_mapped_page_is_not_reclaimed() {
    let fs = TestFs::with_content(12, false, &pattern(5 * 4096, 1));
    let frame = read_mapping_page(&fs.mapping, &fs, PageIndex(2)).unwrap().frame().clone();
    fs.drop_cache();
    assert_eq!(fs.mapping.nrpages(), 1);
    drop(frame);
    fs.drop_cache();
    assert_eq!(fs.mapping.nrpages(), 0);
}

#[test]
fn writeback_merges_neighbours() {
    let fs = TestFs::new(12, false);
    for i in 0..256 {
        fs.write(i * 4096, &pattern(4096, i as u8)).unwrap();
    }
    assert_eq!(fs.driver.writes.load(Ordering::Relaxed), 0);
    fs.fsync().unwrap();
    let writes = fs.driver.writes.load(Ordering::Relaxed);
    assert!(writes <= 3, "{writes} requests for 1 MiB");
}

#[test]
fn a_background_sweep_stops_and_goes_on() {
    let fs = TestFs::new(12, false);
    fs.write(0, &pattern(100 * 4096, 1)).unwrap();
    let mut control = WritebackControl::background(40);
    mpage_writepages(&fs.mapping, &fs, &mut control).unwrap();
    assert_eq!((control.pages_written, control.nr_to_write), (40, 0));
    assert!(!fs.mapping.find_get_page(PageIndex(39)).unwrap().is_dirty());
    assert!(fs.mapping.find_get_page(PageIndex(40)).unwrap().is_dirty());
    mpage_writepages(&fs.mapping, &fs, &mut WritebackControl::background(1000)).unwrap();
    assert!(!fs.mapping.has_dirty());
}

#[test]
fn invalidate_drops_what_is_clean() {
    let fs = TestFs::with_content(12, false, &pattern(10 * 4096, 1));
    fs.read(0, 10 * 4096).unwrap();
    fs.write(3 * 4096, b"x").unwrap();
    assert_eq!(fs.mapping.invalidate(4096..8 * 4096), Err(Errno::EBUSY));
    assert_eq!(fs.mapping.nrpages(), 4);
    fs.fsync().unwrap();
    assert_eq!(fs.mapping.invalidate(0..u64::MAX), Ok(()));
    assert_eq!(fs.mapping.nrpages(), 0);
}
