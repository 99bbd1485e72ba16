//! tracefs: the kernel's trace points as files under /sys/kernel/tracing, in the form of ftrace.
//!
//! ```text
//!   base::trace   events, the ring, the text of a record
//!        │
//!   fs.rs         tracing_on, buffer_size_kb, set_event, events/SYSTEM/EVENT/enable, …
//!   stream.rs     trace (looks), trace_pipe (takes away, and waits)
//! ```
//!
//! ```text
//!   # echo 1 > /sys/kernel/tracing/events/block/enable
//!   # cat /sys/kernel/tracing/trace
//! ```
//!
//! * [`fs_type`]: the type, for `vfs::register_filesystem`.
//!
//! Files of ftrace for what Quill has not (function tracers, filters, triggers, instances, the binary
//! form of the ring) are left out.
//!
//! # Locking
//! An open `trace` or `trace_pipe` has a sleeping lock, held while one read is served; a reader of
//! trace_pipe sleeps with it.
//!
//! Sources: Documentation/trace/ftrace.rst and events.rst; the answers of Linux 6.1.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod events;
mod fs;
mod stream;
#[cfg(test)]
mod tests;

pub use fs::fs_type;
