//! Random calls on an address space, against a model that is a map from page to what a program would
//! find there.

use super::fake::{FakeFile, FakeMachine};
use super::vma::VmFlags;
use super::*;
use base::UserMemory;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BASE: u64 = 0x10_0000_0000;
const WINDOW: u64 = 48;
const FILE_PAGES: u64 = 40;

#[derive(Clone, Debug)]
enum Step {
    Map { at: u64, pages: u64, prot: u32, file: Option<u64> },
    Unmap { at: u64, pages: u64 },
    Protect { at: u64, pages: u64, prot: u32 },
    Move { from: u64, pages: u64, to: u64, new_pages: u64 },
    Forget { at: u64, pages: u64 },
    Write { at: u64, value: u8 },
    Read { at: u64 },
}

/// What a program finds in a page.
#[derive(Clone, Copy, Debug)]
struct Page {
    prot: u32,
    file: Option<u64>,
    /// What was written, if something was.
    written: Option<u8>,
    /// Which mmap made it: mremap moves one area at a time.
    made_by: usize,
}

impl Page {
    fn value(&self) -> Option<u8> {
        let fresh = match self.file {
            None => Some(0),
            Some(index) if index < FILE_PAGES => Some(index as u8),
            Some(_) => None,
        };
        if self.prot == 0 { None } else { self.written.or(fresh) }
    }
}

type Model = BTreeMap<u64, Page>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..WINDOW - 12;
    let pages = || 1u64..12;
    let prot = || prop_oneof![Just(0u32), Just(1), Just(3), Just(3), Just(5)];
    let step = prop_oneof![
        2 => (at(), pages(), prot(), prop::option::of(0..FILE_PAGES))
            .prop_map(|(at, pages, prot, file)| Step::Map { at, pages, prot, file }),
        1 => (at(), pages()).prop_map(|(at, pages)| Step::Unmap { at, pages }),
        2 => (at(), pages(), prot()).prop_map(|(at, pages, prot)| Step::Protect { at, pages, prot }),
        1 => (at(), pages(), at(), pages())
            .prop_map(|(from, pages, to, new_pages)| Step::Move { from, pages, to, new_pages }),
        1 => (at(), pages()).prop_map(|(at, pages)| Step::Forget { at, pages }),
        5 => (0..WINDOW, 1u8..).prop_map(|(at, value)| Step::Write { at, value }),
        3 => (0..WINDOW).prop_map(|at| Step::Read { at }),
    ];
    prop::collection::vec(step, 1..80)
}

fn addr(page: u64) -> UserAddr {
    UserAddr(BASE + page * PAGE)
}

fn read(mm: &Mm, page: u64) -> Option<u8> {
    let mut byte = [0];
    (mm.read(addr(page), &mut byte) == 1).then_some(byte[0])
}

fn step(mm: &Mm, file: &Arc<FakeFile>, model: &mut Model, step: &Step, number: usize) {
    match *step {
        Step::Map { at, pages, prot, file: first } => {
            let request = MapRequest {
                addr: addr(at).0,
                len: pages * PAGE,
                prot,
                flags: if first.is_some() { 0x12 } else { 0x32 },
                file: first.map(|_| file.map_file()),
                offset: first.unwrap_or(0) * PAGE,
            };
            assert_eq!(mm.mmap(&request), Ok(addr(at)));
            for i in 0..pages {
                let file = first.map(|f| f + i);
                model.insert(at + i, Page { prot, file, written: None, made_by: number });
            }
        }
        Step::Unmap { at, pages } => {
            assert_eq!(mm.munmap(addr(at), pages * PAGE), Ok(()));
            model.retain(|&p, _| p < at || p >= at + pages);
        }
        Step::Protect { at, pages, prot } => {
            let whole = (at..at + pages).all(|p| model.contains_key(&p));
            let expected = if whole { Ok(()) } else { Err(Errno::ENOMEM) };
            assert_eq!(mm.mprotect(addr(at), pages * PAGE, prot), expected);
            for p in (at..at + pages).take_while(|p| model.contains_key(p)).collect::<Vec<_>>() {
                model.get_mut(&p).unwrap().prot = prot;
            }
        }
        Step::Move { from, pages, to, new_pages } => {
            let moved = mm.mremap(addr(from), pages * PAGE, new_pages * PAGE, 3, addr(to));
            if moved.is_ok() {
                move_in_model(model, number, [from, pages, to, new_pages]);
            } else {
                // What it refuses is an overlap, or that what stays has a hole or is more than one area.
                let one = |p: u64| model.get(&p).map(|page| (page.made_by, page.prot));
                let mut stays = from..from + pages.min(new_pages);
                let uniform = stays.all(|p| one(p).is_some() && one(p) == one(from));
                let apart = from + pages <= to || to + new_pages <= from;
                assert!(!(uniform && apart), "{moved:?}");
            }
        }
        Step::Forget { at, pages } => {
            let whole = (at..at + pages).all(|p| model.contains_key(&p));
            assert_eq!(mm.madvise(addr(at), pages * PAGE, 4).is_ok(), whole);
            model.range_mut(at..at + pages).for_each(|(_, page)| page.written = None);
        }
        Step::Write { at, value } => {
            let page = model.get_mut(&at).filter(|p| p.prot & 2 != 0 && p.value().is_some());
            assert_eq!(mm.write(addr(at), &[value]), usize::from(page.is_some()));
            if let Some(page) = page {
                page.written = Some(value);
            }
        }
        Step::Read { at } => assert_eq!(read(mm, at), model.get(&at).and_then(Page::value)),
    }
}

/// What moves is an area of its own from then on, made by this step.
fn move_in_model(model: &mut Model, number: usize, [from, pages, to, new_pages]: [u64; 4]) {
    let mut old: Vec<Option<Page>> = (from..from + pages).map(|p| model.remove(&p)).collect();
    // What is cut off may have been anything.
    old.truncate(new_pages as usize);
    let old: Vec<Page> = old.into_iter().map(Option::unwrap).collect();
    for i in 0..new_pages {
        let last = old[old.len() - 1];
        let page = old.get(i as usize).copied().unwrap_or_else(|| {
            let beyond = i + 1 - old.len() as u64;
            Page { written: None, file: last.file.map(|f| f + beyond), ..last }
        });
        model.insert(to + i, Page { made_by: number, ..page });
    }
}

/// The invariants of the module.
fn check(mm: &Mm, machine: &FakeMachine, file: &FakeFile) {
    let areas = mm.areas.read();
    let pages = machine.pages();
    assert_eq!(mm.pages.resident().pages(), pages.len() as u64);
    for at in pages {
        let area = areas.set.find(at).expect("a page within an area");
        let (frame, protection) = machine.page(at).unwrap();
        assert!(mm.pages.resident().contains(at));
        assert!(!protection.write || area.flags.contains(VmFlags::WRITE));
        assert!(!protection.read || area.flags.intersects(VmFlags::PROT));
        assert!(!protection.execute || area.flags.contains(VmFlags::EXEC));
        let cached = file.cache.lock().unwrap().values().any(|c| c.same(&frame));
        assert!(!(cached && protection.write), "the cache's page is writable");
    }
    for (index, frame) in file.cache.lock().unwrap().iter() {
        let mut byte = [0];
        frame.read(0, &mut byte);
        assert_eq!(u64::from(byte[0]), *index, "the program wrote to the file");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_address_space_is_a_map_from_pages(steps in steps()) {
        let machine = FakeMachine::leak();
        let mm = Mm::new(machine, Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap();
        let (file, mut model) = (FakeFile::new(FILE_PAGES), Model::new());
        for (number, one) in steps.iter().enumerate() {
            step(&mm, &file, &mut model, one, number);
            check(&mm, machine, &file);
        }
        for page in 0..WINDOW {
            prop_assert_eq!(read(&mm, page), model.get(&page).and_then(Page::value), "page {}", page);
        }
        mm.munmap(UserAddr(0), base::user::TASK_SIZE).unwrap();
        prop_assert!(machine.pages().is_empty());
    }
}
