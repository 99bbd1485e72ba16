//! Which disk `root=` means (Linux's `early_lookup_bdev`).
//!
//! | form | the disk |
//! |---|---|
//! | `/dev/vda2` | of that name; `/dev/ram` is `/dev/ram0` |
//! | `PARTUUID=1234abcd-02`, `PARTUUID=<GUID>` | the partition that its table calls so, in either case |
//! | `PARTUUID=<…>/PARTNROFF=n` | n further in the same table; n may be negative |
//! | `PARTLABEL=name` | the first partition that a GPT names so |
//! | `254:2` | of that number, decimal |
//! | `fe02` | of that number, as Linux packs it: minor's low byte, major, the rest of the minor |
//!
//! `UUID=` and `LABEL=` are names of file systems. As in Linux, whose initramfs would look for them, the
//! kernel does not know them.

use alloc::sync::Arc;

use base::DevId;

use crate::disk::Disk;

/// The one of `devices` that `name` means.
pub fn early_lookup(name: &str, devices: &[Arc<Disk>]) -> Option<Arc<Disk>> {
    let found = |is: &dyn Fn(&Disk) -> bool| devices.iter().find(|disk| is(disk)).cloned();
    if let Some(name) = name.strip_prefix("/dev/") {
        let name = if name == "ram" { "ram0" } else { name };
        return found(&|disk| disk.name() == name);
    }
    if let Some(uuid) = name.strip_prefix("PARTUUID=") {
        return by_partuuid(uuid, devices);
    }
    if let Some(label) = name.strip_prefix("PARTLABEL=") {
        return found(&|disk| !label.is_empty() && disk.partlabel() == label);
    }
    let dev = number(name)?;
    found(&|disk| disk.dev() == dev)
}

fn by_partuuid(uuid: &str, devices: &[Arc<Disk>]) -> Option<Arc<Disk>> {
    let (uuid, offset) = match uuid.split_once("/PARTNROFF=") {
        Some((uuid, offset)) => (uuid, offset.parse::<i32>().ok()?),
        None => (uuid, 0),
    };
    let named = devices.iter().find(|disk| {
        let is = disk.partuuid();
        !is.is_empty() && is.eq_ignore_ascii_case(uuid)
    })?;
    let number = named.partno()?.checked_add_signed(offset)?;
    let same_disk = |disk: &&Arc<Disk>| Arc::ptr_eq(disk.gendisk(), named.gendisk());
    devices.iter().filter(same_disk).find(|disk| disk.partno().unwrap_or(0) == number).cloned()
}

/// `254:2`, or `fe02`.
fn number(text: &str) -> Option<DevId> {
    if let Some((major, minor)) = text.split_once(':') {
        return Some(DevId::new(major.parse().ok()?, minor.parse().ok()?));
    }
    let packed = u32::from_str_radix(text, 16).ok()?;
    Some(DevId::decode(packed.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::mbr_for_tests;
    use crate::ramdisk::RamDisk;
    use std::vec::Vec;

    fn devices() -> Vec<Arc<Disk>> {
        let mut bytes = vec![0; 1 << 20];
        bytes[..512].copy_from_slice(&mbr_for_tests(&[(64, 64), (128, 64)]));
        bytes[440..444].copy_from_slice(&0x12ab_34cd_u32.to_le_bytes());
        let disk = Disk::new("vdy", DevId::new(254, 16), RamDisk::new(bytes), "noop").unwrap();
        disk.rescan().unwrap();
        let ram = Disk::new("ram0", DevId::new(1, 0), RamDisk::sparse(8), "noop").unwrap();
        let parts = disk.partitions();
        [disk, ram].into_iter().chain(parts).collect()
    }

    #[test]
    fn each_form_finds_its_disk() {
        let devices = devices();
        let name = |text: &str| early_lookup(text, &devices).map(|disk| disk.name().to_owned());
        use std::borrow::ToOwned;
        for (text, want) in [
            ("/dev/vdy", "vdy"),
            ("/dev/vdy2", "vdy2"),
            ("/dev/ram", "ram0"),
            ("PARTUUID=12AB34cd-02", "vdy2"),
            ("PARTUUID=12ab34cd-01/PARTNROFF=1", "vdy2"),
            ("PARTUUID=12ab34cd-02/PARTNROFF=-1", "vdy1"),
            ("PARTUUID=12ab34cd-02/PARTNROFF=-2", "vdy"),
            ("254:16", "vdy"),
            ("1:0", "ram0"),
            ("fe10", "vdy"),
            ("100", "ram0"),
        ] {
            assert_eq!(name(text).as_deref(), Some(want), "{text}");
        }
        for text in [
            "",
            "vdy",
            "/dev/",
            "PARTUUID=",
            "PARTUUID=12ab34cd-03",
            "PARTLABEL=",
            "UUID=1",
            "254:x",
            "1:2:3",
            "PARTUUID=12ab34cd-01/PARTNROFF=7",
            "PARTUUID=12ab34cd-01/PARTNROFF=-9",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
