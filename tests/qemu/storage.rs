//! Disks that fail, crawl, or cannot be written: the program hears of it at the right call, and the
//! kernel lives. QEMU's own blkdebug and throttle drivers make the trouble.

use std::fs;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, e2fsck_clean, ensure};
use tempfile::TempDir;

use crate::scratch::{self, Disk, ended};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    let tests: [Named; 8] = [
        ("storage::failed_data_write", || once(&after_first_write("file.inject-error.0.once=on"))),
        ("storage::failed_flush", || once(&format!("file.driver=blkdebug,{FLUSH}"))),
        ("storage::unreadable_bitmap", unreadable),
        ("storage::dead_disk", dead),
        ("storage::slow_disk", slow),
        ("storage::late_answer", late),
        ("storage::write_protected", write_protected),
        ("storage::mounted_disk_is_busy", busy),
    ];
    let possible = scratch::possible();
    let rows = FAULTS.iter().map(|row| trial(format!("storage::{}", row.0), move || fault(row)));
    tests.into_iter().map(|(name, test)| trial(name, test).with_ignored_flag(!possible)).chain(rows).collect()
}

/// What goes wrong on a second disk, and what each step of a program then hears of it: name, blkdebug's
/// options, steps, answers.
type Fault = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// Far from where a partition table is looked for: 1 MiB.
const FAULTS: &[Fault] = &[
    (
        "direct_read_once",
        "iotype=read,sector=2048,once=on",
        "open /dev/vdb rd read 1048576 4096 read 1048576 4096 read 0 4096",
        &["read: error 5", "read: 4096 [0]", "read: 4096 [0]"],
    ),
    (
        "direct_read_always",
        "iotype=read,sector=2048,once=off",
        "open /dev/vdb rd read 1048576 4096 read 1044480 8192 read 1048576 4096 read 1052672 4096",
        // What lies before the bad place is read; a short read says so.
        &["read: error 5", "", "read: error 5", "read: 4096 [0]"],
    ),
    (
        "cached_read_once",
        "iotype=read,sector=2048,once=on",
        "open /dev/vdb r read 1048576 4096 read 1048576 4096",
        // The failed read was read-ahead; the page is read again before anybody is told.
        &["read: 4096 [0]", "read: 4096 [0]"],
    ),
    (
        "cached_read_always",
        "iotype=read,sector=2048,once=off",
        "open /dev/vdb r read 1048576 4096 read 1048576 4096 read 2097152 4096",
        &["read: error 5", "read: error 5", "read: 4096 [0]"],
    ),
    (
        "direct_write_once",
        "iotype=write,sector=2048,once=on",
        "open /dev/vdb rwd write 1048576 4096 7 read 1048576 4096 write 1048576 4096 9 read 1048576 4096",
        &["write: error 5", "read: 4096 [0]", "write: 4096", "read: 4096 [9]"],
    ),
    (
        "direct_write_always",
        "iotype=write,sector=2048,once=off",
        "open /dev/vdb rwd write 1048576 4096 7 write 2097152 65536 7 write 1048576 4096 7 fsync",
        &["write: error 5", "write: 65536", "write: error 5", "fsync: 0"],
    ),
    (
        "cached_write_once",
        "iotype=write,sector=2048,once=on",
        "open /dev/vdb rw write 1048576 4096 7 fsync fsync write 1048576 4096 8 fsync",
        &["write: 4096", "fsync: error 5", "fsync: 0", "write: 4096", "fsync: 0"],
    ),
    (
        "cached_write_always",
        "iotype=write,sector=2048,once=off",
        "open /dev/vdb rw write 1048576 4096 7 fsync write 1048576 4096 8 fsync write 2097152 4096 8 fsync",
        // A page that could not be written stays dirty, so every fsync tries it again.
        &["write: 4096", "fsync: error 5", "write: 4096", "fsync: error 5", "write: 4096", "fsync: error 5"],
    ),
    (
        "sync_write_once",
        "iotype=write,sector=2048,once=on",
        "open /dev/vdb rws write 1048576 4096 7 write 1048576 4096 7",
        &["write: error 5", "write: 4096"],
    ),
    (
        "flush_once",
        "iotype=flush,once=on",
        "open /dev/vdb rwd write 1048576 4096 7 fsync fsync",
        &["write: 4096", "fsync: error 5", "fsync: 0"],
    ),
    (
        "flush_always",
        "iotype=flush,once=off",
        "open /dev/vdb rwd write 1048576 4096 7 fsync fsync read 1048576 4096",
        &["write: 4096", "fsync: error 5", "fsync: error 5", "read: 4096 [7]"],
    ),
    (
        "discard_once",
        "iotype=discard,once=on",
        "open /dev/vdb rw discard 1048576 65536 discard 1048576 65536",
        &["discard: error 5", "discard: 0"],
    ),
    (
        "discard_always",
        "iotype=discard,once=off",
        "open /dev/vdb rw discard 1048576 65536 discard 1048576 65536 write 1048576 4096 7 fsync",
        &["discard: error 5", "discard: error 5", "write: 4096", "fsync: 0"],
    ),
];

fn fault(row: &Fault) -> Verdict {
    let (_, inject, steps, want) = row;
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let image = dir.path().join("vdb");
    let file = fs::File::create(&image).map_err(|e| e.to_string())?;
    file.set_len(16 << 20).map_err(|e| e.to_string())?;
    let inject = inject.split(',').map(|option| format!(",file.inject-error.0.{option}")).collect::<String>();
    let node = format!(
        "driver=raw,node-name=d1,discard=unmap,file.driver=blkdebug,file.discard=unmap,\
         file.image.driver=file,file.image.discard=unmap,file.image.filename={},\
         file.inject-error.0.event=none,file.inject-error.0.errno=5{inject}",
        image.display()
    );
    let device = "virtio-blk-device,drive=d1,werror=report,rerror=report";
    let options = ["-blockdev", &node, "-device", device].map(|arg| format!("--qemu-arg={arg}"));
    let run = Run::user("steps").options(options).args(steps.split(' ')).limit(60);
    let outcome = run.go().ends_with(0)?;
    let said: Vec<&str> = outcome.stdout.lines().skip_while(|l| l.starts_with("open")).collect();
    let same = said.len() == want.len() && said.iter().zip(*want).all(|(said, want)| said.contains(want));
    ensure!(same, "it hears {said:?}, want {want:?}\n{outcome}");
    ensure!(outcome.stderr.contains("vdb: I/O error"), "the log does not tell\n{outcome}");
    ensure!(!outcome.stderr.contains("panic"), "a panic\n{outcome}");
    Ok(())
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
    // The blocks come with the fsync.
    let outcome = disk.run(&disk.debugged(&layers), "dd if=/dev/zero of=/new bs=64k count=4 conv=fsync");
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

/// A disk that needs 200 ms for each request: with patience for 50 ms the kernel says what it waits for, and
/// waits.
fn late() -> Verdict {
    let disk = Disk::new()?;
    let path = disk.path();
    let node = format!(
        "driver=throttle,node-name=d0,throttle-group=g,file.driver=raw,file.file.driver=file,\
         file.file.filename={}",
        path.display()
    );
    let slow = ["--qemu-arg=-object", "--qemu-arg=throttle-group,id=g,x-iops-total=5"];
    let script = "echo 50 > /sys/block/vda/queue/io_timeout && echo hello > /new";
    let run = disk.machine(&node, "virtio-blk-device,drive=d0", &slow).args(["sh", "-c", script]);
    let outcome = run.go_without_disk();
    ensure!(outcome.status == 0, "status {}\n{outcome}", outcome.status);
    let told = |line: &str| line.contains("vda: ") && line.contains(" sectors, not answered for 0.");
    ensure!(outcome.stderr.lines().any(told), "the log does not tell\n{outcome}");
    ensure!(disk.content("/new")? == b"hello\n", "the file is not what was written");
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
