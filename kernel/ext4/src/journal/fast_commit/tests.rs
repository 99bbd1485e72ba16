//! What changes come to, against a model that says it block by block and name by name.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use base::Result;
use proptest::prelude::*;

use super::outcome::{Disk, OnDisk, Outcome, Range, edited, outcome};
use super::runs;
use crate::disk::fast_commit::{Change, NameChange};
use crate::extent::node::Entry;

/// Inodes with (generation, names), and names in them.
#[derive(Default)]
struct Model {
    inodes: BTreeMap<u32, (u32, u16)>,
    names: BTreeMap<(u32, u8), u32>,
}

impl Disk for Model {
    fn inode(&self, ino: u32) -> Result<Option<OnDisk>> {
        let found = self.inodes.get(&ino);
        Ok(found.map(|&(generation, nlink)| OnDisk { generation, nlink, directory: ino == 2 }))
    }

    fn name(&self, parent: u32, name: &[u8]) -> Result<Option<u32>> {
        Ok(self.names.get(&(parent, name[0])).copied())
    }
}

fn model() -> Model {
    let inodes = BTreeMap::from([(2, (0, 2)), (12, (7, 1)), (13, (8, 2))]);
    let names = BTreeMap::from([((2, b'a'), 12), ((2, b'b'), 13), ((2, b'c'), 13)]);
    Model { inodes, names }
}

fn raw(generation: u32, nlink: u16) -> Box<[u8]> {
    let mut raw = [0u8; 128];
    raw[..2].copy_from_slice(&0o100644u16.to_le_bytes());
    raw[0x1a..0x1c].copy_from_slice(&nlink.to_le_bytes());
    raw[0x64..0x68].copy_from_slice(&generation.to_le_bytes());
    raw.into()
}

fn name(what: NameChange, ino: u32, name: u8) -> Change {
    Change::Name { what, parent: 2, ino, name: [name].into() }
}

fn add(ino: u32, block: u32) -> Change {
    Change::Add { ino, entry: Entry { block, len: 1, start: 500, unwritten: false } }
}

fn play(changes: impl IntoIterator<Item = Change>) -> Outcome {
    outcome(changes.into_iter().collect(), &model()).unwrap()
}

fn names(all: &Outcome) -> Vec<(u8, Option<u32>, Option<u32>)> {
    all.names.iter().map(|((_, name), (old, new))| (name[0], *old, *new)).collect()
}

#[test]
fn a_rename_over_another() {
    use NameChange::{Link, Unlink};
    let all = play([
        name(Unlink, 13, b'b'),
        name(Link, 12, b'b'),
        name(Unlink, 12, b'a'),
        Change::Inode { ino: 12, raw: raw(7, 1) },
        Change::Inode { ino: 13, raw: raw(8, 1) },
    ]);
    assert_eq!(names(&all), [(b'a', Some(12), None), (b'b', Some(13), Some(12))]);
    assert_eq!((all.inodes[&12].nlink, all.inodes[&13].nlink), (1, 1));
    assert!(!all.inodes[&12].fresh && all.inodes[&12].exists());
}

#[test]
fn a_number_that_is_given_out_again_is_another_inode() {
    use NameChange::{Create, Unlink};
    let all = play([
        add(12, 0),
        name(Unlink, 12, b'a'),
        Change::Inode { ino: 12, raw: raw(9, 1) },
        add(12, 3),
        name(Create, 12, b'd'),
    ]);
    let inode = &all.inodes[&12];
    assert!(inode.fresh);
    assert_eq!((inode.ranges.len(), inode.nlink), (1, 1));
    assert_eq!(names(&all), [(b'a', Some(12), None), (b'd', None, Some(12))]);
}

#[test]
fn an_inode_that_nobody_tells_of_loses_its_last_name() {
    let all = play([name(NameChange::Unlink, 12, b'a'), name(NameChange::Unlink, 12, b'b')]);
    assert_eq!(all.inodes[&12].nlink, 0);
    assert_eq!(names(&all), [(b'a', Some(12), None), (b'b', Some(13), Some(13))]);
    // One that was never there has no blocks either.
    assert!(!play([add(40, 0)]).inodes[&40].exists());
}

#[test]
fn a_new_file_with_two_names() {
    use NameChange::{Create, Link};
    let told = || Change::Inode { ino: 20, raw: raw(1, 2) };
    let all = play([told(), name(Create, 20, b'x'), name(Link, 20, b'y'), told()]);
    assert_eq!(all.inodes[&20].nlink, 2);
    let all = play([told(), name(Create, 20, b'x'), name(Link, 20, b'y'), name(Link, 20, b'y')]);
    assert_eq!(all.inodes[&20].nlink, 2);
}

proptest! {
    #[test]
    fn blocks_come_and_go(
        ranges in prop::collection::vec((0u32..60, 1u32..20, 0u64..500, any::<bool>(), any::<bool>()), 0..12),
    ) {
        let mut model: BTreeMap<u32, (u64, bool)> = BTreeMap::new();
        let mut all = Vec::new();
        for (block, len, start, unwritten, adds) in ranges {
            (block..block + len).for_each(|b| {
                model.remove(&b);
            });
            if adds {
                all.push(Range::Add(Entry { block, len, start, unwritten }));
                model.extend((0..len).map(|i| (block + i, (start + u64::from(i), unwritten))));
            } else {
                all.push(Range::Del { first: block, len });
            }
        }
        let got = edited(Vec::new(), &all);
        let each = |e: &Entry| {
            let e = *e;
            (0..e.len).map(move |i| (e.block + i, (e.start + u64::from(i), e.unwritten)))
        };
        prop_assert_eq!(got.iter().flat_map(each).collect::<BTreeMap<_, _>>(), model);
        prop_assert!(got.windows(2).all(|p| p[0].end() <= u64::from(p[1].block) && p[0].join(&p[1]).is_none()));
    }

    #[test]
    fn runs_are_sets(
        a in prop::collection::vec((0u64..90, 0u64..15), 0..10),
        b in prop::collection::vec((0u64..90, 0u64..15), 0..10),
    ) {
        let runs = |v: &[(u64, u64)]| runs::normal(v.iter().map(|&(s, n)| s..s + n).collect());
        let set = |v: &[core::ops::Range<u64>]| v.iter().cloned().flatten().collect::<BTreeSet<u64>>();
        let (a, b) = (runs(&a), runs(&b));
        let left = runs::without(&a, &b);
        prop_assert_eq!(set(&left), &set(&a) - &set(&b));
        prop_assert!(left.windows(2).all(|p| p[0].end <= p[1].start));
    }
}
