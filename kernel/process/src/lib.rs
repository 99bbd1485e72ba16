//! The program: its address space, its image, its signals, limits and open files.
//!
//! * [`Process`]: all of it together.
//! * [`mm`]: what is mapped, page faults, mmap and its kin, the kernel's access to user memory.
//! * [`exec`]: from an ELF file to a running program.
//! * [`signal`]: dispositions, delivery, frames.
//! * [`aio`]: contexts and requests of io_submit(2).
//! * [`alarm`]: the timer of setitimer(2).
//! * [`limits`]: what getrlimit(2) tells, and who may change it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod aio;
pub mod alarm;
pub mod exec;
pub mod fs;
pub mod limits;
pub mod mm;
mod process;
pub mod signal;

pub use exec::{ExecError, Start};
pub use fs::FsContext;
pub use process::{COMM_LEN, Process};
