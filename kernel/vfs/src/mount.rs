//! Mounts, and places in the tree of mounts.
//!
//! A [`Mount`] is a file system at a place: its root dentry covers the directory it is mounted on.
//! A [`Path`] is a dentry and the mount it is seen through. `boot` makes the first with
//! [`Mount::new_root`] and puts the others on it with [`mount_at`].
//!
//! # Who writes
//! [`Mount::want_write`] stands around every operation that changes the tree (`mnt_want_write`);
//! [`Mount::start_write`] around every write to a file (`file_start_write`), [`Mount::start_fault`] around
//! a store to a mapped one that makes a page dirty; a file open for writing
//! counts from open to last close. A mount becomes read-only only when no file is open for
//! writing, and [`Mount::freeze`] waits until nothing is under way.
//!
//! # Locking
//! `children` and `at` are spin locks held for a few instructions; a mount's `children` may be held
//! while the `at` of one of these is taken, never the other way. The counter is an atomic.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::{Errno, Result};
use sync::SpinLock;

use crate::dentry::Dentry;
use crate::freeze::{Gate, WriteAccess};
use crate::inode::Inode;
use crate::superblock::{MountFlags, SuperBlock};

/// A place: a name as seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// The mount it is seen through.
    pub mount: Arc<Mount>,
    /// The name.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// What is there. ENOENT for a negative entry, which no path outside the walk holds.
    pub fn inode(&self) -> Result<&Arc<dyn Inode>> {
        self.dentry.inode().ok_or(Errno::ENOENT)
    }

    /// Whether both are the same place.
    pub fn same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    /// The topmost mount's root when something is mounted here, else the same place.
    pub fn cross_down(mut self) -> Path {
        while self.dentry.is_mountpoint() {
            let Some(mount) = self.mount.child_at(&self.dentry) else { break };
            self = mount.root();
        }
        self
    }

    /// The place a mount's root stands on, if this is one and it stands somewhere.
    pub fn cross_up(&self) -> Option<Path> {
        if Arc::ptr_eq(&self.dentry, &self.mount.root) { self.mount.mountpoint() } else { None }
    }
}

/// A file system at a place.
pub struct Mount {
    id: u64,
    sb: Arc<dyn SuperBlock>,
    root: Arc<Dentry>,
    source: String,
    flags: AtomicU32,
    at: SpinLock<Option<Path>>,
    children: SpinLock<Vec<Arc<Mount>>>,
    /// Files open for writing.
    write_files: AtomicU32,
    /// Writes and changes under way.
    writes: Gate,
    /// Stores to mapped files that make a page dirty.
    faults: Gate,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Mount {
    /// The mount at the top of a tree. `source` is what /proc/mounts shows, "/dev/vda".
    pub fn new_root(sb: Arc<dyn SuperBlock>, flags: MountFlags, source: &str) -> Arc<Mount> {
        Self::make(sb, flags, source, None)
    }

    fn make(sb: Arc<dyn SuperBlock>, flags: MountFlags, source: &str, at: Option<Path>) -> Arc<Mount> {
        Arc::new(Mount {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            root: Dentry::root(sb.root()),
            sb,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            at: SpinLock::new(at),
            children: SpinLock::new(Vec::new()),
            write_files: AtomicU32::new(0),
            writes: Gate::new(),
            faults: Gate::new(),
        })
    }

    /// A number of its own, for /proc/self/mountinfo.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system.
    pub fn superblock(&self) -> &Arc<dyn SuperBlock> {
        &self.sb
    }

    /// Its root directory as a place.
    pub fn root(self: &Arc<Self>) -> Path {
        Path { mount: self.clone(), dentry: self.root.clone() }
    }

    /// What it was mounted from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its flags now.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Where it stands; None at the top of the tree.
    pub fn mountpoint(&self) -> Option<Path> {
        self.at.lock().clone()
    }

    /// The mount that stands on a dentry of this one: the last that was put there.
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        let children = self.children.lock();
        children
            .iter()
            .rev()
            .find(|m| m.at.lock().as_ref().is_some_and(|p| Arc::ptr_eq(&p.dentry, dentry)))
            .cloned()
    }

    /// This mount and all below it, each before those that stand on it.
    pub fn tree(self: &Arc<Self>) -> Vec<Arc<Mount>> {
        let mut all = alloc::vec![self.clone()];
        let mut next = 0;
        while let Some(mount) = all.get(next).cloned() {
            all.extend(mount.children.lock().iter().cloned());
            next += 1;
        }
        all
    }

    /// Whether nothing may be written through it.
    pub fn read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY) || self.sb.read_only()
    }

    /// Permission to change the file system, until the guard goes. EROFS. Waits while frozen.
    pub fn want_write(&self) -> Result<WriteAccess<'_>> {
        if self.read_only() {
            return Err(Errno::EROFS);
        }
        Ok(self.start_write())
    }

    /// A write to a file that is open for it, until the guard goes. Waits while frozen.
    #[inline]
    pub fn start_write(&self) -> WriteAccess<'_> {
        self.writes.enter()
    }

    pub(crate) fn writes(&self) -> &Gate {
        &self.writes
    }

    /// A store to a mapped file makes a page dirty, until the guard goes (`sb_start_pagefault`). Waits while
    /// frozen. May come inside a write, never the other way.
    pub fn start_fault(&self) -> WriteAccess<'_> {
        self.faults.enter()
    }

    /// Waits for all writes under way and holds new ones back until [`Mount::thaw`].
    pub fn freeze(&self) {
        self.writes.close();
        self.faults.close();
    }

    /// Lets writes go on.
    pub fn thaw(&self) {
        self.faults.open();
        self.writes.open();
    }

    /// A file is opened for writing. EROFS.
    pub(crate) fn open_writer(&self) -> Result<()> {
        let _change = self.want_write()?;
        self.write_files.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// It is closed.
    pub(crate) fn close_writer(&self) {
        self.write_files.fetch_sub(1, Ordering::Relaxed);
    }

    /// Changes flags and the file system's options. EBUSY when it shall become read-only and a
    /// file is open for writing.
    pub fn remount(&self, flags: MountFlags, options: &str) -> Result<()> {
        self.freeze();
        let done = self.remount_frozen(flags, options);
        self.thaw();
        done
    }

    fn remount_frozen(&self, flags: MountFlags, options: &str) -> Result<()> {
        let read_only = flags.contains(MountFlags::RDONLY);
        if read_only && self.write_files.load(Ordering::Relaxed) != 0 {
            return Err(Errno::EBUSY);
        }
        self.sb.remount(flags, options)?;
        self.flags.store(flags.bits(), Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Mount {
    /// The cache's entries and their directories hold each other; nobody comes back for them.
    fn drop(&mut self) {
        self.root.prune();
    }
}

/// Puts a file system on a directory. ENOTDIR; ENOENT when the directory was removed.
pub fn mount_at(at: &Path, sb: Arc<dyn SuperBlock>, flags: MountFlags, source: &str) -> Result<Arc<Mount>> {
    let at = at.clone().cross_down();
    if !at.dentry.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    if at.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    let parent = at.mount.clone();
    at.dentry.add_mount();
    let mount = Mount::make(sb, flags, source, Some(at));
    parent.children.lock().push(mount.clone());
    Ok(mount)
}

/// Takes a mount off the tree and unmounts its file system. EBUSY when something stands on it or a
/// file is open for writing; then nothing has changed.
pub fn unmount(mount: &Arc<Mount>) -> Result<()> {
    if !mount.children.lock().is_empty() || mount.write_files.load(Ordering::Relaxed) != 0 {
        return Err(Errno::EBUSY);
    }
    take_off(mount)
}

/// Unmounts a whole tree, the last mounted first, whatever is open: for the end of the system.
/// Every file system is told; the first error is the answer.
pub fn unmount_all(root: &Arc<Mount>) -> Result<()> {
    let mut answer = Ok(());
    for mount in root.tree().iter().rev() {
        answer = answer.and(take_off(mount));
    }
    answer
}

fn take_off(mount: &Arc<Mount>) -> Result<()> {
    mount.freeze();
    // Taken out before the rest: the lock is not held while the parent's is.
    let at = mount.at.lock().take();
    if let Some(at) = at {
        at.dentry.remove_mount();
        at.mount.children.lock().retain(|m| !Arc::ptr_eq(m, mount));
    }
    mount.root.prune();
    crate::dentry::wait_for_hands();
    let done = mount.sb.unmount();
    mount.thaw();
    done
}
