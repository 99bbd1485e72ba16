//! /proc/partitions and /proc/diskstats (Documentation/admin-guide/iostats.rst).

use block::DirectionStats;

use crate::fs::ProcFs;
use crate::source::Disk;
use crate::text::Text;

/// Sizes in KiB, under a heading when there is any disk.
pub(crate) fn partitions(fs: &ProcFs, text: &mut Text) {
    let disks = fs.source.disks();
    if !disks.is_empty() {
        writeln!(text, "major minor  #blocks  name\n");
    }
    for disk in disks {
        let (major, minor) = (disk.dev.major, disk.dev.minor);
        writeln!(text, "{major:>4}  {minor:>7} {:>10} {}", disk.capacity.0 / 2, disk.name);
    }
}

/// Seventeen counters for each disk.
pub(crate) fn diskstats(fs: &ProcFs, text: &mut Text) {
    for disk in fs.source.disks() {
        line(&disk, text);
    }
}

fn line(disk: &Disk, text: &mut Text) {
    let stats = &disk.stats;
    write!(text, "{:>4} {:>7} {}", disk.dev.major, disk.dev.minor, disk.name);
    direction(&stats.read, text);
    direction(&stats.write, text);
    write!(text, " {} {} {}", stats.in_flight, millis(stats.busy_ns), millis(stats.queue_ns));
    direction(&stats.discard, text);
    writeln!(text, " {} {}", stats.flush.ios, millis(stats.flush.ns));
}

/// Requests, merges, sectors, milliseconds.
fn direction(of: &DirectionStats, text: &mut Text) {
    write!(text, " {} {} {} {}", of.ios, of.merges, of.sectors, millis(of.ns));
}

fn millis(ns: u64) -> u64 {
    ns / 1_000_000
}
