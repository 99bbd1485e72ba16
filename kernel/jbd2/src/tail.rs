//! Where the log begins and ends, in memory and in the superblock.
//!
//! ```text
//!   first                tail                    head                last
//!     | free              | transactions          | free               |     a ring
//!                           the oldest not home     the next goes here
//! ```
//! The superblock's start is what a recovery begins at. It may lag behind `tail`'s true place, never be ahead
//! of it: what it no longer covers must be at home on stable storage. So before it moves the file system's
//! device has been flushed since the last of those blocks was written, and it is itself written with FUA before
//! the blocks it gives free are used again.
//!
//! An empty log's superblock has no start. It gets one before the first commit block after that, by a plain
//! write: the flush before the commit block makes it durable.
//!
//! # Locking
//! The mutex around [`Tail`] is held while the superblock is written. Nothing is taken under it.

use base::{Errno, Result};
use block::BioFlags;

use crate::disk::{Checksums, Compat, Incompat};
use crate::fast_commit::FastArea;
use crate::journal::Journal;
use crate::state::State;
use crate::superblock::{LogSuperblock, Ring};
use crate::trace;
use crate::units::{LogBlock, Tid};

/// See the module.
pub(crate) struct Tail {
    pub superblock: LogSuperblock,
    pub ring: Ring,
    /// Where the next transaction goes.
    pub head: LogBlock,
    /// Where the oldest begins that is not known to be at home, and which it is.
    pub tail: LogBlock,
    pub tail_tid: Tid,
}

/// A place that the log may begin at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub tid: Tid,
    pub block: LogBlock,
}

impl Tail {
    /// Of an empty log.
    pub(crate) fn new(superblock: LogSuperblock) -> Tail {
        let (ring, tail_tid) = (superblock.ring(), superblock.sequence());
        Tail { superblock, ring, head: ring.first, tail: ring.first, tail_tid }
    }
}

impl Journal {
    /// Before a commit: the log is no longer empty.
    pub(crate) fn note_not_empty(&self) -> Result<()> {
        let mut tail = self.tail().lock();
        if tail.superblock.start().is_some() {
            return Ok(());
        }
        let (tid, block) = (tail.tail_tid, tail.tail);
        tail.superblock.set_tail(tid, Some(block));
        self.write_superblock(&tail.superblock, BioFlags::empty())
    }

    /// Blocks that the log would gain if it began here.
    pub(crate) fn gain(&self, mark: Mark) -> u32 {
        let tail = self.tail().lock();
        // Only the tail of an empty ring has a distance of 0 from a later transaction.
        tail.ring.distance(tail.tail, mark.block)
    }

    /// The log begins here from now on. What lies before is at home, and the device was flushed since.
    pub(crate) fn move_tail(&self, mark: Mark) -> Result<()> {
        let mut tail = self.tail().lock();
        let gained = tail.ring.distance(tail.tail, mark.block);
        trace::update_log_tail(self, tail.tail_tid, mark.tid, mark.block.0, gained);
        (tail.tail, tail.tail_tid) = (mark.block, mark.tid);
        if tail.superblock.start().is_some() {
            tail.superblock.set_tail(mark.tid, Some(mark.block));
            self.write_superblock(&tail.superblock, self.fua())?;
        }
        drop(tail);
        self.state().lock().free += gained;
        self.moved.wake_all();
        Ok(())
    }

    /// Where the next transaction goes.
    pub(crate) fn end_of_log(&self) -> Mark {
        let tid = self.state().lock().next_to_log();
        Mark { tid, block: self.tail().lock().head }
    }

    /// Where the log begins.
    pub(crate) fn tail_mark(&self) -> Mark {
        let tail = self.tail().lock();
        Mark { tid: tail.tail_tid, block: tail.tail }
    }

    /// So many blocks were used.
    pub(crate) fn advance_head(&self, blocks: u32) {
        let mut tail = self.tail().lock();
        tail.head = tail.ring.advance(tail.head, blocks);
    }

    /// Blocks of the log that a transaction takes.
    pub(crate) fn log_blocks(&self, blocks: usize, revokes: usize) -> u32 {
        let format = self.tail().lock().superblock.format();
        let needed = blocks + blocks.div_ceil(format.tags_per_block());
        let needed = needed + revokes.div_ceil(format.revokes_per_block()) + 1;
        u32::try_from(needed).unwrap_or(u32::MAX)
    }

    /// The log is empty and gets the features that it shall have. EINVAL when it cannot have them.
    pub(crate) fn reset(&self) -> Result<()> {
        let options = self.options();
        let mut tail = self.tail().lock();
        let (mut compat, mut incompat) = (tail.superblock.compat(), tail.superblock.incompat());
        incompat |= Incompat::REVOKE;
        if let Some(checksums) = options.checksums {
            compat.set(Compat::CHECKSUM, checksums == Checksums::V1);
            incompat.set(Incompat::CSUM_V2, checksums == Checksums::V2);
            incompat.set(Incompat::CSUM_V3, checksums == Checksums::V3);
        }
        incompat.set(Incompat::ASYNC_COMMIT, options.async_commit);
        if options.wide {
            incompat |= Incompat::BIT64;
        }
        if !tail.superblock.set_features(compat, incompat) {
            log::error!("{self}: the journal's superblock is too old for a journal with {incompat:?}");
            return Err(Errno::EINVAL);
        }
        if options.fast_commit {
            match tail.superblock.with_fast_commits() {
                Some(superblock) => tail.superblock = superblock,
                None => log::warn!("{self}: the log has no room for fast commits"),
            }
        }
        let area = if options.fast_commit { tail.superblock.fast_commits() } else { 0..0 };
        *self.fast_area().lock() = FastArea::new(area);
        *tail = Tail::new(tail.superblock.clone());
        let (next, free) = (tail.tail_tid, tail.ring.blocks());
        drop(tail);
        let mut state = self.state().lock();
        *state = State::new(next, free, state.tuning);
        Ok(())
    }

    /// The log is empty. As for [`Journal::move_tail`].
    pub(crate) fn mark_empty(&self) -> Result<()> {
        let next = self.state().lock().next_to_log();
        let mut tail = self.tail().lock();
        if tail.superblock.start().is_none() {
            return Ok(());
        }
        tail.superblock.set_tail(next, None);
        // Who does not know fast commits may have the disk: there are none, as there is no log.
        let clean = tail.superblock.without_fast_commits();
        self.write_superblock(&clean, self.fua())
    }

    /// Makes the error known to whoever mounts the file system next.
    pub(crate) fn record_errno(&self, errno: i32) -> Result<()> {
        let mut tail = self.tail().lock();
        tail.superblock.set_errno(errno);
        self.write_superblock(&tail.superblock, self.fua())
    }

    fn write_superblock(&self, superblock: &LogSuperblock, flags: BioFlags) -> Result<()> {
        self.counters().superblocks.add(1);
        trace::write_superblock(self, flags.bits().into());
        self.log().write_superblock(superblock.block(), flags)
    }

    /// Makes durable what was taken home.
    pub(crate) fn flush_home(&self) -> Result<()> {
        if self.tuning().barrier { self.setup().fs_device.flush() } else { Ok(()) }
    }

    /// What makes a write durable when it ends; nothing with `nobarrier`.
    pub(crate) fn fua(&self) -> BioFlags {
        if self.tuning().barrier { BioFlags::FUA } else { BioFlags::empty() }
    }
}
