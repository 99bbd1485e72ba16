//! What /sys/fs/ext4 shows: the counters of what is mounted, as plain data.

use alloc::vec::Vec;

use sysfs::MountedExt4;

/// The ext4 file systems, in the order in which they were mounted.
pub fn mounted_ext4() -> Vec<MountedExt4> {
    let told = |(number, disk)| {
        let of = ext4::counters(number)?;
        Some(MountedExt4 {
            number,
            disk,
            delayed_allocation_blocks: of.delayed_allocation_blocks,
            session_write_kbytes: of.session_write_kbytes,
            lifetime_write_kbytes: of.lifetime_write_kbytes,
            errors_count: of.errors_count,
        })
    };
    ext4::mounted().into_iter().filter_map(told).collect()
}
