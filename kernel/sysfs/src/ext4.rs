//! The files of /sys/fs/ext4/DISK: what a mounted ext4 has counted. None can be set.
//!
//! What they show is plain data from a function that `boot` gives to [`crate::fs_type`]; this crate does not know
//! ext4. A file of what is unmounted is ENODEV.
//!
//! Source: Documentation/ABI/testing/sysfs-fs-ext4.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::attribute::{Attribute, shown};

/// A mounted ext4, and its counters now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MountedExt4 {
    /// Its own as long as the kernel runs.
    pub number: u32,
    /// `vda`
    pub disk: String,
    /// Blocks reserved for bytes that have no place yet.
    pub delayed_allocation_blocks: u64,
    /// KiB written to its disk since the mount.
    pub session_write_kbytes: u64,
    /// And since it was made.
    pub lifetime_write_kbytes: u64,
    /// Errors noted in its superblock.
    pub errors_count: u32,
}

/// Tells which are mounted, in the order in which they were.
pub type MountedList = Box<dyn Fn() -> Vec<MountedExt4> + Send + Sync>;

/// Every file. A row's place is part of its inode number: new rows come at the end.
pub(crate) static ATTRIBUTES: &[Attribute<MountedExt4>] = &[
    shown("delayed_allocation_blocks", |fs, text| writeln!(text, "{}", fs.delayed_allocation_blocks)),
    shown("session_write_kbytes", |fs, text| writeln!(text, "{}", fs.session_write_kbytes)),
    shown("lifetime_write_kbytes", |fs, text| writeln!(text, "{}", fs.lifetime_write_kbytes)),
    shown("errors_count", |fs, text| writeln!(text, "{}", fs.errors_count)),
];
