//! A descriptor block: where the blocks that follow it in the log belong.
//!
//! ```text
//!   0        12       tag_size + 12     + 16
//!   | header | tag 0  | UUID            | tag 1 | tag 2 | … | (tail)
//! ```
//! The last tag says that it is the last; a block that is full to the brim needs no such sign.
//!
//! Reading ([`Tags`]) cannot fail: what a damaged block says is bounded by its size, and whether it is
//! damaged is for the tail and the tags' checksums to say.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", descriptor block.

use alloc::boxed::Box;
use alloc::vec;

use base::FsBlock;
use bitflags::bitflags;

use crate::disk::format::{Checksums, Format, UUID};
use crate::disk::header::{BlockType, Header};
use crate::units::Tid;

bitflags! {
    /// `t_flags`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct TagFlags: u16 {
        /// The block began with the magic number.
        const ESCAPE = 1;
        /// No UUID follows.
        const SAME_UUID = 2;
        /// Never written.
        const DELETED = 4;
        /// No tag follows.
        const LAST_TAG = 8;
    }
}

/// One block of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// Where it belongs.
    pub block: FsBlock,
    /// How it lies in the log.
    pub flags: TagFlags,
    /// [`Format::tag_checksum`] of it.
    pub checksum: u32,
}

impl Tag {
    /// A tag's bytes, exactly as many as the format's tags have.
    fn read(format: &Format, raw: &[u8]) -> Tag {
        let (flags, checksum, high_at) = match format.checksums {
            Checksums::None | Checksums::V1 => (half(raw, 6), 0, 8),
            Checksums::V2 => (half(raw, 6), u32::from(half(raw, 4)), 8),
            // The flags' upper half is unused.
            Checksums::V3 => (half(raw, 6), word(raw, 12), 8),
        };
        let high = if format.wide { word(raw, high_at) } else { 0 };
        let block = FsBlock(u64::from(high) << 32 | u64::from(word(raw, 0)));
        Tag { block, flags: TagFlags::from_bits_truncate(flags), checksum }
    }

    fn write(&self, format: &Format, raw: &mut [u8]) {
        raw.fill(0);
        let [h0, h1, h2, h3, l0, l1, l2, l3] = self.block.0.to_be_bytes();
        raw[..4].copy_from_slice(&[l0, l1, l2, l3]);
        raw[6..8].copy_from_slice(&self.flags.bits().to_be_bytes());
        let sum = self.checksum.to_be_bytes();
        match format.checksums {
            Checksums::None | Checksums::V1 => {}
            Checksums::V2 => raw[4..6].copy_from_slice(&sum[2..]),
            Checksums::V3 => raw[12..16].copy_from_slice(&sum),
        }
        if format.wide {
            raw[8..12].copy_from_slice(&[h0, h1, h2, h3]);
        }
    }
}

/// The tags of a descriptor block.
pub struct Tags<'a> {
    format: &'a Format,
    /// What is left of the block's usable part.
    rest: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Of a block with the header of a descriptor.
    pub fn of(format: &'a Format, block: &'a [u8]) -> Tags<'a> {
        Tags { format, rest: block.get(Header::SIZE..format.usable()).unwrap_or_default() }
    }
}

impl Iterator for Tags<'_> {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        let (raw, rest) = self.rest.split_at_checked(self.format.tag_size())?;
        let tag = Tag::read(self.format, raw);
        self.rest = if tag.flags.contains(TagFlags::LAST_TAG) {
            &[]
        } else if tag.flags.contains(TagFlags::SAME_UUID) {
            rest
        } else {
            rest.get(UUID..).unwrap_or_default()
        };
        Some(tag)
    }
}

/// Makes descriptor blocks, one after the other in the same memory.
///
/// ```text
/// writer.start(tid); while writer.push(…) {} let block = writer.finish();
/// ```
pub struct DescriptorWriter {
    format: Format,
    block: Box<[u8]>,
    /// Where the next tag goes; the one before begins at `last`.
    at: usize,
    last: usize,
}

impl DescriptorWriter {
    /// Of a journal with this format.
    pub fn new(format: Format) -> DescriptorWriter {
        let block = vec![0; format.block_size].into_boxed_slice();
        DescriptorWriter { format, block, at: Header::SIZE, last: 0 }
    }

    /// Begins an empty block.
    pub fn start(&mut self, tid: Tid) {
        self.block.fill(0);
        Header { kind: BlockType::Descriptor, tid }.write(&mut self.block);
        (self.at, self.last) = (Header::SIZE, 0);
    }

    /// Whether no tag was pushed.
    pub fn is_empty(&self) -> bool {
        self.at == Header::SIZE
    }

    /// Whether there is room for one more tag.
    pub fn has_room(&self) -> bool {
        let uuid = if self.is_empty() { UUID } else { 0 };
        self.at + self.format.tag_size() + uuid <= self.format.usable()
    }

    /// Appends a tag for the next block of the log; false, and nothing done, when there is no room.
    /// `checksum` is [`Format::tag_checksum`] of the block as it will lie in the log.
    pub fn push(&mut self, block: FsBlock, escaped: bool, checksum: u32) -> bool {
        if !self.has_room() {
            return false;
        }
        let first = self.is_empty();
        let mut flags = if first { TagFlags::empty() } else { TagFlags::SAME_UUID };
        flags.set(TagFlags::ESCAPE, escaped);
        let end = self.at + self.format.tag_size();
        Tag { block, flags, checksum }.write(&self.format, &mut self.block[self.at..end]);
        (self.last, self.at) = (self.at, end);
        if first {
            self.block[end..end + UUID].copy_from_slice(&self.format.uuid);
            self.at += UUID;
        }
        true
    }

    /// Ends the block, which has a tag: its bytes for the log.
    pub fn finish(&mut self) -> &[u8] {
        if !self.is_empty() {
            // The low byte of the flags, in all kinds of tags. LAST_TAG is 8.
            self.block[self.last + 7] |= TagFlags::LAST_TAG.bits() as u8;
        }
        self.format.seal(&mut self.block);
        &self.block
    }
}

fn half(raw: &[u8], at: usize) -> u16 {
    raw.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_be_bytes(*b))
}

fn word(raw: &[u8], at: usize) -> u32 {
    raw.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b))
}
