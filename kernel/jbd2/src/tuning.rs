//! What may be said anew of a journal that runs: a remount with other options.
//!
//! A transaction that runs already keeps the time at which it is to be committed; all else counts from
//! the next step on.
//!
//! # Locking
//! Part of `state`. A commit that is under way may take one step with the old value and the next with the new.

use block::ioprio::IoPrio;

use crate::journal::{Journal, Options};

/// The options that are no part of the log's format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// A transaction is committed when it is so old (`commit=`).
    pub commit_interval_ns: u64,
    /// How long a synchronous handle waits for others to join its transaction, at least and at most.
    pub min_batch_ns: u64,
    /// The most.
    pub max_batch_ns: u64,
    /// Whether the devices' caches are flushed where it matters (`barrier`).
    pub barrier: bool,
    /// A failed write of ordered data gives the journal up (`data_err=abort`).
    pub abort_on_data_error: bool,
    /// With which I/O priority transactions are committed (`journal_ioprio`).
    pub ioprio: IoPrio,
}

impl From<&Options> for Tuning {
    fn from(options: &Options) -> Tuning {
        Tuning {
            commit_interval_ns: options.commit_interval_ns,
            min_batch_ns: options.min_batch_ns,
            max_batch_ns: options.max_batch_ns,
            barrier: options.barrier,
            abort_on_data_error: options.abort_on_data_error,
            ioprio: options.ioprio,
        }
    }
}

impl Journal {
    /// What holds now.
    pub fn tuning(&self) -> Tuning {
        self.state().lock().tuning
    }

    /// What shall hold from now on.
    pub fn tune(&self, tuning: Tuning) {
        self.state().lock().tuning = tuning;
        // Its thread may sleep for longer than is now allowed.
        self.bell().ring();
    }
}
