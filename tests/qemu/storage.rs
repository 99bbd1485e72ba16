//! Disks that fail, crawl, or cannot be written: the program hears of it at the right call, and the
//! kernel lives. QEMU's own blkdebug and throttle drivers make the trouble.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, debian_arm64, e2fsck_clean, ensure, mke2fs};
use tempfile::TempDir;

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
    let possible = debian_arm64("bin/busybox").is_some();
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

/// A disk of 64 MiB with busybox on it.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn new() -> Result<Disk, String> {
        let dir = TempDir::new().map_err(|e| e.to_string())?;
        let disk = Disk { dir };
        let tree = disk.dir.path().join("tree");
        let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
        fs::create_dir_all(tree.join("bin")).map_err(|e| e.to_string())?;
        for name in ["dev", "proc"] {
            fs::create_dir(tree.join(name)).map_err(|e| e.to_string())?;
        }
        fs::copy(busybox, tree.join("bin/busybox")).map_err(|e| e.to_string())?;
        mke2fs(&disk.path(), 64 << 20, &["-t", "ext4", "-b", "4096", "-d", &tree.to_string_lossy()])?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Runs busybox on it; `layers` is what lies between the machine and the file, with `file` for it.
    fn run(&self, layers: &str, command: &str) -> Outcome {
        let node = format!("driver=raw,node-name=d0,{layers}");
        self.run_on(&node, command)
    }

    fn run_on(&self, node: &str, command: &str) -> Outcome {
        let device = "virtio-blk-device,drive=d0,werror=report,rerror=report";
        let options = ["--no-disk", "--memory", "32M", "--qemu-arg=-blockdev", "--qemu-arg"];
        let run =
            Run::new(":/bin/busybox").options(options).options([node, "--qemu-arg=-device", "--qemu-arg"]);
        run.options([device]).args(command.split(' ')).limit(120).go_without_disk()
    }
}

/// The disk's file under a layer of blkdebug.
fn debugged(disk: &Disk, layers: &str) -> String {
    format!("{layers},file.image.driver=file,file.image.filename={}", disk.path().display())
}

fn fails_with(outcome: &Outcome, status: i32, text: &str) -> Verdict {
    ensure!(outcome.status == status, "status {}, want {status}\n{outcome}", outcome.status);
    ensure!(outcome.stdout.contains(text), "the program does not say {text:?}\n{outcome}");
    ensure!(!outcome.stderr.contains("panic"), "a panic\n{outcome}");
    Ok(())
}

/// One request fails: fsync says so, and what was written is on the disk in the end.
fn once(layers: &str) -> Verdict {
    let disk = Disk::new()?;
    let outcome = disk.run(&debugged(&disk, layers), "dd if=/dev/zero of=/new bs=64k count=4 conv=fsync");
    fails_with(&outcome, 1, "Input/output error")?;
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
    let outcome = disk.run(&debugged(&disk, &layers), "dd if=/dev/zero of=/new bs=64k count=4");
    fails_with(&outcome, 1, "Input/output error")?;
    e2fsck_clean(&disk.path())
}

/// Nothing can be written any more: a program that writes more than fits the memory is told, soon.
fn dead() -> Verdict {
    let disk = Disk::new()?;
    let layers = debugged(&disk, &after_first_write("file.inject-error.0.once=off"));
    let outcome = disk.run(&layers, "dd if=/dev/zero of=/new bs=64k count=500");
    fails_with(&outcome, 1, "Input/output error")?;
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
    fails_with(&outcome, 1, "Read-only file system")?;
    ensure!(outcome.stderr.contains("write-protected"), "the log does not tell\n{outcome}");
    ensure!(fs::read(&path).is_ok_and(|after| after == before), "the disk has changed");
    Ok(())
}

/// The disk under a mounted file system can be read, not written.
fn busy() -> Verdict {
    let disk = Disk::new()?;
    let node = format!("driver=raw,node-name=d0,file.driver=file,file.filename={}", disk.path().display());
    fails_with(&disk.run_on(&node, "dd if=/dev/zero of=/dev/vda bs=4k count=1"), 1, "busy")?;
    fails_with(&disk.run_on(&node, "blockdev --getsize64 /dev/vda"), 0, "67108864")?;
    fails_with(&disk.run_on(&node, "dd if=/dev/vda of=/dev/null bs=4k count=10"), 0, "10+0 records in")?;
    e2fsck_clean(&disk.path())
}
