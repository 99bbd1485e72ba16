//! The virtual file system: paths, names, mounts, open files and descriptors, and the traits that a
//! file system implements.
//!
//! ```text
//!   system call            vfs                                      file system
//!   openat  ──▶ namei::open ── walk ── dentry ──miss──▶ Directory::lookup
//!                    │            └─ mount crossing
//!                    └──▶ File ◀── Inode::open ──▶ FileOperations
//!   write   ──▶ read_write::write ── checks, Kiocb ──▶ FileOperations::write_iter
//! ```
//!
//! * What a file system implements: [`FileSystemType`], [`SuperBlock`], [`Inode`], [`Directory`],
//!   [`Symlink`], [`FileOperations`].
//! * What a system call uses: [`namei`], [`read_write`], [`sendfile`], [`lseek`], [`attr_ops`], [`xattr`],
//!   [`fsync`], [`FdTable`], [`iterate_dir`].
//! * What `boot` uses: [`register_filesystem`], [`Mount`], [`mount_at`], [`device`].
//! * [`ramfs`]: a file system in memory, for tests and as a place to mount on.
//!
//! # Lock order
//! ```text
//!   f_pos lock → rename mutex → i_rwsem of directories (ancestor first) → i_rwsem of other inodes
//!   → the file system's own → Dentry::children → spin locks (dentry link, LRU, mount, fd table)
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acl;
pub mod aio;
mod anon;
mod attr;
pub mod attr_ops;
pub mod copy_range;
mod cred;
pub mod current;
mod d_path;
pub mod dentry;
pub mod device;
mod dir_sink;
pub mod eventfd;
pub mod fadvise;
mod fd_table;
mod file;
mod file_ops;
mod flags;
pub mod flock;
mod freeze;
pub mod fsync;
mod inode;
mod iovec;
pub mod lseek;
mod mount;
pub mod namei;
pub mod pipe;
pub mod poll;
mod pseudo;
pub mod ramfs;
pub mod read_write;
pub mod sendfile;
pub mod share_range;
mod superblock;
pub mod sync_range;
#[cfg(test)]
mod tests;
pub mod trace;
mod write_checks;
mod write_count;
pub mod xattr;

pub use attr::{
    Attr, FileType, Ownership, S_IALLUGO, S_IFMT, S_ISGID, S_ISUID, S_ISVTX, S_IXGRP, SetAttr, StatFs,
};
pub use cred::{Cred, Want};
pub use d_path::{d_path, getcwd};
pub use dentry::Dentry;
pub use dir_sink::{DirContext, DirEntry, DirSink, iterate_dir};
pub use fd_table::{AT_FDCWD, FdTable, Reserved};
pub use file::{File, PosGuard};
pub use file_ops::{Caller, FileOperations, IoEnd, Kiocb, KiocbFlags, Mmap, Pages, SpliceSink, Whence};
pub use flags::{FMode, OpenFlags};
pub use freeze::WriteAccess;
pub use inode::{DioAlign, Directory, Fixed, Inode, RenameFlags, Symlink, same_inode};
pub use mount::{Mount, Path, mount_at, unmount, unmount_all};
pub use superblock::{
    FileSystemType, MountFlags, SuperBlock, anonymous_dev, filesystems, find_filesystem, register_filesystem,
};
pub use write_checks::generic_write_checks;
pub use write_count::{Running, WriteCount, Writing};
