//! Reads come in few large bios, holes cost none, and what lies behind the end is zero.
use std::sync::atomic::Ordering;
use std::vec;

use base::{Errno, IovIter, PAGE_SIZE, PageIndex};

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

/// The read of `pos` by a reader with a state of his own, and the pages that are cached then.
fn read_by(fs: &TestFs, ra: &FileRa, pos: u64, len: usize) -> usize {
    let mut out = vec![0; len];
    generic_file_read(&fs.mapping, fs, ra, pos, &mut IovIter::to_kernel(&mut out)).unwrap();
    assert!(out == pattern(2 << 20, 6)[pos as usize..][..len]);
    fs.mapping.nrpages()
}

#[test]
fn two_readers_each_have_their_window() {
    let fs = TestFs::with_content(12, true, &pattern(2 << 20, 6));
    let (front, back) = (FileRa::new(), FileRa::new());
    for i in 0..256 {
        read_by(&fs, &front, i * 4096, 4096);
        read_by(&fs, &back, (1 << 20) + i * 4096, 4096);
    }
    let reads = fs.driver.reads.load(Ordering::Relaxed);
    assert!(reads <= 20, "{reads} requests for 512 pages");
}

#[test]
fn advice_changes_how_far_a_file_is_read_ahead() {
    let fs = TestFs::with_content(12, false, &pattern(2 << 20, 6));
    fs.disk.queue().set_readahead_bytes(16 * 4096);
    let random = FileRa::new();
    random.advise(Pattern::Random);
    for i in 0..10 {
        assert_eq!(read_by(&fs, &random, i * 4096, 4096), i as usize + 1);
    }
    fs.empty_cache();
    let widest = |pattern| {
        let ra = FileRa::new();
        ra.advise(pattern);
        let mut before = 0;
        let most = (0..200).map(|i| read_by(&fs, &ra, i * 4096, 4096)).fold(0, |most, now| {
            let grown = now - before;
            before = now;
            grown.max(most)
        });
        fs.empty_cache();
        most
    };
    assert_eq!([Pattern::Normal, Pattern::Sequential].map(widest), [16, 32]);
}

#[test]
fn a_read_larger_than_the_window_comes_in_requests_as_large_as_the_disk_takes() {
    let fs = TestFs::with_content(12, true, &pattern(2 << 20, 6));
    fs.disk.queue().set_readahead_bytes(128 * 1024);
    assert_eq!(fs.disk.limits().max_sectors, 2560);
    // By its sectors one request may have 320 pages, by its segments 128.
    read_by(&fs, &FileRa::new(), 0, 2 << 20);
    let reads = fs.driver.reads.load(Ordering::Relaxed);
    assert!(reads <= 5, "{reads} requests for 2 MiB");
}

#[test]
fn reading_in_advance_goes_as_far_as_one_request() {
    let fs = TestFs::with_content(12, false, &pattern(2 << 20, 6));
    fs.disk.queue().set_readahead_bytes(64 * 1024);
    force_readahead(&fs.mapping, &fs, 8192..u64::MAX);
    assert_eq!(fs.mapping.nrpages(), 320);
    fs.empty_cache();
    fs.disk.queue().set_readahead_bytes(0);
    force_readahead(&fs.mapping, &fs, 5000..8192);
    assert_eq!(fs.mapping.nrpages(), 1);
}

#[test]
fn a_page_fault_brings_in_what_lies_around_it() {
    let fs = TestFs::with_content(12, false, &pattern(2 << 20, 6));
    fs.disk.queue().set_readahead_bytes(16 * 4096);
    let ra = FileRa::new();
    let fault = |index, pattern| filemap_fault(&fs.mapping, &fs, &ra, PageIndex(index), pattern);
    let (page, major) = fault(100, Pattern::Normal).unwrap();
    assert!(page.is_uptodate() && major);
    assert!(!fault(100, Pattern::Normal).unwrap().1, "it is there");
    assert!(fs.mapping.find_get_page(PageIndex(92)).is_some());
    assert_eq!(fs.mapping.nrpages(), 16);
    (200..204).for_each(|index| assert!(fault(index, Pattern::Random).unwrap().1));
    assert_eq!(fs.mapping.nrpages(), 20);
    fault(0, Pattern::Sequential).unwrap();
    assert!(fs.mapping.nrpages() > 20 && fs.mapping.find_get_page(PageIndex(1)).is_some());
    assert_eq!(fault(512, Pattern::Normal).err(), Some(Errno::EINVAL));
}

#[test]
fn what_is_not_needed_goes_in_whole_pages() {
    let fs = TestFs::with_content(12, false, &pattern(10 * 4096 + 100, 1));
    let cached = |range: core::ops::Range<u64>| {
        fs.read(0, 11 * 4096).unwrap();
        fs.mapping.not_needed(&fs, range);
        11 - fs.mapping.nrpages()
    };
    assert_eq!(cached(1..8192), 1);
    assert_eq!(cached(1..8191), 0);
    // The last page is not a whole one, but all of it that there is.
    assert_eq!(cached(9 * 4096..10 * 4096 + 100), 2);
    assert_eq!(cached(9 * 4096..10 * 4096 + 99), 1);
    assert_eq!(cached(0..u64::MAX), 11);
}

#[test]
fn a_splice_gives_the_very_pages() {
    let content = pattern(3 * 4096 + 50, 4);
    let fs = TestFs::with_content(12, false, &content);
    let mut frames = vec![];
    let mut sink = |frame: base::Frame, offset, len| {
        frames.push((frame, offset, len));
        frames.len() < 3
    };
    assert_eq!(filemap_splice_read(&fs.mapping, &fs, &fs.ra, 100, 1 << 20, &mut sink), Ok(3 * 4096 - 100));
    assert_eq!(filemap_splice_read(&fs.mapping, &fs, &fs.ra, 3 * 4096, 1 << 20, &mut sink), Ok(50));
    assert_eq!(filemap_splice_read(&fs.mapping, &fs, &fs.ra, 3 * 4096 + 50, 9, &mut sink), Ok(0));
    let places: std::vec::Vec<_> = frames.iter().map(|(_, offset, len)| (*offset, *len)).collect();
    assert_eq!(places, [(100, 3996), (0, 4096), (0, 4096), (0, 50)]);
    assert!(frames[2].0.same(fs.mapping.find_get_page(PageIndex(2)).unwrap().frame()));
    fs.write(4096, b"seen").unwrap();
    let mut seen = [0; 4];
    frames[1].0.read(0, &mut seen);
    assert_eq!(&seen, b"seen");
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
