//! More file than memory, and what is told the page cache: the program `pressure` under Quill, and what
//! it says of advice under Linux too.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    // It takes longer and more room than the others: `make test-big`.
    let big = std::env::var_os("QUILL_BIG").is_some();
    vec![
        trial("pressure::256_mib_in_64", || memory(256, "64M")),
        trial("pressure::96_mib_in_32", || memory(96, "32M")),
        trial("pressure::2_gib_in_64", || memory(2048, "64M")).with_ignored_flag(!big),
        trial("pressure::advice_quill", || advice().map(drop)),
        trial("pressure::advice_linux", advice_under_linux).with_ignored_flag(!linux::available()),
    ]
}

fn memory(mib: u64, machine: &str) -> Verdict {
    let size = format!("{}M", mib + mib / 8 + 64);
    let run = Run::user("pressure").options(["--size", &size, "--mkfs", "-b 4096", "--memory", machine]);
    let run = run.args(["memory", "/large", &mib.to_string()]).limit(290);
    run.go().ends_with(0)?.says(" 0 did not")?.disk_is_clean()
}

fn advice() -> Result<Outcome, String> {
    let run = Run::user("pressure").options(["--mkfs", "-b 4096"]).args(["advice", "/q"]);
    run.go().ends_with(0)?.says(" 0 did not")
}

fn advice_under_linux() -> Verdict {
    let outcome = advice()?;
    let disk = outcome.disk().ok_or("no disk")?;
    for answer in linux::run(disk, &["/bin/pressure advice /l"])? {
        ensure!(answer.status == 0, "{} under Linux\n{}", answer.command, answer.output);
    }
    outcome.disk_is_clean()
}
