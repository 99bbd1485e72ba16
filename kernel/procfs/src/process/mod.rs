//! The files about the program: /proc/1, and the same again below /proc/1/task/1.

pub mod io;
pub mod limits;
pub mod mounts;
pub mod places;
pub mod stat;
pub mod status;
pub mod strings;

/// The number of the only process.
pub(crate) const PID: i32 = 1;
