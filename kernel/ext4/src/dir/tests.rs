use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base::Errno;

use super::fake::FakeDir;
use super::hash::HashKind;
use super::*;

/// Every combination of block size, checksums and index.
fn each(mut f: impl FnMut(FakeDir)) {
    for block_size in [1024, 2048, 4096] {
        for csum in [false, true] {
            for dir_index in [false, true] {
                f(FakeDir::new(block_size, csum, dir_index));
            }
        }
    }
}

fn list(dir: &FakeDir) -> Vec<String> {
    list_by(dir, usize::MAX)
}

/// Reads all, `at_once` names at a time, each time with what the position alone says and the cursor.
fn list_by(dir: &FakeDir, at_once: usize) -> Vec<String> {
    let (mut cursor, mut pos, mut names) = (Cursor::default(), 0, Vec::new());
    loop {
        let mut left = at_once;
        let before = names.len();
        iterate(dir, &mut cursor, &mut pos, &mut |v| {
            if left == 0 {
                return false;
            }
            left -= 1;
            names.push(String::from_utf8_lossy(v.name).into_owned());
            true
        })
        .unwrap();
        if names.len() == before {
            return names;
        }
    }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

#[test]
fn names_come_and_go() {
    each(|dir| {
        assert!(is_empty(&dir).unwrap());
        for i in 0..500u32 {
            add(&dir, format!("file number {i}").as_bytes(), 100 + i, 1).unwrap();
        }
        assert_eq!(dir.indexed.get(), dir.shape.dir_index);
        for i in 0..500u32 {
            let found = find(&dir, format!("file number {i}").as_bytes()).unwrap().unwrap();
            assert_eq!((found.ino, found.file_type), (100 + i, 1));
        }
        assert_eq!(find(&dir, b"file number 500").unwrap(), None);
        assert!(!is_empty(&dir).unwrap());
        let mut names = list(&dir);
        assert_eq!(names.len(), 502);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 502);
        for i in 0..500u32 {
            let found = find(&dir, format!("file number {i}").as_bytes()).unwrap().unwrap();
            remove(&dir, &found).unwrap();
        }
        assert!(is_empty(&dir).unwrap());
        assert_eq!(list(&dir), [".", ".."]);
        assert_eq!(dir.damage.get(), None);
    });
}

#[test]
fn as_a_map_does() {
    each(|dir| {
        let mut rng = Rng(dir.shape.layout.block_size as u64);
        let mut model = BTreeMap::new();
        for step in 0..1200u32 {
            let n = rng.below(400);
            // Lengths 1 to 255, so that rec_lens of all kinds meet.
            let name = format!("{n}{}", "x".repeat((n * 7 % 252) as usize)).into_bytes();
            match find(&dir, &name).unwrap() {
                Some(found) => {
                    assert_eq!(Some(&found.ino), model.get(&name));
                    if rng.below(3) > 0 {
                        remove(&dir, &found).unwrap();
                        model.remove(&name);
                    } else {
                        retarget(&dir, &found, step + 1, 2).unwrap();
                        model.insert(name, step + 1);
                    }
                }
                None => {
                    assert_eq!(model.get(&name), None);
                    add(&dir, &name, step + 1, 1).unwrap();
                    model.insert(name, step + 1);
                }
            }
        }
        assert_eq!(list(&dir).len(), model.len() + 2);
        assert_eq!(parent(&dir).unwrap(), 2);
        set_parent(&dir, 77).unwrap();
        assert_eq!(parent(&dir).unwrap(), 77);
        assert_eq!(find(&dir, b"..").unwrap().unwrap().ino, 77);
        assert_eq!(find(&dir, b".").unwrap().unwrap().ino, 12);
        for (name, ino) in &model {
            assert_eq!(find(&dir, name).unwrap().unwrap().ino, *ino);
        }
        assert_eq!(dir.damage.get(), None);
    });
}

#[test]
fn two_levels_and_then_full() {
    let dir = FakeDir::new(1024, true, true);
    let mut added = 0u32;
    // 123 nodes of 126 leaves of at most three such names: some twenty thousand fit.
    let error = loop {
        let name = format!("{added:0>250}");
        match add(&dir, name.as_bytes(), 20 + added, 1) {
            Ok(()) => added += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(error, Errno::ENOSPC);
    assert!(added > 10_000, "only {added}");
    for i in (0..added).step_by(97) {
        assert_eq!(find(&dir, format!("{i:0>250}").as_bytes()).unwrap().unwrap().ino, 20 + i);
    }
    assert_eq!(list(&dir).into_iter().collect::<BTreeSet<_>>().len(), added as usize + 2);
}

#[test]
fn three_levels_with_large_dir() {
    let mut dir = FakeDir::new(1024, false, true);
    dir.shape.large_dir = true;
    for i in 0..45_000u32 {
        add(&dir, format!("{i:0>250}").as_bytes(), 20 + i, 1).unwrap();
    }
    for i in (0..45_000).step_by(101) {
        assert_eq!(find(&dir, format!("{i:0>250}").as_bytes()).unwrap().unwrap().ino, 20 + i);
    }
    let levels = dir.blocks.borrow()[0][30];
    assert_eq!(levels, 2);
    assert_eq!(list(&dir).len(), 45_002);
}

#[test]
fn colliding_names_share_leaves_and_are_listed_once() {
    let mut dir = FakeDir::new(1024, true, true);
    dir.shape.hasher.kind = HashKind::Legacy;
    // The legacy hash has no minor part and 31 bits; a truncated alphabet makes equal ones.
    let hasher = dir.shape.hasher;
    let mut by_hash: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for i in 0..400_000u32 {
        let name = format!("{i:x}").into_bytes();
        by_hash.entry(hasher.hash(&name).major).or_default().push(name);
    }
    let mut names: Vec<Vec<u8>> = by_hash.into_values().filter(|n| n.len() > 1).flatten().collect();
    names.truncate(3000);
    assert!(names.len() > 100, "{}", names.len());
    for (i, name) in names.iter().enumerate() {
        add(&dir, name, 20 + i as u32, 1).unwrap();
    }
    for name in &names {
        assert!(find(&dir, name).unwrap().is_some());
    }
    for at_once in [1, 2, 3, 1000] {
        let listed = list_by(&dir, at_once);
        assert_eq!(listed.len(), names.len() + 2);
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), names.len() + 2);
    }
}

#[test]
fn a_reader_sees_what_stays_exactly_once() {
    each(|dir| {
        for i in 0..40u32 {
            add(&dir, format!("stays{i}").as_bytes(), 20 + i, 1).unwrap();
        }
        let (mut cursor, mut pos, mut seen) = (Cursor::default(), 0, Vec::new());
        let mut round = 0u32;
        loop {
            let mut left = 3;
            let before = seen.len();
            iterate(&dir, &mut cursor, &mut pos, &mut |v| {
                left -= 1;
                if left < 0 {
                    return false;
                }
                seen.push(String::from_utf8_lossy(v.name).into_owned());
                true
            })
            .unwrap();
            if seen.len() == before {
                break;
            }
            // Meanwhile others come (for a while) and go.
            if round < 100 {
                for n in 0..8 {
                    add(&dir, format!("comes{round}-{n}").as_bytes(), 9, 1).unwrap();
                }
                let gone = find(&dir, format!("comes{round}-3").as_bytes()).unwrap().unwrap();
                remove(&dir, &gone).unwrap();
            }
            round += 1;
        }
        let stays: Vec<_> = seen.iter().filter(|n| n.starts_with("stays")).collect();
        assert_eq!(stays.len(), 40);
        assert_eq!(stays.iter().collect::<BTreeSet<_>>().len(), 40);
    });
}

#[test]
fn no_room_leaves_it_as_it_was() {
    each(|dir| {
        dir.room.set(9);
        let mut names = Vec::new();
        for i in 0.. {
            let name = format!("{i:0>60}");
            match add(&dir, name.as_bytes(), 20 + i, 1) {
                Ok(()) => names.push(name),
                Err(e) => {
                    assert_eq!(e, Errno::ENOSPC);
                    break;
                }
            }
        }
        assert_eq!(list(&dir).len(), names.len() + 2);
        for name in &names {
            assert!(find(&dir, name.as_bytes()).unwrap().is_some());
        }
    });
}

#[test]
fn eexist_and_bad_names() {
    each(|dir| {
        add(&dir, b"a", 20, 1).unwrap();
        assert_eq!(add(&dir, b"a", 21, 1), Err(Errno::EEXIST));
        assert_eq!(add(&dir, b"", 21, 1), Err(Errno::EINVAL));
        assert_eq!(find(&dir, &[b'n'; 256]).unwrap(), None);
    });
}

#[test]
fn a_bad_root_is_passed_over_where_there_are_no_checksums() {
    // Hash version, flags, levels, limit, count.
    for (at, byte) in [(28, 9), (31, 1), (30, 7), (32, 1), (34, 0)] {
        let dir = FakeDir::new(1024, false, true);
        for i in 0..400u32 {
            add(&dir, format!("name{i}").as_bytes(), 20 + i, 1).unwrap();
        }
        dir.blocks.borrow_mut()[0][at] = byte;
        if at == 34 {
            dir.blocks.borrow_mut()[0][35] = 0;
        }
        assert_eq!(find(&dir, b"name17").unwrap().map(|found| found.ino), Some(37));
        assert_eq!(parent(&dir).unwrap(), 2);
        assert_eq!(list(&dir).into_iter().collect::<BTreeSet<_>>().len(), 402);
        add(&dir, b"one more", 9, 1).unwrap();
        assert!(!dir.indexed.get() && dir.damage.get().is_some());
        assert_eq!(find(&dir, b"one more").unwrap().map(|found| found.ino), Some(9));
        assert_eq!(list(&dir).len(), 403);
    }
    let dir = FakeDir::new(1024, true, true);
    for i in 0..400u32 {
        add(&dir, format!("name{i}").as_bytes(), 20 + i, 1).unwrap();
    }
    dir.blocks.borrow_mut()[0][28] = 9;
    assert_eq!(find(&dir, b"name17"), Err(Errno::EUCLEAN));
}

/// The same of a node below the root: its limit, its count, or a child that is above it.
#[test]
fn a_bad_node_is_passed_over_too() {
    for (at, value) in [(8, 1u16), (10, 0), (10, 600), (12, 0)] {
        for reads_first in [false, true] {
            let dir = FakeDir::new(1024, false, true);
            for i in 0..3000u32 {
                add(&dir, format!("{i:0>100}").as_bytes(), 20 + i, 1).unwrap();
            }
            let child = dir.blocks.borrow()[0][36..40].try_into().map(u32::from_le_bytes).unwrap();
            assert_eq!(dir.blocks.borrow()[0][30], 1, "there are nodes");
            let bytes =
                if at == 12 { child.to_le_bytes()[..2].try_into().unwrap() } else { value.to_le_bytes() };
            dir.blocks.borrow_mut()[child as usize][at..at + 2].copy_from_slice(&bytes);
            if reads_first {
                assert_eq!(list(&dir).into_iter().collect::<BTreeSet<_>>().len(), 3002);
            }
            for i in (0..3000).step_by(7) {
                let found = find(&dir, format!("{i:0>100}").as_bytes()).unwrap();
                assert_eq!(found.map(|found| found.ino), Some(20 + i), "{at} {i}");
            }
            assert!(!dir.indexed.get() && dir.damage.get().is_some());
            add(&dir, b"one more", 9, 1).unwrap();
            assert_eq!(list(&dir).len(), 3003);
        }
    }
}

/// Damaged blocks give EUCLEAN or work; they never hang and never panic.
#[test]
fn flipped_bytes_do_no_harm() {
    for csum in [false, true] {
        let dir = FakeDir::new(1024, csum, true);
        for i in 0..400u32 {
            add(&dir, format!("name{i}").as_bytes(), 20 + i, 1).unwrap();
        }
        let good = dir.blocks.borrow().clone();
        let mut rng = Rng(4711);
        for _ in 0..2000 {
            *dir.blocks.borrow_mut() = good.clone();
            dir.indexed.set(rng.below(4) > 0);
            for _ in 0..=rng.below(3) {
                let block = rng.below(good.len() as u64) as usize;
                // Headers and the root are hit more often than names.
                let at = if rng.below(2) == 0 { rng.below(64) } else { rng.below(1024) } as usize;
                dir.blocks.borrow_mut()[block][at] = rng.below(256) as u8;
            }
            let _ = find(&dir, b"name17");
            let _ = find(&dir, b"not there");
            let mut count = 0;
            let _ = iterate(&dir, &mut Cursor::default(), &mut 0, &mut |_| {
                count += 1;
                count < 10_000
            });
            assert!(count < 10_000);
            let _ = is_empty(&dir);
            let _ = add(&dir, format!("new{}", rng.below(9)).as_bytes(), 5, 1);
            let _ = set_parent(&dir, 3);
            if let Ok(Some(found)) = find(&dir, b"name9") {
                let _ = remove(&dir, &found);
            }
        }
    }
}
