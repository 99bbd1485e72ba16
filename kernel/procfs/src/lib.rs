//! procfs: what the kernel and its program tell of themselves, as files under /proc.
//!
//! ```text
//!   boot ── implements ──▶ ProcSource     what is true now, as plain data
//!                              │
//!   open("/proc/meminfo") ─▶ table row (path, mode, generator) ─▶ text, made once, at open
//!                                                                   │
//!   read, pread, lseek ◀────────────────────────────────────────────┘
//! ```
//!
//! Every file's form is Linux 6.1's, so that programs made for it find what they parse.
//!
//! * [`ProcFsType`]: the type, for `vfs::register_filesystem`; it is made over a [`ProcSource`].
//! * [`ProcSource`]: what procfs asks. procfs may import the vfs and nothing above it, so whoever
//!   knows the process, the memory and the disks (`boot`) implements it.
//!
//! Sources: proc(5), Documentation/filesystems/proc.rst, Documentation/admin-guide/sysctl.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;
