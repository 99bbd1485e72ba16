//! madvise(2), and what is counted of the pages that are there.

use pagecache::Pattern;

use super::fake::{FakeFile, FakeMachine};
use super::*;
use base::UserMemory;

const RW: u32 = 3;
const SHARED: u32 = 1;
const PRIVATE: u32 = 2;
const ANON: u32 = 0x20;

const NORMAL: u32 = 0;
const RANDOM: u32 = 1;
const SEQUENTIAL: u32 = 2;
const DONTNEED: u32 = 4;
const FREE: u32 = 8;
const WIPEONFORK: u32 = 18;
const COLD: u32 = 20;
const PAGEOUT: u32 = 21;
const DONTNEED_LOCKED: u32 = 24;

fn new() -> Mm {
    Mm::new(FakeMachine::leak(), Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap()
}

fn map(mm: &Mm, file: Option<&Arc<FakeFile>>, pages: u64, flags: u32) -> u64 {
    let flags = flags | if file.is_none() { ANON } else { 0 };
    let file = file.map(|file| file.map_file());
    mm.mmap(&MapRequest { len: pages * PAGE, prot: RW, flags, file, ..MapRequest::default() }).unwrap().0
}

fn touch(mm: &Mm, at: u64) {
    let mut byte = [0];
    assert_eq!(mm.read(UserAddr(at), &mut byte), 1);
}

fn store(mm: &Mm, at: u64) {
    assert_eq!(mm.write(UserAddr(at), &[7]), 1);
}

fn advise(mm: &Mm, at: u64, pages: u64, advice: u32) -> Result<()> {
    mm.madvise(UserAddr(at), pages * PAGE, advice)
}

#[test]
fn faults_read_as_was_advised() {
    let (mm, file) = (new(), FakeFile::new(8));
    let at = map(&mm, Some(&file), 8, SHARED);
    let areas = || mm.areas.read().set.len();
    assert_eq!(advise(&mm, at + 2 * PAGE, 2, SEQUENTIAL), Ok(()));
    assert_eq!(advise(&mm, at + 3 * PAGE, 2, RANDOM), Ok(()));
    assert_eq!(areas(), 4);
    touch(&mm, at + PAGE);
    touch(&mm, at + 2 * PAGE);
    store(&mm, at + 3 * PAGE);
    store(&mm, at + 4 * PAGE);
    touch(&mm, at + 5 * PAGE);
    let asked = core::mem::take(&mut *file.patterns.lock().unwrap());
    use Pattern::*;
    assert_eq!(asked, [Normal, Sequential, Random, Random, Normal]);
    assert_eq!(advise(&mm, at, 8, NORMAL), Ok(()));
    assert_eq!(areas(), 1, "one again");
    // A hole is told of after the rest was done.
    mm.munmap(UserAddr(at + PAGE), PAGE).unwrap();
    assert_eq!(advise(&mm, at, 8, RANDOM), Err(Errno::ENOMEM));
    touch(&mm, at + 6 * PAGE);
    assert_eq!(file.patterns.lock().unwrap().as_slice(), [Random]);
}

#[test]
fn what_advice_is_not_for() {
    let (mm, file) = (new(), FakeFile::new(4));
    let (own, shared) = (map(&mm, None, 2, PRIVATE), map(&mm, None, 2, SHARED));
    let of_file = map(&mm, Some(&file), 2, PRIVATE);
    for at in [shared, of_file] {
        assert_eq!(advise(&mm, at, 1, FREE), Err(Errno::EINVAL));
        assert_eq!(advise(&mm, at, 1, WIPEONFORK), Err(Errno::EINVAL));
        assert_eq!(advise(&mm, at, 1, COLD), Ok(()));
        assert_eq!(advise(&mm, at, 1, DONTNEED), Ok(()));
    }
    for advice in [FREE, WIPEONFORK, PAGEOUT, DONTNEED, DONTNEED_LOCKED] {
        assert_eq!(advise(&mm, own, 2, advice), Ok(()));
    }
    store(&mm, own);
    mm.mlock(UserAddr(own), PAGE, 0).unwrap();
    for advice in [FREE, COLD, PAGEOUT, DONTNEED] {
        assert_eq!(advise(&mm, own, 2, advice), Err(Errno::EINVAL));
    }
    assert_eq!(mm.sizes().resident, PAGE);
    assert_eq!(advise(&mm, own, 2, DONTNEED_LOCKED), Ok(()));
    assert_eq!(mm.sizes().resident, 0);
    for advice in [5, 6, 7, 25, 26, 100, u32::MAX] {
        assert_eq!(advise(&mm, own, 1, advice), Err(Errno::EINVAL));
    }
}

#[test]
fn pages_are_counted_by_what_they_are() {
    let (mm, file) = (new(), FakeFile::new(8));
    let counts = || {
        let sizes = mm.sizes();
        let own = sizes.resident - sizes.resident_file - sizes.resident_shmem;
        (own / PAGE, sizes.resident_file / PAGE, sizes.resident_shmem / PAGE)
    };
    let own = map(&mm, None, 4, PRIVATE);
    let shared = map(&mm, None, 4, SHARED);
    let of_file = map(&mm, Some(&file), 8, PRIVATE);
    store(&mm, own);
    touch(&mm, own + PAGE);
    store(&mm, shared);
    touch(&mm, of_file);
    touch(&mm, of_file + PAGE);
    assert_eq!(counts(), (2, 2, 1));
    store(&mm, of_file);
    store(&mm, of_file + 2 * PAGE);
    assert_eq!(counts(), (4, 1, 1), "copies are the program's own");
    let moved = mm.mremap(UserAddr(of_file), 8 * PAGE, 16 * PAGE, 1, UserAddr(0)).unwrap();
    assert_eq!(counts(), (4, 1, 1), "and stay so");
    mm.munmap(moved, 16 * PAGE).unwrap();
    assert_eq!(counts(), (2, 0, 1));
    advise(&mm, own, 4, DONTNEED).unwrap();
    mm.munmap(UserAddr(shared), 4 * PAGE).unwrap();
    assert_eq!(counts(), (0, 0, 0));
    assert_eq!(mm.sizes().peak_resident, 6 * PAGE);
}

#[test]
fn faults_are_counted() {
    let (mm, file) = (new(), FakeFile::new(8));
    file.cold.lock().unwrap().extend([1, 3, 5]);
    let at = map(&mm, Some(&file), 8, SHARED);
    let copies = map(&mm, Some(&file), 8, PRIVATE);
    let counts = || (mm.sizes().minor_faults, mm.sizes().major_faults);
    touch(&mm, at);
    assert_eq!(counts(), (1, 0));
    touch(&mm, at + PAGE);
    store(&mm, at + 3 * PAGE);
    assert_eq!(counts(), (1, 2));
    touch(&mm, copies + PAGE);
    store(&mm, copies + 5 * PAGE);
    assert_eq!(counts(), (2, 3));
    store(&mm, at + PAGE);
    assert_eq!(counts(), (3, 3), "it was there, but not to be written");
    let beyond = map(&mm, Some(&file), 9, SHARED);
    assert_eq!(mm.write(UserAddr(beyond + 8 * PAGE), &[1]), 0);
    assert_eq!(counts(), (3, 3), "what fails does not count");
}
