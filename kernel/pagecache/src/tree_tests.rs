//! The tree against a BTreeMap.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

type Model = BTreeMap<u64, (u32, [bool; TAGS])>;
const ALL: [Tag; TAGS] = [Tag::Dirty, Tag::Writeback, Tag::ToWrite];

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, u32),
    Remove(u64),
    Set(u64, usize),
    Clear(u64, usize),
    Copy(u64, u64, usize, usize),
}

/// Indices that collide often, cross node borders and reach to the very end.
fn index() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..8, 60u64..70, 4090u64..4100, Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (index(), any::<u32>()).prop_map(|(i, v)| Op::Insert(i, v)),
        2 => index().prop_map(Op::Remove),
        3 => (index(), 0..TAGS).prop_map(|(i, t)| Op::Set(i, t)),
        2 => (index(), 0..TAGS).prop_map(|(i, t)| Op::Clear(i, t)),
        1 => (index(), index(), 0..TAGS, 0..TAGS).prop_map(|(a, b, h, s)| Op::Copy(a, b, h, s)),
    ]
}

fn apply(tree: &mut Tree<u32>, model: &mut Model, op: Op) {
    match op {
        Op::Insert(i, v) => {
            let free = !model.contains_key(&i);
            assert_eq!(tree.insert(i, v).is_ok(), free);
            if free {
                model.insert(i, (v, [false; TAGS]));
            }
        }
        Op::Remove(i) => assert_eq!(tree.remove(i), model.remove(&i).map(|(v, _)| v)),
        Op::Set(i, t) | Op::Clear(i, t) => {
            let on = matches!(op, Op::Set(..));
            tree.tag(i, [(ALL[t], on)]);
            if let Some((_, tags)) = model.get_mut(&i) {
                tags[t] = on;
            }
        }
        Op::Copy(a, b, having, set) => {
            assert_eq!(tree.tag_range(a, b, ALL[having], ALL[set], usize::MAX), None);
            for (_, (_, tags)) in model.range_mut(a..=b.max(a)).filter(|(i, _)| **i <= b) {
                tags[set] |= tags[having];
            }
        }
    }
}

fn check(tree: &Tree<u32>, model: &Model, probe: u64) {
    assert_eq!(tree.len(), model.len());
    assert_eq!(tree.get(probe), model.get(&probe).map(|(v, _)| v));
    let all: Vec<_> = tree.range(0, u64::MAX, None).map(|(i, v)| (i, *v)).collect();
    assert_eq!(all, model.iter().map(|(i, (v, _))| (*i, *v)).collect::<Vec<_>>());
    for (t, tag) in ALL.into_iter().enumerate() {
        let tagged: Vec<_> = tree.range(probe, u64::MAX, Some(tag)).map(|(i, _)| i).collect();
        let expected: Vec<_> = model.range(probe..).filter(|(_, (_, s))| s[t]).map(|(i, _)| *i).collect();
        assert_eq!(tagged, expected);
        assert_eq!(tree.any(tag), model.values().any(|(_, s)| s[t]));
    }
}

proptest! {
    #[test]
    fn behaves_as_a_map(ops in prop::collection::vec((op(), index()), 1..120)) {
        let (mut tree, mut model) = (Tree::new(), Model::new());
        for (op, probe) in ops {
            apply(&mut tree, &mut model, op);
            check(&tree, &model, probe);
        }
    }
}

#[test]
fn tagging_stops_at_its_limit() {
    let mut tree = Tree::new();
    for i in 0..10 {
        assert!(tree.insert(i * 100, i).is_ok());
        tree.tag(i * 100, [(Tag::Dirty, true)]);
    }
    // 0, 100, 200 and 300 lie in leaves of their own, the last of them in 256..320.
    assert_eq!(tree.tag_range(0, 1000, Tag::Dirty, Tag::ToWrite, 4), Some(320));
    assert_eq!(tree.range(0, 1000, Some(Tag::ToWrite)).count(), 4);
    assert_eq!(tree.tag_range(320, 1000, Tag::Dirty, Tag::ToWrite, 99), None);
    assert_eq!(tree.range(0, 1000, Some(Tag::ToWrite)).count(), 10);
}

#[test]
fn several_tags_change_at_once_and_the_levels_above_know() {
    let mut tree = Tree::new();
    for i in [5, 70] {
        assert!(tree.insert(i, i).is_ok());
        tree.tag(i, [(Tag::Dirty, true), (Tag::ToWrite, true)]);
    }
    tree.tag(5, [(Tag::Dirty, false), (Tag::ToWrite, false), (Tag::Writeback, true)]);
    assert_eq!(tree.range(0, 99, Some(Tag::Dirty)).map(|(i, _)| i).collect::<Vec<_>>(), [70]);
    tree.tag(70, [(Tag::Dirty, false)]);
    assert!(!tree.any(Tag::Dirty) && tree.any(Tag::ToWrite) && tree.any(Tag::Writeback));
    // Nothing is there: nothing happens.
    tree.tag(6, [(Tag::Dirty, true)]);
    assert!(!tree.any(Tag::Dirty));
}
