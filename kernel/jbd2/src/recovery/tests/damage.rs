//! Damaged logs: what checksums see has a name and changes nothing; whatever the bytes are, a recovery ends
//! and writes where it may.

use std::vec::Vec;

use base::FsBlock;
use proptest::prelude::*;

use super::model::{kinds, transactions};
use super::writer::{Content, Image, Kind, Transaction, Writer};
use crate::disk::{BlockType, Checksums, Header};
use crate::recovery::RecoveryError;
use crate::units::{LogBlock, Tid};

const V3: Kind = Kind { checksums: Checksums::V3, wide: true, async_commit: false };

fn one(home: u64, byte: u8) -> Transaction {
    Transaction { blocks: std::vec![(FsBlock(home), Content { byte, magic: false })], revokes: Vec::new() }
}

/// Three transactions of a descriptor, a copy and a commit block each, from block 1 of the log on.
fn three(kind: Kind) -> Image {
    let mut image = Image::made(10, 600, 97, kind);
    let mut writer = Writer::new(&mut image, LogBlock(1), Tid(5));
    (1..4).for_each(|n| writer.transaction(&one(n, n as u8)));
    image
}

/// Recovers with a bit of a block of the log turned over; how far it came, and whether anything changed.
fn damaged(kind: Kind, block: u32, at: usize) -> (Result<Tid, RecoveryError>, bool) {
    let mut image = three(kind);
    image.log_mut(LogBlock(block))[at] ^= 1;
    let before = image.bytes.clone();
    let result = image.recover().map(|report| report.end);
    (result, image.bytes != before)
}

#[test]
fn committed_damage_is_refused_and_nothing_written() {
    for kind in [V3, Kind { checksums: Checksums::V2, ..V3 }, Kind { wide: false, ..V3 }] {
        // A descriptor, and a commit block.
        assert_eq!(damaged(kind, 4, 200), (Err(RecoveryError::Transaction(Tid(6))), false));
        assert_eq!(damaged(kind, 6, 200), (Err(RecoveryError::Transaction(Tid(6))), false));
        assert_eq!(damaged(kind, 9, 200), (Err(RecoveryError::Transaction(Tid(7))), false));
        // A copy.
        let refused = damaged(kind, 5, 200);
        assert_eq!(refused.0, Err(RecoveryError::Copy(FsBlock(2), LogBlock(5))));
    }
    let v1 = Kind { checksums: Checksums::V1, ..V3 };
    for block in [4, 5] {
        assert_eq!(damaged(v1, block, 200), (Err(RecoveryError::Transaction(Tid(6))), false));
    }
}

/// The power went while the commit block was written, over what the log had there before.
#[test]
fn a_commit_block_is_whole_with_its_first_sector() {
    for kind in [V3, Kind { checksums: Checksums::V2, ..V3 }, Kind { async_commit: true, ..V3 }] {
        assert_eq!(damaged(kind, 6, 700), (Ok(Tid(8)), true));
        assert_eq!(damaged(kind, 9, 700), (Ok(Tid(8)), true));
    }
}

#[test]
fn a_block_that_lost_its_magic_ends_the_log() {
    for kind in [V3, Kind { checksums: Checksums::None, ..V3 }] {
        assert_eq!(damaged(kind, 4, 0), (Ok(Tid(6)), true));
        assert_eq!(damaged(kind, 6, 0), (Ok(Tid(6)), true));
        assert_eq!(damaged(kind, 1, 11), (Ok(Tid(5)), true));
    }
}

#[test]
fn async_commit_drops_a_torn_last_transaction_and_no_other() {
    for checksums in [Checksums::V1, Checksums::V2, Checksums::V3] {
        let kind = Kind { checksums, async_commit: true, ..V3 };
        assert_eq!(damaged(kind, 8, 200), (Ok(Tid(7)), true), "a copy of the last");
        assert_eq!(damaged(kind, 7, 200), (Ok(Tid(7)), true), "the last descriptor");
        for block in [4, 5] {
            let refused = damaged(kind, block, 200);
            assert_eq!(refused, (Err(RecoveryError::Transaction(Tid(6))), false));
        }
    }
}

#[test]
fn blocks_of_an_older_file_system_are_the_end_of_the_log() {
    let mut image = three(V3);
    // The third's commit block is of long ago, and does not fit.
    image.log_mut(LogBlock(9))[0x30..0x38].fill(0);
    assert_eq!(image.recover().unwrap().end, Tid(7));
}

#[test]
fn a_revoke_block_that_claims_too_much_is_refused() {
    let mut image = Image::made(10, 600, 97, Kind { checksums: Checksums::None, ..V3 });
    let mut writer = Writer::new(&mut image, LogBlock(1), Tid(5));
    writer.transaction(&Transaction { blocks: Vec::new(), revokes: std::vec![FsBlock(1)] });
    image.log_mut(LogBlock(1))[12..16].copy_from_slice(&1025u32.to_be_bytes());
    assert_eq!(image.recover(), Err(RecoveryError::Revoke(LogBlock(1), 1025)));
}

#[test]
fn copies_go_to_no_block_but_the_file_systems() {
    for home in [600, 20, 21, 1 << 40, u64::MAX] {
        let mut image = Image::made(10, 600, 97, V3);
        Writer::new(&mut image, LogBlock(1), Tid(5)).transaction(&one(home, 1));
        let before = image.bytes.clone();
        assert_eq!(image.recover(), Err(RecoveryError::Home(FsBlock(home), LogBlock(2))));
        assert!(image.bytes == before);
    }
}

#[test]
fn a_log_of_one_transactions_descriptors_ends() {
    let mut image = Image::made(10, 600, 97, Kind { checksums: Checksums::None, ..V3 });
    Writer::new(&mut image, LogBlock(1), Tid(5));
    for kind in [BlockType::Descriptor, BlockType::Revoke, BlockType::SuperblockV2] {
        for at in 1..97 {
            let block = image.log_mut(LogBlock(at));
            Header { kind, tid: Tid(5) }.write(block);
            // A last tag, so that a descriptor passes over as little as it can.
            block[12..20].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 8]);
        }
        let mut image = image.clone();
        assert_eq!(image.recover().unwrap().end, Tid(5));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_ends_and_stays_within_bounds(
        all in transactions(6),
        kind in kinds(),
        noise in prop::collection::vec((1u32..97, prop_oneof![0usize..64, 0usize..1024], any::<u8>()), 1..12),
    ) {
        let mut image = Image::made(10, 600, 97, kind);
        let mut writer = Writer::new(&mut image, LogBlock(30), Tid(1));
        all.iter().take(4).for_each(|t| writer.transaction(t));
        for (block, at, byte) in noise {
            image.log_mut(LogBlock(block))[at] = byte;
        }
        let before = image.clone();
        let _ = image.recover();
        // The log is as it was: nothing is written there but the superblock.
        for at in 1..97 {
            let (disk, _) = image.map.find(LogBlock(at)).unwrap();
            prop_assert!(image.block(disk) == before.block(disk));
        }
    }
}
