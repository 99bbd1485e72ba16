//! Shared mappings of files: stores that reach the file, pages that are taken away.

use base::arch::Access;
use base::{UserAddr, UserMemory};
use pagecache::MappedBy;

use super::fake::{FakeFile, FakeMachine};
use super::*;
use crate::limits::Resource;
use crate::signal::Signal;

const R: u32 = 1;
const RW: u32 = 3;
const SHARED: u32 = 1;
const PRIVATE: u32 = 2;
const FIXED: u32 = 0x10;

fn new() -> (&'static FakeMachine, Mm) {
    let machine = FakeMachine::leak();
    (machine, Mm::new(machine, Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap())
}

fn request(file: MapFile, pages: u64, prot: u32, flags: u32, first: u64) -> MapRequest {
    MapRequest {
        len: pages * PAGE,
        prot,
        flags,
        file: Some(file),
        offset: first * PAGE,
        ..Default::default()
    }
}

fn map(mm: &Mm, file: &Arc<FakeFile>, pages: u64, prot: u32, flags: u32, first: u64) -> u64 {
    mm.mmap(&request(file.map_file(), pages, prot, flags, first)).unwrap().0
}

fn read(mm: &Mm, at: u64) -> Option<u8> {
    let mut byte = [0];
    (mm.read(UserAddr(at), &mut byte) == 1).then_some(byte[0])
}

fn write(mm: &Mm, at: u64, byte: u8) -> bool {
    mm.write(UserAddr(at), &[byte]) == 1
}

fn signal(mm: &Mm, at: u64, access: Access) -> Option<Signal> {
    mm.fault(UserAddr(at), access).err().map(|info| info.signal)
}

fn in_file(file: &FakeFile, index: u64) -> u8 {
    let mut byte = [0];
    file.cache.lock().unwrap()[&index].read(0, &mut byte);
    byte[0]
}

fn dirty(file: &FakeFile) -> std::vec::Vec<u64> {
    file.dirty.lock().unwrap().iter().copied().collect()
}

#[test]
fn a_store_reaches_the_file_and_makes_the_page_dirty() {
    let (machine, mm) = new();
    let f = FakeFile::new(4);
    let at = map(&mm, &f, 3, RW, SHARED, 1);
    assert_eq!(read(&mm, at), Some(1));
    assert!(!machine.page(at).unwrap().1.write, "a read does not make it writable");
    assert!(dirty(&f).is_empty());
    assert!(write(&mm, at, 99));
    assert_eq!((dirty(&f), in_file(&f, 1), read(&mm, at)), (std::vec![1], 99, Some(99)));
    // At first touch, too.
    assert!(write(&mm, at + 2 * PAGE, 98));
    assert_eq!((dirty(&f), in_file(&f, 3)), (std::vec![1, 3], 98));
    assert_eq!(signal(&mm, at + 3 * PAGE, Access::Write), Some(Signal::SEGV));
}

#[test]
fn a_page_that_was_cleaned_is_asked_for_again() {
    let (machine, mm) = new();
    let f = FakeFile::new(2);
    let at = map(&mm, &f, 2, RW, SHARED, 0);
    assert!(write(&mm, at + PAGE, 7));
    f.dirty.lock().unwrap().clear();
    assert!(write(&mm, at + PAGE, 8));
    assert!(dirty(&f).is_empty(), "it was writable");
    let frame = machine.page(at + PAGE).unwrap().0;
    let other = base::frame::alloc().unwrap();
    mm.pages.write_protect(UserAddr(at + PAGE), &other);
    assert!(machine.page(at + PAGE).unwrap().1.write, "not of another page");
    mm.pages.write_protect(UserAddr(at + PAGE), &frame);
    assert!(!machine.page(at + PAGE).unwrap().1.write);
    // To be read it stays as it is.
    assert_eq!(read(&mm, at + PAGE), Some(8));
    assert!(!machine.page(at + PAGE).unwrap().1.write);
    assert!(write(&mm, at + PAGE, 9));
    assert_eq!((dirty(&f), in_file(&f, 1)), (std::vec![1], 9));
}

#[test]
fn protection_comes_and_goes() {
    let (machine, mm) = new();
    let f = FakeFile::new(2);
    let at = map(&mm, &f, 2, R, SHARED, 0);
    assert!(!write(&mm, at, 1));
    mm.mprotect(UserAddr(at), PAGE, RW).unwrap();
    assert!(write(&mm, at, 5));
    mm.mprotect(UserAddr(at), PAGE, R).unwrap();
    assert!(!write(&mm, at, 6) && !machine.page(at).unwrap().1.write);
    mm.mprotect(UserAddr(at), PAGE, 0).unwrap();
    assert_eq!(read(&mm, at), None);
    mm.mprotect(UserAddr(at), PAGE, RW).unwrap();
    assert_eq!(read(&mm, at), Some(5));
    assert!(!machine.page(at).unwrap().1.write, "a read after it does not make it writable");
    assert_eq!(in_file(&f, 0), 5);
}

#[test]
fn who_may_write() {
    let (_, mm) = new();
    let f = FakeFile::new(1);
    let read_only = MapFile { writable: false, ..f.map_file() };
    assert_eq!(mm.mmap(&request(read_only.clone(), 1, RW, SHARED, 0)), Err(Errno::EACCES));
    let at = mm.mmap(&request(read_only.clone(), 1, R, SHARED, 0)).unwrap();
    assert_eq!(mm.mprotect(at, PAGE, RW), Err(Errno::EACCES));
    let at = mm.mmap(&request(read_only, 1, R, PRIVATE, 0)).unwrap();
    assert_eq!(mm.mprotect(at, PAGE, RW), Ok(()));
    let write_only = MapFile { readable: false, ..f.map_file() };
    assert_eq!(mm.mmap(&request(write_only, 1, RW, SHARED, 0)), Err(Errno::EACCES));
}

#[test]
fn truncation_takes_pages_and_copies_away() {
    let (machine, mm) = new();
    let f = FakeFile::new(4);
    let shared = map(&mm, &f, 4, RW, SHARED, 0);
    let private = map(&mm, &f, 4, RW, PRIVATE, 0);
    for n in 0..4 {
        assert!(write(&mm, shared + n * PAGE, 10) && write(&mm, private + n * PAGE, 20));
    }
    f.truncate(2);
    assert_eq!(machine.pages().len(), 4);
    assert_eq!(mm.sizes().resident, 4 * PAGE);
    for at in [shared, private] {
        assert_eq!(signal(&mm, at + 2 * PAGE, Access::Read), Some(Signal::BUS));
        assert_eq!(signal(&mm, at + 3 * PAGE, Access::Write), Some(Signal::BUS));
    }
    assert_eq!((read(&mm, shared + PAGE), read(&mm, private + PAGE)), (Some(10), Some(20)));
    // What comes again is new.
    f.truncate(4);
    assert_eq!((read(&mm, shared + 3 * PAGE), read(&mm, private + 3 * PAGE)), (Some(3), Some(3)));
}

#[test]
fn a_file_knows_where_it_is_mapped() {
    let (machine, mm) = new();
    let (f, mapping) = (FakeFile::new(16), |f: &FakeFile| {
        use super::vma::PageSource;
        f.mapping().unwrap().is_mapped_shared()
    });
    assert!(!mapping(&f));
    let at = map(&mm, &f, 16, RW, SHARED, 0);
    (0..16).for_each(|n| assert!(write(&mm, at + n * PAGE, 50)));
    // A hole in the middle, another protection on a part, a part moved away and made longer.
    mm.munmap(UserAddr(at + 4 * PAGE), 2 * PAGE).unwrap();
    mm.mprotect(UserAddr(at + 8 * PAGE), 2 * PAGE, R).unwrap();
    let far = at - (1 << 30);
    mm.mremap(UserAddr(at + 12 * PAGE), 2 * PAGE, 3 * PAGE, 3, UserAddr(far)).unwrap();
    assert_eq!(read(&mm, far + PAGE), Some(50));
    assert_eq!(machine.pages().len(), 14);
    // An anonymous page over another part is not the file's any more.
    let anonymous = MapRequest { addr: at, len: PAGE, prot: RW, flags: 0x22 | FIXED, ..Default::default() };
    mm.mmap(&anonymous).unwrap();
    assert!(write(&mm, at, 60));
    f.truncate(13);
    // Of the moved ones only file page 12 is left; the file's pages 14 and 15 went where they were.
    assert_eq!((read(&mm, far), signal(&mm, far + PAGE, Access::Read)), (Some(50), Some(Signal::BUS)));
    assert_eq!(signal(&mm, at + 15 * PAGE, Access::Read), Some(Signal::BUS));
    f.truncate(0);
    assert_eq!(machine.pages(), [at]);
    assert_eq!(read(&mm, at), Some(60));
    mm.munmap(UserAddr(0), base::user::TASK_SIZE).unwrap();
    assert!(!mapping(&f));
    map(&mm, &f, 1, RW, SHARED, 0);
    assert!(mapping(&f));
    drop(mm);
    assert!(!mapping(&f), "nobody is left when the program ends");
}

#[test]
fn what_is_locked_is_counted() {
    const LOCKED: u32 = 0x2000;
    let machine = FakeMachine::leak();
    let limits = Arc::new(Limits::new(1 << 20));
    let mm = Mm::new(machine, limits.clone(), 1 << 20).unwrap();
    let limit = |pages: u64| {
        let both = crate::limits::Limit { soft: pages * PAGE, hard: pages * PAGE };
        limits.set(Resource::LockedMemory, both, true).unwrap();
    };
    let anonymous = |flags| MapRequest { len: 4 * PAGE, prot: RW, flags: 0x22 | flags, ..Default::default() };
    let at = mm.mmap(&anonymous(0)).unwrap();
    mm.set_may_lock_all(false);
    limit(3);
    assert_eq!(mm.mlock(at, 4 * PAGE, 0), Err(Errno::ENOMEM));
    assert_eq!(mm.mlock(at, 2 * PAGE, 0), Ok(()));
    assert_eq!((mm.sizes().locked, mm.sizes().resident), (2 * PAGE, 2 * PAGE));
    assert_eq!(mm.mlock(UserAddr(at.0 + PAGE), 2 * PAGE, 1), Ok(()), "a page that is locked is counted once");
    assert_eq!((mm.sizes().locked, mm.sizes().resident), (3 * PAGE, 2 * PAGE));
    assert_eq!(mm.mmap(&anonymous(LOCKED)), Err(Errno::EAGAIN));
    assert_eq!(mm.mremap(at, PAGE, 4 * PAGE, 1, UserAddr(0)), Err(Errno::EAGAIN));
    assert_eq!(mm.madvise(at, PAGE, 4), Err(Errno::EINVAL));
    assert_eq!(mm.mlockall(1), Err(Errno::ENOMEM));
    assert_eq!(mm.munlock(at, PAGE), Ok(()));
    assert_eq!(mm.sizes().locked, 2 * PAGE);
    limit(0);
    assert_eq!(mm.mlock(at, PAGE, 0), Err(Errno::EPERM));
    assert_eq!(mm.mmap(&anonymous(LOCKED)), Err(Errno::EPERM));
    mm.set_may_lock_all(true);
    assert_eq!(mm.mlockall(3), Ok(()));
    let later = mm.mmap(&anonymous(0)).unwrap();
    assert_eq!(mm.sizes().locked, 8 * PAGE);
    assert!(machine.page(later.0).is_some(), "what is locked is brought in");
    mm.munlockall();
    assert_eq!(mm.sizes().locked, 0);
}
