//! A transaction's blocks on their way to the log.
//!
//! ```text
//!   revoke … │ descriptor │ copy │ copy │ … │ descriptor │ copy │ …        one stretch of the ring
//!                                                                   then, apart: commit
//! ```
//! Every block is copied into a page of the journal's own: the cached one may change again while the copy is
//! on its way. What lies together goes as one bio. The pages come from a pool and return to it.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)".

use alloc::vec::Vec;

use base::{Errno, Frame, FsBlock, PAGE_SIZE, Result, time};
use block::{BioFlags, BioOp, Completion};
use pagecache::Buffer;

use crate::checksum::TransactionSum;
use crate::disk::{Checksums, CommitBlock, DescriptorWriter, Format, RevokeWriter, escape};
use crate::journal::Journal;
use crate::log::LogSlot;
use crate::memory;
use crate::superblock::Ring;
use crate::units::{LogBlock, Tid};

/// Blocks that are collected before they are sent.
const BATCH: usize = 256;
/// Blocks on their way before one waits for them.
const WINDOW: u32 = 2048;
/// Pages that are kept for the next transaction.
const POOL: usize = 64;

/// See the module.
pub(crate) struct LogWriter<'a> {
    journal: &'a Journal,
    format: Format,
    ring: Ring,
    tid: Tid,
    /// The next block of the log, and how many were used.
    at: LogBlock,
    used: u32,
    /// Made, not yet sent.
    batch: Vec<LogSlot>,
    /// Sent since the last wait.
    sent: Vec<Frame>,
    in_flight: u32,
    /// The page that the last block is in, and what of it is used.
    page: Option<(Frame, usize)>,
    done: Completion,
    sum: TransactionSum,
}

impl<'a> LogWriter<'a> {
    /// Of this transaction, from this block of the log on.
    pub(crate) fn new(journal: &'a Journal, tid: Tid, at: LogBlock) -> LogWriter<'a> {
        let (format, ring) = {
            let tail = journal.tail().lock();
            (tail.superblock.format(), tail.ring)
        };
        LogWriter {
            journal,
            format,
            ring,
            tid,
            at,
            used: 0,
            batch: Vec::new(),
            sent: Vec::new(),
            in_flight: 0,
            page: None,
            done: Completion::new(),
            sum: TransactionSum::new(),
        }
    }

    /// Blocks of the log used so far.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// Memory for the next block of the log.
    fn next(&mut self) -> Result<LogSlot> {
        let size = self.format.block_size;
        let (frame, offset) = match self.page.take() {
            Some((frame, used)) if used < PAGE_SIZE => (frame, used),
            _ => (self.journal.log_page()?, 0),
        };
        if offset == 0 {
            self.sent.push(frame.clone());
        }
        self.page = Some((frame.clone(), offset + size));
        // Below the page's size, so it fits.
        let slot = LogSlot { block: self.at, frame, offset: offset as u32 };
        self.at = self.ring.next(self.at);
        self.used += 1;
        Ok(slot)
    }

    /// Logs the revoke records.
    pub(crate) fn revoke(&mut self, mut blocks: impl Iterator<Item = FsBlock>) -> Result<()> {
        let mut writer = RevokeWriter::new(self.format);
        let mut block = blocks.next();
        while let Some(first) = block {
            writer.start(self.tid);
            writer.push(first);
            loop {
                block = blocks.next();
                if block.is_none_or(|b| !writer.push(b)) {
                    break;
                }
            }
            let slot = self.next()?;
            slot.frame.write(slot.offset as usize, writer.finish());
            self.batch.push(slot);
        }
        Ok(())
    }

    /// Logs the blocks.
    pub(crate) fn blocks(&mut self, buffers: &[Buffer]) -> Result<()> {
        let mut writer = DescriptorWriter::new(self.format);
        for group in buffers.chunks(self.format.tags_per_block()) {
            writer.start(self.tid);
            let descriptor = self.next()?;
            let first = self.batch.len();
            self.batch.push(descriptor.clone());
            for buffer in group {
                let slot = self.next()?;
                let (escaped, checksum) = self.copy(buffer, &slot)?;
                if !writer.push(buffer.block(), escaped, checksum) {
                    return Err(Errno::EUCLEAN);
                }
                self.batch.push(slot);
            }
            descriptor.frame.write(descriptor.offset as usize, writer.finish());
            self.sum_up(first);
            if self.batch.len() >= BATCH {
                self.submit()?;
            }
        }
        Ok(())
    }

    /// Copies a block as it was when its transaction was switched. Whether it was escaped, and its tag's
    /// checksum.
    fn copy(&self, buffer: &Buffer, slot: &LogSlot) -> Result<(bool, u32)> {
        let copied = buffer.with_bytes(|bytes| {
            buffer.is_committing().then(|| {
                let copied = self.put(bytes, slot);
                // Who changes it from now on need not keep anything for us.
                buffer.end_copy();
                copied
            })
        });
        if let Some(copied) = copied {
            return Ok(copied);
        }
        let frozen = self.journal.lists().lock().frozen.remove(&buffer.block());
        let Some(frozen) = frozen else {
            // A file that was cut let go of it, which the transaction that runs will tell.
            let as_it_is = || buffer.with_bytes(|bytes| self.put(bytes, slot));
            return buffer.is_data().then(as_it_is).ok_or(Errno::EUCLEAN);
        };
        self.journal.counters().frozen.add(1);
        Ok(self.put(&frozen, slot))
    }

    fn put(&self, bytes: &[u8], slot: &LogSlot) -> (bool, u32) {
        let at = slot.offset as usize;
        if !bytes.starts_with(&crate::disk::MAGIC.to_be_bytes()) {
            slot.frame.write(at, bytes);
            return (false, self.format.tag_checksum(self.tid, bytes));
        }
        let mut copy = Vec::from(bytes);
        escape(&mut copy);
        slot.frame.write(at, &copy);
        (true, self.format.tag_checksum(self.tid, &copy))
    }

    /// Adds a descriptor and its blocks, from this one of the batch on, to the sum that checksums v1 want.
    fn sum_up(&mut self, first: usize) {
        if self.format.checksums != Checksums::V1 {
            return;
        }
        let mut block = alloc::vec![0; self.format.block_size];
        for slot in &self.batch[first..] {
            slot.frame.read(slot.offset as usize, &mut block);
            self.sum.add(&block);
        }
    }

    /// Sends what was made.
    pub(crate) fn submit(&mut self) -> Result<()> {
        // At most a few hundred.
        self.in_flight += self.batch.len() as u32;
        let flags = BioFlags::SYNC | BioFlags::META;
        let sent = self.journal.log().submit(BioOp::Write, &self.batch, flags, &self.done);
        self.batch.clear();
        if self.in_flight >= WINDOW { self.wait().and(sent) } else { sent }
    }

    /// Waits for what was sent, which is all that was made. Its pages may be used again.
    pub(crate) fn wait(&mut self) -> Result<()> {
        self.in_flight = 0;
        let done = self.done.wait();
        // The page that is not full yet is among them: what comes next begins another.
        self.page = None;
        self.journal.put_log_pages(&mut self.sent);
        done
    }

    /// Sends the commit block, with nothing else; the caller waits.
    pub(crate) fn commit(&mut self, flags: BioFlags) -> Result<()> {
        let slot = self.next()?;
        let mut block = alloc::vec![0; self.format.block_size];
        CommitBlock::new(self.tid, time::now(), self.sum, &self.format).write(&self.format, &mut block);
        slot.frame.write(slot.offset as usize, &block);
        let flags = flags | BioFlags::SYNC | BioFlags::META;
        self.journal.log().submit(BioOp::Write, &[slot], flags, &self.done)
    }
}

impl Drop for LogWriter<'_> {
    fn drop(&mut self) {
        // Whoever gave up half-way: the device still reads from the pages.
        let _ = self.done.wait();
        self.journal.put_log_pages(&mut self.sent);
    }
}

impl Journal {
    fn log_page(&self) -> Result<Frame> {
        let kept = self.pages().lock().pop();
        kept.map_or_else(memory::page, Ok)
    }

    /// Pages that no device reads any more.
    fn put_log_pages(&self, pages: &mut Vec<Frame>) {
        let mut pool = self.pages().lock();
        let room = POOL.saturating_sub(pool.len());
        pages.truncate(room);
        pool.append(pages);
    }
}
