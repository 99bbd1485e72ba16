//! The corners of file systems: the program `corners` under Quill, and under Linux on the same disk.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let judge = linux::available();
    vec![
        trial("corners::program", || program().map(drop)),
        trial("corners::program_under_linux", under_linux).with_ignored_flag(!judge),
    ]
}

fn program() -> Result<Outcome, String> {
    let run = Run::user("corners").args(["/q"]).options(["--mkfs", "-b 4096", "--size", "64M"]);
    run.go().ends_with(0)?.says(" 0 did not")
}

/// The judge says the same of each call, and e2fsck of what both left.
fn under_linux() -> Verdict {
    let outcome = program()?;
    let disk = outcome.disk().ok_or("no disk")?;
    for answer in linux::run(disk, &["/bin/corners /l"])? {
        ensure!(answer.status == 0, "{} under Linux\n{}", answer.command, answer.output);
    }
    outcome.disk_is_clean()?;
    Ok(())
}
