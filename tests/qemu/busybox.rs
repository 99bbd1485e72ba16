//! Debian's busybox, unmodified: what it prints, how it ends, and what it leaves on the disk are the
//! same as under Linux.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use libtest_mimic::Trial;
use qemu_tests::linux::{self, Answer};
use qemu_tests::{Run, Verdict, debian_arm64, e2fsck_clean, mke2fs};
use tempfile::TempDir;

use crate::trial;

/// One after the other on the same disk; each is a run of its own under Quill.
const COMMANDS: [&str; 34] = [
    "ls -lR /tree",
    "ls -la /tree/sub",
    "dd if=/dev/zero of=/big bs=64k count=512",
    "sha256sum /big",
    "ls -l /tree/none",
    "cp -r /tree /copy",
    "cp -a /tree /kept",
    "find /copy",
    "find /kept -type f -name *.txt",
    "tar cf /tree.tar /tree",
    "sha256sum /tree.tar",
    "tar tvf /tree.tar",
    "mkdir -p /out/of/the/way",
    "tar xf /tree.tar -C /out",
    "sha256sum /out/tree/large.bin /copy/large.bin /tree/large.bin",
    "rm -r /copy",
    "find /copy",
    "mv /out/tree /moved",
    "du -a /moved",
    "cat /moved/hello.txt",
    "wc /moved/sub/numbers.txt",
    "sort -rn /moved/sub/numbers.txt",
    "grep -rn seven /tree",
    "cmp /tree/large.bin /moved/large.bin",
    "dd if=/tree/large.bin of=/big bs=1000 seek=33 count=50 conv=notrunc",
    "sha256sum /big",
    "truncate -s 100000 /big",
    "chmod -R go-rwx /moved",
    "ln -s ../tree /moved/link",
    "ls -1R /moved/sub",
    "readlink -f /moved/link",
    "rm -rf /out /tree.tar",
    "find / -xdev",
    "false",
];

pub fn trials() -> Vec<Trial> {
    let possible = debian_arm64("bin/busybox").is_some() && linux::available();
    [1024, 4096]
        .into_iter()
        .map(|block| trial(format!("busybox::{block}"), move || compare(block)).with_ignored_flag(!possible))
        .collect()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A tree with a bit of everything, every time set, so that it looks the same everywhere.
fn make_tree(root: &Path, busybox: &Path) -> std::io::Result<()> {
    for folder in ["bin", "dev", "proc", "tree/sub/deeper", "tree/empty"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox, root.join("bin/busybox"))?;
    let tree = root.join("tree");
    fs::write(tree.join("hello.txt"), "hello from the host\n")?;
    fs::write(
        tree.join("sub/numbers.txt"),
        (0..500).map(|n| format!("{}\n", n * 7919 % 1000)).collect::<String>(),
    )?;
    fs::write(tree.join("sub/deeper/words.txt"), "five\nsix\nseven\neight\n")?;
    fs::write(tree.join("empty.txt"), "")?;
    let noise: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(tree.join("large.bin"), noise)?;
    symlink("hello.txt", tree.join("short-link"))?;
    symlink("/".to_owned() + &"long/".repeat(20) + "end", tree.join("long-link"))?;
    fs::hard_link(tree.join("hello.txt"), tree.join("sub/second-name.txt"))?;
    fs::set_permissions(tree.join("sub/deeper/words.txt"), fs::Permissions::from_mode(0o6751))
}

fn compare(block: u32) -> Verdict {
    let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
    let dir = TempDir::new().map_err(text)?;
    let root = dir.path().join("root");
    make_tree(&root, &busybox).map_err(text)?;
    let quill_disk = dir.path().join("quill.img");
    let root = root.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(&quill_disk, 96 << 20, &["-t", "ext4", "-b", &block.to_string(), "-d", root])?;
    let linux_disk = dir.path().join("linux.img");
    fs::copy(&quill_disk, &linux_disk).map_err(text)?;

    let commands: Vec<String> = COMMANDS.iter().map(|c| format!("/bin/busybox {c}")).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let linux = linux::run(&linux_disk, &commands)?;
    let mut differences = Vec::new();
    for (command, linux) in COMMANDS.iter().zip(&linux) {
        let quill = run_quill(&quill_disk, command)?;
        e2fsck_clean(&quill_disk).map_err(|e| format!("after {command}: {e}"))?;
        differences.extend(linux::same(&quill, linux).err());
    }
    if differences.is_empty() {
        differences.extend(same_disks(&quill_disk, &linux_disk).err());
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn run_quill(disk: &Path, command: &str) -> Result<Answer, String> {
    let run = Run::new(":/bin/busybox").options(["--disk".as_ref(), disk.as_os_str()]);
    let outcome = run.options(["--memory", "64M"]).args(command.split(' ')).go_without_disk();
    if outcome.status >= 124 {
        return Err(format!("{command}\n{outcome}"));
    }
    Ok(Answer { command: command.to_owned(), output: outcome.stdout, status: outcome.status })
}

/// Linux finds the same on both disks.
fn same_disks(quill: &Path, linux: &Path) -> Verdict {
    for (on_quills, on_linuxs) in linux::walk(quill)?.iter().zip(&linux::walk(linux)?) {
        linux::same(on_quills, on_linuxs)?;
    }
    Ok(())
}
