//! kernfs: file systems whose files the kernel makes when they are read. /proc, /sys and tracefs are
//! three of them.
//!
//! ```text
//!   procfs ─┐
//!   sysfs  ─┼─ implements ─▶ Tree: names, kinds, modes, show, store      what there is
//!   tracefs ┘                  │
//!                            kernfs: superblock, inodes, readdir, open files   how it is a file system
//!                              │
//!                             vfs
//! ```
//!
//! A file system is a [`Tree`]: it names each of its nodes with a small `Id` and answers questions
//! about one. An inode here is nothing but that `Id`, so nothing is kept that could grow stale: a
//! node whose thing is gone says so when asked. [`FsType`] is the file-system type of
//! a tree.
//!
//! | where | what |
//! |---|---|
//! | `tree.rs` | the trait, and the [`Rules`] in which the three differ |
//! | `fs_type.rs`, `fs.rs`, `node.rs`, `open_file.rs` | type, superblock, inodes, open files |
//! | `testing.rs` | for the tests of those three |
//! | `text.rs`, `value.rs` | a file's text while it is made; what a write brought, as a number or a word |
//!
//! # Reading and writing
//! As Linux's seq_file: a read at position 0 makes the text anew, one behind it goes on in the same
//! text. A write gives the tree its bytes, at most a page, whatever the position: one write is one
//! value.
//!
//! # Locking
//! ```text
//!   i_rwsem of a directory → an open file's text → whatever the tree takes → the inode table (spin)
//! ```
//! No lock of kernfs but an open file's own is held while a tree is asked.
//!
//! Sources: Documentation/filesystems/sysfs.rst, seq_file.rst; what Linux 6.1 answers.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod fs;
mod fs_type;
mod node;
mod open_file;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod tree;
pub mod value;

pub use fs_type::FsType;
pub use text::Text;
pub use tree::{Emit, LongWrite, Rules, Tree, child_name};
