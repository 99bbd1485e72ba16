//! /proc/vmstat: counters of memory, in pages, by Linux's names and in its order.
//!
//! Of Linux's 160 lines those are here that Quill counts, and those that programs ask for by name
//! (vmstat(8), sar(1)) and that can only be 0: there is no swap, no second kind of memory, no huge page.

use base::PAGE_SIZE;

use crate::fs::ProcFs;
use crate::source::{Memory, VmStat};
use crate::text::Text;

/// Sectors to a KiB.
const SECTORS_PER_KIB: u64 = 2;

pub(crate) fn vmstat(fs: &ProcFs, text: &mut Text) {
    for (name, value) in lines(&fs.source.memory(), &fs.source.vm()) {
        writeln!(text, "{name} {value}");
    }
}

fn lines(m: &Memory, vm: &VmStat) -> [(&'static str, u64); 54] {
    let reclaim = &vm.reclaim;
    let pages = |bytes: u64| bytes / PAGE_SIZE as u64;
    let file = pages(m.buffers.saturating_add(m.cached));
    let active = pages(m.active).min(file);
    let own = pages(m.anonymous.saturating_add(m.shmem));
    [
        ("nr_free_pages", pages(m.free)),
        ("nr_zone_inactive_anon", own),
        ("nr_zone_active_anon", 0),
        ("nr_zone_inactive_file", file - active),
        ("nr_zone_active_file", active),
        ("nr_zone_unevictable", 0),
        ("nr_zone_write_pending", pages(m.dirty.saturating_add(m.writeback))),
        ("nr_mlock", 0),
        ("nr_inactive_anon", own),
        ("nr_active_anon", 0),
        ("nr_inactive_file", file - active),
        ("nr_active_file", active),
        ("nr_unevictable", 0),
        ("nr_slab_reclaimable", 0),
        ("nr_slab_unreclaimable", pages(m.heap)),
        ("nr_anon_pages", pages(m.anonymous)),
        ("nr_mapped", pages(m.mapped)),
        ("nr_file_pages", file.saturating_add(pages(m.shmem))),
        ("nr_dirty", pages(m.dirty)),
        ("nr_writeback", pages(m.writeback)),
        ("nr_writeback_temp", 0),
        ("nr_shmem", pages(m.shmem)),
        ("workingset_refault_file", reclaim.refaulted),
        ("workingset_activate_file", reclaim.refaulted_active),
        ("nr_vmscan_write", 0),
        ("nr_dirtied", vm.dirtied),
        ("nr_written", vm.written),
        // In KiB, in Linux too.
        ("nr_kernel_stack", m.stacks / 1024),
        ("nr_page_table_pages", pages(m.page_tables)),
        ("nr_swapcached", 0),
        ("nr_dirty_threshold", vm.dirty_threshold),
        ("nr_dirty_background_threshold", vm.dirty_background_threshold),
        // In KiB, in Linux too.
        ("pgpgin", vm.sectors_in / SECTORS_PER_KIB),
        ("pgpgout", vm.sectors_out / SECTORS_PER_KIB),
        ("pswpin", 0),
        ("pswpout", 0),
        ("allocstall_normal", reclaim.stalls),
        ("pgactivate", reclaim.activated),
        ("pgdeactivate", reclaim.deactivated),
        ("pgfault", vm.minor_faults.saturating_add(vm.major_faults)),
        ("pgmajfault", vm.major_faults),
        // Each page that the active list's end gives up was looked at there.
        ("pgrefill", reclaim.deactivated),
        ("pgsteal_kswapd", reclaim.stolen_by_kswapd),
        ("pgsteal_direct", reclaim.stolen_directly),
        ("pgscan_kswapd", reclaim.scanned_by_kswapd),
        ("pgscan_direct", reclaim.scanned_directly),
        ("slabs_scanned", reclaim.slabs),
        ("pageoutrun", reclaim.kswapd_rounds),
        ("drop_pagecache", vm.drop_pagecache),
        ("drop_slab", vm.drop_slab),
        ("oom_kill", 0),
        ("swap_ra", 0),
        ("swap_ra_hit", 0),
        ("nr_unstable", 0),
    ]
}
