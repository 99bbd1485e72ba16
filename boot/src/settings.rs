//! The numbers of /proc/sys that can be set, and /proc/vmstat: who keeps each.

use core::sync::atomic::{AtomicU64, Ordering};

use pagecache::stats::{self, Count};
use process::mm::Sizes;
use procfs::{ReclaimStat, Setting, VmStat};
use syscall::reboot;
use writeback::params;

/// drop_caches: 1 drops pages, 2 names and inodes; 4 keeps quiet about it.
const DROP_PAGES: i64 = 1;
const DROP_NAMES: i64 = 2;
const QUIET: i64 = 4;

static DROPPED_PAGES: AtomicU64 = AtomicU64::new(0);
static DROPPED_NAMES: AtomicU64 = AtomicU64::new(0);

/// As it is now.
pub fn get(which: Setting) -> i64 {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    match which {
        Setting::AioMaxNr => bytes(vfs::aio::max_nr()),
        Setting::CtrlAltDel => reboot::ctrl_alt_del().into(),
        Setting::DirtyBackgroundBytes => bytes(params::dirty_background().1),
        Setting::DirtyBackgroundRatio => params::dirty_background().0.into(),
        Setting::DirtyBytes => bytes(params::dirty_limit().1),
        Setting::DirtyRatio => params::dirty_limit().0.into(),
        Setting::DirtyExpireCentisecs => params::dirty_expire_centisecs().into(),
        // Linux keeps it without a sign and shows it with one.
        Setting::DirtyWritebackCentisecs => params::dirty_writeback_centisecs().cast_signed().into(),
        // Nobody may read it.
        Setting::DropCaches => 0,
    }
}

/// Sets it to a value of its range, which fits.
pub fn set(which: Setting, value: i64) {
    let bytes = value.cast_unsigned();
    let number = value as u32;
    match which {
        Setting::AioMaxNr => vfs::aio::set_max_nr(bytes),
        Setting::CtrlAltDel => reboot::set_ctrl_alt_del(value as i32),
        Setting::DirtyBackgroundBytes => params::set_dirty_background_bytes(bytes),
        Setting::DirtyBackgroundRatio => params::set_dirty_background_ratio(number),
        // As in Linux, what does not change does not become the one that rules.
        Setting::DirtyBytes if params::dirty_limit().1 == bytes => {}
        Setting::DirtyBytes => params::set_dirty_bytes(bytes),
        Setting::DirtyRatio if params::dirty_limit().0 == number => {}
        Setting::DirtyRatio => params::set_dirty_ratio(number),
        Setting::DirtyExpireCentisecs => params::set_dirty_expire_centisecs(number),
        Setting::DirtyWritebackCentisecs => params::set_dirty_writeback_centisecs(number),
        Setting::DropCaches => drop_caches(value),
    }
}

fn drop_caches(what: i64) {
    if what & DROP_PAGES != 0 {
        pagecache::drop_caches();
        DROPPED_PAGES.fetch_add(1, Ordering::Relaxed);
    }
    if what & DROP_NAMES != 0 {
        vfs::dentry::shrink(usize::MAX);
        DROPPED_NAMES.fetch_add(1, Ordering::Relaxed);
    }
    if what & QUIET == 0 {
        log::info!("drop_caches: {what}");
    }
}

/// What memory and disks have exchanged, and the faults of the program.
pub fn vmstat(program: Option<Sizes>) -> VmStat {
    let (background, limit) = params::thresholds();
    let (sectors_in, sectors_out) = block::task_io::sectors_moved();
    VmStat {
        dirtied: stats::nr_dirtied() as u64,
        written: stats::nr_written() as u64,
        dirty_threshold: limit as u64,
        dirty_background_threshold: background as u64,
        sectors_in,
        sectors_out,
        minor_faults: program.map_or(0, |sizes| sizes.minor_faults),
        major_faults: program.map_or(0, |sizes| sizes.major_faults),
        reclaim: reclaim(),
        drop_pagecache: DROPPED_PAGES.load(Ordering::Relaxed),
        drop_slab: DROPPED_NAMES.load(Ordering::Relaxed),
    }
}

fn reclaim() -> ReclaimStat {
    let count = |which| stats::counted(which) as u64;
    ReclaimStat {
        stalls: count(Count::AllocStall),
        activated: count(Count::Activate),
        refaulted: count(Count::RefaultFile),
        refaulted_active: count(Count::ActivateFile),
        deactivated: count(Count::Deactivate),
        scanned_by_kswapd: count(Count::ScanKswapd),
        scanned_directly: count(Count::ScanDirect),
        stolen_by_kswapd: count(Count::StealKswapd),
        stolen_directly: count(Count::StealDirect),
        slabs: count(Count::SlabsScanned),
        kswapd_rounds: count(Count::KswapdRounds),
    }
}
