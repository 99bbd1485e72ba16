//! Blocks that are freed: what is in the log of them must not come back.
//!
//! A block of metadata that is freed may become a file's data, which goes to the disk past the log. Two
//! things could then destroy the data:
//! * a replay of an old copy in the log: a *revoke record* in the transaction that frees the block keeps it
//!   from that;
//! * the cache, which takes the old copy home late: the block is *forgotten* when the transaction has
//!   committed. Until then it must not be, since without the commit it is still metadata, and its last
//!   committed content must not get lost: so it stays in its checkpoint list.
//!
//! A block that is taken for metadata again in the same transaction is no longer forgotten: filing it cancels
//! the record (`transaction`). One that was revoked by an earlier transaction needs nothing: records count for the
//! copies of their own transaction and of those before.

use base::FsBlock;

use crate::journal::Journal;
use crate::transaction::Forgotten;

impl Journal {
    /// The block is freed by the current handle. Its change in the running transaction need not be logged.
    /// `was_metadata`: it may be in the log (metadata, or journalled data), and copies there must not be
    /// replayed. A block that never was needs no call.
    pub fn forget(&self, block: FsBlock, was_metadata: bool) {
        let buffer = self.setup().fs_device.find_buffer(block);
        if buffer.is_none() && !was_metadata {
            return;
        }
        let mut lists = self.lists().lock();
        let was_filed = buffer.is_some_and(|buffer| buffer.unfile());
        if was_filed || was_metadata {
            let forgotten = lists.running.forgotten.entry(block).or_default();
            forgotten.revoke |= was_metadata;
            let records = lists.running.forgotten.len();
            drop(lists);
            self.count_revoke(records);
        }
        if was_filed {
            self.return_credit();
        }
    }

    /// The block is freed, and copies of it in the log must not be replayed. For blocks that were never in the
    /// device's own cache: journalled data.
    pub fn revoke(&self, block: FsBlock) {
        let mut lists = self.lists().lock();
        lists.running.forgotten.insert(block, Forgotten { revoke: true });
        let records = lists.running.forgotten.len();
        drop(lists);
        self.count_revoke(records);
    }

    /// One more record; a new block of them takes room in the log. Without a handle there may be no transaction
    /// yet.
    fn count_revoke(&self, records: usize) {
        let begins_block = records % self.limits().revokes_per_block == 1;
        if begins_block || !self.current_handle() {
            let mut state = self.state().lock();
            let running = state.running_or_new(base::time::monotonic_ns);
            running.outstanding += u32::from(begins_block);
        }
    }
}
