//! What procfs asks of those who know: [`ProcSource`] for the machine and the kernel,
//! [`ProcessView`] for the program.
//!
//! Both answer with plain data, true at the moment of the call; nothing is kept here. The traits are
//! procfs's own because the arrow points upward: `boot` implements them over the process, the machine
//! and the disks, and procfs imports none of these but the disk's counters.
//!
//! Units: bytes and nanoseconds everywhere; the files convert to what Linux shows.
//!
//! # Locking
//! Called with no spin lock held, so an answer may sleep. Directory locks of /proc may be held: an
//! answer must not walk a path.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use base::{DevId, Errno, PAGE_SIZE, Result, Sector};
use block::DiskStats;
use vfs::{Cred, File, Path};

/// The machine and the kernel.
pub trait ProcSource: Send + Sync {
    /// What uname(2) tells, and how the kernel was built.
    fn uts(&self) -> Uts;

    /// The kernel's command line, without a newline.
    fn command_line(&self) -> Vec<u8>;

    /// Where the memory is.
    fn memory(&self) -> Memory;

    /// The processors, by number.
    fn cpus(&self) -> Vec<Cpu>;

    /// What the processors have been doing since the start.
    fn activity(&self) -> Activity;

    /// What the memory and the disks have exchanged since the start.
    fn vm(&self) -> VmStat;

    /// A number below /proc/sys as it is now.
    fn setting(&self, which: Setting) -> i64;

    /// Sets it; the value is in [`Setting::range`].
    fn set(&self, which: Setting, value: i64);

    /// The disks, in the order of their registration.
    fn disks(&self) -> Vec<Disk>;

    /// The journals of the mounted file systems, or the ext4 ones among these, each with a number that is its own.
    fn mounted(&self, what: Mounted) -> Vec<Entry>;

    /// What the one with this number tells of itself, as Linux writes it; None when it is gone.
    fn told(&self, what: Mounted, number: u32) -> Option<String>;

    /// Fills with random bytes.
    fn random(&self, bytes: &mut [u8]);

    /// The program; None before it starts.
    fn process(&self) -> Option<Arc<dyn ProcessView>>;
}

/// What has a directory for each below /proc/fs, with one file in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mounted {
    /// `jbd2/vda-8/info`
    Journals,
    /// `ext4/vda/fc_info`
    Ext4,
}

impl Mounted {
    /// The file's name.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Mounted::Journals => "info",
            Mounted::Ext4 => "fc_info",
        }
    }
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Below 2^28.
    pub number: u32,
    /// `vda-8`, `vda`
    pub name: String,
}

/// The running program, which is process 1.
pub trait ProcessView: Send + Sync {
    /// Its name, at most 15 bytes.
    fn comm(&self) -> Vec<u8>;

    /// Gives it another name, which procfs has cut at 15 bytes and at a NUL.
    fn set_comm(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Its arguments, each with its NUL.
    fn cmdline(&self) -> Vec<u8>;

    /// Its environment, each variable with its NUL.
    fn environ(&self) -> Vec<u8>;

    /// Its auxiliary vector as it lies in memory.
    fn auxv(&self) -> Vec<u8>;

    /// The program's file.
    fn exe(&self) -> Path;

    /// Its working directory.
    fn cwd(&self) -> Path;

    /// Its root.
    fn root(&self) -> Path;

    /// Its open descriptors, ascending.
    fn files(&self) -> Vec<(i32, Arc<File>)>;

    /// The open file of one descriptor.
    fn file(&self, fd: i32) -> Option<Arc<File>> {
        self.files().into_iter().find(|(n, _)| *n == fd).map(|(_, file)| file)
    }

    /// How many descriptors its table has room for now.
    fn fd_size(&self) -> usize;

    /// The lines of `/proc/self/maps`.
    fn maps(&self) -> String;

    /// How large it is.
    fn sizes(&self) -> Sizes;

    /// Where its parts lie.
    fn layout(&self) -> Layout;

    /// What it has read and written.
    fn io(&self) -> IoCounters;

    /// Its limits, by Linux's numbers (RLIMIT_CPU 0 … RLIMIT_RTTIME 15).
    fn limits(&self) -> [Limit; 16];

    /// Who it acts as.
    fn cred(&self) -> Arc<Cred>;

    /// Its umask.
    fn umask(&self) -> u32;

    /// Its signals.
    fn signals(&self) -> SignalSets;

    /// The time it took.
    fn times(&self) -> Times;
}

/// The names of the system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uts {
    /// "Linux".
    pub sysname: String,
    /// The host's name.
    pub nodename: String,
    /// "6.1.0-quill".
    pub release: String,
    /// "#1 SMP …".
    pub version: String,
    /// The host's domain; "(none)" when empty.
    pub domainname: String,
    /// "(who@where) (compiler)", for /proc/version.
    pub built: String,
}

/// Memory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// All that the kernel manages.
    pub total: u64,
    /// Of no use now.
    pub free: u64,
    /// What a program could get without swapping.
    pub available: u64,
    /// The page cache of disks.
    pub buffers: u64,
    /// The page cache of files.
    pub cached: u64,
    /// How much of both was used lately.
    pub active: u64,
    /// Waits to be written.
    pub dirty: u64,
    /// Is being written.
    pub writeback: u64,
    /// The program's own pages.
    pub anonymous: u64,
    /// What the program shares with nobody and has no file: memory of a file system without a disk, to Linux.
    pub shmem: u64,
    /// Pages of the page cache, and of `shmem`, in the program's tables.
    pub mapped: u64,
    /// The kernel's heap.
    pub heap: u64,
    /// The kernel's stacks.
    pub stacks: u64,
    /// The program's translation tables.
    pub page_tables: u64,
    /// What the program was promised.
    pub committed: u64,
}

/// One processor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cpu {
    /// MIDR_EL1.
    pub midr: u64,
    /// The frequency of its timer.
    pub timer_hz: u64,
    /// Its HWCAP names: "fp", "asimd", …
    pub features: Vec<&'static str>,
}

/// What one processor did, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTimes {
    /// The program.
    pub user: u64,
    /// The kernel.
    pub system: u64,
    /// Nothing.
    pub idle: u64,
    /// Nothing, while a disk was busy.
    pub iowait: u64,
    /// Interrupts.
    pub irq: u64,
}

/// What the processors have been doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Activity {
    /// By processor.
    pub cpus: Vec<CpuTimes>,
    /// How often each interrupt came, by its number.
    pub interrupts: Vec<u64>,
    /// Switches from thread to thread.
    pub context_switches: u64,
    /// Threads ever started.
    pub started: u64,
    /// Threads there are.
    pub threads: u64,
    /// Threads that run or could.
    pub runnable: u64,
    /// Threads that wait for a disk.
    pub blocked: u64,
    /// Load averages over 1, 5 and 15 minutes, in hundredths.
    pub load: [u64; 3],
}

/// /proc/vmstat, in pages where nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VmStat {
    /// Ever made dirty.
    pub dirtied: u64,
    /// Ever written back.
    pub written: u64,
    /// So much may be dirty.
    pub dirty_threshold: u64,
    /// From here on the flusher works.
    pub dirty_background_threshold: u64,
    /// Sectors asked for from disks.
    pub sectors_in: u64,
    /// Sectors sent to disks.
    pub sectors_out: u64,
    /// Faults of the program that needed no disk.
    pub minor_faults: u64,
    /// Faults that did.
    pub major_faults: u64,
    /// What reclaim has done.
    pub reclaim: ReclaimStat,
    /// How often drop_caches dropped pages.
    pub drop_pagecache: u64,
    /// How often drop_caches dropped names.
    pub drop_slab: u64,
}

/// What reclaim of pages has done, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReclaimStat {
    /// Allocations that found nothing free.
    pub stalls: u64,
    /// Made active.
    pub activated: u64,
    /// Pages read in that had been freed not long ago.
    pub refaulted: u64,
    /// Those of them that became active.
    pub refaulted_active: u64,
    /// Made inactive.
    pub deactivated: u64,
    /// Inactive ones that kswapd looked at.
    pub scanned_by_kswapd: u64,
    /// The same of those who allocate.
    pub scanned_directly: u64,
    /// Freed by kswapd.
    pub stolen_by_kswapd: u64,
    /// The same of those who allocate.
    pub stolen_directly: u64,
    /// Names that were let go.
    pub slabs: u64,
    /// How often kswapd worked.
    pub kswapd_rounds: u64,
}

/// A number below /proc/sys that can be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// fs/aio-max-nr
    AioMaxNr,
    /// kernel/ctrl-alt-del
    CtrlAltDel,
    /// vm/dirty_background_bytes
    DirtyBackgroundBytes,
    /// vm/dirty_background_ratio
    DirtyBackgroundRatio,
    /// vm/dirty_bytes
    DirtyBytes,
    /// vm/dirty_expire_centisecs
    DirtyExpireCentisecs,
    /// vm/dirty_ratio
    DirtyRatio,
    /// vm/dirty_writeback_centisecs
    DirtyWritebackCentisecs,
    /// vm/drop_caches: setting it is doing it
    DropCaches,
}

impl Setting {
    /// What it may be set to.
    pub const fn range(self) -> RangeInclusive<i64> {
        const INT_MIN: i64 = i32::MIN as i64;
        const INT_MAX: i64 = i32::MAX as i64;
        match self {
            Setting::CtrlAltDel | Setting::DirtyWritebackCentisecs => INT_MIN..=INT_MAX,
            Setting::AioMaxNr => 0..=i64::MAX,
            Setting::DirtyBackgroundBytes => 1..=i64::MAX,
            Setting::DirtyBytes => 2 * PAGE_SIZE as i64..=i64::MAX,
            Setting::DirtyBackgroundRatio | Setting::DirtyRatio => 0..=100,
            Setting::DirtyExpireCentisecs => 0..=INT_MAX,
            Setting::DropCaches => 1..=4,
        }
    }
}

/// One disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// "vda".
    pub name: String,
    /// Its number.
    pub dev: DevId,
    /// Its size.
    pub capacity: Sector,
    /// What it has done.
    pub stats: DiskStats,
}

impl Disk {
    /// What the block layer knows of a disk.
    pub fn of(disk: &block::Disk) -> Disk {
        Disk { name: disk.name().into(), dev: disk.dev(), capacity: disk.capacity(), stats: disk.stats() }
    }
}

/// How large the program is, in bytes; faults are counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// All areas.
    pub total: u64,
    /// The most there ever was.
    pub peak_total: u64,
    /// Locked in memory.
    pub locked: u64,
    /// In memory.
    pub resident: u64,
    /// The most there ever was.
    pub peak_resident: u64,
    /// How much of it is files' pages.
    pub resident_file: u64,
    /// How much of it is pages of shared mappings without a file.
    pub resident_shmem: u64,
    /// Private writable areas.
    pub data: u64,
    /// The stack.
    pub stack: u64,
    /// The program's code.
    pub text: u64,
    /// Code that is not the program's own.
    pub library: u64,
    /// Translation tables.
    pub page_tables: u64,
    /// Faults that found in memory what they needed.
    pub minor_faults: u64,
    /// Faults that did not.
    pub major_faults: u64,
}

/// Addresses in the program; 0 where nobody knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// Code, from and to.
    pub code: (u64, u64),
    /// Data and bss, from and to.
    pub data: (u64, u64),
    /// Where the stack began.
    pub stack: u64,
    /// Where the heap begins.
    pub heap: u64,
    /// The arguments, from and to.
    pub args: (u64, u64),
    /// The environment, from and to.
    pub env: (u64, u64),
}

/// /proc/self/io.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IoCounters {
    /// Bytes that read calls returned.
    pub rchar: u64,
    /// Bytes that write calls took.
    pub wchar: u64,
    /// Read calls.
    pub syscr: u64,
    /// Write calls.
    pub syscw: u64,
    /// Bytes fetched from a disk.
    pub read_bytes: u64,
    /// Bytes made dirty.
    pub write_bytes: u64,
    /// Bytes made dirty and truncated before they were written.
    pub cancelled_write_bytes: u64,
}

/// A limit; [`Limit::UNLIMITED`] is RLIM_INFINITY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

impl Limit {
    /// No limit.
    pub const UNLIMITED: u64 = u64::MAX;
}

/// Sets of signals: bit n - 1 is signal n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SignalSets {
    /// Waiting.
    pub pending: u64,
    /// Held back.
    pub blocked: u64,
    /// Ignored.
    pub ignored: u64,
    /// Handled.
    pub caught: u64,
}

/// Times in nanoseconds, and what the scheduler counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// In the program.
    pub user: u64,
    /// In the kernel for it.
    pub system: u64,
    /// CLOCK_MONOTONIC when it started.
    pub start: u64,
    /// How often it waited.
    pub voluntary_switches: u64,
    /// How often it was made to.
    pub involuntary_switches: u64,
}
