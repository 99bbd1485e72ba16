//! What is written to a log comes back through a reader, wherever its blocks lie.

use std::sync::Arc;
use std::vec::Vec;

use base::{DevId, Errno, FsBlock};
use block::{BioFlags, BioOp, Completion, Disk, RamDisk};

use super::*;
use crate::superblock::Ring;
use crate::units::LogBlock;

fn disk(kib: usize) -> Arc<Disk> {
    Disk::new("ram9", DevId::new(1, 9), RamDisk::new(std::vec![0; kib << 10]), "noop").unwrap()
}

fn fill(log: &Log, ring: &Ring, first: LogBlock, n: u32) {
    let slots = log.slots(ring, first, n).unwrap();
    let size = log.block_size() as usize;
    for slot in &slots {
        slot.frame.fill(slot.offset as usize, size, slot.block.0 as u8);
    }
    let done = Completion::new();
    log.submit(BioOp::Write, &slots, BioFlags::SYNC, &done).unwrap();
    done.wait().unwrap();
}

#[test]
fn scattered_blocks_come_back_in_order() {
    for bits in [10, 11, 12] {
        let map = LogMap::from_runs([(FsBlock(40), 7), (FsBlock(3), 1), (FsBlock(60), 300)]).unwrap();
        let disk = disk(2048);
        let log = Log::new(&disk, map, bits).unwrap();
        let ring = Ring { first: LogBlock(1), last: LogBlock(300) };
        fill(&log, &ring, LogBlock(290), 299);
        let mut reader = LogReader::new(&log, ring);
        for n in (1..300).chain([7, 8, 250, 1]) {
            let block = reader.read(LogBlock(n)).unwrap();
            assert_eq!(block.len(), 1 << bits);
            assert!(block.iter().all(|&b| b == n as u8), "block {n}");
        }
        assert_eq!(reader.read(LogBlock(0)).err(), Some(Errno::EIO));
        assert_eq!(reader.read(LogBlock(300)).err(), Some(Errno::EIO));
    }
}

#[test]
fn neighbours_go_together() {
    let disk = disk(2048);
    let log = Log::new(&disk, LogMap::from_runs([(FsBlock(100), 400)]).unwrap(), 12).unwrap();
    let ring = Ring { first: LogBlock(1), last: LogBlock(400) };
    let before = disk.stats();
    fill(&log, &ring, LogBlock(200), 64);
    let writes = disk.stats().write.ios - before.write.ios;
    assert_eq!(writes, 1);
    let _: Vec<u8> = log.read_superblock().unwrap();
}

#[test]
fn the_superblock_has_its_place() {
    let disk = disk(256);
    let log = Log::new(&disk, LogMap::device(FsBlock(2), 256).unwrap(), 10).unwrap();
    log.write_superblock(&[9; 1024], BioFlags::FUA).unwrap();
    assert_eq!(log.read_superblock().unwrap(), [9; 1024]);
    let mut reader = LogReader::new(&log, Ring { first: LogBlock(2), last: LogBlock(8) });
    assert_eq!(reader.read(LogBlock(2)).unwrap(), [9; 1024]);
    assert_eq!(reader.read(LogBlock(3)).unwrap(), [0; 1024]);
}

#[test]
fn blocks_outside_are_refused() {
    let disk = disk(256);
    let log = Log::new(&disk, LogMap::from_runs([(FsBlock(250), 20)]).unwrap(), 10).unwrap();
    let ring = Ring { first: LogBlock(1), last: LogBlock(30) };
    let slots = log.slots(&ring, LogBlock(19), 2).unwrap();
    let done = Completion::new();
    assert_eq!(log.submit(BioOp::Write, &slots, BioFlags::empty(), &done), Err(Errno::EIO));
    assert_eq!(done.wait(), Err(Errno::EIO), "block 19 is behind the disk");
    assert!(Log::new(&disk, LogMap::device(FsBlock(1), 9).unwrap(), 13).is_err());
}
