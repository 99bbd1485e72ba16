//! Inode tables that mke2fs left full of old bytes, zeroed in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{DevId, Errno};
use block::{BioOp, Disk, Limits, RamDisk};
use ext4::Ext4Fs;
use pagecache::BlockDevice;
use sim::{Fault, FaultDisk, Image, Machine, Tracer, take_log};
use vfs::{MountFlags, SuperBlock};

/// Groups of a disk of 32 MiB with blocks of 1 KiB, and blocks of each inode table.
const GROUPS: usize = 4;
const ZEROED: u16 = 4;

struct Mounted {
    ram: Arc<RamDisk>,
    faults: Arc<FaultDisk>,
    tracer: Arc<Tracer>,
    fs: Arc<Ext4Fs>,
}

fn mount(image: &Image, options: &str, limits: Limits) -> Mounted {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    sim::quiet();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let ram = RamDisk::with_limits(image.bytes.clone(), limits);
    let faults = FaultDisk::new(ram.clone());
    let tracer = Tracer::new(faults.clone());
    let name = format!("lazy{number}");
    let disk = Disk::new(&name, DevId::new(241, number), tracer.clone(), "noop").unwrap();
    let fs = ext4::mount(&BlockDevice::of(&disk), false, options).unwrap();
    Mounted { ram, faults, tracer, fs }
}

impl Mounted {
    fn unmount(self) -> Image {
        self.fs.unmount().unwrap();
        Image { bytes: self.ram.bytes() }
    }
}

fn limits(zeroes: bool) -> Limits {
    let max_write_zeroes_sectors = if zeroes { u32::MAX } else { 0 };
    Limits { write_cache: true, max_write_zeroes_sectors, ..Limits::default() }
}

fn made(features: &str) -> Image {
    let args = ["-b", "1024", "-O", features, "-E", "lazy_itable_init=1,nodiscard"];
    let image = Image::mkfs_over_garbage(32 << 20, &args).unwrap();
    assert!(groups(&image).iter().any(|g| g.flags & ZEROED == 0), "mke2fs was lazy");
    image
}

struct Group {
    flags: u16,
    unused: usize,
    table: usize,
}

/// The descriptors, of 64 bytes in block 2, with what counts here.
fn groups(image: &Image) -> Vec<Group> {
    let size = u16::from_le_bytes(image.bytes[1024 + 0xfe..][..2].try_into().unwrap()).max(32);
    let half = |at: usize| u16::from_le_bytes(image.bytes[at..at + 2].try_into().unwrap());
    let group = |n: usize| {
        let at = 2048 + n * usize::from(size);
        let table = u32::from_le_bytes(image.bytes[at + 8..at + 12].try_into().unwrap());
        Group { flags: half(at + 0x12), unused: half(at + 0x1c).into(), table: table as usize }
    };
    (0..GROUPS).map(group).collect()
}

/// Whether all that is not used of each table is zeros and said to be.
fn all_zeroed(image: &Image) -> bool {
    let per_group = u32::from_le_bytes(image.bytes[1024 + 0x28..][..4].try_into().unwrap()) as usize;
    let inode_size = usize::from(image.inode_size());
    groups(image).iter().all(|group| {
        let end = group.table * 1024 + per_group * inode_size;
        let used = if group.flags & 1 != 0 { 0 } else { per_group - group.unused };
        let start = (group.table * 1024 + used * inode_size).next_multiple_of(1024);
        group.flags & ZEROED != 0 && image.bytes[start..end].iter().all(|&b| b == 0)
    })
}

#[test]
fn one_table_after_the_other() {
    for (features, zeroes) in
        [("metadata_csum", true), ("metadata_csum,^flex_bg", false), ("^metadata_csum,uninit_bg", false)]
    {
        let mounted = mount(&made(features), "", limits(zeroes));
        let fs = &mounted.fs;
        mounted.tracer.take();
        let mut from = 0;
        let mut count = 0;
        while let Some(group) = fs.init_next_table(from).unwrap() {
            from = group + 1;
            count += 1;
        }
        assert!(count > 0 && from == GROUPS as u32);
        assert_eq!(fs.init_next_table(0), Ok(None));
        let image = mounted.unmount();
        image.fsck().unwrap();
        assert!(all_zeroed(&image), "{features}");
    }
}

/// Zeros, FLUSH, and only then the flag.
#[test]
fn the_flag_comes_last() {
    let image = made("metadata_csum");
    let mounted = mount(&image, "", limits(true));
    mounted.fs.sync(true).unwrap();
    mounted.tracer.take();
    let group = mounted.fs.init_next_table(0).unwrap().unwrap();
    let seen: Vec<BioOp> = mounted.tracer.take().iter().map(|t| t.op).collect();
    assert_eq!(seen, [BioOp::WriteZeroes, BioOp::Flush]);
    // The machine stops here: the table is done again.
    let cut = Image { bytes: mounted.ram.bytes() };
    assert_eq!(groups(&cut)[group as usize].flags & ZEROED, 0);
    mounted.unmount().fsck().unwrap();
    let again = mount(&cut, "", limits(true));
    assert_eq!(again.fs.init_next_table(0), Ok(Some(group)));
    again.unmount();
}

#[test]
fn a_disk_that_fails_keeps_its_flag() {
    let mounted = mount(&made("metadata_csum"), "errors=continue", limits(true));
    mounted.faults.inject(Fault::every(BioOp::WriteZeroes));
    take_log();
    assert_eq!(mounted.fs.init_next_table(0), Err(Errno::EIO));
    assert!(take_log().iter().any(|line| line.contains("unable to zero the inode table")));
    mounted.faults.heal();
    let image = mounted.unmount();
    assert!(groups(&image).iter().any(|g| g.flags & ZEROED == 0));
}

/// Files are made and kept while tables are zeroed.
#[test]
fn what_is_in_use_stays() {
    let machine = Machine::mount(&made("metadata_csum")).unwrap();
    for n in 0..300 {
        machine.write_file(format!("/f{n}"), format!("content {n}").as_bytes()).unwrap();
    }
    let image = machine.unmount().unwrap();
    let mounted = mount(&image, "", limits(true));
    let mut from = 0;
    while let Some(group) = mounted.fs.init_next_table(from).unwrap() {
        from = group + 1;
    }
    let image = mounted.unmount();
    image.fsck().unwrap();
    assert!(all_zeroed(&image));
    assert_eq!(image.cat("/f299").unwrap(), b"content 299");
    let machine = Machine::mount(&image).unwrap();
    machine.write_file("/g", b"g").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}

/// The thread: started by a mount that may, ended by unmount and by a remount read-only.
#[test]
fn the_thread_comes_and_goes() {
    ext4::lazyinit::allow();
    let image = made("metadata_csum");
    let mounted = mount(&image, "", limits(true));
    mounted.fs.remount(MountFlags::RDONLY, "").unwrap();
    mounted.fs.remount(MountFlags::empty(), "noinit_itable").unwrap();
    assert_eq!(SuperBlock::options(&*mounted.fs), ",noinit_itable");
    mounted.fs.remount(MountFlags::empty(), "init_itable=0").unwrap();
    assert_eq!(SuperBlock::options(&*mounted.fs), ",init_itable=0");
    // It has not begun: it waits for seconds, and ends at once when it is told to.
    let after = mounted.unmount();
    assert!(groups(&after).iter().any(|g| g.flags & ZEROED == 0));
    after.fsck().unwrap();
}
