//! A walk over the journal's own blocks in the log, from its start on.

use crate::disk::{Header, Tags};
use crate::log::{Log, LogReader};
use crate::recovery::RecoveryError;
use crate::superblock::{LogSuperblock, Ring};
use crate::units::{LogBlock, Tid};

/// Where the walk is. It ends at a block that is not of the transaction it is in, and after one round.
pub(super) struct Walk<'a> {
    reader: LogReader<'a>,
    ring: Ring,
    at: LogBlock,
    /// Blocks of the ring that it has not come to yet.
    left: u32,
    /// The transaction it is in.
    pub tid: Tid,
}

impl<'a> Walk<'a> {
    pub fn new(log: &'a Log, sb: &LogSuperblock, start: LogBlock) -> Walk<'a> {
        let ring = sb.ring();
        let left = ring.blocks();
        Walk { reader: LogReader::new(log, ring), ring, at: start, left, tid: sb.sequence() }
    }

    /// Goes to the next block of the transaction: where it lies, and what it is. None at the log's end.
    pub fn next(&mut self) -> Result<Option<(LogBlock, Header)>, RecoveryError> {
        if self.left == 0 {
            return Ok(None);
        }
        let header = Header::read(self.block(self.at)?).filter(|header| header.tid == self.tid);
        let at = self.at;
        self.skip(1);
        Ok(header.map(|header| (at, header)))
    }

    /// The block of the log, whole.
    pub fn block(&mut self, at: LogBlock) -> Result<&[u8], RecoveryError> {
        self.reader.read(at).map_err(|errno| RecoveryError::Io(Some(at), errno))
    }

    /// Where the next `n` blocks of the log lie; fewer when the round ends before.
    pub fn ahead(&self, n: u32) -> impl Iterator<Item = LogBlock> + use<> {
        let (ring, at) = (self.ring, self.at);
        (0..n.min(self.left)).map(move |i| ring.advance(at, i))
    }

    /// Passes over blocks: those that a descriptor describes.
    pub fn skip(&mut self, n: u32) {
        let n = n.min(self.left);
        self.at = self.ring.advance(self.at, n);
        self.left -= n;
    }

    /// How many blocks a descriptor describes.
    pub fn count_tags(&mut self, sb: &LogSuperblock, at: LogBlock) -> Result<u32, RecoveryError> {
        let format = sb.format();
        // At most a block's bytes.
        Ok(Tags::of(&format, self.block(at)?).count() as u32)
    }
}
