use super::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

fn here<'a>(index: u8, name: &'a [u8], value: &'a [u8]) -> Entry<'a> {
    Entry { index, name, value: Value::Here(value) }
}

/// A block with two attributes.
fn block() -> Vec<u8> {
    let mut list = List::empty(Place::Block);
    list.set(here(1, b"color", b"blue"));
    list.set(here(1, b"a", b"x"));
    let mut bytes = vec![0; 1024];
    list.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_block_is_sorted_and_packed() {
    let bytes = block();
    let list = List::parse(Place::Block, &bytes, false).unwrap();
    let names: Vec<_> = list.entries().iter().map(|e| e.name).collect();
    assert_eq!(names, [&b"a"[..], b"color"]);
    assert_eq!(list.find(1, b"color"), Some(Value::Here(b"blue")));
    assert_eq!(list.find(2, b"color"), None);
    assert_eq!(bytes[1020..], *b"x\0\0\0");
    assert_eq!(bytes[1016..1020], *b"blue");
}

#[test]
fn the_hash_is_that_of_linux() {
    // debugfs and e2fsck count the same: see the tests on images.
    assert_eq!(hash::entry(b"a", b"x\0\0\0"), u32::from(b'a').rotate_left(16) ^ u32::from(b'x'));
    assert_ne!(hash::block(&block()), 0);
}

#[test]
fn each_refusal() {
    let entry = BLOCK_HEADER;
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = block();
        change(&mut bytes);
        List::parse(Place::Block, &bytes, false).err()
    };
    assert_eq!(refused(&|_| ()), None);
    // The first entry is 16 + 4 bytes, the second begins at 52.
    assert_eq!(refused(&|b| b[entry + 16] = 0), Some(XattrError::Name(32)));
    assert_eq!(refused(&|b| b[entry + 2..entry + 4].copy_from_slice(&[40, 0])), Some(XattrError::Value(32)));
    assert_eq!(refused(&|b| b[entry + 3] = 0xff), Some(XattrError::Value(32)));
    assert_eq!(refused(&|b| b[entry + 8..entry + 12].fill(0xff)), Some(XattrError::Size(32, u32::MAX)));
    assert_eq!(refused(&|b| b[entry + 10] = 1), Some(XattrError::Value(32)));
    assert_eq!(refused(&|b| b[entry + 4] = 12), Some(XattrError::ValueInode(32, 12)));
    assert!(matches!(refused(&|b| b[76..].fill(1)), Some(XattrError::Unterminated(_))));
    assert_eq!(List::parse(Place::Body, b"\0\0\x02\xea", false).err(), Some(XattrError::Unterminated(4)));
}

#[test]
fn what_does_not_fit() {
    let value = vec![7; 1024 - BLOCK_HEADER - PAD - ENTRY - PAD];
    let mut list = List::empty(Place::Block);
    list.set(here(1, b"full", &value));
    assert_eq!(list.write(&mut vec![0; 1024]), Ok(()));
    list.set(here(1, b"none", b""));
    assert_eq!(list.write(&mut vec![0; 1024]), Err(Errno::ENOSPC));
    assert_eq!(list.write(&mut []), Err(Errno::ENOSPC));
}

proptest! {
    /// Any sequence of changes leaves what a map would hold, in both places, through the bytes.
    #[test]
    fn a_list_is_a_map(
        place in prop_oneof![Just(Place::Body), Just(Place::Block)],
        changes in prop::collection::vec((0u8..3, "[ab]{1,5}", prop::option::of(prop::collection::vec(any::<u8>(), 0..40))), 0..60),
    ) {
        let mut bytes = vec![0u8; 4096];
        let mut model: BTreeMap<(u8, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for (index, name, value) in changes {
            let old = bytes.clone();
            let mut list = List::parse(place, &old, false).unwrap();
            match &value {
                Some(value) => list.set(here(index, name.as_bytes(), value)),
                None => list.remove(index, name.as_bytes()),
            }
            list.write(&mut bytes).unwrap();
            match value {
                Some(value) => drop(model.insert((index, name.into_bytes()), value)),
                None => drop(model.remove(&(index, name.into_bytes()))),
            }
        }
        let list = List::parse(place, &bytes, false).unwrap();
        prop_assert_eq!(list.entries().len(), model.len());
        for ((index, name), value) in &model {
            prop_assert_eq!(list.find(*index, name), Some(Value::Here(value)));
        }
    }

    /// Whatever the bytes are, there is an answer.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), ea_inode in any::<bool>()) {
        for place in [Place::Body, Place::Block] {
            if let Ok(list) = List::parse(place, &bytes, ea_inode) {
                let _ = list.write(&mut bytes.clone());
            }
        }
    }
}
