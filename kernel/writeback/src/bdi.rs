//! `Bdi`: the flusher of one disk.
//!
//! ```text
//!   every 5 s      inodes that have been dirty for 30 s
//!   woken          too much is dirty, or memory is short: all inodes, oldest first, in turns of 1024
//!                  pages, until less than the background threshold is dirty
//!   sync           in the caller's thread: start every inode, then write and wait for each
//! ```
//! The device's own buffers (metadata) go last, because writing an inode puts its attributes there.
//!
//! # Locking
//! `lists`: a SpinLock, see the crate. The thread is asked for work by bits and a queue; a wake
//! between two rounds is not lost, because the bit stays until a round has taken it.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use base::units::SECTOR_SIZE;
use base::{Errno, PAGE_SIZE, RateLimit, Result, time};
use pagecache::{BlockDevice, WritebackControl, filemap_flush, stats};
use sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use sync::{Mutex, SpinLock, WaitQueue, thread};

use crate::bandwidth::{Bandwidth, Level};
use crate::lists::{Handle, Lists};
use crate::single::{self, what_next, write_single};
use crate::state::{DirtyFlags, DirtyInode, DirtyState};
use crate::trace::{self, Reason};
use crate::{params, throttle};

/// Pages of one inode written in a turn, so that a large file does not keep the others waiting.
const TURN: u64 = 1024;

/// Turns in one round of the clock: a file that is written all the time does not keep it.
const MAX_TURNS: u32 = 64;

const SECTORS_PER_PAGE: u64 = (PAGE_SIZE / SECTOR_SIZE) as u64;

/// Too much is dirty.
const BACKGROUND: u32 = 1;
/// Memory is short.
const PRESSURE: u32 = 2;
/// The end.
const STOP: u32 = 4;
/// The time between two rounds has changed.
const CLOCK: u32 = 8;
/// Blocks are short.
const SPACE: u32 = 16;

/// A writer is held back while the disk has nothing to do.
const IDLE: u32 = 32;

/// A failing disk has much to say.
static FAILED: RateLimit = RateLimit::new();

static ALL: SpinLock<Vec<Weak<Bdi>>> = SpinLock::new(Vec::new());

/// The flusher of one disk; see the module.
pub struct Bdi {
    device: Arc<BlockDevice>,
    lists: SpinLock<Lists>,
    work: AtomicU32,
    wake: WaitQueue,
    thread: Mutex<Option<thread::Thread>>,
    running: AtomicBool,
    /// When the device's own mapping was first seen dirty; 0: it was clean.
    device_dirty_since: AtomicU64,
    /// Pages ever dirtied.
    pub(crate) dirtied: AtomicU64,
    bandwidth: SpinLock<Bandwidth>,
    /// Writers waited in vain: one more than what had been written then; 0: never.
    gave_up: AtomicUsize,
}

impl Bdi {
    /// One without a thread: what is dirty is written by `sync`, by [`Bdi::periodic`], and by writers
    /// who have to wait.
    pub fn new(device: &Arc<BlockDevice>) -> Arc<Bdi> {
        let bdi = Arc::new(Bdi {
            device: device.clone(),
            lists: SpinLock::new(Lists::new()),
            work: AtomicU32::new(0),
            wake: WaitQueue::new(),
            thread: Mutex::new(None),
            running: AtomicBool::new(false),
            device_dirty_since: AtomicU64::new(0),
            dirtied: AtomicU64::new(0),
            bandwidth: SpinLock::new(Bandwidth::new()),
            gave_up: AtomicUsize::new(0),
        });
        pagecache::set_pressure_hook(wake_all);
        let mut all = ALL.lock();
        all.retain(|weak| weak.strong_count() > 0);
        all.push(Arc::downgrade(&bdi));
        drop(all);
        bdi
    }

    /// One with its flusher thread.
    pub fn start(device: &Arc<BlockDevice>) -> Result<Arc<Bdi>> {
        let bdi = Bdi::new(device);
        let flusher = bdi.clone();
        *bdi.thread.lock() = Some(thread::spawn("flusher", move || flusher.run())?);
        bdi.running.store(true, Ordering::Release);
        Ok(bdi)
    }

    /// Writes everything and ends the thread: for unmount.
    pub fn stop(&self) -> Result<()> {
        let done = self.sync(true);
        self.wake(STOP);
        if let Some(thread) = self.thread.lock().take() {
            thread.join();
        }
        self.running.store(false, Ordering::Release);
        done
    }

    /// The device whose flusher this is.
    pub fn device(&self) -> &Arc<BlockDevice> {
        &self.device
    }

    /// Whether no inode is dirty. The device's own buffers are not asked.
    pub fn is_clean(&self) -> bool {
        self.lists.lock().is_empty()
    }

    /// Whether this disk still takes what is written: EIO once writers have waited for it in vain, until
    /// it has written a page again. For those who would dirty a page that holds nothing yet: without
    /// it a disk that fails lets them fill the memory, one long wait after the other.
    #[inline]
    pub fn check_alive(&self) -> Result<()> {
        if self.gave_up.load(Ordering::Relaxed) != 0 && self.has_given_up() {
            return Err(Errno::EIO);
        }
        Ok(())
    }

    pub(crate) fn has_given_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed) == stats::nr_written().wrapping_add(1)
    }

    /// Whether no more than so many pages of its files are unwritten: a writer to this disk is not who fills the
    /// memory. To be asked by who is about to sleep.
    pub(crate) fn holds_few(&self, pages: usize) -> bool {
        self.lists.lock().holds_few(pages)
    }

    /// What is known of the disk and its writers, brought up to date.
    pub(crate) fn update_bandwidth(&self, level: Level) -> Bandwidth {
        let disk = self.device.disk();
        let written = if disk.queue().iostats() {
            disk.stats().write.sectors / SECTORS_PER_PAGE
        } else {
            // All disks together: better than nothing.
            stats::nr_written() as u64
        };
        let dirtied = self.dirtied.load(Ordering::Relaxed);
        let mut bandwidth = self.bandwidth.lock();
        bandwidth.update(time::monotonic_ns(), written, dirtied, level);
        *bandwidth
    }

    /// Nothing gets written any more.
    pub(crate) fn give_up(&self) {
        self.gave_up.store(stats::nr_written().wrapping_add(1), Ordering::Relaxed);
        log::error!("{}: nothing can be written any more: writes fail", self.device.disk().name());
    }

    // ---- marking

    /// `what` of an inode is dirty: to be called after the change. A few instructions when it was
    /// marked already. `inode` gives the strong handle, and is asked only when nothing of the inode was
    /// dirty; None when it is being dropped.
    #[inline(always)]
    pub fn mark_inode_dirty(
        &self,
        state: &DirtyState,
        what: DirtyFlags,
        inode: impl FnOnce() -> Option<Arc<dyn DirtyInode>>,
    ) {
        if !state.is_marked(what) && state.mark(what) {
            self.list(inode());
        }
    }

    #[cold]
    fn list(&self, inode: Option<Handle>) {
        let Some(inode) = inode else { return };
        trace::dirty_inode(&*inode);
        let now = time::monotonic_ns();
        let mut lists = self.lists.lock();
        // Another may have been faster.
        if inode.dirty_state().set_listed() {
            lists.add(inode, now);
        } else {
            lists.renew(inode.dirty_state(), now);
        }
    }

    /// The inode is deleted: nothing of it need be written any more. On return nobody writes it.
    pub fn forget(&self, state: &DirtyState) {
        let _turn = state.begin_sync(true);
        let gone = {
            let mut lists = self.lists.lock();
            let gone = lists.remove(state);
            state.unlist();
            gone
        };
        drop(gone);
    }

    // ---- writing

    /// The middle of fsync: the pages of a byte range are on the disk, and the attributes too, in the
    /// inode's block, if they are dirty (`datasync`: if the data cannot be found without them). What
    /// is left for the file system: the blocks its map lies in, and the FLUSH.
    pub fn write_inode_now(&self, inode: &dyn DirtyInode, range: Range<u64>, datasync: bool) -> Result<()> {
        let pages = single::write_pages(inode, &mut WritebackControl::sync(range));
        let state = inode.dirty_state();
        let attributes = {
            let _turn = state.begin_sync(true);
            if !inode.mapping().has_dirty() {
                state.take(DirtyFlags::PAGES);
            }
            single::write_attributes(inode, datasync, true)
        };
        self.settle(inode, false);
        pages.and(attributes)
    }

    /// Writes every dirty inode, then the device's own buffers; with `wait`, all that was dirty when
    /// it began is on the disk on return. No FLUSH. The first error; the rest is written all the same.
    pub fn sync(&self, wait: bool) -> Result<()> {
        let start = WritebackControl::start(0..u64::MAX);
        let mut done = self.sync_inodes(&start);
        if !wait {
            return done.and(filemap_flush(self.device.mapping(), self.device.ops()));
        }
        // The second pass waits for what the first has started, and catches what it had to skip.
        done = done.and(self.sync_inodes(&WritebackControl::sync(0..u64::MAX)));
        done.and(self.device.sync())
    }

    /// The same of the inodes alone: for a file system whose metadata a journal keeps.
    pub fn sync_data(&self, wait: bool) -> Result<()> {
        let done = self.sync_inodes(&WritebackControl::start(0..u64::MAX));
        if !wait {
            return done;
        }
        done.and(self.sync_inodes(&WritebackControl::sync(0..u64::MAX)))
    }

    fn sync_inodes(&self, control: &WritebackControl) -> Result<()> {
        let inodes = self.lists.lock().snapshot();
        let mut done = Ok(());
        for inode in inodes {
            let result = write_single(&*inode, &mut control.clone());
            self.settle(&*inode, false);
            done = done.and(result);
        }
        done
    }

    /// After a turn: the inode leaves the lists if it is clean.
    fn settle(&self, inode: &dyn DirtyInode, used_up: bool) {
        let now = time::monotonic_ns();
        let gone = {
            let mut lists = self.lists.lock();
            let state = inode.dirty_state();
            if !state.is_listed() {
                None
            } else {
                let next = what_next(inode, used_up);
                lists.settle(state, next, now)
            }
        };
        drop(gone);
    }

    /// Gives turns to inodes that became dirty no later than `until`, oldest first, as long as `more`
    /// says so. Returns the pages whose I/O was started.
    fn write_inodes(&self, until: u64, reason: Reason, mut more: impl FnMut() -> bool) -> u64 {
        let mut pages = 0;
        trace::start(self, reason);
        self.lists.lock().queue_io(until);
        while more() {
            let next = self.lists.lock().next();
            let Some(inode) = next else { break };
            let mut control = WritebackControl::background(TURN);
            if let Err(error) = write_single(&*inode, &mut control)
                && let Some(missed) = FAILED.admit()
            {
                log::warn!("inode {}: writeback: {error}{missed}", inode.ino());
            }
            pages += control.pages_written;
            self.settle(&*inode, control.nr_to_write == 0);
        }
        trace::written(self, reason, pages);
        pages
    }

    /// The device's own buffers.
    fn write_device(&self) -> u64 {
        let mut control = WritebackControl::start(0..u64::MAX);
        // What fails stays dirty and is reported by the block's own sync.
        let _ = pagecache::mpage_writepages(self.device.mapping(), self.device.ops(), &mut control);
        control.pages_written
    }

    // ---- the thread

    /// Asks the flusher to work.
    fn wake(&self, work: u32) {
        if self.work.fetch_or(work, Ordering::AcqRel) & work != work {
            self.wake.wake_all();
        }
    }

    /// Asks the flusher to write the inodes: the file system needs to know what room there is.
    pub fn start_inodes(&self) {
        if self.running.load(Ordering::Acquire) {
            self.wake(SPACE);
        }
    }

    /// Too much is dirty. Without a thread the caller does a round itself.
    pub(crate) fn wake_for_background(&self) {
        if self.running.load(Ordering::Acquire) {
            self.wake(BACKGROUND);
        } else {
            self.background();
        }
    }

    /// A writer is about to be held back. What is on its way to other disks already may be what fills the memory; then
    /// little enough is dirty for the flusher, and without this the disk would idle with the writer asleep.
    pub(crate) fn wake_if_idle(&self) {
        let disk = self.device.disk();
        let idle = disk.queue().iostats() && disk.stats().in_flight_writes == 0;
        if idle && self.running.load(Ordering::Acquire) {
            self.wake(IDLE);
        }
    }

    fn run(&self) {
        let mut next = time::monotonic_ns().saturating_add(params::period_ns());
        loop {
            let left = next.saturating_sub(time::monotonic_ns());
            self.wake.wait_until_timeout(left, || self.work.load(Ordering::Acquire) != 0);
            let work = self.work.swap(0, Ordering::AcqRel);
            if work & STOP != 0 {
                return;
            }
            if work & PRESSURE != 0 {
                self.write_inodes(u64::MAX, Reason::Vmscan, || true);
                self.write_device();
            }
            if work & SPACE != 0 {
                self.write_inodes(u64::MAX, Reason::FreeSpace, || true);
            }
            if work & IDLE != 0 {
                self.write_inodes(u64::MAX, Reason::Background, || true);
            }
            if work & BACKGROUND != 0 {
                self.background();
            }
            if work & CLOCK != 0 {
                next = time::monotonic_ns().saturating_add(params::period_ns());
            }
            if time::monotonic_ns() >= next {
                self.periodic();
                next = time::monotonic_ns().saturating_add(params::period_ns());
            }
        }
    }

    /// All inodes in turns, until little enough is dirty, or as much was started as was dirty: on a
    /// disk that fails, what was written is dirty again.
    fn background(&self) {
        let mut left = stats::nr_dirty() as u64;
        while throttle::above_background() && left > 0 {
            let pages = self.write_inodes(u64::MAX, Reason::Background, throttle::above_background)
                + self.write_device();
            if pages == 0 {
                return;
            }
            left = left.saturating_sub(pages);
        }
    }

    /// One round of the thread's clock: what has been dirty for too long. For those who run without a
    /// thread.
    pub fn periodic(&self) {
        let now = time::monotonic_ns();
        if let Some(old) = now.checked_sub(params::expire_ns()) {
            // An inode that used its turn up has more that is old.
            let mut turns = MAX_TURNS;
            while self.write_inodes(old, Reason::Periodic, || true) >= TURN && turns > 0 {
                turns -= 1;
            }
        }
        self.periodic_device(now);
        if throttle::above_background() {
            self.background();
        }
    }

    fn periodic_device(&self, now: u64) {
        let since = self.device_dirty_since.load(Ordering::Relaxed);
        if !self.device.mapping().has_dirty() {
            self.device_dirty_since.store(0, Ordering::Relaxed);
        } else if since == 0 {
            self.device_dirty_since.store(now.max(1), Ordering::Relaxed);
        } else if now.saturating_sub(since) >= params::expire_ns() {
            self.device_dirty_since.store(0, Ordering::Relaxed);
            self.write_device();
        }
    }
}

/// Memory is short: every flusher shall write.
fn wake_all() {
    wake_every(PRESSURE);
}

/// The time between two rounds has changed.
pub(crate) fn restart_clocks() {
    wake_every(CLOCK);
}

fn wake_every(work: u32) {
    let all: Vec<Arc<Bdi>> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    for bdi in all {
        if bdi.running.load(Ordering::Acquire) {
            bdi.wake(work);
        }
    }
}
