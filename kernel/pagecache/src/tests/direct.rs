//! Around the cache of a file whose blocks lie in many places, with holes, on a slow disk too.
use std::vec;

use base::user::FakeUser;
use base::{Errno, FileBlock, IovIter, PageIndex, UserAddr};
use block::BioFlags;

use super::support::*;
use crate::{
    AddressSpaceOperations, ExtentKind, MapMode, generic_file_direct_read, generic_file_direct_write,
};

const BASE: u64 = 0x10000;

fn read(fs: &TestFs, user: &FakeUser, pos: u64, len: usize) -> base::Result<usize> {
    let mut to = IovIter::user(user, UserAddr(BASE), len);
    generic_file_direct_read(&fs.mapping, fs, pos, &mut to)
}

fn write(fs: &TestFs, user: &FakeUser, pos: u64, len: usize) -> base::Result<usize> {
    let mut from = IovIter::user(user, UserAddr(BASE), len);
    generic_file_direct_write(&fs.mapping, fs, pos, &mut from, BioFlags::empty())
}

/// Three runs of blocks that lie apart on the disk, a hole, and a last run.
fn scattered(bits: u32, late: bool) -> (TestFs, vec::Vec<u8>) {
    let fs = TestFs::new(bits, late);
    let content = pattern(0x8000, 5);
    // Backwards, so that the file's order is not the disk's.
    for page in [7u64, 6, 2, 1, 0] {
        let at = page as usize * 4096;
        assert_eq!(fs.write(page * 4096, &content[at..at + 4096]), Ok(4096));
    }
    assert_eq!(fs.fsync(), Ok(()));
    fs.empty_cache();
    let mut want = content;
    want[3 * 4096..6 * 4096].fill(0);
    (fs, want)
}

#[test]
fn extents_and_holes_are_read_as_the_file_has_them() {
    for bits in [9, 10, 11, 12] {
        for late in [false, true] {
            let (fs, want) = scattered(bits, late);
            let user = FakeUser::new(BASE, 0x8000);
            user.put(BASE, &[0x77; 0x8000]);
            assert_eq!(read(&fs, &user, 0, 0x8000), Ok(0x8000));
            assert!(user.get(BASE, 0x8000) == want, "{bits} {late}");
            assert_eq!(fs.mapping.nrpages(), 0);
            // Within a block, over its end.
            assert_eq!(read(&fs, &user, 2 * 4096 - 512, 1024), Ok(1024));
            assert_eq!(user.get(BASE, 1024), want[2 * 4096 - 512..2 * 4096 + 512]);
        }
    }
}

#[test]
fn what_is_dirty_is_written_before_a_read() {
    let (fs, mut want) = scattered(10, true);
    assert_eq!(fs.write(100, b"newer"), Ok(5));
    want[100..105].copy_from_slice(b"newer");
    let user = FakeUser::new(BASE, 0x8000);
    assert_eq!(read(&fs, &user, 0, 4096), Ok(4096));
    assert!(user.get(BASE, 4096) == want[..4096]);
}

#[test]
fn a_write_ends_where_nothing_is_allocated() {
    for bits in [9, 12] {
        let (fs, mut want) = scattered(bits, true);
        let user = FakeUser::new(BASE, 0x8000);
        user.put(BASE, &pattern(0x8000, 99));
        // Cached, clean and dirty.
        assert_eq!(fs.read(0, 8192).map(|b| b.len()), Ok(8192));
        assert_eq!(fs.write(4096 + 7, b"older"), Ok(5));
        want[4096 + 7..4096 + 12].copy_from_slice(b"older");
        assert_eq!(write(&fs, &user, 512, 0x8000), Ok(3 * 4096 - 512));
        want[512..3 * 4096].copy_from_slice(&pattern(0x8000, 99)[..3 * 4096 - 512]);
        assert_eq!(fs.read(0, 0x8000), Ok(want));
        assert_eq!(write(&fs, &user, 3 * 4096, 4096), Ok(0), "a hole is not for this way");
    }
}

#[test]
fn a_bad_sector_fails_the_call_and_nothing_else() {
    let (fs, want) = scattered(12, true);
    let user = FakeUser::new(BASE, 0x8000);
    let block = fs.blocks.lock().unwrap()[&1];
    fs.driver.bad_reads.lock().unwrap().insert(block * 8);
    assert_eq!(read(&fs, &user, 0, 3 * 4096), Err(Errno::EIO));
    assert_eq!(read(&fs, &user, 0, 4096), Ok(4096));
    fs.driver.bad_reads.lock().unwrap().clear();
    assert_eq!(read(&fs, &user, 0, 0x8000), Ok(0x8000));
    assert!(user.get(BASE, 0x8000) == want);
}

#[test]
fn a_page_that_somebody_holds_over_a_hole_does_not_hide_what_was_written_there() {
    for bits in [10, 12] {
        let fs = TestFs::new(bits, false);
        fs.truncate(2 * 4096).unwrap();
        assert_eq!(fs.read(0, 2 * 4096), Ok(vec![0; 2 * 4096]));
        let held = fs.mapping.find_get_page(PageIndex(0)).unwrap().frame().clone();
        // What a file system does with a direct write into a hole.
        let extent = fs.map(FileBlock(0), 1, MapMode::Write { ahead: 0 }).unwrap();
        let ExtentKind::Mapped { block } = extent.kind else { panic!("no place") };
        let at = (block.0 << bits) as usize;
        fs.driver.bytes.lock().unwrap()[at..at + 1024].fill(7);
        fs.mapping.agree_with_disk(&fs.disk, 0..1024);
        assert_eq!(fs.read(0, 1024), Ok(vec![7; 1024]));
        let mut byte = [9];
        held.read(0, &mut byte);
        assert_eq!(byte, [0], "who took it before has what was there then");
    }
}
