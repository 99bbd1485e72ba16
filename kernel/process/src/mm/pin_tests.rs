//! Pages that a device shall reach.

use std::vec::Vec as StdVec;

use base::arch::Access;
use base::{Frame, UserAddr, UserMemory};

use super::fake::{FakeFile, FakeMachine};
use super::*;

const PAGES: u64 = 4;

fn new() -> Mm {
    Mm::new(FakeMachine::leak(), Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap()
}

fn pin(mm: &Mm, at: u64, len: usize, access: Access) -> (usize, StdVec<(Frame, usize, usize)>) {
    let mut pieces = StdVec::new();
    let mut each = |frame: &Frame, offset: usize, len: usize| pieces.push((frame.clone(), offset, len));
    (mm.pin(UserAddr(at), len, access, &mut each), pieces)
}

#[test]
fn pages_are_brought_in_and_live_on() {
    let mm = new();
    let request = MapRequest { len: PAGES * PAGE, prot: 3, flags: 0x22, ..Default::default() };
    let at = mm.mmap(&request).unwrap().0;
    let (done, pieces) = pin(&mm, at + 512, 5000, Access::Write);
    assert_eq!(done, 5000);
    assert_eq!(pieces.iter().map(|p| (p.1, p.2)).collect::<StdVec<_>>(), [(512, 3584), (0, 1416)]);
    pieces[1].0.write(7, b"in flight");
    let mut back = [0; 9];
    assert_eq!(mm.read(UserAddr(at + PAGE + 7), &mut back), 9);
    assert_eq!(&back, b"in flight");
    mm.munmap(UserAddr(at), PAGES * PAGE).unwrap();
    pieces[1].0.read(7, &mut back);
    assert_eq!(&back, b"in flight");
    assert_eq!(pin(&mm, at, 1, Access::Read).0, 0);
}

#[test]
fn a_pin_stops_where_the_program_may_not() {
    let mm = new();
    let request = MapRequest { len: PAGES * PAGE, prot: 3, flags: 0x22, ..Default::default() };
    let at = mm.mmap(&request).unwrap().0;
    mm.mprotect(UserAddr(at + 2 * PAGE), PAGE, 1).unwrap();
    mm.mprotect(UserAddr(at + 3 * PAGE), PAGE, 0).unwrap();
    assert_eq!(pin(&mm, at, 4 * 4096, Access::Write).0, 2 * 4096);
    assert_eq!(pin(&mm, at, 4 * 4096, Access::Read).0, 3 * 4096);
    assert_eq!(pin(&mm, base::user::TASK_SIZE, 4096, Access::Read).0, 0);
}

#[test]
fn to_be_written_a_private_page_is_copied_first() {
    let mm = new();
    let file = FakeFile::new(2);
    let request = MapRequest {
        len: PAGE,
        prot: 3,
        flags: 2,
        file: Some(file.map_file()),
        offset: PAGE,
        ..Default::default()
    };
    let at = mm.mmap(&request).unwrap().0;
    let (_, shared) = pin(&mm, at, 4096, Access::Read);
    let cached = file.cache.lock().unwrap()[&1].clone();
    assert!(shared[0].0.same(&cached), "to be read it is the cache's own");
    let (_, own) = pin(&mm, at, 4096, Access::Write);
    assert!(!own[0].0.same(&cached));
    // Another thread's fault that comes late: the device goes on writing to the page that the program has.
    assert!(mm.fault(UserAddr(at), Access::Write).is_ok());
    own[0].0.fill(0, 4096, 9);
    let (mut seen, mut kept) = ([0], [0]);
    mm.read(UserAddr(at), &mut seen);
    cached.read(0, &mut kept);
    assert_eq!((seen, kept), ([9], [1]));
}

#[test]
fn a_files_own_page_is_not_for_a_device_to_write_to() {
    let mm = new();
    let own = MapRequest { len: 2 * PAGE, prot: 3, flags: 0x22, ..Default::default() };
    let at = mm.mmap(&own).unwrap().0;
    let file = FakeFile::new(2);
    let fixed = MapRequest {
        addr: at + PAGE,
        len: PAGE,
        prot: 3,
        flags: 0x11,
        file: Some(file.map_file()),
        ..Default::default()
    };
    assert_eq!(mm.mmap(&fixed), Ok(UserAddr(at + PAGE)));
    assert_eq!(pin(&mm, at, 2 * 4096, Access::Read).0, 2 * 4096);
    assert_eq!(pin(&mm, at, 2 * 4096, Access::Write).0, 4096, "as far as it is the program's own");
    assert_eq!(pin(&mm, at + PAGE, 4096, Access::Write).0, 0);
}
