//! The address space on a machine in memory.

use super::fake::{FakeFile, FakeMachine};
use super::layout::{GUARD_GAP, MIN_ADDR, STACK_TOP};
use super::vma::{Backing, VmFlags};
use super::*;
use crate::limits::Limit;
use crate::signal::{Signal, code};
use base::UserMemory;
use base::arch::Access::{self, *};
use base::user::TASK_SIZE;
use std::string::String;

const R: u32 = 1;
const RW: u32 = 3;
const RX: u32 = 5;
const SHARED: u32 = 1;
const PRIVATE: u32 = 2;
const FIXED: u32 = 0x10;
const ANON: u32 = 0x22;
const NOREPLACE: u32 = 0x10_0000;

fn new() -> (&'static FakeMachine, Mm) {
    let machine = FakeMachine::leak();
    let mm = Mm::new(machine, Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap();
    (machine, mm)
}

fn anon(mm: &Mm, addr: u64, pages: u64, prot: u32, flags: u32) -> Result<u64> {
    let request = MapRequest { addr, len: pages * PAGE, prot, flags: ANON | flags, ..Default::default() };
    mm.mmap(&request).map(|a| a.0)
}

fn file(mm: &Mm, file: &Arc<FakeFile>, pages: u64, prot: u32, flags: u32, page: u64) -> Result<u64> {
    let request = MapRequest {
        addr: 0,
        len: pages * PAGE,
        prot,
        flags,
        file: Some(file.map_file()),
        offset: page * PAGE,
    };
    mm.mmap(&request).map(|a| a.0)
}

fn read(mm: &Mm, at: u64) -> Option<u8> {
    let mut byte = [0];
    (mm.read(UserAddr(at), &mut byte) == 1).then_some(byte[0])
}

fn write(mm: &Mm, at: u64, byte: u8) -> bool {
    mm.write(UserAddr(at), &[byte]) == 1
}

fn why(mm: &Mm, at: u64, access: Access) -> Option<(Signal, i32)> {
    mm.fault(UserAddr(at), access).err().map(|info| (info.signal, info.code))
}

const MAPERR: Option<(Signal, i32)> = Some((Signal::SEGV, code::SEGV_MAPERR));
const ACCERR: Option<(Signal, i32)> = Some((Signal::SEGV, code::SEGV_ACCERR));
const BUS: Option<(Signal, i32)> = Some((Signal::BUS, code::BUS_ADRERR));

#[test]
fn anonymous_memory_is_zero_and_comes_on_demand() {
    let (machine, mm) = new();
    let at = anon(&mm, 0, 4, RW, 0).unwrap();
    assert!(machine.pages().is_empty());
    assert_eq!(read(&mm, at + 5), Some(0));
    assert!(write(&mm, at + PAGE, 7));
    assert_eq!(machine.pages(), [at, at + PAGE]);
    assert_eq!(mm.sizes().resident, 2 * PAGE);
    assert_eq!(why(&mm, at + 4 * PAGE, Read), MAPERR);
    mm.munmap(UserAddr(at), PAGE).unwrap();
    assert_eq!(machine.pages(), [at + PAGE]);
    assert_eq!(read(&mm, at), None);
    assert_eq!(read(&mm, at + PAGE), Some(7));
}

#[test]
fn protections_are_kept_and_changed() {
    let (_, mm) = new();
    let at = anon(&mm, 0, 3, R, 0).unwrap();
    assert!(!write(&mm, at, 1));
    assert_eq!(why(&mm, at, Write), ACCERR);
    assert_eq!(why(&mm, at, Execute), ACCERR);
    mm.mprotect(UserAddr(at), 3 * PAGE, RW).unwrap();
    assert!(write(&mm, at, 1) && write(&mm, at + PAGE, 2));
    mm.mprotect(UserAddr(at), PAGE, 0).unwrap();
    assert_eq!(read(&mm, at), None);
    assert_eq!(why(&mm, at, Read), ACCERR);
    assert_eq!(read(&mm, at + PAGE), Some(2));
    mm.mprotect(UserAddr(at), PAGE, RX).unwrap();
    assert_eq!(read(&mm, at), Some(1));
    assert_eq!(why(&mm, at, Execute), None);
    // A hole: what comes before it is changed all the same.
    mm.munmap(UserAddr(at + PAGE), PAGE).unwrap();
    assert_eq!(mm.mprotect(UserAddr(at), 3 * PAGE, 0), Err(Errno::ENOMEM));
    assert_eq!((read(&mm, at), read(&mm, at + 2 * PAGE)), (None, Some(0)));
    assert_eq!(mm.mprotect(UserAddr(at + 1), PAGE, R), Err(Errno::EINVAL));
    assert_eq!(mm.mprotect(UserAddr(at), PAGE, 0x40), Err(Errno::EINVAL));
    assert_eq!(mm.mprotect(UserAddr(at), 0, R), Ok(()));
    assert_eq!(mm.mprotect(UserAddr(at), u64::MAX, R), Err(Errno::ENOMEM));
}

#[test]
fn a_private_file_page_is_shared_until_it_is_written() {
    let (machine, mm) = new();
    let f = FakeFile::new(4);
    let at = file(&mm, &f, 4, RW, PRIVATE, 1).unwrap();
    assert_eq!((read(&mm, at), read(&mm, at + PAGE)), (Some(1), Some(2)));
    assert!(machine.page(at).unwrap().0.same(&f.cache.lock().unwrap()[&1]));
    assert!(!machine.page(at).unwrap().1.write);
    assert!(write(&mm, at, 99));
    assert_eq!((read(&mm, at), read(&mm, at + 1)), (Some(99), Some(1)));
    assert!(!machine.page(at).unwrap().0.same(&f.cache.lock().unwrap()[&1]));
    let mut cached = [0];
    f.cache.lock().unwrap()[&1].read(0, &mut cached);
    assert_eq!(cached, [1]);
    // Written at first touch, too.
    assert!(write(&mm, at + 2 * PAGE, 98));
    assert_eq!(read(&mm, at + 2 * PAGE + 1), Some(3));
    // Page 4 does not exist.
    assert_eq!(why(&mm, at + 3 * PAGE, Read), BUS);
    assert_eq!(why(&mm, at + 3 * PAGE, Write), BUS);
    assert_eq!(read(&mm, at + 3 * PAGE), None);
}

#[test]
fn a_private_copy_survives_mprotect_and_is_copied_once() {
    let (machine, mm) = new();
    let f = FakeFile::new(2);
    let at = file(&mm, &f, 2, RW, PRIVATE, 0).unwrap();
    assert!(write(&mm, at, 50));
    let copy = machine.page(at).unwrap().0;
    let cached = read(&mm, at + PAGE);
    assert_eq!(cached, Some(1));
    mm.mprotect(UserAddr(at), 2 * PAGE, R).unwrap();
    assert!(!write(&mm, at, 1) && !write(&mm, at + PAGE, 1));
    mm.mprotect(UserAddr(at), 2 * PAGE, RW).unwrap();
    // The cache's page must not have become writable by that.
    assert!(!machine.page(at + PAGE).unwrap().1.write);
    drop(copy.clone());
    let id = copy.phys();
    drop(copy);
    assert!(write(&mm, at, 51) && write(&mm, at + PAGE, 52));
    assert_eq!(machine.page(at).unwrap().0.phys(), id);
    let mut byte = [0];
    f.cache.lock().unwrap()[&1].read(0, &mut byte);
    assert_eq!((byte[0], read(&mm, at + PAGE)), (1, Some(52)));
}

#[test]
fn shared_mappings() {
    let (_, mm) = new();
    let f = FakeFile::new(2);
    let at = file(&mm, &f, 2, R, SHARED, 0).unwrap();
    assert_eq!(read(&mm, at + PAGE), Some(1));
    let at = mm.mmap(&MapRequest { len: PAGE, prot: RW, flags: 0x21, ..Default::default() }).unwrap().0;
    assert!(write(&mm, at, 3));
    mm.madvise(UserAddr(at), PAGE, 4).unwrap();
    assert_eq!(read(&mm, at), Some(3));
}

#[test]
fn what_mmap_refuses() {
    let (_, mm) = new();
    let f = FakeFile::new(2);
    let ask = |addr, len, prot, flags, offset| {
        mm.mmap(&MapRequest { addr, len, prot, flags, file: None, offset }).map(|a| a.0)
    };
    assert_eq!(ask(0, 0, RW, ANON, 0), Err(Errno::EINVAL));
    assert_eq!(ask(0, PAGE, RW, ANON, 1), Err(Errno::EINVAL));
    assert_eq!(ask(0, PAGE, RW, 0x20, 0), Err(Errno::EINVAL));
    assert_eq!(ask(0, PAGE, RW, PRIVATE, 0), Err(Errno::EBADF));
    assert_eq!(ask(0, u64::MAX, RW, ANON, 0), Err(Errno::ENOMEM));
    assert_eq!(ask(0, 1 << 48, R, ANON, 0), Err(Errno::ENOMEM));
    assert_eq!(ask(0, (1 << 20) * PAGE + 1, RW, ANON, 0), Err(Errno::ENOMEM));
    assert!(ask(0, 1 << 40, RW, ANON | 0x4000, 0).is_ok());
    assert!(ask(0, PAGE, RW, ANON, u64::MAX - PAGE + 1).is_ok());
    assert_eq!(ask(0x1_0001, PAGE, RW, ANON | FIXED, 0), Err(Errno::EINVAL));
    assert_eq!(ask(0, PAGE, RW, ANON | FIXED, 0), Err(Errno::EPERM));
    assert_eq!(ask(TASK_SIZE, PAGE, RW, ANON | FIXED, 0), Err(Errno::ENOMEM));
    assert_eq!(ask(TASK_SIZE - PAGE, 2 * PAGE, RW, ANON | FIXED, 0), Err(Errno::ENOMEM));
    assert_eq!(ask(0, PAGE, RW, ANON | 0x4_0000, 0), Err(Errno::ENOMEM));
    assert_eq!(ask(0, PAGE, R, 0x23, 0), Err(Errno::EINVAL));
    let with = |readable, writable, noexec, prot, flags| {
        let file = MapFile { readable, writable, noexec, ..f.map_file() };
        mm.mmap(&MapRequest { len: PAGE, prot, flags, file: Some(file), ..Default::default() }).err()
    };
    assert_eq!(with(false, true, false, R, PRIVATE), Some(Errno::EACCES));
    assert_eq!(with(true, false, false, RW, SHARED), Some(Errno::EACCES));
    assert_eq!(with(true, true, true, RX, PRIVATE), Some(Errno::EPERM));
    assert_eq!(with(true, true, false, RW, PRIVATE | 0x100), Some(Errno::EINVAL));
    assert_eq!(with(true, false, false, RW, PRIVATE), None);
    assert_eq!(with(true, true, false, R, 0x8_0003), Some(Errno::EOPNOTSUPP));
    assert_eq!(with(true, true, false, R, 0x8_0000 | SHARED), Some(Errno::EOPNOTSUPP));
    assert_eq!(with(true, true, false, R, 0x4_0000 | SHARED), Some(Errno::EINVAL));
    let behind = |max_bytes, offset| {
        // Whether it can be mapped at all is looked at last.
        let file = MapFile { source: Err(Errno::ENODEV), max_bytes, writable: false, ..f.map_file() };
        let request =
            MapRequest { len: PAGE, prot: RW, flags: SHARED, file: Some(file), offset, ..Default::default() };
        mm.mmap(&request).err()
    };
    assert_eq!(behind(4 * PAGE, 4 * PAGE), Some(Errno::EOVERFLOW));
    assert_eq!(behind(4 * PAGE, 3 * PAGE), Some(Errno::EACCES));
}

#[test]
fn fixed_replaces_and_noreplace_does_not() {
    let (_, mm) = new();
    let at = anon(&mm, 0, 8, RW, 0).unwrap();
    assert!(write(&mm, at + 3 * PAGE, 1) && write(&mm, at + 5 * PAGE, 2));
    assert_eq!(anon(&mm, at + 3 * PAGE, 2, RW, NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(anon(&mm, at + 3 * PAGE, 2, RW, FIXED), Ok(at + 3 * PAGE));
    assert_eq!((read(&mm, at + 3 * PAGE), read(&mm, at + 5 * PAGE)), (Some(0), Some(2)));
    assert_eq!(anon(&mm, 0x5000_0123, 1, RW, 0), Ok(0x5000_0000));
    assert_ne!(anon(&mm, 0x5000_0000, 1, RW, 0), Ok(0x5000_0000));
    assert!(anon(&mm, 1, 1, RW, 0).unwrap() >= MIN_ADDR);
}

#[test]
fn mappings_go_downward_and_merge() {
    let (_, mm) = new();
    let first = anon(&mm, 0, 2, RW, 0).unwrap();
    assert_eq!(first + 2 * PAGE, layout::mmap_base(8 << 20));
    assert_eq!(anon(&mm, 0, 1, RW, 0), Ok(first - PAGE));
    assert_eq!(mm.areas.read().set.len(), 1);
    assert_eq!(mm.munmap(UserAddr(1), PAGE), Err(Errno::EINVAL));
    assert_eq!(mm.munmap(UserAddr(0), 0), Err(Errno::EINVAL));
    assert_eq!(mm.munmap(UserAddr(TASK_SIZE), PAGE), Err(Errno::EINVAL));
    assert_eq!(mm.munmap(UserAddr(0), TASK_SIZE), Ok(()));
    assert!(mm.areas.read().set.is_empty());
}

fn stack(mm: &Mm) -> u64 {
    let start = STACK_TOP - 4 * PAGE;
    let flags = VmFlags::READ | VmFlags::WRITE | VmFlags::GROWSDOWN | VmFlags::MAY_WRITE;
    let span = Span { start, end: STACK_TOP };
    mm.place(Vma { span, flags, backing: Backing::Anonymous }).unwrap();
    start
}

#[test]
fn the_stack_grows_to_its_limit() {
    let (_, mm) = new();
    stack(&mm);
    let lowest = STACK_TOP - (8 << 20);
    assert!(write(&mm, lowest, 5));
    assert_eq!(mm.sizes().stack, 8 << 20);
    assert_eq!(why(&mm, lowest - 1, Write), MAPERR);
    mm.limits.set(Resource::Stack, Limit { soft: 16 << 20, hard: u64::MAX }, true).unwrap();
    assert!(write(&mm, lowest - 1, 5));
}

#[test]
fn the_stack_keeps_its_distance() {
    let (_, mm) = new();
    let start = stack(&mm);
    let below = start - GUARD_GAP - 2 * PAGE;
    anon(&mm, below, 1, RW, FIXED).unwrap();
    assert_eq!(why(&mm, start - PAGE, Write), None);
    assert_eq!(why(&mm, start - 2 * PAGE, Write), MAPERR);
    // What cannot be touched anyway needs no distance.
    mm.mprotect(UserAddr(below), PAGE, 0).unwrap();
    assert_eq!(why(&mm, start - 2 * PAGE, Write), None);
    assert_eq!(why(&mm, below, Write), ACCERR);
}

#[test]
fn the_heap_moves_by_brk() {
    let (_, mm) = new();
    let start = 0x50_0000;
    mm.set_image(ImageLayout { heap: start, ..Default::default() }, Strings::default());
    let brk = |addr| mm.brk(UserAddr(addr)).0;
    assert_eq!(brk(0), start);
    assert_eq!(brk(start + 3 * PAGE + 5), start + 3 * PAGE + 5);
    assert!(write(&mm, start + 3 * PAGE, 9));
    assert_eq!(brk(start + PAGE), start + PAGE);
    assert_eq!(read(&mm, start + 3 * PAGE), None);
    assert_eq!(brk(start + 4 * PAGE), start + 4 * PAGE);
    assert_eq!(read(&mm, start + 3 * PAGE), Some(0));
    assert_eq!(brk(start - 1), start + 4 * PAGE);
    assert_eq!(brk(1 << 47), start + 4 * PAGE);
    assert_eq!(brk(u64::MAX), start + 4 * PAGE);
    anon(&mm, start + 8 * PAGE, 1, RW, FIXED).unwrap();
    assert_eq!(brk(start + 8 * PAGE), start + 4 * PAGE);
    assert_eq!(brk(start + 7 * PAGE), start + 7 * PAGE);
    mm.limits.set(Resource::Data, Limit { soft: PAGE, hard: PAGE }, true).unwrap();
    assert_eq!(brk(start + 7 * PAGE + 1), start + 7 * PAGE);
    assert_eq!(brk(start), start);
}

#[test]
fn the_address_space_has_a_limit() {
    let (_, mm) = new();
    mm.limits.set(Resource::AddressSpace, Limit { soft: 10 * PAGE, hard: 10 * PAGE }, true).unwrap();
    assert!(anon(&mm, 0, 10, RW, 0).is_ok());
    assert_eq!(anon(&mm, 0, 1, RW, 0), Err(Errno::ENOMEM));
}

#[test]
fn mremap_moves_pages() {
    let (_, mm) = new();
    let f = FakeFile::new(9);
    let at = anon(&mm, 0, 2, RW, 0).unwrap();
    anon(&mm, at + 2 * PAGE, 1, R, FIXED).unwrap();
    assert!(write(&mm, at + PAGE, 77));
    let remap = |old, old_pages, pages, flags, to| {
        mm.mremap(UserAddr(old), old_pages * PAGE, pages * PAGE, flags, UserAddr(to)).map(|a| a.0)
    };
    let moved = remap(at, 2, 64, 1, 0).unwrap();
    assert_ne!(moved, at);
    assert_eq!((read(&mm, moved + PAGE), read(&mm, moved + 63 * PAGE)), (Some(77), Some(0)));
    assert_eq!(read(&mm, at), None);
    assert_eq!(remap(moved, 64, 1, 0, 0), Ok(moved));
    assert_eq!(read(&mm, moved + PAGE), None);
    // Room behind it: it grows where it is.
    assert_eq!(remap(moved, 1, 3, 0, 0), Ok(moved));
    assert_eq!(remap(moved + 8 * PAGE, 1, 2, 1, 0), Err(Errno::EFAULT));
    assert_eq!(remap(moved, 4, 5, 1, 0), Err(Errno::EFAULT));
    assert_eq!(remap(moved, 3, 0, 1, 0), Err(Errno::EINVAL));
    assert_eq!(remap(moved, 3, 4, 2, 0), Err(Errno::EINVAL));
    assert_eq!(remap(moved, 3, 4, 8, 0), Err(Errno::EINVAL));
    let there = 0x7000_0000;
    assert_eq!(remap(moved, 3, 4, 3, there), Ok(there));
    assert_eq!(remap(there, 4, 4, 3, there + PAGE), Err(Errno::EINVAL));
    // A file's pages keep their place in the file.
    let at = file(&mm, &f, 3, RW, PRIVATE, 2).unwrap();
    assert!(write(&mm, at, 40));
    let moved = remap(at + PAGE, 2, 5, 1, 0).unwrap();
    assert_eq!((read(&mm, at), read(&mm, moved), read(&mm, moved + 4 * PAGE)), (Some(40), Some(3), Some(7)));
}

#[test]
fn advice() {
    let (_, mm) = new();
    let f = FakeFile::new(9);
    let at = anon(&mm, 0, 4, RW, 0).unwrap();
    assert!(write(&mm, at + PAGE, 5) && write(&mm, at, 6));
    assert_eq!(mm.mincore(UserAddr(at), 4 * PAGE), Ok((std::vec![1, 1, 0, 0], Ok(()))));
    let behind = mm.mincore(UserAddr(at), 4 * PAGE + 1);
    assert_eq!(behind, Ok((std::vec![1, 1, 0, 0], Err(Errno::ENOMEM))));
    assert_eq!(mm.madvise(UserAddr(at + PAGE), 3 * PAGE, 4), Ok(()));
    assert_eq!((read(&mm, at + PAGE), read(&mm, at)), (Some(0), Some(6)));
    assert_eq!(mm.madvise(UserAddr(at), PAGE, 9999), Err(Errno::EINVAL));
    assert_eq!(mm.madvise(UserAddr(at + 1), PAGE, 4), Err(Errno::EINVAL));
    assert_eq!(mm.madvise(UserAddr(at), 0, 4), Ok(()));
    assert_eq!(mm.madvise(UserAddr(at - PAGE), 2 * PAGE, 4), Err(Errno::ENOMEM));
    assert_eq!(read(&mm, at), Some(0));
    assert_eq!(mm.mincore(UserAddr(at - PAGE), PAGE), Ok((std::vec![], Err(Errno::ENOMEM))));
    let at = file(&mm, &f, 2, RW, PRIVATE, 0).unwrap();
    assert!(write(&mm, at, 44));
    assert_eq!(mm.madvise(UserAddr(at), PAGE, 8), Err(Errno::EINVAL));
    assert_eq!(mm.madvise(UserAddr(at), PAGE, 4), Ok(()));
    assert_eq!(read(&mm, at), Some(0));
    assert_eq!(mm.msync(UserAddr(at), PAGE, 4), Ok(()));
    assert_eq!(mm.msync(UserAddr(at), PAGE, 5), Err(Errno::EINVAL));
    assert_eq!(mm.msync(UserAddr(at - PAGE), PAGE, 4), Err(Errno::ENOMEM));
}

#[test]
fn copies_bring_pages_in_and_stop_at_the_hole() {
    let (machine, mm) = new();
    let at = anon(&mm, 0, 3, RW, 0).unwrap();
    mm.munmap(UserAddr(at + 2 * PAGE), PAGE).unwrap();
    let bytes = std::vec![7u8; 3 * 4096];
    assert_eq!(mm.write(UserAddr(at + 100), &bytes), 8192 - 100);
    let mut back = std::vec![0u8; 3 * 4096];
    assert_eq!(mm.read(UserAddr(at + 4000), &mut back), 8192 - 4000);
    assert_eq!(mm.zero(UserAddr(at), 9000), 8192);
    assert_eq!(mm.fault_in_readable(UserAddr(at + 10), 9000), 8192 - 10);
    mm.madvise(UserAddr(at), 2 * PAGE, 4).unwrap();
    let frame = base::frame::alloc_zeroed().unwrap();
    assert_eq!(mm.read_into_frame(UserAddr(at), &frame, 0, 10), 0);
    assert_eq!(mm.fault_in_readable(UserAddr(at), 10), 10);
    assert_eq!(mm.read_into_frame(UserAddr(at), &frame, 0, 10), 10);
    assert_eq!(mm.write_from_frame(UserAddr(at + PAGE - 1), &frame, 5, 2), 2);
    for wild in [0, TASK_SIZE - 1, TASK_SIZE, u64::MAX, 1 << 63] {
        assert_eq!(mm.read(UserAddr(wild), &mut back), 0);
        assert_eq!(mm.write(UserAddr(wild), &bytes), 0);
        assert_eq!(mm.fault_in_readable(UserAddr(wild), 5), 0);
        assert_eq!(why(&mm, wild, Read), MAPERR);
    }
    assert_eq!(machine.pages().len(), 2);
}

/// As seen under Linux: `/proc/self/maps` of a program that maps an ext4 file so.
#[test]
fn large_parts_of_files_lie_where_a_block_could_map_them() {
    const BLOCK: u64 = 2 << 20;
    let (_, mm) = new();
    let f = FakeFile::new(4);
    let map = |addr, len, first: u64| {
        let file = Some(f.map_file());
        let offset = first * PAGE;
        let request = MapRequest { addr, len, prot: R, flags: PRIVATE, file, offset };
        mm.mmap(&request).unwrap().0
    };
    let ten = map(0, 10 << 20, 0);
    assert_eq!(ten % BLOCK, 0);
    // What is small goes into what was left above.
    assert!(map(0, PAGE, 0) > ten);
    let five = map(0, 5 << 20, 1);
    assert_eq!(five % BLOCK, PAGE);
    // No whole block.
    let len = 2 * BLOCK - 2 * PAGE;
    assert_eq!(map(0, len, 1), five - len);
    // Who says where has it there.
    let hint = 0x4000_0000 + PAGE;
    assert_eq!(map(hint, BLOCK, 0), hint);
    assert_eq!(map(hint, BLOCK, 0) % BLOCK, 0);
}

#[test]
fn populate_brings_all_in() {
    let (machine, mm) = new();
    let at = anon(&mm, 0, 5, RW, 0x8000).unwrap();
    assert_eq!(machine.pages().len(), 5);
    assert!(machine.page(at).unwrap().1.write);
}

#[test]
fn maps_are_told_as_linux_tells_them() {
    let (_, mm) = new();
    let f = FakeFile::new(9);
    stack(&mm);
    mm.set_image(ImageLayout { heap: 0x50_0000, ..Default::default() }, Strings::default());
    mm.brk(UserAddr(0x50_1000));
    file(&mm, &f, 2, R, PRIVATE, 3).unwrap();
    let mut text = String::new();
    mm.write_maps(&mut text).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "00500000-00501000 rw-p 00000000 00:00 0                                  [heap]");
    assert_eq!(lines[1], "fffff7ffd000-fffff7fff000 r--p 00003000 fe:00 12                         /fake");
    assert_eq!(lines[2], "ffffffffb000-fffffffff000 rw-p 00000000 00:00 0                          [stack]");
}

#[test]
fn threads_that_fault_on_one_page_get_one_page() {
    let (_, mm) = new();
    let mm = Arc::new(mm);
    let f = FakeFile::new(9);
    for round in 0..50u64 {
        let at = anon(&mm, 0, 2, RW, 0).unwrap();
        let private = file(&mm, &f, 2, RW, PRIVATE, round % 7).unwrap();
        let threads: Vec<_> = (0..4u64)
            .map(|n| {
                let mm = mm.clone();
                sync::thread::spawn("toucher", move || {
                    for page in [at, at + PAGE, private, private + PAGE] {
                        if n % 2 == 0 {
                            assert!(read(&mm, page + 100 + n).is_some());
                        }
                        assert!(write(&mm, page + n, 50 + n as u8));
                    }
                })
                .unwrap()
            })
            .collect();
        threads.iter().for_each(|t| t.join());
        for page in [at, at + PAGE, private, private + PAGE] {
            for n in 0..4u64 {
                assert_eq!(read(&mm, page + n), Some(50 + n as u8));
            }
        }
        assert_eq!(mm.sizes().resident, 4 * PAGE);
        mm.munmap(UserAddr(0), TASK_SIZE).unwrap();
    }
}

#[test]
fn locking_brings_in() {
    let (machine, mm) = new();
    let at = anon(&mm, 0, 3, RW, PRIVATE).unwrap();
    mm.mlock(UserAddr(at + 5), PAGE, 0).unwrap();
    assert!(machine.page(at).is_some() && machine.page(at + PAGE).is_some());
    assert!(machine.page(at + 2 * PAGE).is_none());
    assert_eq!(mm.mlock(UserAddr(at + 2 * PAGE), 2 * PAGE, 0), Err(Errno::ENOMEM));
    assert_eq!(mm.munlock(UserAddr(at), 3 * PAGE), Ok(()));
}

/// A length without whole pages is none to msync, mlock and mremap, and too much for mprotect and madvise.
#[test]
fn lengths_that_overflow() {
    let (_, mm) = new();
    let at = UserAddr(anon(&mm, 0, 2, RW, PRIVATE).unwrap());
    assert_eq!((mm.msync(at, u64::MAX, 4), mm.mlock(at, u64::MAX, 0)), (Ok(()), Ok(())));
    assert_eq!(
        (mm.mprotect(at, u64::MAX, 1), mm.madvise(at, u64::MAX, 0)),
        (Err(Errno::ENOMEM), Err(Errno::EINVAL))
    );
    assert_eq!(mm.munlock(at, u64::MAX - PAGE + 1), Err(Errno::EINVAL));
    assert_eq!(mm.munlock(at, 1 << 40), Err(Errno::ENOMEM));
    assert_eq!(mm.mremap(at, u64::MAX, PAGE, 0, at), Err(Errno::EINVAL));
    // What is not there is told before what is wrong with the rest.
    assert_eq!(mm.mremap(UserAddr(at.0 - 64 * PAGE), PAGE, PAGE, 3, UserAddr(1)), Err(Errno::EFAULT));
    assert_eq!((mm.mprotect(at, 0, 77), mm.mprotect(at, 1, 77)), (Ok(()), Err(Errno::EINVAL)));
}

#[test]
fn memory_that_nobody_may_touch_is_not_brought_in() {
    let (_, mm) = new();
    let at = UserAddr(anon(&mm, 0, 2, 0, PRIVATE).unwrap());
    assert_eq!((mm.mlock(at, PAGE, 0), mm.mlock(at, PAGE, 1)), (Err(Errno::ENOMEM), Ok(())));
}
