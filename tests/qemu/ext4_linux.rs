//! Linux as the judge of ext4, both ways: what Quill wrote, Debian's arm64 Linux walks; what Linux
//! wrote, Quill walks. `user/src/bin/tree.rs` makes the tree and walks it: names, modes, owners,
//! links, sizes, times to the nanosecond, extended attributes, SHA-256 of contents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use qemu_tests::linux;
use qemu_tests::{Run, Verdict, e2fsck_clean, mke2fs, user_program};
use tempfile::TempDir;

use crate::trial;

/// What mke2fs is told.
const DISKS: [(&str, &[&str]); 3] = [
    ("4k", &["-t", "ext4", "-b", "4096"]),
    ("1k", &["-t", "ext4", "-b", "1024"]),
    ("2k-plain", &["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,^64bit,^flex_bg"]),
];
const SIZE: u64 = 96 << 20;

pub fn trials() -> Vec<Trial> {
    let judge = linux::available();
    let both = DISKS.iter().map(move |&(name, options)| {
        trial(format!("ext4_linux::{name}"), move || both_ways(options)).with_ignored_flag(!judge)
    });
    both.collect()
}

/// A fresh disk with the program on it.
fn disk(dir: &TempDir, name: &str, options: &[&str]) -> Result<PathBuf, String> {
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("bin")).map_err(|e| e.to_string())?;
    std::fs::copy(user_program("tree"), root.join("bin/tree")).map_err(|e| e.to_string())?;
    let disk = dir.path().join(name);
    let root = root.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(&disk, SIZE, &[options, &["-d", root]].concat())?;
    Ok(disk)
}

/// The program's lines under Quill, after which the disk is clean.
fn on_quill(disk: &Path, verb: &str) -> Result<BTreeSet<String>, String> {
    let run = Run::new(":/bin/tree").options(["--disk".as_ref(), disk.as_os_str()]).args([verb, "/t"]);
    let outcome = run.go_without_disk();
    let lines = lines(&outcome.stdout);
    outcome.ends_with(0)?;
    e2fsck_clean(disk)?;
    Ok(lines)
}

/// The same under Linux.
fn on_linux(disk: &Path, verb: &str) -> Result<BTreeSet<String>, String> {
    let answers = linux::run(disk, &[&format!("/bin/tree {verb} /t")])?;
    let answer = answers.first().ok_or("Linux says nothing")?;
    if answer.status != 0 {
        return Err(format!("under Linux: status {}\n{}", answer.status, answer.output));
    }
    e2fsck_clean(disk)?;
    Ok(lines(&answer.output))
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.starts_with("/t")).map(|line| line.trim_end().to_owned()).collect()
}

fn both_ways(options: &[&str]) -> Verdict {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let (quills, linuxs) = (disk(&dir, "quill.img", options)?, disk(&dir, "linux.img", options)?);
    let made_by_quill = on_quill(&quills, "both")?;
    same("what Quill made, walked by Quill, then by Linux", &made_by_quill, &on_linux(&quills, "walk")?)?;
    let made_by_linux = on_linux(&linuxs, "both")?;
    same("what Linux made, walked by Linux, then by Quill", &made_by_linux, &on_quill(&linuxs, "walk")?)?;
    // What the program chose is the same on both; the times that nobody set are not.
    same("Quill's tree, then Linux's", &chosen(&made_by_quill), &chosen(&made_by_linux))
}

fn chosen(lines: &BTreeSet<String>) -> BTreeSet<String> {
    let of_line = |line: &String| {
        let line = line.split(" | ").next().unwrap_or(line);
        match line.split_once(" mtime ") {
            Some((before, after)) => {
                format!("{before} {}", after.split_once(' ').map_or(after, |(_, content)| content))
            }
            None => line.to_owned(),
        }
    };
    lines.iter().map(of_line).collect()
}

fn same(what: &str, one: &BTreeSet<String>, other: &BTreeSet<String>) -> Verdict {
    if one == other && one.len() > 500 {
        return Ok(());
    }
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b).take(20).cloned().collect::<Vec<_>>().join("\n")
    };
    Err(format!(
        "{what}: {} and {} lines\n--- the first alone\n{}\n--- the second alone\n{}",
        one.len(),
        other.len(),
        only(one, other),
        only(other, one)
    ))
}
