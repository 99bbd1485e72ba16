//! A revoke block: blocks whose copies in this transaction and the ones before it must not be replayed.
//!
//! ```text
//!   0        12      16
//!   | header | bytes | block | block | … | (tail)
//! ```
//! Freed metadata may be given to a file, whose data goes to the disk past the log. A replay of the old
//! copy would then destroy the file's data; the revoke record says so. `bytes` counts from the block's
//! beginning.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", revocation block.

use alloc::boxed::Box;
use alloc::vec;

use base::FsBlock;

use crate::disk::format::{Format, REVOKE_HEAD};
use crate::disk::header::{BlockType, Header};
use crate::units::Tid;

/// A revoke block that claims more bytes than it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevokeError {
    /// `r_count`.
    pub bytes: u32,
}

/// The records of a revoke block.
pub struct Revokes<'a> {
    wide: bool,
    rest: &'a [u8],
}

impl<'a> Revokes<'a> {
    /// Of a block with the header of a revoke block.
    pub fn of(format: &Format, block: &'a [u8]) -> Result<Revokes<'a>, RevokeError> {
        let count = block.get(Header::SIZE..).and_then(|b| b.first_chunk());
        let bytes = count.map_or(0, |b| u32::from_be_bytes(*b));
        let end = usize::try_from(bytes).ok().filter(|&end| end <= format.usable());
        let end = end.ok_or(RevokeError { bytes })?;
        // Fewer bytes than the head has: no records.
        let rest = block.get(REVOKE_HEAD..end).unwrap_or_default();
        Ok(Revokes { wide: format.wide, rest })
    }
}

impl Iterator for Revokes<'_> {
    type Item = FsBlock;

    fn next(&mut self) -> Option<FsBlock> {
        if self.wide {
            let (record, rest) = self.rest.split_first_chunk()?;
            self.rest = rest;
            Some(FsBlock(u64::from_be_bytes(*record)))
        } else {
            let (record, rest) = self.rest.split_first_chunk()?;
            self.rest = rest;
            Some(FsBlock(u64::from(u32::from_be_bytes(*record))))
        }
    }
}

/// Makes revoke blocks, one after the other in the same memory.
pub struct RevokeWriter {
    format: Format,
    block: Box<[u8]>,
    at: usize,
}

impl RevokeWriter {
    /// Of a journal with this format.
    pub fn new(format: Format) -> RevokeWriter {
        let block = vec![0; format.block_size].into_boxed_slice();
        RevokeWriter { format, block, at: REVOKE_HEAD }
    }

    /// Begins an empty block.
    pub fn start(&mut self, tid: Tid) {
        self.block.fill(0);
        Header { kind: BlockType::Revoke, tid }.write(&mut self.block);
        self.at = REVOKE_HEAD;
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.at == REVOKE_HEAD
    }

    /// Appends a record; false, and nothing done, when there is no room.
    pub fn push(&mut self, block: FsBlock) -> bool {
        let end = self.at + self.format.record_size();
        if end > self.format.usable() {
            return false;
        }
        let number = block.0.to_be_bytes();
        let from = number.len() - self.format.record_size();
        self.block[self.at..end].copy_from_slice(&number[from..]);
        self.at = end;
        true
    }

    /// Ends the block: its bytes for the log.
    pub fn finish(&mut self) -> &[u8] {
        // At most the block's size.
        let bytes = self.at as u32;
        self.block[Header::SIZE..REVOKE_HEAD].copy_from_slice(&bytes.to_be_bytes());
        self.format.seal(&mut self.block);
        &self.block
    }
}
