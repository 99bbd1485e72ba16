//! /sys: all of it can be walked and read; it says of a disk what Linux says; and elevators are
//! switched while a program writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, debian_arm64, debugfs, ensure, linux, mke2fs};
use tempfile::TempDir;

use crate::trial;

/// What differs by nature or by choice: time, what the disk did, what is on it; how large a request
/// may be at most and how far is read ahead.
const OWN: [&str; 8] = [
    "stat",
    "inflight",
    "diskseq",
    "queue/scheduler",
    "queue/max_hw_sectors_kb",
    "queue/max_segment_size",
    "queue/max_segments",
    "queue/read_ahead_kb",
];

pub fn trials() -> Vec<Trial> {
    let busybox = debian_arm64("bin/busybox").is_some();
    let mut trials = vec![
        trial("sysfs::walk", walk).with_ignored_flag(!busybox),
        trial("sysfs::tracing", tracing).with_ignored_flag(!busybox),
        trial("sysfs::linux", as_linux_does).with_ignored_flag(!busybox || !linux::available()),
    ];
    for machine in ["mmio", "pci"] {
        trials.push(trial(format!("sysfs::switch::{machine}"), move || switch(machine)));
    }
    trials
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A disk with busybox and the mount points.
fn make_disk(dir: &Path) -> Result<PathBuf, String> {
    let (tree, disk) = (dir.join("tree"), dir.join("disk"));
    for folder in ["bin", "dev", "proc", "sys"] {
        fs::create_dir_all(tree.join(folder)).map_err(text)?;
    }
    fs::copy(debian_arm64("bin/busybox").ok_or("no busybox")?, tree.join("bin/busybox")).map_err(text)?;
    fs::write(tree.join("trace.sh"), TRACE_SCRIPT).map_err(text)?;
    fs::write(tree.join("unread"), "a line\n".repeat(10_000)).map_err(text)?;
    mke2fs(&disk, 64 << 20, &["-t", "ext4", "-d", &tree.to_string_lossy()])?;
    Ok(disk)
}

/// What busybox prints under Quill, which it must end with status 0.
fn busybox(disk: &Path, arguments: &str) -> Result<String, String> {
    let run = Run::new(":/bin/busybox").options(["--disk".as_ref(), disk.as_os_str()]);
    let run = run.options(["--append", "elevator=deadline"]);
    Ok(run.args(arguments.split(' ')).go_without_disk().ends_with(0)?.stdout)
}

/// Nothing endless, nothing that cannot be read. (trace_pipe waits for its first record.)
fn walk() -> Verdict {
    let dir = TempDir::new().map_err(text)?;
    let disk = make_disk(dir.path())?;
    let found = busybox(&disk, "find /sys")?;
    ensure!(found.lines().count() > 80, "{found}");
    ensure!(found.lines().all(|line| line.starts_with("/sys")), "{found}");
    let filled = busybox(&disk, "grep -r . /sys/block/ /sys/class /sys/devices /sys/dev /sys/fs")?;
    ensure!(filled.contains("/sys/devices/virtual/block/vda/dev:254:0\n"), "{filled}");
    let mounts = busybox(&disk, "cat /proc/mounts /proc/filesystems")?;
    for line in ["sysfs /sys sysfs rw,", "tracefs /sys/kernel/tracing tracefs rw,", "nodev\tsysfs\n"] {
        ensure!(mounts.contains(line), "{line}\n{mounts}");
    }
    let tracing = busybox(&disk, "head -n 1 /sys/kernel/debug/tracing/trace /sys/kernel/tracing/tracing_on")?;
    ensure!(tracing.contains("# tracer: nop\n") && tracing.contains("\n1\n"), "{tracing}");
    Ok(())
}

/// One program follows a read of the disk through the block layer, as with ftrace.
fn tracing() -> Verdict {
    let dir = TempDir::new().map_err(text)?;
    let disk = make_disk(dir.path())?;
    let said = busybox(&disk, "sh /trace.sh")?;
    for event in ["block_bio_queue: 254,0 R", "block_rq_issue: 254,0 R", "[busybox]"] {
        ensure!(said.contains(event), "no {event} in\n{said}");
    }
    ensure!(!said.contains("block_rq_complete"), "{said}");
    let (events, cleared) = said.split_once("cleared\n").ok_or("cut short")?;
    ensure!(events.lines().any(|line| line == "X"), "not in between: {said}");
    ensure!(cleared.contains("entries-in-buffer/entries-written: 0/0"), "{said}");
    ensure!(!cleared.contains("block_rq_issue"), "{said}");
    Ok(())
}

/// Everything by builtins of the shell, since there is one process.
const TRACE_SCRIPT: &str = r#"
cd /sys/kernel/tracing
echo block:block_rq_issue > set_event
echo 'block:block_bio_*' >> set_event
read -r line < /unread
echo 0 > tracing_on
while read -r line; do echo "$line"; done < trace
read -r line < events/block/enable
echo "$line"
echo cleared
echo > trace
while read -r line; do echo "$line"; done < trace
echo > set_event
while read -r line; do echo "$line"; done < set_event
"#;

/// Files of a disk and their values, from `PATH:VALUE` lines. The disk's place among all that were ever
/// there is left out, in uevent too.
fn values(output: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in output.lines() {
        let line = line.strip_prefix("/sys/block/vda/").unwrap_or(line);
        if let Some((name, value)) = line.split_once(':')
            && !value.starts_with("DISKSEQ=")
        {
            all.entry(name).or_default().push(value);
        }
    }
    all
}

/// What both have says the same in both.
fn as_linux_does() -> Verdict {
    let dir = TempDir::new().map_err(text)?;
    let disk = make_disk(dir.path())?;
    let read_all = "grep -r ^ /sys/block/vda/";
    let quill = busybox(&disk, read_all)?;
    let linux = linux::run(&disk, &[&format!("/bin/busybox {read_all}")])?;
    let linux = linux.first().map(|answer| answer.output.as_str()).unwrap_or_default();
    let (quill, linux) = (values(&quill), values(linux));
    let shared: Vec<_> = quill.keys().filter(|name| linux.contains_key(*name)).collect();
    ensure!(shared.len() > 45, "only {shared:?} are in both");
    let differ: Vec<String> = shared
        .into_iter()
        .filter(|name| !OWN.contains(name) && quill.get(**name) != linux.get(**name))
        .map(|name| format!("{name}: Quill {:?}, Linux {:?}", quill.get(name), linux.get(name)))
        .collect();
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    let only: Vec<_> = quill.keys().filter(|name| !linux.contains_key(*name)).collect();
    ensure!(only.iter().all(|name| **name == "queue/io_timeout"), "Linux has not {only:?}");
    Ok(())
}

/// A file is whole that was written while the elevator was switched.
fn switch(machine: &str) -> Verdict {
    let run = Run::user("sysfs").block_size(4096);
    let run = run.options(["--size", "96M", "--memory", "48M", "--machine", machine]);
    let outcome = run.go().ends_with(0)?.says(" 0 did not")?;
    outcome.disk_is_clean()?;
    let dir = TempDir::new().map_err(text)?;
    let out = dir.path().join("out");
    debugfs(outcome.disk().ok_or("no disk")?, &format!("dump /sysfs.out {}", out.display()));
    let bytes = fs::read(out).map_err(text)?;
    ensure!(bytes.len() == 24 << 20, "{} bytes", bytes.len());
    let wrong = bytes.iter().enumerate().find(|(i, byte)| **byte != (7 * (i / 512) + i % 512) as u8);
    ensure!(wrong.is_none(), "the file is wrong at {wrong:?}");
    Ok(())
}
