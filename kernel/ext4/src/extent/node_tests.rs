use super::*;
use crate::geometry::testing::geometry;
use proptest::prelude::*;
use std::vec::Vec;

fn zones() -> Zones {
    Zones::build(&geometry(), [(1, 99)].to_vec()).unwrap_or_else(|_| panic!())
}

fn e(block: u32, len: u32, start: u64) -> Entry {
    Entry { block, len, start, unwritten: false }
}

fn leaf_of(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = std::vec![0; 1024];
    init(&mut bytes, 0);
    assert!(replace(&mut bytes, 0..0, entries));
    bytes
}

fn all(bytes: &[u8]) -> Vec<Entry> {
    (0..entries(bytes)).map(|i| leaf(bytes, i)).collect()
}

const ANY: Demand = Demand { depth: None, low: 0, high: 1 << 32, seed: None };

#[test]
fn room_in_nodes_of_each_size() {
    for (size, room) in [(60, 4), (1024, 84), (2048, 169), (4096, 340)] {
        let mut bytes = std::vec![0; size];
        init(&mut bytes, 0);
        assert_eq!(max(&bytes), room);
        assert!(size == 60 || tail(&bytes) + 4 <= size);
    }
}

#[test]
fn unwritten_extents_keep_their_length() {
    let unwritten = Entry { unwritten: true, ..e(5, 32767, 500) };
    let written = e(40_000, 32768, 40_000);
    assert_eq!(all(&leaf_of(&[unwritten, written])), [unwritten, written]);
}

#[test]
fn neighbours_join_up_to_the_limit() {
    assert_eq!(e(0, 10, 100).join(&e(10, 5, 110)), Some(e(0, 15, 100)));
    assert_eq!(e(0, 10, 100).join(&e(10, 5, 111)), None);
    assert_eq!(e(0, 10, 100).join(&e(11, 5, 110)), None);
    assert_eq!(e(0, 32768, 100).join(&e(32768, 1, 32868)), None);
    let u = |x: Entry| Entry { unwritten: true, ..x };
    assert_eq!(u(e(0, 10, 100)).join(&e(10, 5, 110)), None);
    assert_eq!(u(e(0, 32767, 100)).join(&u(e(32767, 1, 32867))), None);
}

#[test]
fn replacing_moves_what_is_behind() {
    let mut bytes = leaf_of(&[e(0, 1, 200), e(10, 1, 300), e(20, 1, 400)]);
    assert!(replace(&mut bytes, 1..2, &[e(8, 1, 500), e(9, 1, 700), e(10, 1, 300)]));
    assert_eq!(all(&bytes).iter().map(|x| x.block).collect::<Vec<_>>(), [0, 8, 9, 10, 20]);
    assert!(replace(&mut bytes, 0..4, &[]));
    assert_eq!(all(&bytes), [e(20, 1, 400)]);
    assert!(!replace(&mut bytes, 0..2, &[]));
    let mut root = [0u8; 60];
    init(&mut root, 0);
    assert!(!replace(&mut root, 0..0, &[e(0, 1, 1); 5]));
    assert_eq!(entries(&root), 0);
}

#[test]
fn finding() {
    let bytes = leaf_of(&[e(5, 1, 200), e(10, 1, 300), e(20, 1, 400)]);
    for (block, at) in
        [(4, None), (5, Some(0)), (9, Some(0)), (10, Some(1)), (25, Some(2)), (u32::MAX, Some(2))]
    {
        assert_eq!(find(&bytes, block), at, "{block}");
    }
}

#[test]
fn each_check_has_its_word() {
    let zones = zones();
    let good = leaf_of(&[e(0, 10, 1000), e(20, 5, 3000)]);
    assert_eq!(check(&good, &ANY, &zones), Ok(()));
    let with = |at: usize, value: u16| {
        let mut bytes = good.clone();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        check(&bytes, &ANY, &zones).unwrap_err()
    };
    assert_eq!(with(0, 1), NodeError::Magic(1));
    assert_eq!(with(2, 85), NodeError::Entries(85));
    assert_eq!(with(4, 0), NodeError::Max(0));
    assert_eq!(with(4, 90), NodeError::Max(90));
    assert_eq!(with(6, 6), NodeError::Depth(6, 5));
    assert_eq!(with(24, 5), NodeError::Order(5));
    assert_eq!(with(16, 0), NodeError::Len(0));
    assert_eq!(check(&good, &Demand { high: 24, ..ANY }, &zones), Err(NodeError::Len(20)));
    assert_eq!(check(&good, &Demand { low: 1, ..ANY }, &zones), Err(NodeError::Order(0)));
    assert_eq!(check(&leaf_of(&[e(0, 1, 50)]), &ANY, &zones), Err(NodeError::Place(50)));
    assert_eq!(check(&leaf_of(&[]), &Demand { depth: Some(0), ..ANY }, &zones), Err(NodeError::Empty));
    assert_eq!(check(&leaf_of(&[]), &ANY, &zones), Ok(()));
}

#[test]
fn the_checksum_covers_every_entry() {
    let zones = zones();
    let mut bytes = leaf_of(&[e(0, 10, 1000), e(20, 5, 3000)]);
    let demand = Demand { seed: Some(7), ..ANY };
    assert!(matches!(check(&bytes, &demand, &zones), Err(NodeError::Checksum(..))));
    seal(&mut bytes, 7);
    assert_eq!(check(&bytes, &demand, &zones), Ok(()));
    bytes[30] ^= 1;
    assert!(matches!(check(&bytes, &demand, &zones), Err(NodeError::Checksum(..))));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool, block: u32, at in 0usize..100) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 2 {
            bytes[..2].copy_from_slice(&MAGIC.to_le_bytes());
        }
        let zones = zones();
        let _ = check(&bytes, &ANY, &zones);
        let _ = check(&bytes, &Demand { seed: Some(1), depth: Some(1), ..ANY }, &zones);
        let _ = (find(&bytes, block), leaf(&bytes, at), index(&bytes, at));
        let _ = replace(&mut bytes, at..at + 1, &[e(1, 1, 1)]);
        remove(&mut bytes, at);
        let _ = insert_index(&mut bytes, at, 5, FsBlock(5));
        seal(&mut bytes, 3);
    }
}
