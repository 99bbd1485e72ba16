//! Giving out and taking back blocks and inodes.
//!
//! * [`bits`]: runs of free bits in a bitmap's bytes; no I/O. [`buddy`]: a group's free runs by size.
//! * [`bitmap`]: a group's bitmap, read, checked or made up (UNINIT groups).
//! * [`claim`]: the counters, and who may have how much. [`blocks`]: the block allocator. [`window`]: what is
//!   kept for files that grow. [`trim`]: discards. [`pending`]: freed blocks that wait for a commit.
//! * [`inodes`]: the inode allocator. [`orlov`]: where a new inode goes.
//!
//! # Locking
//! A group's lock around each look into a bitmap; never two. The file system's counters are claimed
//! first, so that a search that begins does not come too late.
//!
//! | at the same time | ordered by |
//! |---|---|
//! | two writers in different groups | nothing: an atomic counter each touches once |
//! | two writers in one group | the group's lock, for the length of one search in memory |
//! | a writer and who frees | the group's lock; freed blocks are counted when they may be given out |
//! | a writer and who steals its window | the group's lock: the writer finds it gone and searches |
//! | a writer and FITRIM | the group's lock, for the length of one group's discards |
//! | an inode given out and one given back | the group's lock, then the inode cache's slot |

pub mod bitmap;
pub mod bits;
pub mod blocks;
pub mod buddy;
pub mod claim;
pub mod inodes;
pub mod orlov;
pub mod pending;
pub mod trim;
pub mod window;
