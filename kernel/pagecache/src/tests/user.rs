//! Writes whose source is not all there.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec;

use base::arch::Access;
use base::user::FakeUser;
use base::{Errno, Frame, IoVec, IovIter, UserAddr, UserMemory};

use super::support::*;
use crate::AddressSpaceOperations;

const BASE: u64 = 0x10000;

/// Memory whose second page is taken away `steals` times between the fault-in and the copy.
struct Thief {
    user: FakeUser,
    steals: AtomicUsize,
}

impl UserMemory for Thief {
    fn read(&self, src: UserAddr, dst: &mut [u8]) -> usize {
        self.user.read(src, dst)
    }
    fn write(&self, dst: UserAddr, src: &[u8]) -> usize {
        self.user.write(dst, src)
    }
    fn zero(&self, dst: UserAddr, len: usize) -> usize {
        self.user.zero(dst, len)
    }
    fn read_into_frame(&self, src: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        if self.steals.load(Ordering::Relaxed) > 0 {
            self.steals.fetch_sub(1, Ordering::Relaxed);
            self.user.page_out(BASE + 0x1000);
        }
        self.user.read_into_frame(src, frame, offset, len)
    }
    fn write_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        self.user.write_from_frame(dst, frame, offset, len)
    }
    fn fault_in_readable(&self, src: UserAddr, len: usize) -> usize {
        self.user.fault_in_readable(src, len)
    }
    fn write_from_frame_atomic(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        self.user.write_from_frame_atomic(dst, frame, offset, len)
    }
    fn pin(
        &self,
        at: UserAddr,
        len: usize,
        access: Access,
        each: &mut dyn FnMut(&Frame, usize, usize),
    ) -> usize {
        self.user.pin(at, len, access, each)
    }
}

fn user_with(len: usize) -> FakeUser {
    let user = FakeUser::new(BASE, len);
    user.put(BASE, &pattern(len, 3));
    user
}

#[test]
fn a_copy_that_comes_up_short_is_tried_again() {
    for bits in 10..13 {
        for steals in 1..6 {
            let fs = TestFs::new(bits, false);
            let memory = Thief { user: user_with(0x3000), steals: AtomicUsize::new(steals) };
            let mut iter = IovIter::user(&memory, UserAddr(BASE + 100), 0x2000);
            assert_eq!(fs.write_iter(50, &mut iter), Ok(0x2000));
            assert_eq!(fs.fsync(), Ok(()));
            assert_eq!(fs.on_disk()[50..50 + 0x2000], pattern(0x3000, 3)[100..100 + 0x2000]);
            assert_eq!(fs.on_disk()[..50], [0; 50]);
        }
    }
}

#[test]
fn a_source_that_ends_makes_a_short_write() {
    for bits in 10..13 {
        let fs = TestFs::new(bits, false);
        let user = user_with(0x1000);
        let mut iter = IovIter::user(&user, UserAddr(BASE + 0xf00), 0x2000);
        assert_eq!(fs.write_iter(10, &mut iter), Ok(0x100));
        assert_eq!(iter.count(), 0x1f00);
        assert_eq!(fs.size(), 0x10a);
        assert_eq!(fs.write_iter(10, &mut iter), Err(Errno::EFAULT));
        assert_eq!(fs.fsync(), Ok(()));
        let disk = fs.on_disk();
        assert_eq!(disk[10..0x10a], pattern(0x1000, 3)[0xf00..]);
        assert!(disk[0x10a..].iter().all(|&b| b == 0));
    }
}

#[test]
fn a_bad_second_segment_keeps_the_first() {
    let fs = TestFs::new(10, false);
    let user = user_with(0x1000);
    let segments = [
        IoVec { base: UserAddr(BASE), len: 5 },
        IoVec { base: UserAddr(0), len: 0 },
        IoVec { base: UserAddr(BASE + 10), len: 5 },
        IoVec { base: UserAddr(1), len: 7 },
    ];
    let mut iter = IovIter::user_vec(&user, &segments);
    assert_eq!(fs.write_iter(0, &mut iter), Ok(10));
    assert_eq!(iter.count(), 7);
    let p = pattern(0x1000, 3);
    assert_eq!(fs.read(0, 99).unwrap(), [&p[..5], &p[10..15]].concat());
}

#[test]
fn a_write_into_a_hole_that_fails_leaves_zeros() {
    let fs = TestFs::new(12, false);
    assert_eq!(fs.truncate(3 * 4096), Ok(()));
    let user = FakeUser::new(BASE, 0);
    let mut iter = IovIter::user(&user, UserAddr(BASE), 100);
    assert_eq!(fs.write_iter(4096 + 7, &mut iter), Err(Errno::EFAULT));
    fs.fsync().unwrap();
    fs.drop_cache();
    assert_eq!(fs.read(0, 3 * 4096).unwrap(), vec![0; 3 * 4096]);
}

#[test]
fn reading_into_memory_that_ends_is_short() {
    let fs = TestFs::with_content(12, false, &pattern(9000, 1));
    let user = FakeUser::new(BASE, 5000);
    let mut iter = IovIter::user(&user, UserAddr(BASE), 9000);
    let n = crate::generic_file_read(&fs.mapping, &fs, &fs.ra, 0, &mut iter);
    assert_eq!(n, Ok(5000));
    assert_eq!(user.get(BASE, 5000), pattern(9000, 1)[..5000]);
    let n = crate::generic_file_read(&fs.mapping, &fs, &fs.ra, 5000, &mut iter);
    assert_eq!(n, Err(Errno::EFAULT));
    assert_eq!(fs.read(9000, 10), Ok(vec![]));
}
