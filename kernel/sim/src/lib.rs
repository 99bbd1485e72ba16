//! The whole storage stack on the host, from the vfs down to a disk made of memory, and the judges
//! that look at what it leaves there.
//!
//! # What it is
//! * [`Image`]: a disk image made by the real `mke2fs`, looked at by the real `e2fsck` and `debugfs`.
//! * [`Machine`]: such an image mounted: RAM disk, block device, ext4, a mount, and one method per
//!   operation that goes through the vfs as a system call would.
//! * [`FileDisk`]: an image too large for memory, in a file with holes.
//! * [`FaultDisk`], [`Tracer`]: disks that wrap a disk, to fail chosen requests or to write them down.
//! * [`MATRIX`]: every kind of disk that the random sequences run on.
//! * [`hostile`]: disks that were damaged on purpose.
//! * [`crash`]: the laboratory in which the power goes.
//! * [`Model`] and [`Run`]: a file system of maps and vectors, and random operations done to both: names,
//!   content, fallocate, attributes, lists, flags; every time is predicted, and some disks are always full.
//!
//! # How to use it
//! ```no_run
//! use sim::{Image, Machine};
//! let image = Image::mkfs(16 << 20, &["-b", "1024"]).unwrap();
//! let m = Machine::mount(&image).unwrap();
//! m.mkdir("/d").unwrap();
//! m.write_file("/d/f", b"hello").unwrap();
//! let image = m.unmount().unwrap();
//! image.fsck().unwrap();
//! assert_eq!(image.cat("/d/f").unwrap(), b"hello");
//! ```
//!
//! Everything here runs on the host only and may panic with a message: it is a tool of tests.
#![forbid(unsafe_code)]

mod around;
mod clock;
mod control;
pub mod crash;
mod faults;
mod file_disk;
pub mod hostile;
mod image;
mod logger;
mod machine;
mod matrix;
mod model;
mod old_fast_commits;
mod ops;
mod random;
mod run;
mod tools;
mod tracer;
mod tree;

pub use around::{Started, copy_range, read_direct, write_direct};
pub use clock::set_time;
pub use faults::{Fault, FaultDisk};
pub use file_disk::FileDisk;
pub use image::Image;
pub use logger::{quiet, take_log};
pub use machine::{Machine, Name, Options, read_all, write_all};
pub use matrix::{MATRIX, Row};
pub use model::{Model, ModelNode};
pub use random::Rng;
pub use run::{Run, Weights};
pub use tools::Trouble;
pub use tracer::{Trace, Tracer};
pub use tree::{Entry, Kind, Tree};
