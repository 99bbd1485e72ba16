//! The journal: changes of metadata that belong together reach the disk together, or not at all.
//!
//! # How to use it
//! ```text
//! let journal = Journal::load(setup)?;                   // the superblock is checked, nothing is written
//! if journal.needs_recovery() { … recover, finish_recovery … }
//! journal.begin()?;                                      // from here on metadata goes through the log
//!
//! let handle = journal.start(credits)?;                  // one operation of the file system
//! buffer.write()[at] = 1;                                // as ever: the buffer's door knows the journal
//! let tid = handle.tid();
//! drop(handle);
//!
//! journal.complete_transaction(tid)?;                    // fsync
//! journal.end()?;                                        // unmount
//! ```
//! The format is Linux's jbd2, so that e2fsck and Linux replay what Quill logged, and the reverse. Nothing here
//! knows of ext4.
//!
//! # The life of a change
//! ```text
//!   Buffer::write ── get_write_access ─▶ running transaction        handle.rs, transaction.rs
//!                     (once per block       │ 5 s old, too large, or somebody waits
//!                      and transaction)     ▼
//!                                        commit: copies to the log   commit.rs, log_writer.rs
//!                                           │ the commit block is durable
//!                                           ▼
//!                        dirty in the page cache: goes home          the flusher, or checkpoint.rs
//!                                           │ all of a transaction are home
//!                                           ▼
//!                                        the log's tail moves        tail.rs
//!   after a crash: what the log has goes home                        recovery/
//! ```
//!
//! # Invariants
//! 1. A block with bytes that no commit has made durable is not DIRTY: nobody takes it home.
//! 2. All blocks that an operation changes under one handle are in one transaction, and a transaction's blocks
//!    are copied as they were when its last handle ended (commit.rs says why).
//! 3. The commit block is written when everything before it is on stable storage, ordered data too; it is the
//!    one write that makes the transaction count.
//! 4. The log's tail moves over a transaction when each of its blocks is at home on stable storage, or is in a
//!    later transaction of the log.
//! 5. A freed block is given to nobody before the transaction that frees it has committed (`on_commit` tells the
//!    file system), and from then on neither a replay (revoke.rs) nor the cache brings its old content back.
//! 6. A handle that starts finds room in the log for the largest transaction. So no operation is stuck half-way.
//!
//! # Locking
//! ```text
//!   i_rwsem → start of a handle, wait for a commit (the role, role.rs) → page lock → the file system's own →
//!   byte guard of a block → lists (Mutex) → tail (Mutex) → state, the cache's tree (SpinLocks)
//! ```
//! | | handle starts | block changes | handle ends | commit | checkpoint |
//! |---|---|---|---|---|---|
//! | **handle starts** | `state` | – | `state` | waits from the lock to the switch | waits when the log is full |
//! | **block changes** | | byte guard | the thread's own | `lists`: before the switch it is in this transaction, after it in the next, and the copy is kept | byte guard, WRITING |
//! | **reserved handle starts** | `state` | – | `state` | joins until the switch begins; then waits for it | nothing |
//! | **handle ends** | | | `state` | the commit waits for it | nothing |
//! | **commit** | | | | the role | the role |
//! | **forget** | | | | `lists`; the commit forgets for good at its end | `lists`: held back |
//!
//! # What a step costs
//! A handle's start and stop: one spin lock each. A change of a block that is in the transaction already: one
//! bit. The first change in a transaction: one lock, a push. A commit: one bio for the log (unless it is large),
//! one for the commit block with PREFLUSH and FUA. No flush of its own for the tail as long as the flusher keeps up.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)"; Documentation/filesystems/journalling.rst.
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
mod fast_commit;
mod handle;
mod journal;
pub mod log;
mod log_writer;
mod memory;
pub mod priority;
pub mod recovery;
mod registry;
mod reserved;
mod revoke;
mod role;
mod state;
mod stats;
pub mod superblock;
mod tail;
mod thread;
pub mod trace;
mod transaction;
mod tuning;
pub mod units;
mod wait;

pub use fast_commit::{FastPlace, Told};
pub use handle::Handle;
pub use journal::{Journal, JournalError, OnAbort, Options, Setup};
pub use recovery::{RecoveryError, Report};
pub use registry::{by_number, journals};
pub use reserved::Reserved;
pub use stats::Stats;
pub use transaction::OrderedInode;
pub use tuning::Tuning;
pub use units::{LogBlock, Tid};
pub use wait::Barrier;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
