//! Extended attributes, lists and flags: the program `xattr` under Quill, and with Linux as the judge of
//! what it made, both ways.

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for shape in ["-b 1024 -I 256", "-b 4096 -I 256", "-b 1024 -I 1024"] {
        trials.push(trial(format!("xattr::program::{shape}"), move || program(shape).map(drop)));
    }
    let judge = linux::available();
    trials.push(trial("xattr::both_ways_with_linux", both_ways).with_ignored_flag(!judge));
    trials
}

fn program(shape: &str) -> Result<qemu_tests::Outcome, String> {
    let run = Run::user("xattr").args(["make", "/q"]).options(["--mkfs", shape, "--size", "64M"]);
    run.go().ends_with(0)?.says(" 0 did not")
}

/// What Quill made, Linux reads; what Linux made, Quill reads. The same program says the same of each.
fn both_ways() -> Verdict {
    for shape in ["-b 1024 -I 256", "-b 4096 -I 256"] {
        let outcome = program(shape)?;
        let disk = outcome.disk().ok_or("no disk")?;
        for answer in linux::run(disk, &["/bin/xattr check /q", "/bin/xattr make /l"])? {
            ensure!(answer.status == 0, "{shape}: {} under Linux\n{}", answer.command, answer.output);
        }
        outcome.disk_is_clean()?;
        let path = disk.to_str().ok_or("a path that is no UTF-8")?;
        let again = Run::new(":/bin/xattr").args(["check", "/l"]).options(["--disk", path]);
        again.go_without_disk().ends_with(0)?.says(" 0 did not")?;
        outcome.disk_is_clean()?;
    }
    Ok(())
}
