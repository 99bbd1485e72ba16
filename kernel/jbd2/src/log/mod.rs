//! The log on its device: where its blocks lie, and reading and writing them.
//!
//! The log's blocks do not go through the page cache: they are written from pages of the journal's own,
//! and read only by a recovery, into pages of its own.

mod io;
mod map;
#[cfg(test)]
mod tests;

pub use io::{Log, LogReader, LogSlot};
pub use map::{LogMap, MapError};
