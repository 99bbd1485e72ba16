//! Blocks that are in the log and not at home yet, and how the log gets room.
//!
//! ```text
//!   oldest                                    newest
//!   [ T7: a b c ]  [ T8: b d ]  [ T9: a d e ]          b of T7 is T8's affair now: T7 has only c left
//! ```
//! A committed block is dirty in the page cache: the flusher takes it home in its time, a checkpoint
//! at once when the log is short of room. A transaction is done with when each of its blocks is at home or
//! has been committed again by a later one. Then the log may begin behind it.
//!
//! A block that is in the running transaction again is not at home, and cannot go there before that one has
//! committed: then it is that one's. The same holds for a block that was *forgotten* by a transaction that has
//! not committed: the cache may hold changes of it that do not count yet.
//!
//! # Locking
//! [`Checkpoint`] is a part of the journal's lists. What is written is written without their lock.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use base::{Errno, FsBlock, Result, time};
use hashbrown::HashMap;
use pagecache::Buffer;

use crate::journal::Journal;
use crate::role::Role;
use crate::tail::Mark;
use crate::trace;
use crate::transaction::Lists;
use crate::units::{LogBlock, Tid};

/// A transaction in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    pub tid: Tid,
    /// Its first block.
    pub start: LogBlock,
}

/// A transaction with blocks that are not at home.
struct Transaction {
    logged: Logged,
    /// From the end on, looked at and found at home.
    buffers: Vec<Buffer>,
    stats: CheckpointStats,
}

/// How a transaction's blocks came home: what `jbd2_checkpoint_stats` tells.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct CheckpointStats {
    /// When a checkpoint first wrote blocks of it home, if one did.
    pub begun: Option<u64>,
    /// Times that a checkpoint had to commit the running transaction first.
    pub forced_to_close: u32,
    /// Blocks that checkpoints wrote.
    pub written: u32,
    /// All blocks of it that were let go.
    pub dropped: u32,
}

/// All of them; see the module.
#[derive(Default)]
pub(crate) struct Checkpoint {
    transactions: VecDeque<Transaction>,
    /// Which transaction committed a block last, for each block that may not be at home.
    newest: HashMap<FsBlock, Tid>,
}

impl Lists {
    /// A transaction has committed. Each of its blocks may go home, unless it has been changed or freed since.
    pub(crate) fn finish(&mut self, logged: Logged, buffers: Vec<Buffer>) {
        // A block is copied by its commit or frozen and taken out; nothing is left.
        debug_assert!(self.frozen.is_empty());
        for block in self.forgotten.keys() {
            self.checkpoint.newest.remove(block);
        }
        for buffer in &buffers {
            let block = buffer.block();
            self.checkpoint.newest.insert(block, logged.tid);
            if !buffer.is_journalled() && !self.running.forgotten.contains_key(&block) {
                buffer.finish_commit();
            }
        }
        self.checkpoint.transactions.push_back(Transaction {
            logged,
            buffers,
            stats: CheckpointStats::default(),
        });
    }

    /// Lets go of the oldest transactions that are done with.
    pub(crate) fn clean(&mut self, dropped: impl Fn(Tid, CheckpointStats)) {
        while let Some(oldest) = self.checkpoint.transactions.front_mut() {
            while let Some(buffer) = oldest.buffers.last() {
                let block = buffer.block();
                if self.checkpoint.newest.get(&block) == Some(&oldest.logged.tid) {
                    let held =
                        self.running.forgotten.contains_key(&block) || self.forgotten.contains_key(&block);
                    if held || !buffer.is_home() {
                        return;
                    }
                    self.checkpoint.newest.remove(&block);
                }
                oldest.buffers.pop();
                oldest.stats.dropped += 1;
            }
            dropped(oldest.logged.tid, oldest.stats);
            self.checkpoint.transactions.pop_front();
        }
    }

    /// Of the oldest transactions that take at least `wanted` blocks of the log together: what can be taken
    /// home now, and whether any block waits for a commit first.
    fn not_home(&mut self, wanted: u32, gain: impl Fn(Logged) -> u32) -> (Vec<Buffer>, bool) {
        let (mut buffers, mut waits) = (Vec::new(), false);
        let Checkpoint { transactions, newest } = &mut self.checkpoint;
        for (i, transaction) in transactions.iter_mut().enumerate() {
            if i > 0 && gain(transaction.logged) >= wanted {
                break;
            }
            let (before, mut held) = (buffers.len(), false);
            for buffer in &transaction.buffers {
                let block = buffer.block();
                if newest.get(&block) == Some(&transaction.logged.tid) {
                    held |= buffer.is_journalled() || self.running.forgotten.contains_key(&block);
                    if !buffer.is_home() {
                        buffers.push(buffer.clone());
                    }
                }
            }
            let stats = &mut transaction.stats;
            stats.begun.get_or_insert_with(time::monotonic_ns);
            // No more than the transaction has blocks.
            stats.written += (buffers.len() - before) as u32;
            stats.forced_to_close += u32::from(held);
            waits |= held;
        }
        (buffers, waits)
    }
}

impl Journal {
    /// Where the log may begin, as far as is known without writing anything.
    pub(crate) fn oldest(&self) -> Option<Mark> {
        let mut lists = self.lists().lock();
        lists.clean(|tid, stats| trace::dropped(self, tid, &stats));
        let oldest = lists.checkpoint.transactions.front().map(|t| t.logged);
        drop(lists);
        let mark = match oldest {
            Some(Logged { tid, start }) => Mark { tid, block: start },
            None => self.end_of_log(),
        };
        (self.tail_mark() != mark).then_some(mark)
    }
}

impl Role<'_> {
    /// Sees to it that a new handle finds room in the log. EIO after the journal was given up.
    pub(crate) fn make_room(&self) -> Result<()> {
        let journal = self.journal();
        let needed = journal.limits().room;
        journal.counters().checkpoints.add(1);
        let done = self.make_room_in_rounds(needed);
        trace::checkpoint(journal, done.map_or_else(Errno::as_return, |()| 0));
        done
    }

    fn make_room_in_rounds(&self, needed: u32) -> Result<()> {
        let journal = self.journal();
        // What one round cannot take home waits for the commit that ends it.
        for _ in 0..ROUNDS {
            if journal.state().lock().room() >= needed {
                return Ok(());
            }
            let waits = self.take_home(needed)?;
            if waits && journal.state().lock().room() < needed {
                self.commit()?;
            }
        }
        if journal.state().lock().room() >= needed {
            return Ok(());
        }
        log::error!("{journal}: the log stays full");
        journal.abort(Errno::EIO);
        Err(Errno::EIO)
    }

    /// Takes the blocks of the oldest transactions home, until `wanted` blocks of the log are gained or all is
    /// done that can be, and moves the tail. Whether a block waits for a commit.
    pub(crate) fn take_home(&self, wanted: u32) -> Result<bool> {
        let journal = self.journal();
        let (mut buffers, waits) = {
            let mut lists = journal.lists().lock();
            lists.clean(|tid, stats| trace::dropped(journal, tid, &stats));
            let gain = |logged: Logged| journal.gain(Mark { tid: logged.tid, block: logged.start });
            lists.not_home(wanted, gain)
        };
        journal.counters().checkpointed.add(buffers.len() as u64);
        if let Err(error) = pagecache::write_home(&mut buffers) {
            log::error!("{journal}: a committed block cannot be written home: {error}");
            journal.abort(error);
            return Err(Errno::EIO);
        }
        self.move_to_oldest()?;
        Ok(waits)
    }

    /// Flushes the file system's device and moves the tail as far as it goes.
    fn move_to_oldest(&self) -> Result<()> {
        let journal = self.journal();
        let Some(mark) = journal.oldest() else { return Ok(()) };
        let moved = journal.flush_home().and_then(|()| journal.move_tail(mark));
        moved.inspect_err(|&error| journal.abort(error))
    }

    /// Commits everything and takes it home: the log is empty, and its superblock says so.
    pub(crate) fn empty_log(&self) -> Result<()> {
        let journal = self.journal();
        self.commit()?;
        for _ in 0..ROUNDS {
            if journal.lists().lock().checkpoint.transactions.is_empty() {
                break;
            }
            if self.take_home(u32::MAX)? {
                self.commit()?;
            }
        }
        self.move_to_oldest()?;
        let home = {
            let mut lists = journal.lists().lock();
            lists.clean(|tid, stats| trace::dropped(journal, tid, &stats));
            lists.checkpoint.transactions.is_empty()
        };
        if !home {
            // Somebody changes blocks faster than they are committed: who wants an empty log holds
            // handles back.
            return Err(Errno::EBUSY);
        }
        journal.mark_empty().inspect_err(|&error| journal.abort(error))
    }
}

/// Rounds of taking home and committing: the first commits what the oldest transactions wait for, the second
/// takes it home.
const ROUNDS: usize = 8;
