//! Writeback: what is dirty, when it goes to the disk, and who must wait.
//!
//! * [`DirtyInode`], [`DirtyState`], [`DirtyFlags`]: what the flusher knows of an inode.
//! * [`Bdi`]: the flusher of one disk: its lists, its thread, `sync`.
//! * [`balance_dirty_pages_ratelimited`]: holds a writer back who dirties faster than the disk takes.
//! * [`params`]: the figures of `/proc/sys/vm`.
//!
//! ```text
//!   a write                            mark_inode_dirty            DirtyState: nothing to do if it
//!     |                                      |                     is listed with these bits
//!     |                             b_dirty (by age)
//!     |                                      |  30 s old, or too much is dirty
//!   balance_dirty_pages ─ wakes ─>     b_io ─┴─> written ─> clean: leaves the lists
//!     |  sleeps above the limit              └─> not done: b_more_io;  dirty again: b_dirty
//! ```
//! The lists hold strong handles: no inode is dropped before it is clean.
//!
//! # Locking
//! `Bdi::lists` is a SpinLock; the tree lock of an inode's mapping is taken under it. An inode is
//! written by one thread at a time: the SYNCING bit of its DirtyState, waited for in a queue, never
//! with a page lock or the lists' lock held. Whoever writes an inode holds no lock of the file system
//! that `writepages` or `write_inode` take.
//!
//! | | mark dirty | flusher | sync, fsync | forget |
//! |---|---|---|---|---|
//! | **mark dirty** | the bits are one atomic word | bits are cleared before the work: what comes later is seen again | the same | the caller: the inode is dead |
//! | **flusher** | | one thread | SYNCING | SYNCING |
//! | **sync, fsync** | | | SYNCING | SYNCING |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bandwidth;
mod bdi;
mod lists;
pub mod params;
mod single;
mod state;
mod throttle;
pub mod trace;

pub use bdi::Bdi;
pub use pagecache::{AddressSpace, BlockDevice, SyncMode, WritebackControl};
pub use params::set_memory;
pub use state::{DirtyFlags, DirtyInode, DirtyState};
pub use throttle::balance_dirty_pages_ratelimited;
