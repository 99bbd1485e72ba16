//! Giving out and taking back blocks and inodes.
//!
//! * [`bits`]: runs of free bits in a bitmap's bytes; no I/O.
//! * [`bitmap`]: a group's bitmap, read, checked or made up (UNINIT groups).
//! * [`blocks`]: the block allocator.
//! * [`inodes`]: the inode allocator. [`orlov`]: where a new inode goes.
//!
//! # Locking
//! A group's lock around each look into a bitmap; never two. The file system's counters are claimed
//! first, so that a search that begins does not come too late.

pub mod bitmap;
pub mod bits;
pub mod blocks;
pub mod inodes;
pub mod orlov;
