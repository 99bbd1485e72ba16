//! The files of /sys/class/bdi/MAJOR:MINOR: how a whole disk's pages are read ahead and written back.
//!
//! `min_ratio` and `max_ratio` are told as what Quill goes by: all disks share the limits of dirty memory
//! (/proc/sys/vm), and none has a part of its own. So they cannot be set.
//!
//! Source: Documentation/ABI/testing/sysfs-class-bdi.

use base::{Errno, Result};
use kernfs::Text;
use kernfs::value::{self, Radix};

use crate::attribute::{Attribute, settable, shown};
use crate::device::Device;
use crate::disk::send_uevent;

/// Every file. A row's place is part of its inode number: new rows come at the end.
pub(crate) static ATTRIBUTES: &[Attribute<Device>] = &[
    shown("max_ratio", |_, text| writeln!(text, "100")),
    shown("min_ratio", |_, text| writeln!(text, "0")),
    settable("read_ahead_kb", read_ahead, set_read_ahead),
    // A page may change while it is written.
    shown("stable_pages_required", |_, text| writeln!(text, "0")),
    settable("uevent", |_, _| {}, send_uevent),
];

fn read_ahead(device: &Device, text: &mut Text) {
    writeln!(text, "{}", device.disk.queue().readahead_bytes() / 1024);
}

/// Whole pages, as in `queue/read_ahead_kb`, which is the same number.
fn set_read_ahead(device: &Device, bytes: &[u8]) -> Result<()> {
    let kib = value::unsigned(bytes, Radix::Decimal)?;
    let bytes = (kib & !3).checked_mul(1024).and_then(|bytes| u32::try_from(bytes).ok());
    device.disk.queue().set_readahead_bytes(bytes.ok_or(Errno::EINVAL)?);
    Ok(())
}
