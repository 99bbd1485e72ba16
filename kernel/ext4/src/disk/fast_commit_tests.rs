//! Fast commits that were written come back, whole ones and no others.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const SIZE: usize = 1024;

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let extent = (any::<u32>(), 1u32..32768, 0u64..1 << 48, any::<bool>())
        .prop_map(|(block, len, start, unwritten)| Entry { block, len, start, unwritten });
    let what = prop_oneof![Just(NameChange::Create), Just(NameChange::Link), Just(NameChange::Unlink)];
    let name = prop::collection::vec(any::<u8>(), 1..256);
    let change = prop_oneof![
        (any::<u32>(), extent).prop_map(|(ino, entry)| Change::Add { ino, entry }),
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(ino, first, len)| Change::Del {
            ino,
            first,
            len
        }),
        (what, any::<u32>(), any::<u32>(), name).prop_map(|(what, parent, ino, name)| Change::Name {
            what,
            parent,
            ino,
            name: name.into()
        }),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 128..257))
            .prop_map(|(ino, raw)| Change::Inode { ino, raw: raw.into() }),
    ];
    prop::collection::vec(change, 0..20)
}

fn read_bytes(bytes: &[u8], tid: u32) -> Result<Vec<Change>, FastCommitError> {
    let blocks = (bytes.len() / SIZE) as u32;
    read(blocks, tid, 256, |n, block| {
        *block = bytes[n as usize * SIZE..][..SIZE].to_vec();
        Ok(())
    })
}

/// Fast commits one behind the other, and where each ends.
fn area(all: &[Vec<Change>], tid: u32) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for (i, changes) in all.iter().enumerate() {
        let mut writer = Writer::new(SIZE, tid, i == 0);
        changes.iter().for_each(|change| writer.push(change));
        bytes.extend(writer.finish());
        ends.push(bytes.len());
    }
    (bytes, ends)
}

proptest! {
    #[test]
    fn whole_ones_come_back(
        all in prop::collection::vec(changes(), 0..5),
        tid: u32,
        cut in any::<prop::sample::Index>(),
        noise: u8,
    ) {
        let (mut bytes, ends) = area(&all, tid);
        let cut = cut.index(bytes.len() / SIZE + 1) * SIZE;
        bytes[cut..].fill(noise);
        bytes.extend([noise; SIZE]);
        let whole: Vec<Change> =
            all.iter().zip(&ends).filter(|(_, end)| **end <= cut).flat_map(|(c, _)| c.clone()).collect();
        prop_assert_eq!(read_bytes(&bytes, tid).unwrap(), whole);
        prop_assert_eq!(read_bytes(&bytes, tid.wrapping_add(1)).unwrap(), Vec::new());
    }

    #[test]
    fn any_bytes_may_be_read(mut bytes in prop::collection::vec(any::<u8>(), 3 * SIZE), kind in 0u8..12) {
        (bytes[0], bytes[1]) = (9, 0);
        (bytes[2], bytes[3]) = (8, 0);
        (bytes[12], bytes[13]) = (kind, 0);
        let _ = read_bytes(&bytes, 7);
    }
}

#[test]
fn what_an_older_transaction_left_behind_a_newer_ones_is_not_read() {
    let name = |n: u8| Change::Name { what: NameChange::Link, parent: 2, ino: 12, name: [n].into() };
    let (mut bytes, _) = area(&[std::vec![name(1)], std::vec![name(2)]], 5);
    let (newer, _) = area(&[std::vec![name(3)]], 6);
    bytes[..newer.len()].copy_from_slice(&newer);
    assert_eq!(read_bytes(&bytes, 6).unwrap(), [name(3)]);
    assert_eq!(read_bytes(&bytes, 5).unwrap(), []);
}

#[test]
fn unknown_features_are_refused_by_name() {
    let (mut bytes, _) = area(&[Vec::new()], 5);
    bytes[4] = 2;
    assert_eq!(read_bytes(&bytes, 5), Err(FastCommitError::Features(2)));
    assert_eq!(read_bytes(&bytes, 6).unwrap(), []);
}
