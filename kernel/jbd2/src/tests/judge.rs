//! e2fsck replays what we log, debugfs reads it.

use std::format;
use std::fs;
use std::vec::Vec;

use crate::disk::Checksums;
use crate::recovery::tests::judge::{Disk, run};
use crate::testing::{Bench, CacheDisk, Chance, Shape, fill, quiet};
use crate::{Options, Tid};

/// Some transactions in a journal of mke2fs's; what the free blocks hold then.
fn written(disk: &Disk, options: Options, chance: &mut Chance) -> (Vec<u8>, Vec<(u64, u64)>) {
    let shape = Shape { block_bits: disk.image.bits, log_blocks: disk.image.map.blocks() };
    let ram = CacheDisk::new(disk.image.bytes.clone(), false);
    let bench = Bench::with_map(shape, ram, disk.image.map.clone(), options);
    bench.journal.begin().unwrap();
    let mut blocks = std::collections::BTreeMap::new();
    for op in 1..=30u64 {
        let n = 1 + chance.below(20);
        let _handle = bench.journal.start(n as u32).unwrap();
        for _ in 0..n {
            let block = chance.below(90);
            let buffer = bench.device.getblk(disk.free(block)).unwrap();
            if chance.one_in(9) {
                drop(buffer);
                bench.journal.forget(disk.free(block), true);
                blocks.remove(&block);
            } else {
                fill(&mut buffer.write(), op);
                blocks.insert(block, op);
            }
        }
        drop(_handle);
        bench.journal.force_commit().unwrap();
    }
    (bench.ram.bytes(), blocks.into_iter().collect())
}

#[test]
fn e2fsck_replays_what_we_log() {
    let kinds = [Checksums::None, Checksums::V1, Checksums::V2, Checksums::V3];
    for (i, (bits, wide)) in [(10, false), (12, true), (10, true), (12, false)].into_iter().enumerate() {
        let mut chance = Chance(i as u64);
        let features = if wide { "^metadata_csum,64bit" } else { "^metadata_csum,^64bit" };
        let mut disk = Disk::made(bits, &["-t", "ext4", "-O", features]);
        let options = Options { checksums: Some(kinds[i]), wide, ..quiet() };
        let (image, blocks) = written(&disk, options, &mut chance);
        disk.image.bytes = image;
        let theirs = disk.replayed_by_e2fsck();
        for (block, op) in blocks {
            let at = (disk.free(block).0 as usize) << bits;
            let mut expected = std::vec![0; 1 << bits];
            fill(&mut expected, op);
            assert!(theirs[at..at + (1 << bits)] == expected[..], "{:?}: block {block} of {op}", kinds[i]);
        }
        // And the log reads well.
        fs::write(disk.path(), &disk.image.bytes).unwrap();
        let said = run("debugfs", &["-R", "logdump -c", &disk.path()], "");
        let commits = said.lines().filter(|line| line.contains("(commit block)")).count();
        let last = format!("sequence {}, type 2 (commit block)", Tid(30));
        assert!(commits == 30 && said.contains(&last) && !said.contains("checksum"), "{said}");
    }
}
