//! fallocate and FIEMAP: the program `fallocate` under Quill, and under Linux on the same disk; and where the
//! blocks of a file without extents lie before and after they have a place.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let judge = linux::available();
    vec![
        trial("fallocate::program", || program().map(drop)),
        trial("fallocate::program_under_linux", under_linux).with_ignored_flag(!judge),
        trial("fallocate::delayed_pointers", delayed_pointers).with_ignored_flag(!judge),
    ]
}

fn program() -> Result<Outcome, String> {
    let run = Run::user("fallocate").args(["/q"]).options(["--mkfs", "-b 4096", "--size", "64M"]);
    run.go().ends_with(0)?.says(" 0 did not")
}

/// Flags 6 are DELALLOC and UNKNOWN, 1000 MERGED, 1 LAST.
fn delayed_pointers() -> Verdict {
    let steps = |file: &str| format!("open {file} rwc write 0 20480 7 write 8000000 4096 7 map fsync map");
    let run = Run::user("steps").args(steps("/q").split(' '));
    let run = run.options(["--mkfs", "-b 4096 -O ^extent,^64bit", "--size", "64M"]);
    let outcome = run.go().ends_with(0)?;
    let ours: Vec<&str> = outcome.stdout.lines().skip(1).collect();
    ensure!(ours.contains(&"0+20:6 7812+8:7 map: 0"), "{ours:?}");
    for answer in linux::run(outcome.disk().ok_or("no disk")?, &[&format!("/bin/steps {}", steps("/l"))])? {
        let theirs: Vec<&str> = answer.output.lines().skip(1).collect();
        ensure!(ours == theirs, "Quill {ours:?}, Linux {theirs:?}");
    }
    outcome.disk_is_clean()
}

/// The judge says the same of each call, and e2fsck of what both left.
fn under_linux() -> Verdict {
    let outcome = program()?;
    let disk = outcome.disk().ok_or("no disk")?;
    for answer in linux::run(disk, &["/bin/fallocate /l"])? {
        ensure!(answer.status == 0, "{} under Linux\n{}", answer.command, answer.output);
    }
    outcome.disk_is_clean()?;
    Ok(())
}
