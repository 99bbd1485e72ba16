//! What the journal counts: for tests, and for who asks how it fares (Linux /proc/fs/jbd2/DEV/info).

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::journal::Journal;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters.
        #[derive(Default, Debug)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        /// What [`crate::Journal::stats`] answers: sums since the journal began.
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// All of them, each as it is now.
            pub(crate) fn read(&self) -> Stats {
                Stats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

/// One number.
#[derive(Default, Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds, and returns the sum before.
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::Relaxed)
    }
}

counters! {
    /// Transactions that were committed.
    transactions,
    /// Of these, those that somebody had asked for.
    requested,
    /// Handles that were started.
    handles,
    /// Blocks changed outside any handle: each is a mistake of the file system.
    stray,
    /// Blocks changed without a credit left: each is a mistake of the file system.
    overruns,
    /// Blocks of metadata written to the log.
    blocks,
    /// Blocks of the log written, of all kinds.
    blocks_logged,
    /// Blocks that had to be copied because they changed while they were committed.
    frozen,
    /// Blocks that were revoked.
    revoked,
    /// Checkpoints that had to be waited for.
    checkpoints,
    /// Blocks that a checkpoint wrote home.
    checkpointed,
    /// Fast commits that were written.
    fast_commits,
    /// Their blocks.
    fast_commit_blocks,
    /// Times the journal's superblock was written.
    superblocks,
    /// Nanoseconds that handles waited for a place, the longest wait of each transaction.
    wait_ns,
    /// Nanoseconds of all commits together: of running before, …
    running_ns,
    /// … from the request to the switch, …
    delay_ns,
    /// … of waiting for the last handle, …
    locked_ns,
    /// … of writing ordered data, …
    flushing_ns,
    /// … and of writing to the log.
    logging_ns,
}

/// What one transaction took, from its begin to the end of its commit (`struct transaction_run_stats_s`).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct RunStats {
    /// The longest that a handle waited for its place in it.
    pub wait_ns: u64,
    pub delay_ns: u64,
    pub running_ns: u64,
    pub locked_ns: u64,
    pub flushing_ns: u64,
    pub logging_ns: u64,
    pub handles: u32,
    pub blocks: u32,
    pub blocks_logged: u32,
}

impl Counters {
    /// A transaction is committed.
    pub(crate) fn count(&self, run: &RunStats) {
        self.transactions.add(1);
        self.handles.add(run.handles.into());
        self.running_ns.add(run.running_ns);
        self.delay_ns.add(run.delay_ns);
        self.locked_ns.add(run.locked_ns);
        self.flushing_ns.add(run.flushing_ns);
        self.logging_ns.add(run.logging_ns);
        self.blocks.add(run.blocks.into());
        self.blocks_logged.add(run.blocks_logged.into());
        self.wait_ns.add(run.wait_ns);
    }
}

impl Journal {
    /// What Linux shows in `/proc/fs/jbd2/DEV/info`.
    pub fn info(&self) -> String {
        let (stats, most) = (self.stats(), self.limits().max_transaction);
        let n = stats.transactions;
        let mut text =
            format!("{n} transactions ({} requested), each up to {most} blocks\n", stats.requested);
        if n == 0 {
            return text;
        }
        let ms = |ns: u64| ns / n / 1_000_000;
        let average = self.state().lock().average_commit_ns / 1000;
        text += &format!(
            "average: \n  {}ms waiting for transaction\n  {}ms request delay\n  {}ms running transaction\n",
            ms(stats.wait_ns),
            stats.delay_ns / stats.requested.max(1) / 1_000_000,
            ms(stats.running_ns)
        );
        text += &format!(
            "  {}ms transaction was being locked\n  {}ms flushing data (in ordered mode)\n  {}ms logging transaction\n",
            ms(stats.locked_ns),
            ms(stats.flushing_ns),
            ms(stats.logging_ns)
        );
        text += &format!("  {average}us average transaction commit time\n");
        text += &format!(
            "  {} handles per transaction\n  {} blocks per transaction\n  {} logged blocks per transaction\n",
            stats.handles / n,
            stats.blocks / n,
            stats.blocks_logged / n
        );
        text
    }
}
