//! Inode tables that mke2fs left as they were are zeroed in the background (`ext4lazyinit`).
//!
//! # What it is
//! With group checksums mke2fs writes no inode table: what was never used is not read, so it may hold
//! anything (see [`crate::balloc::inodes`]). e2fsck cannot tell such bytes from lost inodes once a
//! descriptor is damaged. So a thread zeroes the never-used part of one table after the other and says so
//! in the descriptor, BG_INODE_ZEROED.
//!
//! ```text
//!   mount, remount rw ── 5 s ──▶ a group: zero, FLUSH, flag ── init_itable= times what that took ──▶ the next
//!   unmount, remount ro: it is stopped, and the rest is left for the next mount
//! ```
//! The flag is set when the zeros are on the medium, so a crash at worst does a table twice.
//!
//! # How to use it
//! `boot` calls [`allow`] once. Where nobody does (tests that count what reaches the disk) there is no
//! thread, and [`Ext4Fs::init_next_table`] does one step.
//!
//! # Locking
//! A handle, then the group's lock, from the look at its border to the flag: an inode that is given out
//! meanwhile waits. What is zeroed lies behind the border and is nobody's.
//!
//! Source: ext4 documentation, "Lazy Block Group Initialization", `init_itable`; `ext4_init_inode_table`.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use base::{Errno, FsBlock, Result, Sector, time};
use block::{Bio, BioFlags, BioOp, Disk};
use sync::thread::{self, Thread};
use sync::{Mutex, WaitQueue};

use crate::disk::group_desc::{INODE_UNINIT, INODE_ZEROED};
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::journal::credits;
use crate::options::Flag;

/// The first table comes so late: Linux waits up to that long, too.
const START_NS: u64 = 5_000_000_000;

static ALLOWED: AtomicBool = AtomicBool::new(false);

/// From now on mounts start the thread.
pub fn allow() {
    ALLOWED.store(true, Ordering::Relaxed);
}

/// The thread of a file system, if it runs.
#[derive(Default)]
pub(crate) struct LazyInit {
    control: Arc<Control>,
    thread: Mutex<Option<Thread>>,
}

#[derive(Default)]
struct Control {
    stop: AtomicBool,
    wake: WaitQueue,
}

impl LazyInit {
    /// Starts the thread where there is something to do and the mount wants it (`ext4_register_li_request`).
    pub fn start(&self, fs: &Arc<Ext4Fs>) {
        let wanted = ALLOWED.load(Ordering::Relaxed) && fs.is_on(Flag::INIT_ITABLE) && !fs.read_only();
        if !wanted || fs.next_table(0).is_none() {
            return;
        }
        let mut thread = self.thread.lock();
        if thread.as_ref().is_some_and(|thread| !thread.ended()) {
            return;
        }
        self.control.stop.store(false, Ordering::Relaxed);
        let (control, fs) = (self.control.clone(), Arc::downgrade(fs));
        match thread::spawn("ext4lazyinit", move || run(&control, &fs)) {
            Ok(started) => *thread = Some(started),
            // The tables stay as they are: nothing depends on them.
            Err(error) => log::warn!("EXT4-fs: no thread for inode tables: {error}"),
        }
    }

    /// Ends the thread, and waits for it.
    pub fn stop(&self) {
        self.control.stop.store(true, Ordering::Relaxed);
        self.control.wake.wake_all();
        if let Some(thread) = self.thread.lock().take() {
            thread.join();
        }
    }
}

fn run(control: &Control, fs: &Weak<Ext4Fs>) {
    let stopped = |ns| control.wake.wait_until_timeout(ns, || control.stop.load(Ordering::Relaxed));
    let (mut wait, mut from) = (START_NS, 0);
    while !stopped(wait) {
        let Some(fs) = fs.upgrade() else { return };
        let began = time::monotonic_ns();
        match fs.init_next_table(from) {
            Ok(Some(group)) => from = group.saturating_add(1),
            Ok(None) => return,
            Err(error) => {
                log::warn!("EXT4-fs ({}): inode tables are left as they are: {error}", fs.disk_name());
                return;
            }
        }
        let took = time::monotonic_ns().saturating_sub(began);
        wait = took.saturating_mul(fs.init_itable().into());
    }
}

impl Ext4Fs {
    /// Zeroes what was never used of the next inode table from group `from` on, and says which group's it
    /// was; None when all are. EROFS, EIO.
    pub fn init_next_table(&self, from: u32) -> Result<Option<u32>> {
        let Some(number) = self.next_table(from) else { return Ok(None) };
        let _handle = self.start(credits::inode())?;
        let Some(mut group) = self.groups.lock(number) else { return Ok(None) };
        let geometry = self.geometry();
        let used = match group.has_flag(INODE_UNINIT) {
            true => 0,
            false => geometry.inodes_per_group.saturating_sub(group.table_unused()),
        };
        let used = used.div_ceil(geometry.inodes_per_block());
        let count = geometry.table_blocks().saturating_sub(used);
        let first = FsBlock(group.inode_table().0 + u64::from(used));
        if count > 0 {
            let (disk, bits) = (self.device().disk(), geometry.block_bits);
            zero(disk, first.0 << bits, u64::from(count) << bits)
                .map_err(|e| self.failed(Site::at(0, first), e, "unable to zero the inode table"))?;
            self.device().flush()?;
        }
        group.set_flag(INODE_ZEROED);
        group.store(self)?;
        Ok(Some(number))
    }

    /// The first group from `from` on whose table may hold old bytes. None without group checksums, too: there
    /// mke2fs writes the tables.
    fn next_table(&self, from: u32) -> Option<u32> {
        let geometry = self.geometry();
        let old = |number: &u32| self.groups.lock(*number).is_some_and(|g| !g.has_flag(INODE_ZEROED));
        if geometry.group_csum() { (from..geometry.groups).find(old) } else { None }
    }
}

/// Makes bytes of the disk zeros: the device's own way, or else by writing them.
fn zero(disk: &Disk, start: u64, len: u64) -> Result<()> {
    let mut bio = Bio::without_data(BioOp::WriteZeroes, Sector(start >> 9), len >> 9);
    bio.flags = BioFlags::SYNC;
    match disk.submit_and_wait(bio) {
        Err(Errno::EOPNOTSUPP) => disk.write_zeros(Sector(start >> 9), len >> 9),
        done => done,
    }
}
