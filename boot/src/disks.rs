//! The disks: every virtio block device becomes a disk of the block layer, and some memory too
//! ([`crate::ramdisk`]).

use block::DiskKind;
use block::elevator::{DEFAULT, by_boot_name};
use machine::cmdline::Options;
use machine::devicetree::DeviceTree;
use machine::{pci, virtio};

/// Finds the disks and names them: vda, vdb, …. One that cannot be used is named in the log.
pub fn probe(tree: DeviceTree<'_>, options: &Options) {
    let bus = tree.pci().and_then(|host| {
        pci::init(&host).inspect_err(|error| log::error!("the PCI bus cannot be used: {error}")).ok()
    });
    let elevator = chosen(options);
    for driver in virtio::disks(&tree.virtio_mmio(), bus.as_ref()) {
        match block::register(DiskKind::Virtio, driver, elevator) {
            Ok(disk) => log::info!(
                "{}: {} MiB{}, blocks of {} bytes, elevator {elevator}",
                disk.name(),
                disk.capacity().0 >> 11,
                if disk.read_only() { ", read-only" } else { "" },
                disk.logical_block_size(),
            ),
            Err(error) => log::error!("a disk cannot be used: {error}"),
        }
    }
}

/// The one of `elevator=`, or the default when there is none of that name.
fn chosen(options: &Options) -> &'static str {
    let Some(asked) = options.elevator.as_deref() else { return DEFAULT };
    by_boot_name(asked).unwrap_or_else(|| {
        log::warn!("elevator={asked}: there is no such elevator, taking {DEFAULT}");
        DEFAULT
    })
}
