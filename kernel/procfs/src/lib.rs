//! procfs: what the kernel and its program tell of themselves, as files under /proc.
//!
//! ```text
//!   boot ── implements ──▶ ProcSource, ProcessView          what is true now, as plain data
//!                               │
//!   read("/proc/meminfo") ─▶ table row (path, mode, generator) ─▶ text, kept by the open file
//! ```
//!
//! Every file's form is Linux 6.1's, so that programs made for it find what they parse.
//!
//! * [`fs_type`]: the type, for `vfs::register_filesystem`.
//! * [`ProcSource`], [`ProcessView`]: what procfs asks. Nothing above the vfs may be imported here,
//!   so who knows the process, the memory and the disks (`boot`) implements them.
//!
//! | where | what |
//! |---|---|
//! | `table.rs` | every file: path, mode, generator |
//! | `system/`, `process/`, `sysctl.rs` | the generators, one file to a subject |
//! | `fs.rs` | the type, and the answers to kernfs, which makes a file system of them |
//!
//! To add a file: write its generator, `fn(&ProcFs, &mut Text)` or `fn(&dyn ProcessView, &mut Text)`,
//! and a row at the end of its table.
//!
//! # Invariants
//! A generator cannot fail and keeps nothing: what it tells, it asks for at that moment. The same
//! file has the same inode number as long as the system runs.
//!
//! # Locking
//! None here; kernfs holds an open file's lock while a source is asked.
//!
//! Sources: proc(5), Documentation/filesystems/proc.rst, Documentation/admin-guide/sysctl.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod fs;
mod number;
mod process;
mod source;
mod sysctl;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use fs::fs_type;
pub use source::{
    Activity, Cpu, CpuTimes, Disk, Entry, IoCounters, Layout, Limit, Memory, Mounted, ProcSource,
    ProcessView, ReclaimStat, Setting, SignalSets, Sizes, Times, Uts, VmStat,
};
