//! Very many files in one directory, made, listed, looked up and half of them taken away by a program;
//! under Quill and then listed and looked up under Linux, and the other way round.

use std::path::Path;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, e2fsck_clean, linux, mke2fs, user_program};
use tempfile::TempDir;

use crate::trial;

const FILES: &str = "100000";

pub fn trials() -> Vec<Trial> {
    let judge = linux::available();
    let quills = trial("crowd::a_hundred_thousand_files", || made_by(on_quill, on_linux_if_there));
    let linuxs = trial("crowd::a_hundred_thousand_files_of_linux", || made_by(on_linux, on_quill));
    vec![quills, linuxs.with_ignored_flag(!judge)]
}

/// One makes them, the other walks them.
fn made_by(maker: fn(&Path, &str) -> Verdict, walker: fn(&Path, &str) -> Verdict) -> Verdict {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let (root, disk) = (dir.path().join("root"), dir.path().join("disk"));
    std::fs::create_dir_all(root.join("bin")).map_err(|e| e.to_string())?;
    std::fs::copy(user_program("crowd"), root.join("bin/crowd")).map_err(|e| e.to_string())?;
    let root = root.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(&disk, 128 << 20, &["-t", "ext4", "-b", "4096", "-N", "101000", "-d", root])?;
    maker(&disk, "")?;
    e2fsck_clean(&disk)?;
    walker(&disk, "walk")?;
    e2fsck_clean(&disk)
}

fn on_quill(disk: &Path, verb: &str) -> Verdict {
    let run = Run::new(":/bin/crowd").options(["--disk".as_ref(), disk.as_os_str()]).limit(200);
    let run = run.args([FILES].into_iter().chain((!verb.is_empty()).then_some(verb)));
    run.go_without_disk().ends_with(0)?.says(" 0 did not").map(drop)
}

fn on_linux(disk: &Path, verb: &str) -> Verdict {
    let answers = linux::run(disk, &[format!("/bin/crowd {FILES} {verb}").trim_end()])?;
    let answer = answers.first().ok_or("Linux says nothing")?;
    let held = answer.status == 0 && answer.output.contains(" 0 did not");
    if held { Ok(()) } else { Err(format!("under Linux: status {}\n{}", answer.status, answer.output)) }
}

fn on_linux_if_there(disk: &Path, verb: &str) -> Verdict {
    if linux::available() { on_linux(disk, verb) } else { Ok(()) }
}
