//! ext4: Linux's on-disk format, read and written.
//!
//! # The rooms
//! ```text
//!   mount.rs  geometry/  options/  state.rs   the door: superblock to Geometry to Ext4Fs; in use, clean
//!   fs.rs  superblock.rs  error.rs        what a mounted file system shares; sync, statfs, unmount; errors=
//!   mounted.rs                            which are mounted, and what they tell /proc and /sys
//!   group.rs  zones.rs  balloc/           groups, where metadata lies, giving out blocks and inodes
//!   inode/  orphan/  truncate.rs          inodes in memory and their end
//!   extent/  indirect/  inline/           where a file's blocks lie
//!   aops/  file.rs  seek.rs               a file's pages, a file opened
//!   ioctl.rs  label.rs                     flags, project, the volume's name
//!   journal/                              handles: what changes together
//!   fallocate/                            blocks for a range, holes, ranges taken out and put in
//!   fiemap.rs                             where a file lies, told to programs
//!   dir/  namei.rs  symlink.rs            names
//!   lazyinit.rs                           inode tables zeroed in the background
//!   xattr/  acl/                          extended attributes, access control lists
//!   disk/  checksum.rs                    the bytes
//! ```
//!
//! # How to use it
//! `vfs::register_filesystem(ext4::FS_TYPE)`, or `ext4::mount(&device, read_only, "errors=remount-ro")`.
//!
//! # Locks
//! ```text
//!   i_rwsem (per inode) → handle → xattr_sem (per inode) → page lock → data_sem (per inode) → group lock (one) → buffer guard (one) → spin
//!   orphans → buffer guard               inode cache slots: held alone
//! ```
//! Which lock orders a pair of operations:
//!
//! | | write | truncate | map (read) | writeback | unlink, rename | create | evict | sync |
//! |---|---|---|---|---|---|---|---|---|
//! | **write** | i_rwsem | i_rwsem | data_sem | page lock | none: other fields | group | i_rwsem¹ | buffer |
//! | **truncate** | | i_rwsem | data_sem | page lock² | i_rwsem | group | i_rwsem¹ | buffer |
//! | **map (read)** | | | shared | shared | – | – | page lock² | – |
//! | **unlink, rename** | | | | | i_rwsem of the directories | i_rwsem of the directory | cache slot | buffer |
//! | **create** | | | | | | group, then the cache slot | cache slot | buffer |
//! | **evict** | | | | | | | begun once (cache slot) | buffer |
//!
//! The thread that zeroes inode tables and **create** are ordered by the group's lock; it meets nothing else.
//! fallocate is ordered as truncate is, and collapsing or inserting a range as both.
//! ¹ nobody uses an inode that is evicted. ² pages are gone, and I/O on them over, before blocks are freed.
//!
//! # Errors
//! Checks of the disk's bytes have an enum of their own per door (`SuperError`, `GroupError`,
//! `InodeError`, `NodeError`, `DirError`, `XattrError`); [`Ext4Fs::corrupt`] tells them, notes them in the superblock
//! and turns them into EUCLEAN.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod acl;
mod aops;
mod balloc;
pub mod checksum;
mod dead;
mod delayed;
mod dir;
mod direct;
mod disk;
mod error;
mod extent;
mod fallocate;
mod fiemap;
mod file;
mod fs;
mod geometry;
mod group;
mod indirect;
mod inline;
mod inode;
mod ioctl;
mod journal;
mod label;
pub mod lazyinit;
mod mount;
mod mounted;
mod namei;
mod options;
mod orphan;
mod seek;
mod state;
mod superblock;
mod symlink;
pub mod trace;
mod truncate;
mod xattr;
mod zones;

pub use fs::Ext4Fs;
pub use inode::Ext4Inode;
pub use mount::{FS_TYPE, OLDER_TYPES, mount};
pub use mounted::{Counters, counters, fast_commit_info, mounted};
