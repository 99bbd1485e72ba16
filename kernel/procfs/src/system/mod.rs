//! The files about the system.

pub mod activity;
pub mod cpuinfo;
pub mod disks;
pub mod kernel;
pub mod meminfo;
pub mod vmstat;
