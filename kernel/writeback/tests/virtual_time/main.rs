//! The flusher's thread, writers and a slow disk in virtual time (the crate `explore`): what goes when, who waits and
//! for how long. Hours take a moment, and each run is like the last.

mod age;
#[path = "../support/file.rs"]
mod file;
mod plant;
mod sweeps;
mod thresholds;
mod throttle;
