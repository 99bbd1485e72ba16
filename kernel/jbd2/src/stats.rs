//! What the journal counts: for tests, and for who asks how it fares (Linux /proc/fs/jbd2/DEV/info).

use core::sync::atomic::{AtomicU64, Ordering};

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
    /// Times the journal's superblock was written.
    superblocks,
    /// Nanoseconds, all commits together: from the request to the switch, …
    wait_ns,
    /// … waiting for the last handle, …
    locked_ns,
    /// … writing ordered data, …
    flushing_ns,
    /// … and writing to the log.
    logging_ns,
}
