//! What a remount changes of the journal, and what it does not.

use base::Errno;
use block::BioOp;
use sim::{Image, Machine, Options};
use vfs::MountFlags;

fn machine(options: &str) -> Machine {
    let image = Image::mkfs(16 << 20, &["-b", "4096"]).unwrap();
    Machine::mount_with(&image, &Options { options: options.into(), ..Options::default() }).unwrap()
}

fn remount(machine: &Machine, options: &str) -> base::Result<()> {
    machine.vfs_mount().superblock().remount(MountFlags::empty(), options)
}

/// What of a new file's fsync reaches beyond the device's cache.
fn flushes(machine: &Machine, name: &str) -> usize {
    machine.tracer().take();
    machine.write_file(name, &[1; 4096]).unwrap();
    machine.fsync(name).unwrap();
    let sent = machine.tracer().take();
    sent.iter().filter(|t| t.op == BioOp::Flush || t.flags.intersects(FLUSHING)).count()
}

const FLUSHING: block::BioFlags = block::BioFlags::PREFLUSH.union(block::BioFlags::FUA);

#[test]
fn barriers_come_and_go() {
    let machine = machine("");
    assert!(flushes(&machine, "/a") > 0);
    remount(&machine, "nobarrier").unwrap();
    assert_eq!(flushes(&machine, "/b"), 0);
    remount(&machine, "barrier").unwrap();
    assert!(flushes(&machine, "/c") > 0);
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn what_cannot_change_is_refused_or_stays() {
    let machine = machine("data=writeback");
    let shown = || machine.vfs_mount().superblock().options();
    assert_eq!(remount(&machine, "data=ordered"), Err(Errno::EINVAL));
    assert_eq!(remount(&machine, "data=journal"), Err(Errno::EINVAL));
    assert_eq!(remount(&machine, "data=ordered,journal_async_commit"), Err(Errno::EINVAL));
    remount(&machine, "data=writeback,commit=17,min_batch_time=3").unwrap();
    assert_eq!(shown(), ",commit=17,min_batch_time=3,data=writeback");
    remount(&machine, "journal_async_commit").unwrap();
    assert_eq!(shown(), ",commit=17,min_batch_time=3,data=writeback");
    machine.unmount().unwrap().fsck().unwrap();
}
