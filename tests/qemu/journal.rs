//! Journals that Linux left behind when it crashed: Quill replays them, and the disk is what it is when Linux
//! replays its own; e2fsck finds nothing in either.
//!
//! The crash is a reset by sysrq, right after files were made, moved, removed and made durable. What QEMU was
//! given is on the disk; what Linux had in memory is gone.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, debian_arm64, e2fsck_clean, ensure, linux, mke2fs};
use tempfile::TempDir;

use crate::trial;

const SIZE: u64 = 48 << 20;

/// What mke2fs is told: checksums and numbers of all kinds, ext3's journal, fast commits.
const DISKS: [(&str, &[&str]); 5] = [
    ("4k", &["-t", "ext4", "-b", "4096"]),
    ("1k", &["-t", "ext4", "-b", "1024"]),
    ("ext3", &["-t", "ext3", "-b", "2048"]),
    ("32bit", &["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum"]),
    ("fast_commit", &["-t", "ext4", "-b", "1024", "-O", "fast_commit"]),
];

/// Run by busybox's shell under Linux. The last lines are acknowledged by fsync alone, and so are in the log, or
/// in a fast commit; what follows them is in nothing at all.
const SCRIPT: &str = "
b=/bin/busybox
cd /d
i=0
while [ $i -lt 120 ]; do
    echo \"file $i of many\" > f$i
    [ $((i % 7)) = 6 ] && $b rm f$((i / 2 + i % 3))
    [ $((i % 40)) = 39 ] && { $b mkdir s$i; $b mv f$i s$i/moved; $b sync; }
    i=$((i + 1))
done 2>/dev/null
$b dd if=/bin/busybox of=/d/large bs=4096 count=200 2>/dev/null
$b sync
$b rm -r /d/s39
$b ln /d/f100 /d/linked
$b ln -s elsewhere /d/symlink
$b dd if=/bin/busybox of=/d/first bs=1000 count=9 conv=fsync 2>/dev/null
$b dd if=/bin/busybox of=/d/large bs=4096 seek=300 skip=100 count=5 conv=notrunc,fsync 2>/dev/null
$b mv /d/f101 /d/renamed
$b rm /d/f102
$b dd if=/bin/busybox of=/d/second bs=1000 count=3 conv=fsync 2>/dev/null
echo lost > /d/lost
echo b > /proc/sysrq-trigger
";

pub fn trials() -> Vec<Trial> {
    let possible = linux::available() && debian_arm64("bin/busybox").is_some();
    let each = DISKS.iter().map(move |&(name, options)| {
        trial(format!("journal::of_linux_{name}"), move || of_linux(options)).with_ignored_flag(!possible)
    });
    each.collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A disk that Linux was on when it crashed.
fn crashed(dir: &TempDir, options: &[&str]) -> Result<PathBuf, String> {
    let root = dir.path().join("root");
    for name in ["bin", "d", "dev", "proc"] {
        fs::create_dir_all(root.join(name)).map_err(text)?;
    }
    let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
    fs::copy(busybox, root.join("bin/busybox")).map_err(text)?;
    fs::write(root.join("script"), SCRIPT).map_err(text)?;
    let disk = dir.path().join("disk");
    let root = root.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(&disk, SIZE, &[options, &["-d", root]].concat())?;
    linux::crash(&disk, "/bin/busybox sh /script")?;
    let superblock = fs::read(&disk).map_err(text)?;
    // `s_feature_incompat`: needs_recovery.
    ensure!(superblock[1024 + 0x60] & 4 != 0, "the disk needs no recovery");
    Ok(disk)
}

fn of_linux(options: &[&str]) -> Verdict {
    let dir = TempDir::new().map_err(text)?;
    let ours = crashed(&dir, options)?;
    let theirs = dir.path().join("linux.img");
    fs::copy(&ours, &theirs).map_err(text)?;
    let walk = on_quill(&ours)?;
    for name in ["first", "second", "renamed", "large", "linked"] {
        ensure!(walk.lines().any(|line| line == name), "{name} was acknowledged\n{walk}");
    }
    e2fsck_clean(&ours)?;
    let (ours, theirs) = (linux::walk(&ours)?, linux::walk(&theirs)?);
    ours.iter().zip(&theirs).try_for_each(|(ours, theirs)| linux::same(ours, theirs))
}

/// Quill mounts it, and tells what is in /d.
fn on_quill(disk: &Path) -> Result<String, String> {
    let run =
        Run::new(":/bin/busybox").options(["--disk".as_ref(), disk.as_os_str()]).args(["ls", "-1", "/d"]);
    let outcome = run.go_without_disk();
    let said = outcome.stdout.clone();
    outcome.ends_with(0)?;
    Ok(said)
}
