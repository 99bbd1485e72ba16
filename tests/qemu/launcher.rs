//! `quill run` as a user meets it, with a real kernel behind it.

use std::fs;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, debugfs, ensure, mke2fs, user_program};
use tempfile::TempDir;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("launcher::environment", environment),
        trial("launcher::standard_input", standard_input),
        trial("launcher::odd_arguments", odd_arguments),
        trial("launcher::root_folder", root_folder),
        trial("launcher::own_disk", own_disk),
        trial("launcher::exit_status", exit_status),
        trial("launcher::timeout_keeps_the_disk", timeout_keeps_the_disk),
    ]
}

fn environment() -> Verdict {
    let outcome = Run::user("echo").options(["--env", "HOME=/root", "--env", "GREETING=good day"]).go();
    outcome.ends_with(0)?.says("env HOME=/root\n")?.says("env GREETING=good day\n").map(drop)
}

fn standard_input() -> Verdict {
    let outcome = Run::user("echo").args(["-"]).stdin(b"one\ntwo \x10 three\n").go().ends_with(0)?;
    outcome.says("stdin one\n")?.says("stdin two \x10 three\n")?.says("end of input\n").map(drop)
}

fn odd_arguments() -> Verdict {
    let args = ["a b", "", "quo\"te", "%41", "--", "-x", "new\nline", "ünïcode"];
    let mut outcome = Run::user("echo").args(args).go().ends_with(0)?;
    for (i, arg) in args.iter().enumerate() {
        outcome = outcome.says(&format!("arg {}={arg}\n", i + 1))?;
    }
    Ok(())
}

fn root_folder() -> Verdict {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    fs::write(dir.path().join("seen.txt"), "from the host").map_err(|e| e.to_string())?;
    let outcome = Run::user("demo").options(["--root".as_ref(), dir.path().as_os_str()]).go().ends_with(0)?;
    let disk = outcome.disk().ok_or("no disk")?;
    let seen = debugfs(disk, "cat /seen.txt");
    ensure!(seen.contains("from the host"), "seen.txt: {seen}");
    let left: Vec<_> = fs::read_dir(dir.path()).map_err(|e| e.to_string())?.flatten().collect();
    ensure!(left.len() == 1, "the folder was changed: {left:?}");
    Ok(())
}

/// Two runs on one disk: the second finds what the first left.
fn own_disk() -> Verdict {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let disk = dir.path().join("own");
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("dev")).map_err(|e| e.to_string())?;
    let tree = tree.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(&disk, 32 << 20, &["-t", "ext4", "-L", "own", "-d", tree])?;
    let on_it = |run: Run| run.options(["--disk".as_ref(), disk.as_os_str()]);
    for program in ["demo", "files", "demo"] {
        on_it(Run::user(program)).go_without_disk().ends_with(0)?;
        qemu_tests::e2fsck_clean(&disk)?;
    }
    on_it(Run::new(":/bin/demo")).go_without_disk().ends_with(0)?;
    qemu_tests::e2fsck_clean(&disk)
}

fn exit_status() -> Verdict {
    for status in [0, 1, 42, 255] {
        Run::user("echo").args(["--exit".to_owned(), status.to_string()]).go().ends_with(status)?;
    }
    let missing = Run::new(user_program("no-such-program")).go_without_disk();
    ensure!(missing.status == 125, "{missing}");
    Ok(())
}

fn timeout_keeps_the_disk() -> Verdict {
    let outcome = Run::user("wild").args(["loop"]).limit(4).go();
    ensure!(outcome.status == 124, "status {}\n{outcome}", outcome.status);
    ensure!(outcome.disk().is_some_and(|d| d.exists()), "the disk is gone\n{outcome}");
    Ok(())
}
