//! What may be looked at and set on a queue while it runs: the files of `/sys/block/*/queue/`.
//!
//! Each has a getter and a setter of its type on [`RequestQueue`]; what Linux refuses with EINVAL or
//! moves into range is refused or moved here, so that sysfs only turns text into numbers.
//!
//! | file             | here                         | default                 | may be set to                   |
//! |------------------|------------------------------|-------------------------|---------------------------------|
//! | scheduler        | `elevator`, `switch_elevator`| `elevator=`             | one of [`crate::elevator::NAMES`]|
//! | iosched/*        | `tunables`, `set_tunable`    | the elevator's          | the elevator's                  |
//! | nr_requests      | `nr_requests`                | 256                     | 4 to 2048                       |
//! | max_hw_sectors_kb| `limits().max_sectors`       | the driver's            | nothing                         |
//! | max_sectors_kb   | `max_sectors_kb`             | the driver's            | a page to `max_hw_sectors_kb`   |
//! | nomerges         | `merges`                     | [`Merges::All`]         | 0, 1, 2                         |
//! | rotational       | `rotational`                 | the driver's            | 0, 1                            |
//! | iostats          | `iostats`                    | 1                       | 0, 1                            |
//! | io_timeout       | `io_timeout_ms`              | 30000                   | anything but 0                  |
//! | read_ahead_kb    | `readahead_bytes`            | 512 KiB                 | anything                        |
//! | write_cache      | `write_cache`                | the device's            | `write back`, `write through`   |
//!
//! # Locking
//! The values are atomics: a reader takes no lock. A request that was made under the value before keeps
//! what it got.
//!
//! Source: Documentation/block/queue-sysfs.rst (ABI/stable/sysfs-block).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};

use base::units::SECTOR_SIZE;
use base::{Errno, PAGE_SIZE, Result, Sector};

use crate::bio::{Bio, BioOp};
use crate::driver::Limits;
use crate::queue::RequestQueue;
use crate::wait::Completion;

/// Requests of one direction in a queue, as long as nobody says otherwise.
pub const DEFAULT_REQUESTS: usize = 256;
/// Linux's BLKDEV_MIN_RQ: fewer are taken as this.
const MIN_REQUESTS: usize = 4;
/// Linux's MAX_SCHED_RQ: more are EINVAL.
const MAX_REQUESTS: usize = 2048;
/// Bytes that a sequential reader is ahead of at most.
const DEFAULT_READAHEAD: u32 = 512 * KIB;
const DEFAULT_TIMEOUT_MS: u32 = 30_000;
const KIB: u32 = 1024;
const MS: u64 = 1_000_000;

/// How hard the queue looks for a request to merge with (`nomerges`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Merges {
    /// 0: everywhere.
    All,
    /// 1: in the plug list, and the request that was merged with or queued last.
    Simple,
    /// 2: not at all.
    None,
}

/// The values.
pub(crate) struct Attributes {
    nr_requests: AtomicUsize,
    max_sectors: AtomicU32,
    merges: AtomicU8,
    rotational: AtomicBool,
    iostats: AtomicBool,
    io_timeout_ms: AtomicU32,
    write_cache: AtomicBool,
    readahead_bytes: AtomicU32,
}

impl Attributes {
    pub fn new(limits: &Limits) -> Attributes {
        Attributes {
            nr_requests: AtomicUsize::new(DEFAULT_REQUESTS),
            max_sectors: AtomicU32::new(limits.max_sectors),
            merges: AtomicU8::new(0),
            rotational: AtomicBool::new(limits.rotational),
            iostats: AtomicBool::new(true),
            io_timeout_ms: AtomicU32::new(DEFAULT_TIMEOUT_MS),
            write_cache: AtomicBool::new(limits.write_cache),
            readahead_bytes: AtomicU32::new(DEFAULT_READAHEAD),
        }
    }

    /// What the driver told, with what was set since.
    #[inline]
    pub fn apply(&self, hardware: &Limits) -> Limits {
        Limits {
            max_sectors: self.max_sectors.load(Relaxed),
            write_cache: self.write_cache.load(Relaxed),
            rotational: self.rotational.load(Relaxed),
            ..*hardware
        }
    }

    pub fn timeout_ns(&self) -> u64 {
        u64::from(self.io_timeout_ms.load(Relaxed)) * MS
    }
}

impl RequestQueue {
    /// The names of what may be set on the elevator, in the order of its manual.
    pub fn tunables(&self) -> Vec<&'static str> {
        self.lock().elevator.tunables()
    }

    /// The elevator's value of that name.
    pub fn tunable(&self, name: &str) -> Option<u64> {
        self.lock().elevator.tunable(name)
    }

    /// Sets the elevator's value of that name; out of its range it is moved to the nearer end. ENOENT.
    pub fn set_tunable(self: &Arc<Self>, name: &str, value: u64) -> Result<()> {
        self.lock().elevator.set_tunable(name, value)?;
        // What it waited for may be no longer worth it.
        self.run();
        Ok(())
    }

    /// Most requests of one direction.
    pub fn nr_requests(&self) -> usize {
        self.attributes.nr_requests.load(Relaxed)
    }

    /// Sets it. EINVAL beyond 2048; below 4 it is 4.
    pub fn set_nr_requests(&self, requests: usize) -> Result<()> {
        if requests > MAX_REQUESTS {
            return Err(Errno::EINVAL);
        }
        self.attributes.nr_requests.store(requests.max(MIN_REQUESTS), Relaxed);
        self.wake_all_for_room();
        Ok(())
    }

    /// Longest request that moves data, in KiB.
    pub fn max_sectors_kb(&self) -> u32 {
        self.attributes.max_sectors.load(Relaxed) / (KIB / SECTOR_SIZE as u32)
    }

    /// The most that may be set, in KiB.
    pub fn max_hw_sectors_kb(&self) -> u32 {
        self.hardware().max_sectors / (KIB / SECTOR_SIZE as u32)
    }

    /// Sets it. EINVAL for less than a page or a logical block, or more than
    /// [`RequestQueue::max_hw_sectors_kb`].
    pub fn set_max_sectors_kb(&self, kib: u32) -> Result<()> {
        let least = (PAGE_SIZE as u32).max(self.hardware().logical_block_size) / KIB;
        if kib < least || kib > self.max_hw_sectors_kb() {
            return Err(Errno::EINVAL);
        }
        self.attributes.max_sectors.store(kib * (KIB / SECTOR_SIZE as u32), Relaxed);
        Ok(())
    }

    /// How hard it looks for a request to merge with.
    pub fn merges(&self) -> Merges {
        match self.attributes.merges.load(Relaxed) {
            0 => Merges::All,
            1 => Merges::Simple,
            _ => Merges::None,
        }
    }

    /// Sets it.
    pub fn set_merges(&self, merges: Merges) {
        self.attributes.merges.store(merges as u8, Relaxed);
    }

    /// Whether the disk is believed to seek.
    pub fn rotational(&self) -> bool {
        self.attributes.rotational.load(Relaxed)
    }

    /// Sets it; the elevator is told.
    pub fn set_rotational(self: &Arc<Self>, rotational: bool) {
        self.attributes.rotational.store(rotational, Relaxed);
        self.lock().elevator.set_rotational(rotational);
        self.run();
    }

    /// Whether requests are counted.
    pub fn iostats(&self) -> bool {
        self.attributes.iostats.load(Relaxed)
    }

    /// Sets it, for the requests that begin from now on.
    pub fn set_iostats(&self, on: bool) {
        self.attributes.iostats.store(on, Relaxed);
    }

    /// After how many milliseconds with the driver a request is overdue.
    pub fn io_timeout_ms(&self) -> u32 {
        self.attributes.io_timeout_ms.load(Relaxed)
    }

    /// Sets it, also for the requests in flight. EINVAL for 0.
    pub fn set_io_timeout_ms(&self, ms: u32) -> Result<()> {
        if ms == 0 {
            return Err(Errno::EINVAL);
        }
        self.attributes.io_timeout_ms.store(ms, Relaxed);
        self.look_at_timeouts_now();
        Ok(())
    }

    /// How many bytes the page cache reads ahead at most.
    pub fn readahead_bytes(&self) -> u32 {
        self.attributes.readahead_bytes.load(Relaxed)
    }

    /// Sets it; 0 turns reading ahead off.
    pub fn set_readahead_bytes(&self, bytes: u32) {
        self.attributes.readahead_bytes.store(bytes, Relaxed);
    }

    /// Whether completed writes are believed to sit in a volatile cache until a flush ("write back").
    pub fn write_cache(&self) -> bool {
        self.attributes.write_cache.load(Relaxed)
    }

    /// Sets it. A device that can be told is told, and its error is returned; what it has in its cache
    /// when that is turned off is flushed. Of any other only the kernel's belief changes, as in Linux:
    /// "write through" on a device that caches lets fsync end before the data is durable. Sleeps.
    pub fn set_write_cache(self: &Arc<Self>, on: bool) -> Result<()> {
        match self.driver().set_write_cache(on) {
            Ok(()) if !on => self.flush_and_wait()?,
            Ok(()) | Err(Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
        self.attributes.write_cache.store(on, Relaxed);
        Ok(())
    }

    fn flush_and_wait(self: &Arc<Self>) -> Result<()> {
        let done = Completion::new();
        self.submit(done.track(Bio::new(BioOp::Flush, Sector(0))));
        done.wait()
    }
}
