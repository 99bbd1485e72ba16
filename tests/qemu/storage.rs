//! Disks that fail, crawl, or cannot be written: the program hears of it at the right call, and the
//! kernel lives. QEMU's own blkdebug and throttle drivers make the trouble.

use std::fs;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, e2fsck_clean, ensure};

use crate::scratch::{self, Disk, ended};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    let tests: [Named; 7] = [
        ("storage::failed_data_write", || once(&after_first_write("file.inject-error.0.once=on"))),
        ("storage::failed_flush", || once(&format!("file.driver=blkdebug,{FLUSH}"))),
        ("storage::unreadable_bitmap", unreadable),
        ("storage::dead_disk", dead),
        ("storage::slow_disk", slow),
        ("storage::write_protected", write_protected),
        ("storage::mounted_disk_is_busy", busy),
    ];
    let possible = scratch::possible();
    tests.into_iter().map(|(name, test)| trial(name, test).with_ignored_flag(!possible)).collect()
}

/// A test by name.
type Named = (&'static str, fn() -> Verdict);

const FLUSH: &str = "file.inject-error.0.event=flush_to_disk,file.inject-error.0.errno=5,\
                     file.inject-error.0.once=on,file.set-state.0.event=flush_to_disk,file.set-state.0.state=1,\
                     file.set-state.0.new_state=2,file.inject-error.0.state=2";

/// Writes fail after the first, which marks the disk as mounted.
fn after_first_write(more: &str) -> String {
    format!(
        "file.driver=blkdebug,file.set-state.0.event=write_aio,file.set-state.0.state=1,\
         file.set-state.0.new_state=2,file.inject-error.0.event=write_aio,file.inject-error.0.errno=5,\
         file.inject-error.0.iotype=write,file.inject-error.0.state=2,{more}"
    )
}

/// One request fails: fsync says so, and what was written is on the disk in the end.
fn once(layers: &str) -> Verdict {
    let disk = Disk::new()?;
    let outcome = disk.run(&disk.debugged(layers), "dd if=/dev/zero of=/new bs=64k count=4 conv=fsync");
    ended(&outcome, 1, "Input/output error")?;
    ensure!(outcome.stderr.contains("vda: I/O error"), "the log does not tell\n{outcome}");
    e2fsck_clean(&disk.path())
}

fn unreadable() -> Verdict {
    let disk = Disk::new()?;
    let text = qemu_tests::debugfs(&disk.path(), "stats");
    let words: Vec<&str> = text.split_whitespace().collect();
    let at =
        words.windows(4).find(|w| w[..3] == ["block", "bitmap", "at"]).map(|w| w[3].trim_end_matches(','));
    let block: u64 = at.and_then(|n| n.parse().ok()).ok_or(format!("no block bitmap in\n{text}"))?;
    let layers = format!(
        "file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.errno=5,\
         file.inject-error.0.iotype=read,file.inject-error.0.sector={}",
        block * 8
    );
    let outcome = disk.run(&disk.debugged(&layers), "dd if=/dev/zero of=/new bs=64k count=4");
    ended(&outcome, 1, "Input/output error")?;
    e2fsck_clean(&disk.path())
}

/// Nothing can be written any more: a program that writes more than fits the memory is told, soon.
fn dead() -> Verdict {
    let disk = Disk::new()?;
    let layers = disk.debugged(&after_first_write("file.inject-error.0.once=off"));
    let outcome = disk.run(&layers, "dd if=/dev/zero of=/new bs=64k count=500");
    ended(&outcome, 1, "Input/output error")?;
    ensure!(outcome.stderr.contains("nothing can be written any more"), "the log does not tell\n{outcome}");
    ensure!(outcome.stderr.lines().count() < 100, "too much in the log\n{outcome}");
    Ok(())
}

fn slow() -> Verdict {
    let disk = Disk::new()?;
    let path = disk.path();
    let node = format!(
        "driver=throttle,node-name=d0,throttle-group=g,file.driver=raw,file.file.driver=file,\
         file.file.filename={}",
        path.display()
    );
    let options = ["--qemu-arg=-object", "--qemu-arg=throttle-group,id=g,x-iops-total=50"];
    let device = "--qemu-arg=virtio-blk-device,drive=d0";
    let run = Run::new(":/bin/busybox").options(["--no-disk", "--memory", "32M"]).options(options);
    let run = run.options(["--qemu-arg=-blockdev".into(), format!("--qemu-arg={node}")]);
    let outcome = run
        .options(["--qemu-arg=-device", device])
        .args(["dd", "if=/dev/zero", "of=/new", "bs=64k", "count=200", "conv=fsync"])
        .go_without_disk();
    ensure!(outcome.status == 0, "status {}\n{outcome}", outcome.status);
    e2fsck_clean(&path)
}

fn write_protected() -> Verdict {
    let disk = Disk::new()?;
    let before = fs::read(disk.path()).map_err(|e| e.to_string())?;
    let path = disk.path();
    let node =
        format!("driver=raw,node-name=d0,read-only=on,file.driver=file,file.filename={}", path.display());
    let outcome = disk.run_on(&node, "touch /new");
    ended(&outcome, 1, "Read-only file system")?;
    ensure!(outcome.stderr.contains("write-protected"), "the log does not tell\n{outcome}");
    ensure!(fs::read(&path).is_ok_and(|after| after == before), "the disk has changed");
    Ok(())
}

/// The disk under a mounted file system can be read, not written.
fn busy() -> Verdict {
    let disk = Disk::new()?;
    let node = format!("driver=raw,node-name=d0,file.driver=file,file.filename={}", disk.path().display());
    ended(&disk.run_on(&node, "dd if=/dev/zero of=/dev/vda bs=4k count=1"), 1, "busy")?;
    ended(&disk.run_on(&node, "blockdev --getsize64 /dev/vda"), 0, "67108864")?;
    ended(&disk.run_on(&node, "dd if=/dev/vda of=/dev/null bs=4k count=10"), 0, "10+0 records in")?;
    e2fsck_clean(&disk.path())
}
