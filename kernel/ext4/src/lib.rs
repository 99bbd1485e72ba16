//! ext4: Linux's on-disk format, read and written.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod checksum;
mod disk;
mod geometry;
