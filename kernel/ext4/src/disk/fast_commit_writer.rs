//! Makes the blocks of a fast commit.

use alloc::vec::Vec;

use zerocopy::IntoBytes;

use super::*;
use crate::disk::{hi32, lo16, lo32};

/// Makes the blocks of one fast commit.
pub(crate) struct Writer {
    block_size: usize,
    tid: u32,
    crc: u32,
    /// Whole blocks, and the begun one.
    bytes: Vec<u8>,
}

impl Writer {
    /// `first`: whether it is the first fast commit of its transaction.
    pub fn new(block_size: usize, tid: u32, first: bool) -> Writer {
        let mut writer = Writer { block_size, tid, crc: 0, bytes: Vec::new() };
        if first {
            let head = RawHead { fc_features: 0.into(), fc_tid: tid.into() };
            writer.put(HEAD, head.as_bytes());
        }
        writer
    }

    /// Appends a change. Its value fits in a block: an inode is smaller, a name even more so.
    pub fn push(&mut self, change: &Change) {
        match change {
            Change::Add { ino, entry } => {
                let len = if entry.unwritten { entry.len + MAX_WRITTEN } else { entry.len };
                let fc_ex = Extent {
                    ee_block: entry.block.into(),
                    ee_len: lo16(len),
                    ee_start_hi: lo16(hi32(entry.start).get()),
                    ee_start_lo: lo32(entry.start),
                };
                self.put(ADD_RANGE, RawAdd { fc_ino: (*ino).into(), fc_ex }.as_bytes());
            }
            Change::Del { ino, first, len } => {
                let raw = RawDel { fc_ino: (*ino).into(), fc_lblk: (*first).into(), fc_len: (*len).into() };
                self.put(DEL_RANGE, raw.as_bytes());
            }
            Change::Name { what, parent, ino, name } => {
                let kind = match what {
                    NameChange::Create => CREAT,
                    NameChange::Link => LINK,
                    NameChange::Unlink => UNLINK,
                };
                let raw = RawEntry { fc_parent_ino: (*parent).into(), fc_ino: (*ino).into() };
                self.put(kind, &[raw.as_bytes(), name].concat());
            }
            Change::Inode { ino, raw } => self.put(INODE, &[&ino.to_le_bytes(), &raw[..]].concat()),
        }
    }

    /// Ends it: its blocks.
    pub fn finish(mut self) -> Vec<u8> {
        self.make_room(TAG + TAIL_SIZE);
        let left = self.block_size - self.bytes.len() % self.block_size;
        // At most a block.
        let head = [TAIL.to_le_bytes(), ((left - TAG) as u16).to_le_bytes()].concat();
        let summed = [&head[..], &self.tid.to_le_bytes()].concat();
        let crc = crc32c(self.crc, &summed);
        self.bytes.extend_from_slice(&summed);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        let end = self.bytes.len().next_multiple_of(self.block_size);
        self.bytes.resize(end, 0);
        self.bytes
    }

    fn put(&mut self, kind: u16, value: &[u8]) {
        self.make_room(TAG + value.len());
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        // Smaller than a block.
        self.bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.crc = crc32c(self.crc, &self.bytes[from..]);
    }

    /// Pads the block unless so many bytes, and the padding's own tag behind them, go into it.
    fn make_room(&mut self, len: usize) {
        let used = self.bytes.len() % self.block_size;
        let left = self.block_size - used;
        if used == 0 || len + TAG <= left {
            return;
        }
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&PAD.to_le_bytes());
        // There is room for it: what was put before left some. Smaller than a block.
        self.bytes.extend_from_slice(&((left - TAG) as u16).to_le_bytes());
        self.bytes.resize(from + left, 0);
        self.crc = crc32c(self.crc, &self.bytes[from..]);
    }
}
