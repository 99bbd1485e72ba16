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

pub mod checksum;
pub mod disk;
pub mod log;
pub mod superblock;
pub mod units;

pub use units::{LogBlock, Tid};
