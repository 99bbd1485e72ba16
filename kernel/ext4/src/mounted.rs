//! The file systems that are mounted, and what each tells of itself in /proc/fs/ext4 and /sys/fs/ext4.
//!
//! A mount is here from its end on until it is dropped, with a number that is never another's. Who shows
//! what is told is elsewhere (`procfs`, `sysfs`, joined to this by `boot`): here are numbers alone.
//!
//! # Locking
//! The list's spin lock, for the length of a push or of a copy.
//!
//! Source: `ext4_register_sysfs`; Documentation/ABI/testing/sysfs-fs-ext4.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use sync::SpinLock;

use crate::fs::Ext4Fs;
use crate::state::sectors_written;

struct Registry {
    next: u32,
    mounts: Vec<(u32, Weak<Ext4Fs>)>,
}

static REGISTRY: SpinLock<Registry> = SpinLock::new(Registry { next: 1, mounts: Vec::new() });

/// It is mounted from now on, until it is dropped.
pub(crate) fn register(fs: &Ext4Fs) {
    let mut registry = REGISTRY.lock();
    registry.mounts.retain(|(_, fs)| fs.strong_count() > 0);
    let number = registry.next;
    registry.next = number.wrapping_add(1);
    registry.mounts.push((number, fs.weak()));
}

/// The file systems that are mounted, each with its disk's name and a number that is its own.
pub fn mounted() -> Vec<(u32, String)> {
    let all = REGISTRY.lock().mounts.clone();
    let named = |(number, fs): (u32, Weak<Ext4Fs>)| Some((number, String::from(fs.upgrade()?.disk_name())));
    all.into_iter().filter_map(named).collect()
}

fn by_number(number: u32) -> Option<Arc<Ext4Fs>> {
    let found = REGISTRY.lock().mounts.iter().find(|(n, _)| *n == number).map(|(_, fs)| fs.clone());
    found?.upgrade()
}

/// What the one with this number tells of its fast commits (`fc_info`), if it is still there.
pub fn fast_commit_info(number: u32) -> Option<String> {
    Some(by_number(number)?.tracker.stats.text())
}

/// Counters of a mounted file system, by the names of their files in /sys/fs/ext4.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Blocks that are reserved for bytes in the page cache.
    pub delayed_allocation_blocks: u64,
    /// KiB written to its disk since the mount.
    pub session_write_kbytes: u64,
    /// And since it was made.
    pub lifetime_write_kbytes: u64,
    /// Errors that the superblock has noted since the last e2fsck.
    pub errors_count: u32,
}

/// Those of the one with this number, if it is still there.
pub fn counters(number: u32) -> Option<Counters> {
    let fs = by_number(number)?;
    let session = sectors_written(fs.device().disk()).saturating_sub(fs.sectors_at_mount) / 2;
    let reserved = fs.reserved_blocks.load(Ordering::Relaxed);
    Some(Counters {
        delayed_allocation_blocks: reserved.saturating_sub(fs.reserved_pointers.load(Ordering::Relaxed)),
        session_write_kbytes: session,
        lifetime_write_kbytes: fs.kbytes_at_mount().saturating_add(session),
        errors_count: fs.superblock().s_error_count.get(),
    })
}
