//! A replay does what a simple model of it does, for any transactions, of any kind, cut anywhere.

use std::collections::BTreeMap;
use std::vec::Vec;

use base::FsBlock;
use proptest::prelude::*;

use super::writer::{Content, Image, Kind, Transaction, Writer};
use crate::disk::Checksums;
use crate::units::{LogBlock, Tid};

/// Where copies go: few blocks, so that they meet. None is the journal's.
const HOMES: [u64; 7] = [0, 1, 5, 300, 301, 302, 399];
const LOG: u32 = 97;

fn home() -> impl Strategy<Value = FsBlock> {
    prop::sample::select(&HOMES[..]).prop_map(FsBlock)
}

pub fn transactions(most: usize) -> impl Strategy<Value = Vec<Transaction>> {
    let content = (any::<u8>(), prop::bool::weighted(0.2)).prop_map(|(byte, magic)| Content { byte, magic });
    let blocks = prop::collection::vec((home(), content), 0..9);
    let revokes = prop::collection::vec(home(), 0..4);
    let transaction = (blocks, revokes).prop_map(|(blocks, revokes)| Transaction { blocks, revokes });
    prop::collection::vec(transaction, 1..most)
}

pub fn kinds() -> impl Strategy<Value = Kind> {
    let checksums = prop::sample::select(&[Checksums::None, Checksums::V1, Checksums::V2, Checksums::V3][..]);
    (checksums, any::<bool>(), any::<bool>()).prop_map(|(checksums, wide, async_commit)| Kind {
        checksums,
        wide,
        async_commit,
    })
}

/// What the homes hold after a replay of the first `n` transactions; absent: what they held before.
pub fn replayed(all: &[Transaction], n: usize) -> BTreeMap<u64, Content> {
    let mut homes = BTreeMap::new();
    for (i, transaction) in all[..n].iter().enumerate() {
        for (home, content) in &transaction.blocks {
            let later = &all[i..n];
            if !later.iter().any(|t| t.revokes.contains(home)) {
                homes.insert(home.0, *content);
            }
        }
    }
    homes
}

fn check(image: &Image, expected: &BTreeMap<u64, Content>) -> Result<(), TestCaseError> {
    for home in HOMES {
        let wanted = match expected.get(&home) {
            Some(content) => content.bytes(image.size()),
            None => std::vec![0; image.size()],
        };
        prop_assert!(image.block(FsBlock(home)) == wanted, "block {}", home);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whole_transactions_are_replayed_and_others_are_not(
        all in transactions(8),
        kind in kinds(),
        bits in 10u32..13,
        start in 1..LOG,
        tid in prop_oneof![any::<u32>(), (u32::MAX - 6)..],
        cut in prop_oneof![Just(u32::MAX), 0u32..90],
    ) {
        let mut image = Image::made(bits, 600, LOG, kind);
        let mut writer = Writer::new(&mut image, LogBlock(start), Tid(tid));
        writer.left = cut;
        let mut whole = 0;
        for transaction in &all {
            let blocks = transaction.blocks.len() + transaction.blocks.len().div_ceil(5)
                + transaction.revokes.len().div_ceil(3) + 1;
            if writer.written as usize + blocks > LOG as usize - 1 {
                break;
            }
            writer.transaction(transaction);
            whole += usize::from(writer.written <= cut);
        }
        let report = image.recover().unwrap();
        prop_assert_eq!(report.first, Tid(tid));
        prop_assert_eq!(report.end, Tid(tid.wrapping_add(whole as u32)));
        check(&image, &replayed(&all, whole))?;
        let sb = image.superblock();
        prop_assert_eq!((sb.start(), sb.sequence()), (None, report.end.next()));
        // A second mount finds nothing to do.
        prop_assert_eq!(image.recover().unwrap().replayed, 0);
    }

    #[test]
    fn a_log_over_an_older_one_ends_where_it_ends(
        old in transactions(5),
        new in transactions(3),
        kind in kinds(),
        tid in any::<u32>(),
    ) {
        let mut image = Image::made(10, 600, LOG, kind);
        let mut writer = Writer::new(&mut image, LogBlock(1), Tid(tid));
        old.iter().take(4).for_each(|t| writer.transaction(t));
        let next = writer.tid;
        let mut writer = Writer::new(&mut image, LogBlock(1), next);
        new.iter().for_each(|t| writer.transaction(t));
        let end = writer.tid;
        prop_assert_eq!(image.recover().unwrap().end, end);
        check(&image, &replayed(&new, new.len()))?;
    }
}
