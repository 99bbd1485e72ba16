//! Everything that QEMU's virtio-blk can offer or withhold: with each, a random file is read, written,
//! synced, and is on the disk as it should be.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, e2fsck_clean, ensure};

use crate::scratch::{self, Disk, ended};
use crate::trial;

/// A test: its name, `--machine`, the device with its properties, further options.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const MMIO: &str = "virtio-blk-device";
const PCI: &str = "virtio-blk-pci";

const ROWS: &[Row] = &[
    ("mmio_modern", "mmio", MMIO, &[]),
    ("mmio_legacy", "mmio-legacy", MMIO, &[]),
    ("pci_transitional", "pci", PCI, &[]),
    ("pci_modern", "pci", "virtio-blk-pci,disable-legacy=on,disable-modern=off", &[]),
    ("mmio_queues_4", "mmio", "virtio-blk-device,num-queues=4", &["--cpus", "4"]),
    ("pci_queues_4", "pci", "virtio-blk-pci,num-queues=4", &["--cpus", "4"]),
    ("mmio_queue_size_8", "mmio", "virtio-blk-device,queue-size=8", &[]),
    ("mmio_queue_size_1024", "mmio", "virtio-blk-device,queue-size=1024", &[]),
    ("legacy_queue_size_1024", "mmio-legacy", "virtio-blk-device,queue-size=1024", &[]),
    ("pci_queue_size_8", "pci", "virtio-blk-pci,queue-size=8", &[]),
    ("pci_queue_size_64", "pci", "virtio-blk-pci,queue-size=64", &[]),
    ("pci_queue_size_1024", "pci", "virtio-blk-pci,queue-size=1024", &[]),
    ("no_indirect", "mmio", "virtio-blk-device,indirect_desc=off", &[]),
    ("no_indirect_short", "pci", "virtio-blk-pci,indirect_desc=off,queue-size=16", &[]),
    ("no_event_idx", "mmio", "virtio-blk-device,event_idx=off", &[]),
    ("neither", "pci", "virtio-blk-pci,event_idx=off,indirect_desc=off", &[]),
    ("config_wce_off", "mmio", "virtio-blk-device,config-wce=off", &[]),
    ("write_cache_on", "mmio", "virtio-blk-device,write-cache=on", &[]),
    ("write_cache_off", "mmio", "virtio-blk-device,write-cache=off", &[]),
    ("write_through", "mmio", "virtio-blk-device,write-cache=off,config-wce=off", &[]),
    ("discard_off", "mmio", "virtio-blk-device,discard=off,write-zeroes=off", &[]),
    ("discard_granules", "mmio", "virtio-blk-device,discard_granularity=65536,max-discard-sectors=64", &[]),
    ("seg_max_fixed", "mmio", "virtio-blk-device,seg-max-adjust=off", &[]),
    ("blocks_of_4096", "mmio", "virtio-blk-device,logical_block_size=4096,physical_block_size=4096", &[]),
    ("physical_4096", "mmio", "virtio-blk-device,physical_block_size=4096,opt_io_size=65536", &[]),
    ("serial", "mmio", "virtio-blk-device,serial=a-serial-of-20-bytes", &[]),
    ("packed_is_refused", "mmio", "virtio-blk-device,packed=on", &[]),
    // MMIO has none under emulation.
    (
        "pci_iothread",
        "pci",
        "virtio-blk-pci,iothread=io",
        &["--qemu-arg=-object", "--qemu-arg=iothread,id=io"],
    ),
];

pub fn trials() -> Vec<Trial> {
    let rows =
        ROWS.iter().map(|row| trial(format!("virtio::{}", row.0), move || works(row))).collect::<Vec<_>>();
    let others = [trial("virtio::pci_legacy_only", legacy_pci)];
    let all = rows.into_iter().chain(others);
    all.map(|trial| trial.with_ignored_flag(!scratch::possible())).collect()
}

/// Bytes that no kernel has guessed.
fn noise(len: usize) -> Vec<u8> {
    let seed = RandomState::new();
    let words = (0..len.div_ceil(8)).flat_map(|n| {
        let mut hasher = seed.build_hasher();
        hasher.write_usize(n);
        hasher.finish().to_le_bytes()
    });
    words.take(len).collect()
}

fn machine(disk: &Disk, row: &Row) -> Run {
    let (_, machine, device, more) = row;
    let device = format!("{device},drive=d0,werror=report,rerror=report");
    disk.machine(&disk.plain_node(), &device, more).options(["--machine", machine])
}

fn works(row: &Row) -> Verdict {
    let pattern = noise(5_000_000);
    let disk = Disk::with(|root| fs::write(root.join("in"), &pattern))?;
    let copy = "dd if=/in of=/out bs=300k conv=fsync";
    let outcome = machine(&disk, row).args(copy.split(' ')).go_without_disk();
    ended(&outcome, 0, "")?;
    ensure!(!outcome.stderr.contains("I/O error"), "errors\n{outcome}");
    e2fsck_clean(&disk.path())?;
    ensure!(disk.content("/out")? == pattern, "/out is not what /in is\n{outcome}");
    Ok(())
}

/// A device with nothing but the legacy interface of PCI, which lies in I/O ports, is named and left
/// out.
fn legacy_pci() -> Verdict {
    let disk = Disk::new()?;
    let row: Row = ("", "pci", "virtio-blk-pci,disable-modern=on,disable-legacy=off", &[]);
    let outcome = machine(&disk, &row).args(["true"]).go_without_disk();
    ended(&outcome, 125, "")?;
    let told = outcome.stderr.contains("a disk that cannot be used");
    ensure!(told, "the log does not tell\n{outcome}");
    Ok(())
}
