//! The words that every layer of the kernel shares.
//!
//! * [`Errno`]: what a system call answers when it fails, and what every crate border speaks.
//! * [`units`]: a newtype per unit, so that a sector is never taken for a block.
//! * [`Frame`]: one 4 KiB page of physical memory, counted, given back on the last drop.
//! * [`user`]: user memory as an allegation, the trait that copies it, and [`IovIter`].
//! * [`time`]: the clocks.
//! * [`rate`]: messages that could be too many.
//! * [`sort`]: by a key, in little code.
//! * [`trace`]: trace points, free when off, and the ring they write to.
//! * [`arch`]: what the process layer asks of a machine: page tables, user copies, `run`.
//!
//! This crate imports nothing of Quill. Its one room with `unsafe` is `frame.rs`
//! (docs/frames.md says why); everything else is forbidden to have any.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod arch;
pub mod errno;
pub mod frame;
pub mod iov_iter;
pub mod rate;
pub mod sort;
pub mod time;
pub mod trace;
pub mod units;
pub mod user;

pub use errno::{Errno, Result};
pub use frame::{Frame, FrameSource};
pub use iov_iter::{IoVec, IovIter};
pub use rate::RateLimit;
pub use time::{Clock, Timespec};
pub use units::{DevId, FileBlock, FsBlock, Ino, PAGE_SHIFT, PAGE_SIZE, PageIndex, PhysAddr, Sector};
#[cfg(not(target_os = "none"))]
pub use user::FakeUser;
pub use user::{UserAddr, UserMemory};
