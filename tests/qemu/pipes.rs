//! Pipes, splice and copy_file_range: the program `pipes` under Quill, and under Linux on the same disk.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("pipes::quill", || program().map(drop)),
        trial("pipes::linux", under_linux).with_ignored_flag(!linux::available()),
    ]
}

fn program() -> Result<Outcome, String> {
    Run::user("pipes").args(["/q"]).go().ends_with(0)?.says(" 0 did not")
}

fn under_linux() -> Verdict {
    let outcome = program()?;
    let disk = outcome.disk().ok_or("no disk")?;
    for answer in linux::run(disk, &["/bin/pipes /l"])? {
        ensure!(answer.status == 0, "{} under Linux\n{}", answer.command, answer.output);
    }
    outcome.disk_is_clean()
}
