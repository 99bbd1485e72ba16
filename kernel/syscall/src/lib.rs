//! System calls: the table, the structs, and one module per family of man pages.
//!
//! ```text
//!   run loop ── Trap::Syscall ── table::dispatch(number in x8, x0 to x5)
//!                                   │ row 64
//!                                   write::write ── fd → File ── vfs::read_write::write
//! ```
//!
//! A handler takes its arguments by type from [`args::Args`], calls one function of `vfs`,
//! `process` or `writeback`, and copies the answer out by a struct of [`abi`]. Policy lives below;
//! here is only what the border itself demands: flags that must be zero, the order of the checks,
//! and the layout of structs.
//!
//! [`run::run`] is the loop around the program: enter EL0, come back, look why.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
mod aio;
pub mod args;
pub mod attr;
pub mod context;
pub mod dir;
mod eventfd;
pub mod fd;
pub mod ids;
pub mod ioprio;
pub mod memory;
pub mod open;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod read;
pub mod reboot;
pub mod run;
pub mod signal;
pub mod sigwait;
pub mod stat;
pub mod sync;
pub mod system;
pub mod table;
pub mod task;
pub mod time;
pub mod trace;
pub mod write;
pub mod xattr;

pub use context::{Cx, MemoryInfo, System};
pub use run::{End, Reboot, run};
