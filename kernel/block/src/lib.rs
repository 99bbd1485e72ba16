//! The block layer: from a bio to the driver's ring, and back.
//!
//! ```text
//!   disk.submit_bio(bio)                                        disk.rs   bounds, read-only, partition
//!        │ cut at the device's limits, the parts chained        split.rs
//!        ▼
//!   plug list of the thread ── merge with what is there         plug.rs
//!        │ unplugged: at the guard's drop, or before the thread sleeps
//!        ▼
//!   request queue ── back and front merge, neighbours joined    queue.rs, merge.rs, pool.rs
//!        │                 flushes and FUA, step by step         flush.rs
//!        ▼
//!   elevator: which request next                                elevator/
//!        │ as long as the driver has room
//!        ▼
//!   driver.queue_request(InFlight)   driver.commit()            driver.rs; ramdisk.rs, machine/virtio
//!        ┆
//!   in_flight.complete(result)  ── each bio's end_io, next requests go out     in_flight.rs, dispatch.rs
//! ```
//! Beside the path: what may be set on a queue (attributes.rs), the thread that asks a queue again when
//! time has come (kblockd.rs), the requests that the driver has had for too long (tags.rs).
//!
//! The type changes as ownership moves: [`Bio`] → [`Request`] → [`InFlight`]. Each step consumes the
//! one before, so nothing can be submitted twice or forgotten: whatever is dropped on the way ends
//! its bios with EIO.
//!
//! A [`Disk`] is what bios go to: a whole disk, or a partition that `partition/` found on it. The
//! driver's view, one [`Gendisk`] for a disk and all its partitions, is in `genhd.rs`, with the list of
//! all disks.
//!
//! # Order
//! As in Linux, requests in flight at the same time have no order among each other: who needs one
//! waits for `end_io`, or uses a flush. Writes that completed before a flush was submitted are
//! durable when it ends.
//!
//! # Locking
//! One `SpinLock` per queue. It is never held while a driver or an `end_io` runs. A driver's own
//! lock is never held while a request is completed. Nothing here sleeps but [`Disk::submit_bio`] when
//! the queue has [`RequestQueue::nr_requests`] of that direction, and what says so by its name.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

mod attributes;
mod bio;
mod disk;
mod dispatch;
mod driver;
pub mod elevator;
mod flush;
mod genhd;
mod in_flight;
pub mod ioprio;
pub mod kblockd;
mod lookup;
mod merge;
pub mod partition;
mod plug;
mod pool;
pub mod queue;
mod ramdisk;
mod request;
mod segments;
mod split;
mod stats;
mod tags;
pub mod task_io;
pub mod trace;
mod wait;
mod zeroout;

#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod timer_tests;
#[cfg(test)]
mod trace_tests;

pub use attributes::{DEFAULT_REQUESTS, Merges};
pub use bio::{Bio, BioFlags, BioOp, BioVec, Direction};
pub use disk::Disk;
pub use driver::{DEFAULT_MAX_SECTORS, Driver, Geometry, Limits, TimedOut};
pub use genhd::{Claim, DiskKind, Gendisk, Opened, devices, disks, find, register};
pub use in_flight::{InFlight, complete_all};
pub use lookup::early_lookup;
pub use plug::{PlugGuard, plug};
pub use queue::RequestQueue;
pub use ramdisk::RamDisk;
pub use request::{Origin, Request};
pub use segments::Segment;
pub use stats::{DirectionStats, DiskStats};
pub use tags::Overdue;
pub use wait::Completion;
