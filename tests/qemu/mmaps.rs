//! Shared mappings of files: the program `mmaps` under Quill, and under Linux on the same disk.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, debugfs, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let judge = linux::available();
    let mut trials = vec![trial("mmaps::linux", under_linux).with_ignored_flag(!judge)];
    trials.push(trial("mmaps::larger_than_memory", larger_than_memory));
    for block_size in [1024, 4096] {
        trials.push(trial(format!("mmaps::quill::{block_size}"), move || quill(block_size)));
        trials.push(trial(format!("mmaps::journal::{block_size}"), move || journal(block_size)));
    }
    trials
}

fn program(block_size: u32) -> Result<Outcome, String> {
    let run = Run::user("mmaps").block_size(block_size).options(["--size", "64M"]);
    run.args(["/", "zeros"]).go().ends_with(0)?.says(" 0 did not")
}

/// What was stored and never synced is on the disk when the program has ended.
fn quill(block_size: u32) -> Verdict {
    let outcome = program(block_size)?;
    let disk = outcome.disk().ok_or("no disk")?;
    let kept = debugfs(disk, "cat /kept");
    let told = |what: &str| kept.contains(what);
    ensure!(told("..stored and never synced..") && told("..!"), "kept: {} bytes", kept.len());
    outcome.disk_is_clean()
}

/// The same with the data in the journal.
fn journal(block_size: u32) -> Verdict {
    let run = Run::user("mmaps").block_size(block_size).options(["--size", "64M"]);
    let run = run.options(["--append", "rootflags=data=journal"]).args(["/", "zeros", "journal"]);
    run.go().ends_with(0)?.says(" 0 did not").map(drop)
}

/// Pages that are mapped go when memory is short, and come back.
fn larger_than_memory() -> Verdict {
    let run = Run::user("mmaps").options(["--size", "96M", "--memory", "32M"]).limit(200);
    run.args(["/", "large"]).go().ends_with(0)?.says(" 0 did not")?.disk_is_clean()
}

/// The program runs under Linux too; it keeps what was stored behind the end of a file.
fn under_linux() -> Verdict {
    let outcome = program(4096)?;
    let disk = outcome.disk().ok_or("no disk")?;
    for answer in linux::run(disk, &["/bin/mmaps /"])? {
        ensure!(answer.status == 0, "{} under Linux\n{}", answer.command, answer.output);
    }
    outcome.disk_is_clean()
}
