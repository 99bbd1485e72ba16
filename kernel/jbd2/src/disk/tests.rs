//! Blocks written here come back as they were, in every format.

use std::vec::Vec;

use base::{FsBlock, Timespec};
use proptest::prelude::*;

use super::*;
use crate::checksum::{TransactionSum, test_crc32c};
use crate::units::Tid;

fn formats() -> impl Strategy<Value = Format> {
    let kinds =
        prop_oneof![Just(Checksums::None), Just(Checksums::V1), Just(Checksums::V2), Just(Checksums::V3)];
    (kinds, any::<bool>(), prop_oneof![Just(1024), Just(2048), Just(4096)], any::<[u8; 16]>())
        .prop_map(|(kind, wide, size, uuid)| Format::new(size, kind, wide, uuid, test_crc32c))
}

fn number(format: &Format, n: u64) -> FsBlock {
    FsBlock(if format.wide { n } else { n & 0xffff_ffff })
}

#[test]
fn a_tag_has_the_size_that_linux_gives_it() {
    let size = |kind, wide| Format::new(1024, kind, wide, [0; 16], test_crc32c).tag_size();
    let sizes = |wide| [Checksums::None, Checksums::V1, Checksums::V2, Checksums::V3].map(|k| size(k, wide));
    assert_eq!(sizes(false), [8, 8, 10, 16]);
    assert_eq!(sizes(true), [12, 12, 14, 16]);
}

#[test]
fn a_block_says_how_much_it_takes() {
    for kind in [Checksums::None, Checksums::V2, Checksums::V3] {
        for wide in [false, true] {
            let format = Format::new(1024, kind, wide, [3; 16], test_crc32c);
            let mut tags = DescriptorWriter::new(format);
            tags.start(Tid(1));
            let n = (0..).take_while(|&i| tags.push(FsBlock(i), false, 0)).count();
            assert_eq!(n, format.tags_per_block());
            let mut revokes = RevokeWriter::new(format);
            revokes.start(Tid(1));
            let n = (0..).take_while(|&i| revokes.push(FsBlock(i))).count();
            assert_eq!(n, format.revokes_per_block());
        }
    }
}

proptest! {
    #[test]
    fn tags_come_back(
        format in formats(),
        tid: u32,
        wanted in prop::collection::vec((any::<u64>(), any::<bool>(), any::<[u8; 8]>()), 1..400),
    ) {
        let mut writer = DescriptorWriter::new(format);
        writer.start(Tid(tid));
        let mut put = Vec::new();
        for (n, escaped, data) in wanted {
            let (block, sum) = (number(&format, n), format.tag_checksum(Tid(tid), &data));
            if writer.push(block, escaped, sum) {
                put.push((block, escaped, sum));
            }
        }
        let block = writer.finish().to_vec();
        prop_assert_eq!(block.len(), format.block_size);
        prop_assert_eq!(Header::read(&block), Some(Header { kind: BlockType::Descriptor, tid: Tid(tid) }));
        prop_assert!(format.tail_fits(&block));
        let got = Tags::of(&format, &block);
        let got: Vec<_> = got.map(|t| (t.block, t.flags.contains(TagFlags::ESCAPE), t.checksum)).collect();
        prop_assert_eq!(got, put);
    }

    #[test]
    fn revokes_come_back(format in formats(), wanted in prop::collection::vec(any::<u64>(), 0..600)) {
        let mut writer = RevokeWriter::new(format);
        writer.start(Tid(9));
        let mut put = Vec::new();
        for n in wanted {
            let block = number(&format, n);
            if writer.push(block) {
                put.push(block);
            }
        }
        let block = writer.finish().to_vec();
        prop_assert!(format.tail_fits(&block));
        let got: Vec<_> = Revokes::of(&format, &block).unwrap().collect();
        prop_assert_eq!(got, put);
    }

    #[test]
    fn commits_come_back(format in formats(), sec in 0..1i64 << 40, nsec in 0..1_000_000_000u32, data: [u8; 9]) {
        let mut sum = TransactionSum::new();
        sum.add(&data);
        let commit = CommitBlock::new(Tid(5), Timespec { sec, nsec }, sum, &format);
        let mut block = std::vec![0xffu8; format.block_size];
        commit.write(&format, &mut block);
        prop_assert!(CommitBlock::checksum_fits(&format, &block));
        let mut back = CommitBlock::read(&block).unwrap();
        if format.checksums.per_block() {
            back.sum = CommitSum::None;
        }
        prop_assert_eq!(back, commit);
    }

    #[test]
    fn a_damaged_block_is_found(format in formats(), at in 0usize..1024, bit in 0u8..8) {
        prop_assume!(format.checksums.per_block());
        let mut writer = DescriptorWriter::new(format);
        writer.start(Tid(1));
        writer.push(FsBlock(77), false, 1);
        let mut block = writer.finish().to_vec();
        block[at] ^= 1 << bit;
        prop_assert!(!format.tail_fits(&block));
        CommitBlock::new(Tid(1), Timespec::default(), TransactionSum::new(), &format).write(&format, &mut block);
        block[at] ^= 1 << bit;
        // All that a commit block says is in its first sector: the rest may be of an older turn of the log.
        prop_assert_eq!(CommitBlock::checksum_fits(&format, &block), at >= 512);
        block[at] ^= 1 << bit;
        block[512..].fill(0xa5);
        prop_assert!(CommitBlock::checksum_fits(&format, &block));
    }

    #[test]
    fn any_bytes_may_be_read(format in formats(), bytes in prop::collection::vec(any::<u8>(), 4096)) {
        let block = &bytes[..format.block_size];
        let most = format.block_size / 8;
        prop_assert!(Tags::of(&format, block).count() <= most);
        if let Ok(revokes) = Revokes::of(&format, block) {
            prop_assert!(revokes.count() <= format.block_size / 4);
        }
        let _ = (Header::read(block), CommitBlock::read(block), format.tail_fits(block));
    }
}
