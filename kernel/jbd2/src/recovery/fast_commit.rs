//! The area of fast commits, for the file system that knows what they mean.
//!
//! After a recovery the area's blocks are, from the first on, fast commits of transaction `end` of the
//! report: changes that reached the disk without a commit of it. The file system reads block after block
//! until it meets one that is of no use, applies what it read, and makes it durable; then [`super::finish`].

use core::ops::Range;

use base::{Errno, Result};

use crate::log::{Log, LogReader};
use crate::superblock::{LogSuperblock, Ring};
use crate::units::LogBlock;

/// Reads the area.
pub struct FastCommitArea<'a> {
    reader: LogReader<'a>,
    blocks: Range<u32>,
}

impl<'a> FastCommitArea<'a> {
    /// None when the journal has no such area.
    pub fn of(log: &'a Log, sb: &LogSuperblock) -> Option<FastCommitArea<'a>> {
        let blocks = sb.fast_commits();
        if blocks.is_empty() {
            return None;
        }
        let ring = Ring { first: LogBlock(blocks.start), last: LogBlock(blocks.end) };
        Some(FastCommitArea { reader: LogReader::new(log, ring), blocks })
    }

    /// How many blocks.
    pub fn blocks(&self) -> u32 {
        self.blocks.end - self.blocks.start
    }

    /// Block `n` of the area. EIO when the device fails, or there is no such block.
    pub fn read(&mut self, n: u32) -> Result<&[u8]> {
        let at = self.blocks.start.checked_add(n).ok_or(Errno::EIO)?;
        self.reader.read(LogBlock(at))
    }
}
