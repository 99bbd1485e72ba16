//! sysfs: the disks, their queues and elevators, as files under /sys that can be read and set.
//!
//! ```text
//!   /sys/block/vda ─▶ ../devices/virtual/block/vda      links: block, class/block, dev/block
//!   /sys/devices/virtual/block/vda/       disk.rs       what it is and has done
//!                             queue/      queue.rs      what may be set; scheduler switches live
//!                             queue/iosched/            the present elevator's tunables
//!                             vda1/       disk.rs       a partition
//!   /sys/fs/ext4/vda/                     ext4.rs       counters of a mounted file system
//!   everything else                       fixed.rs      directories, links and texts that never change
//! ```
//!
//! * [`fs_type`]: the type, for `vfs::register_filesystem`. It asks a function for the disks, which
//!   is `block::disks` but in tests, and one for the mounted ext4 file systems, which `boot` has over `ext4`.
//!
//! To add a file: a row at the end of its table, with a generator `fn(&…, &mut Text)` and, if it can
//! be set, `fn(&…, &[u8]) -> Result<()>`.
//!
//! # Where it is not Linux's
//! Files that would tell of what Quill has not are left out, not filled with numbers: `rq_affinity`,
//! `wbt_lat_usec`, `power/`, `mq/`, `trace/`, `integrity/`. Every disk is found under
//! `devices/virtual`, whatever bus it is on, so there is no `device` link.
//!
//! # Invariants
//! One file, one value. What a file shows is asked for at that moment. A value that cannot be taken is
//! EINVAL and changes nothing; who opens for writing what cannot be set gets EACCES, root too. A file
//! of an elevator that is no longer there is ENODEV.
//!
//! # Locking
//! None here; kernfs holds an open file's lock while the block layer is asked.
//!
//! Sources: Documentation/ABI/stable/sysfs-block, Documentation/filesystems/sysfs.rst,
//! Documentation/block/switching-sched.rst; the answers of Linux 6.1.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod attribute;
mod bdi;
mod children;
mod device;
mod disk;
mod ext4;
mod fixed;
mod fs;
mod id;
mod queue;
#[cfg(test)]
mod tests;

pub use ext4::{MountedExt4, MountedList};
pub use fs::{DiskList, fs_type};
