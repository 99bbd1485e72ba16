//! What the programs in `bin/` share: a start, system calls, printing, and a way to check.
//!
//! These are Linux programs. They know nothing of Quill: each is a static ELF file that asks for
//! what it wants with `svc #0`, and each runs under Debian's Linux with the same output. They need
//! no libc, so that a machine with nothing but the bare-metal target can build them.
//!
//! A program is a function from its arguments to its exit status:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! user::program!(main);
//! fn main(args: user::Args) -> i32 {
//!     user::println!("{} arguments", args.count());
//!     0
//! }
//! ```
#![no_std]

pub mod aio;
pub mod check;
pub mod clock;
pub mod print;
pub mod start;
pub mod sys;

pub use start::{Args, Env};
