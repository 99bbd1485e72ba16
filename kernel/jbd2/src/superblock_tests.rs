//! The superblock's door: what mke2fs makes passes, each kind of damage has its name.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::checksum::test_crc32c;

/// A version 2 superblock with these incompat features, for 4096 blocks of 1 KiB.
pub(crate) fn made(compat: u32, incompat: u32) -> Vec<u8> {
    let mut block = std::vec![0u8; 1024];
    Header { kind: BlockType::SuperblockV2, tid: Tid(0) }.write(&mut block);
    let mut put = |at: usize, n: u32| block[at..at + 4].copy_from_slice(&n.to_be_bytes());
    for (at, n) in [(0x0c, 1024), (0x10, 4096), (0x14, 1), (0x18, 1), (0x40, 1)] {
        put(at, n);
    }
    put(0x24, compat);
    put(0x28, incompat);
    seal(&mut block, incompat);
    block
}

fn seal(block: &mut [u8], incompat: u32) {
    if incompat & 0x18 != 0 {
        block[0x50] = CHECKSUM_CRC32C;
        let sum = checksum(&block[..1024], test_crc32c);
        block[0xfc..0x100].copy_from_slice(&sum.to_be_bytes());
    }
}

fn load(block: &[u8]) -> Result<LogSuperblock, SuperblockError> {
    LogSuperblock::load(block, 4096, test_crc32c)
}

/// Loads one whose number at `at` was replaced.
fn with(incompat: u32, at: usize, n: u32) -> Result<LogSuperblock, SuperblockError> {
    let mut block = made(0, incompat);
    block[at..at + 4].copy_from_slice(&n.to_be_bytes());
    seal(&mut block, incompat);
    load(&block)
}

#[test]
fn a_journal_without_features() {
    let sb = load(&made(0, 0)).unwrap();
    assert_eq!(sb.ring(), Ring { first: LogBlock(1), last: LogBlock(4096) });
    assert_eq!((sb.sequence(), sb.start(), sb.errno(), sb.users()), (Tid(1), None, 0, 1));
    assert!(sb.fast_commits().is_empty());
    assert_eq!(sb.checksums(), Checksums::None);
}

#[test]
fn fast_commits_take_the_end() {
    let sb = load(&made(0, 0x20)).unwrap();
    assert_eq!((sb.ring().last, sb.fast_commits()), (LogBlock(3840), 3841..4096));
    let sb = with(0x20, 0x54, 64).unwrap();
    assert_eq!((sb.ring().last, sb.fast_commits()), (LogBlock(4032), 4033..4096));
    assert_eq!(with(0x20, 0x54, 4096).err(), Some(SuperblockError::FastCommitBlocks(4096)));
    assert_eq!(with(0x20, 0x54, 4095).err(), Some(SuperblockError::First(1)));
}

#[test]
fn each_damage_has_its_name() {
    assert_eq!(with(0, 0x00, 0).err(), Some(SuperblockError::Magic));
    assert_eq!(with(0, 0x04, 2).err(), Some(SuperblockError::Magic));
    assert_eq!(with(0, 0x0c, 4096).err(), Some(SuperblockError::BlockSize(4096, 1024)));
    assert_eq!(with(0, 0x10, 4097).err(), Some(SuperblockError::Length(4097, 4096)));
    assert_eq!(with(0, 0x14, 0).err(), Some(SuperblockError::First(0)));
    assert_eq!(with(0, 0x14, 4096).err(), Some(SuperblockError::First(4096)));
    assert_eq!(with(0, 0x1c, 4096).err(), Some(SuperblockError::Start(4096)));
    assert_eq!(with(0, 0x28, 0x43).err(), Some(SuperblockError::Incompat(0x40)));
    assert_eq!(with(0, 0x2c, 4).err(), Some(SuperblockError::RoCompat(4)));
    assert_eq!(load(&made(0, 0x18)).err(), Some(SuperblockError::TwoChecksums));
    assert_eq!(load(&made(1, 0x10)).err(), Some(SuperblockError::TwoChecksums));
    let mut block = made(0, 0x10);
    block[0x200] ^= 1;
    assert!(matches!(load(&block), Err(SuperblockError::Checksum(..))));
    block[0x50] = 1;
    assert_eq!(load(&block).err(), Some(SuperblockError::ChecksumType(1)));
    assert_eq!(load(&[]).err(), Some(SuperblockError::Magic));
}

#[test]
fn a_first_version_has_no_features() {
    let mut block = made(0x1, 0xffff);
    block[7] = 3;
    let mut sb = load(&block).unwrap();
    assert_eq!((sb.compat(), sb.incompat()), (Compat::empty(), Incompat::empty()));
    assert!(!sb.set_features(Compat::empty(), Incompat::REVOKE));
    assert!(sb.set_features(Compat::empty(), Incompat::empty()));
}

#[test]
fn what_is_set_comes_back() {
    let mut sb = load(&made(0, 0)).unwrap();
    assert!(sb.set_features(Compat::empty(), Incompat::REVOKE | Incompat::BIT64 | Incompat::CSUM_V3));
    sb.set_tail(Tid(77), Some(LogBlock(5)));
    sb.set_errno(-5);
    let sb = load(sb.block()).unwrap();
    assert_eq!((sb.sequence(), sb.start(), sb.errno()), (Tid(77), Some(LogBlock(5)), -5));
    assert_eq!((sb.format().tag_size(), sb.checksums()), (16, Checksums::V3));
    let mut sb = sb;
    assert!(sb.set_features(Compat::CHECKSUM, Incompat::REVOKE));
    assert_eq!(load(sb.block()).unwrap().checksums(), Checksums::V1);
    assert!(!sb.set_features(Compat::CHECKSUM, Incompat::CSUM_V3));
}

#[test]
fn the_ring_closes() {
    let ring = Ring { first: LogBlock(1), last: LogBlock(8) };
    assert_eq!((ring.blocks(), ring.next(LogBlock(7))), (7, LogBlock(1)));
    assert_eq!((ring.advance(LogBlock(6), 3), ring.distance(LogBlock(6), LogBlock(2))), (LogBlock(2), 3));
    assert!(!ring.contains(LogBlock(0)) && !ring.contains(LogBlock(8)));
    let all = (1..8).flat_map(|a| (0..7).map(move |n| (LogBlock(a), n)));
    assert!(all.clone().all(|(a, n)| ring.distance(a, ring.advance(a, n)) == n));
}

proptest! {
    #[test]
    fn any_superblock_may_be_loaded(changes in prop::collection::vec((0usize..0x100, any::<u8>()), 0..8)) {
        let mut block = made(0, 0);
        for (at, byte) in changes {
            block[at] = byte;
        }
        if let Ok(sb) = load(&block) {
            let ring = sb.ring();
            prop_assert!(ring.first.0 >= 1 && ring.last.0 <= 4096 && ring.blocks() > 0);
            prop_assert!(sb.start().is_none_or(|start| ring.contains(start)));
            prop_assert!(sb.fast_commits().end <= 4096);
        }
    }
}
