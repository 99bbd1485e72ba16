//! The files of a disk or a partition itself.
//!
//! Source: Documentation/ABI/stable/sysfs-block, Documentation/block/stat.rst.

use base::{Errno, Result};
use block::DirectionStats;
use kernfs::{Text, value};

use crate::attribute::{Attribute, settable, shown};
use crate::device::Device;

/// DISK_MAX_PARTS: how many partitions any disk can have, itself counted.
const MAX_PARTITIONS: u32 = 256;
/// What udevadm may ask for; nobody listens to what would follow.
const EVENTS: [&str; 8] = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"];

/// Every file. A row's place is part of its inode number: new rows come at the end.
pub(crate) static ATTRIBUTES: &[Attribute<Device>] = &[
    shown("alignment_offset", |_, text| writeln!(text, "0")),
    settable("cache_type", cache_type, set_cache_type).only(Device::is_virtio),
    shown("capability", |_, text| writeln!(text, "0")).only(Device::is_whole),
    shown("dev", |d, text| writeln!(text, "{}:{}", d.disk.dev().major, d.disk.dev().minor)),
    shown("discard_alignment", |d, text| writeln!(text, "{}", d.disk.limits().discard_alignment)),
    shown("diskseq", |d: &Device, text| writeln!(text, "{}", d.sequence)).only(Device::is_whole),
    shown("ext_range", |_, text| writeln!(text, "{MAX_PARTITIONS}")).only(Device::is_whole),
    shown("hidden", |_, text| writeln!(text, "0")).only(Device::is_whole),
    shown("inflight", inflight),
    shown("partition", |d: &Device, text| writeln!(text, "{}", d.disk.partno().unwrap_or(0)))
        .only(Device::is_partition),
    shown("range", |d: &Device, text| writeln!(text, "{}", d.disk.gendisk().minors())).only(Device::is_whole),
    shown("removable", |_, text| writeln!(text, "0")).only(Device::is_whole),
    shown("ro", |d, text| writeln!(text, "{}", u32::from(d.disk.read_only()))),
    // Without a newline, as Linux's.
    shown("serial", |d: &Device, text| write!(text, "{}", d.disk.serial())).only(Device::is_virtio),
    shown("size", |d, text| writeln!(text, "{}", d.disk.capacity().0)),
    shown("start", |d: &Device, text| writeln!(text, "{}", d.disk.start().0)).only(Device::is_partition),
    shown("stat", stat),
    settable("uevent", uevent, send_uevent),
];

/// `write back`: completed writes may sit in a cache until a flush.
pub(crate) fn cache_name(write_back: bool) -> &'static str {
    if write_back { "write back" } else { "write through" }
}

fn cache_type(device: &Device, text: &mut Text) {
    writeln!(text, "{}", cache_name(device.disk.queue().write_cache()));
}

fn set_cache_type(device: &Device, bytes: &[u8]) -> Result<()> {
    let on = match value::line(bytes)? {
        "write back" => true,
        "write through" => false,
        _ => return Err(Errno::EINVAL),
    };
    device.disk.queue().set_write_cache(on)
}

/// Reads and writes that the driver has now.
fn inflight(device: &Device, text: &mut Text) {
    let stats = device.disk.stats();
    let writes = stats.in_flight_writes;
    writeln!(text, "{:>8} {writes:>8}", stats.in_flight.saturating_sub(writes));
}

/// Seventeen counters, as a line of /proc/diskstats behind the name, but in columns.
fn stat(device: &Device, text: &mut Text) {
    let stats = device.disk.stats();
    direction(&stats.read, text);
    direction(&stats.write, text);
    let times = [stats.in_flight, millis(stats.busy_ns), millis(stats.queue_ns)];
    times.iter().for_each(|number| write!(text, "{number:>8} "));
    direction(&stats.discard, text);
    writeln!(text, "{:>8} {:>8}", stats.flush.ios, millis(stats.flush.ns));
}

/// Requests, merges, sectors, milliseconds.
fn direction(of: &DirectionStats, text: &mut Text) {
    let numbers = [of.ios, of.merges, of.sectors, millis(of.ns)];
    numbers.iter().for_each(|number| write!(text, "{number:>8} "));
}

fn millis(ns: u64) -> u64 {
    ns / 1_000_000
}

/// What udev is told of it.
fn uevent(device: &Device, text: &mut Text) {
    let (disk, dev) = (&device.disk, device.disk.dev());
    let kind = if device.is_whole() { "disk" } else { "partition" };
    writeln!(text, "MAJOR={}\nMINOR={}\nDEVNAME={}\nDEVTYPE={kind}", dev.major, dev.minor, disk.name());
    writeln!(text, "DISKSEQ={}", device.sequence);
    if let Some(number) = disk.partno() {
        writeln!(text, "PARTN={number}");
        if !disk.partlabel().is_empty() {
            writeln!(text, "PARTNAME={}", disk.partlabel());
        }
    }
}

/// The event's name, perhaps with a UUID behind it.
pub(crate) fn send_uevent(_device: &Device, bytes: &[u8]) -> Result<()> {
    let line = value::line(bytes)?;
    let name = line.split(' ').next().unwrap_or(line);
    if EVENTS.contains(&name) { Ok(()) } else { Err(Errno::EINVAL) }
}
