//! Lays transactions down in the log of an image, and recovers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

use base::{DevId, FsBlock, Timespec};
use block::{Disk, RamDisk};
use pagecache::BlockDevice;

use crate::checksum::{TransactionSum, test_crc32c};
use crate::disk::{BlockType, Checksums, Compat, Format, Header, Incompat};
use crate::disk::{CommitBlock, DescriptorWriter, RevokeWriter, escape};
use crate::log::{Log, LogMap};
use crate::recovery::{RecoveryError, Report, finish, recover};
use crate::superblock::LogSuperblock;
use crate::units::{LogBlock, Tid};

/// A transaction: blocks with their new content, and revoke records.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub blocks: Vec<(FsBlock, Content)>,
    pub revokes: Vec<FsBlock>,
}

/// What a block is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub byte: u8,
    /// It begins with the journal's magic number.
    pub magic: bool,
}

impl Content {
    pub fn bytes(self, size: usize) -> Vec<u8> {
        let mut bytes = std::vec![self.byte; size];
        if self.magic {
            bytes[..4].copy_from_slice(&crate::disk::MAGIC.to_be_bytes());
        }
        bytes
    }
}

/// The kind of journal.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub checksums: Checksums,
    pub wide: bool,
    pub async_commit: bool,
}

impl Kind {
    pub fn features(self) -> (Compat, Incompat) {
        let mut incompat = Incompat::REVOKE;
        incompat.set(Incompat::BIT64, self.wide);
        incompat.set(Incompat::ASYNC_COMMIT, self.async_commit);
        incompat.set(Incompat::CSUM_V2, self.checksums == Checksums::V2);
        incompat.set(Incompat::CSUM_V3, self.checksums == Checksums::V3);
        let v1 = self.checksums == Checksums::V1;
        (if v1 { Compat::CHECKSUM } else { Compat::empty() }, incompat)
    }
}

/// An image with a journal in it.
#[derive(Clone)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub map: LogMap,
    pub bits: u32,
}

impl Image {
    pub fn size(&self) -> usize {
        1 << self.bits
    }

    pub fn block(&self, block: FsBlock) -> &[u8] {
        let at = block.0 as usize * self.size();
        &self.bytes[at..at + self.size()]
    }

    pub fn block_mut(&mut self, block: FsBlock) -> &mut [u8] {
        let (at, size) = (block.0 as usize * self.size(), self.size());
        &mut self.bytes[at..at + size]
    }

    pub fn log_mut(&mut self, block: LogBlock) -> &mut [u8] {
        let (at, _) = self.map.find(block).unwrap();
        self.block_mut(at)
    }

    /// An image of noughts with a journal of this kind in it, which lies in three pieces.
    pub fn made(bits: u32, blocks: u64, log_blocks: u32, kind: Kind) -> Image {
        let third = log_blocks / 3;
        let runs = [(20, third), (400, log_blocks - 2 * third), (10 + blocks / 2, third)];
        let map = LogMap::from_runs(runs.map(|(at, len)| (FsBlock(at), len))).unwrap();
        let mut image = Image { bytes: std::vec![0; (blocks as usize) << bits], map, bits };
        let block = image.log_mut(LogBlock(0));
        Header { kind: BlockType::SuperblockV2, tid: Tid(0) }.write(block);
        for (at, n) in [(0x0c, 1 << bits), (0x10, log_blocks), (0x14, 1), (0x18, 1), (0x40, 1)] {
            block[at..at + 4].copy_from_slice(&u32::to_be_bytes(n));
        }
        let mut sb = image.superblock();
        let (compat, incompat) = kind.features();
        assert!(sb.set_features(compat, incompat));
        image.put_superblock(&sb);
        image
    }

    pub fn superblock(&self) -> LogSuperblock {
        self.superblock_of(self.map.blocks())
    }

    /// The superblock, of a journal with this many blocks.
    pub fn superblock_of(&self, blocks: u32) -> LogSuperblock {
        let (at, _) = self.map.find(LogBlock(0)).unwrap();
        LogSuperblock::load(self.block(at), blocks, test_crc32c).unwrap()
    }

    pub fn put_superblock(&mut self, sb: &LogSuperblock) {
        self.log_mut(LogBlock(0)).copy_from_slice(sb.block());
    }

    /// Recovers it on a disk of its own, and takes the disk's content back.
    pub fn recover(&mut self) -> Result<Report, RecoveryError> {
        static MINOR: AtomicU32 = AtomicU32::new(0);
        let dev = DevId::new(1, 100 + MINOR.fetch_add(1, Ordering::Relaxed));
        let ram = RamDisk::new(self.bytes.clone());
        let disk = Disk::new("ram8", dev, ram.clone(), "noop").unwrap();
        let device: Arc<BlockDevice> = BlockDevice::of(&disk);
        device.set_block_size(self.bits).unwrap();
        let log = Log::new(&disk, self.map.clone(), self.bits).unwrap();
        let mut sb = self.superblock();
        let report = recover(&log, &sb, &device, true);
        let finished = report.and_then(|report| finish(&log, &mut sb, &report).map(|()| report));
        self.bytes = ram.bytes();
        finished
    }
}

/// Writes transactions one behind the other.
pub struct Writer<'a> {
    pub image: &'a mut Image,
    format: Format,
    pub at: LogBlock,
    pub tid: Tid,
    /// Blocks of the log it may still write: those behind a cut are lost.
    pub left: u32,
    /// Blocks it has, or would have, written.
    pub written: u32,
    seconds: i64,
    sum: TransactionSum,
}

impl<'a> Writer<'a> {
    /// The log begins at `start` with transaction `tid`.
    pub fn new(image: &'a mut Image, start: LogBlock, tid: Tid) -> Writer<'a> {
        let mut sb = image.superblock();
        sb.set_tail(tid, Some(start));
        image.put_superblock(&sb);
        let (format, sum) = (sb.format(), TransactionSum::new());
        Writer { image, format, at: start, tid, left: u32::MAX, written: 0, seconds: 1000, sum }
    }

    fn put(&mut self, block: &[u8]) {
        if self.left > 0 {
            self.left -= 1;
            self.image.log_mut(self.at).copy_from_slice(block);
        }
        self.written += 1;
        self.at = self.image.superblock().ring().next(self.at);
    }

    pub fn put_summed(&mut self, block: &[u8]) {
        self.sum.add(block);
        self.put(block);
    }

    /// All but the commit block.
    pub fn body(&mut self, transaction: &Transaction) {
        let size = self.format.block_size;
        let mut descriptor = DescriptorWriter::new(self.format);
        let per_block = self.format.tags_per_block();
        for blocks in transaction.blocks.chunks(per_block.min(5)) {
            descriptor.start(self.tid);
            let mut copies = Vec::new();
            for (home, content) in blocks {
                let mut copy = content.bytes(size);
                let escaped = escape(&mut copy);
                assert!(descriptor.push(*home, escaped, self.format.tag_checksum(self.tid, &copy)));
                copies.push(copy);
            }
            let block = descriptor.finish().to_vec();
            self.put_summed(&block);
            copies.iter().for_each(|copy| self.put_summed(copy));
        }
        let mut revoke = RevokeWriter::new(self.format);
        for blocks in transaction.revokes.chunks(3) {
            revoke.start(self.tid);
            blocks.iter().for_each(|block| assert!(revoke.push(*block)));
            let block = revoke.finish().to_vec();
            self.put(&block);
        }
    }

    pub fn commit(&mut self) {
        self.seconds += 1;
        let now = Timespec { sec: self.seconds, nsec: 7 };
        let commit = CommitBlock::new(self.tid, now, self.sum, &self.format);
        let mut block = std::vec![0; self.format.block_size];
        commit.write(&self.format, &mut block);
        self.put(&block);
        self.tid = self.tid.next();
        self.sum = TransactionSum::new();
    }

    pub fn transaction(&mut self, transaction: &Transaction) {
        self.body(transaction);
        self.commit();
    }
}
