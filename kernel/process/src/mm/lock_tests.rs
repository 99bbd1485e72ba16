//! What locking brings in and what not, also of what comes later; limits that mprotect and mremap meet.

use super::fake::FakeMachine;
use super::*;
use crate::limits::Limit;

const R: u32 = 1;
const RW: u32 = 3;
const ANON: u32 = 0x22;
const SHARED_ANON: u32 = 0x21;
const ONFAULT: u32 = 1;
const CURRENT: u32 = 1;
const FUTURE: u32 = 2;
const FUTURE_ONFAULT: u32 = 6;
const MAYMOVE: u32 = 1;
const REMOVE: u32 = 9;
const COLLAPSE: u32 = 25;

fn new() -> Mm {
    Mm::new(FakeMachine::leak(), Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap()
}

fn map(mm: &Mm, pages: u64, prot: u32, flags: u32) -> UserAddr {
    mm.mmap(&MapRequest { len: pages * PAGE, prot, flags, ..MapRequest::default() }).unwrap()
}

/// Which of the pages from `at` on are in memory.
fn present(mm: &Mm, at: UserAddr, pages: u64) -> Vec<u8> {
    mm.mincore(at, pages * PAGE).unwrap().0
}

#[test]
fn locked_when_touched() {
    let mm = new();
    let at = map(&mm, 3, RW, ANON);
    mm.mlock(at, 3 * PAGE, ONFAULT).unwrap();
    assert_eq!(present(&mm, at, 3), [0, 0, 0]);
    assert_eq!(mm.sizes().locked, 3 * PAGE);
    let longer = mm.mremap(at, 3 * PAGE, 4 * PAGE, MAYMOVE, UserAddr(0)).unwrap();
    assert_eq!(present(&mm, longer, 4), [0; 4], "nor what it grew by");
    mm.mlock(longer, PAGE, 0).unwrap();
    assert_eq!(present(&mm, longer, 4), [1, 0, 0, 0]);
    mm.munlock(longer, 4 * PAGE).unwrap();
    assert_eq!((mm.sizes().locked, mm.areas.read().set.len()), (0, 1));
}

#[test]
fn locked_memory_that_grows_is_brought_in() {
    let mm = new();
    let at = map(&mm, 2, RW, ANON);
    mm.mlock(at, 2 * PAGE, 0).unwrap();
    let longer = mm.mremap(at, 2 * PAGE, 5 * PAGE, MAYMOVE, UserAddr(0)).unwrap();
    assert_eq!(present(&mm, longer, 5), [1; 5]);
}

#[test]
fn what_comes_is_locked() {
    let mm = new();
    mm.mlockall(FUTURE_ONFAULT).unwrap();
    assert_eq!(present(&mm, map(&mm, 2, RW, ANON), 2), [0, 0]);
    mm.mlockall(FUTURE).unwrap();
    assert_eq!(present(&mm, map(&mm, 2, RW, ANON), 2), [1, 1]);
    let heap = 0x40_0000;
    mm.set_image(ImageLayout { heap, ..ImageLayout::default() }, Strings::default());
    assert_eq!(mm.brk(UserAddr(heap + 2 * PAGE)), UserAddr(heap + 2 * PAGE));
    assert_eq!(present(&mm, UserAddr(heap), 2), [1, 1]);
    mm.mlockall(CURRENT).unwrap();
    assert_eq!(present(&mm, map(&mm, 2, RW, ANON), 2), [0, 0]);
}

/// What is cut off may be more than the mapping has, and other mappings.
#[test]
fn a_mapping_is_made_shorter_whatever_lies_behind() {
    let mm = new();
    let at = map(&mm, 8, RW, ANON);
    mm.munmap(UserAddr(at.0 + 4 * PAGE), PAGE).unwrap();
    assert_eq!(mm.mremap(at, 8 * PAGE, PAGE, 0, UserAddr(0)), Ok(at));
    assert_eq!(mm.sizes().total, PAGE);
    assert_eq!(mm.mremap(at, 8 * PAGE, 2 * PAGE, 0, UserAddr(0)), Ok(at), "no more than it was");
    assert_eq!(mm.sizes().total, PAGE);
    assert_eq!(mm.mremap(at, 8 * PAGE, 9 * PAGE, MAYMOVE, UserAddr(0)), Err(Errno::EFAULT));
    let there = UserAddr(at.0 + 64 * PAGE);
    assert_eq!(mm.mremap(at, 9 * PAGE, PAGE, 3, there), Ok(there));
    assert_eq!((mm.sizes().total, mm.mremap(at, PAGE, PAGE, 0, at)), (PAGE, Err(Errno::EFAULT)));
}

#[test]
fn what_becomes_writable_is_data() {
    let mm = new();
    let limit = 4 * PAGE;
    mm.limits.set(Resource::Data, Limit { soft: limit, hard: limit }, true).unwrap();
    let at = map(&mm, 6, R, ANON);
    let writable = |pages: u64| mm.mprotect(at, pages * PAGE, RW);
    assert_eq!(writable(5), Err(Errno::ENOMEM));
    assert_eq!(writable(3), Ok(()));
    assert_eq!(writable(3), Ok(()), "it is already");
    assert_eq!(writable(5), Err(Errno::ENOMEM));
    assert_eq!(mm.mprotect(at, 6 * PAGE, R), Ok(()));
    assert_eq!(mm.mprotect(map(&mm, 6, R, SHARED_ANON), 6 * PAGE, RW), Ok(()));
}

#[test]
fn shared_memory_without_a_file_can_be_emptied() {
    let mm = new();
    let at = map(&mm, 3, RW, SHARED_ANON | 0x8000);
    assert_eq!(present(&mm, at, 3), [1; 3]);
    mm.madvise(UserAddr(at.0 + PAGE), PAGE, REMOVE).unwrap();
    assert_eq!(present(&mm, at, 3), [1, 0, 1]);
    mm.mlock(at, PAGE, 0).unwrap();
    assert_eq!(mm.madvise(at, PAGE, REMOVE), Err(Errno::EINVAL));
    assert_eq!((mm.madvise(at, PAGE, COLLAPSE), mm.madvise(at, 0, COLLAPSE)), (Err(Errno::EINVAL), Ok(())));
    mm.munmap(at, 3 * PAGE).unwrap();
    assert_eq!(mm.madvise(at, PAGE, COLLAPSE), Err(Errno::ENOMEM));
}
