//! The journal: changes of metadata that belong together reach the disk together, or not at all.
//!
//! The format is Linux's jbd2, so that e2fsck and Linux replay what Quill logged, and the reverse.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)".
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod abort;
mod checkpoint;
pub mod checksum;
mod commit;
pub mod disk;
mod handle;
mod journal;
pub mod log;
mod log_writer;
pub mod recovery;
mod revoke;
mod state;
mod stats;
pub mod superblock;
mod tail;
mod thread;
mod transaction;
pub mod units;
mod wait;

pub use handle::Handle;
pub use journal::{Journal, JournalError, OnAbort, Options, Setup};
pub use recovery::{RecoveryError, Report};
pub use stats::Stats;
pub use transaction::OrderedInode;
pub use units::{LogBlock, Tid};
pub use wait::Barrier;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
