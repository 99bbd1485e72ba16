//! What some five thousand calls answer, under Quill and under Linux on the same disk: tests/c/answers.c.

use std::path::Path;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, ensure, linux};

use crate::{libc, trial};

pub fn trials() -> Vec<Trial> {
    let possible = libc::has_compiler() && linux::available();
    [1024, 4096]
        .map(|size| {
            let compiled =
                move || libc::compiled("answers", "answers", &["-static"], |at| beside_linux(at, size));
            trial(format!("answers::{size}"), compiled).with_ignored_flag(!possible)
        })
        .into()
}

fn beside_linux(program: &Path, block_size: u32) -> Verdict {
    let run = Run::new(program).block_size(block_size).options(["--size", "64M"]);
    let outcome = run.args(["/q"]).go().ends_with(0)?.says("that is all\n")?;
    let disk = outcome.disk().ok_or("no disk")?;
    let answers = linux::run(disk, &["/bin/answers /l"])?;
    let answer = answers.first().ok_or("Linux said nothing")?;
    ensure!(answer.status == 0, "under Linux\n{}", answer.output);
    let (quill, linux) = (outcome.stdout.lines(), answer.output.lines());
    ensure!(quill.clone().count() == linux.clone().count(), "not the same number of lines");
    let differ: Vec<String> = quill
        .zip(linux)
        .enumerate()
        .filter(|(_, (quill, linux))| quill.trim_end() != linux.trim_end())
        .map(|(n, (quill, linux))| format!("line {n}\n  Quill {quill}\n  Linux {linux}"))
        .take(20)
        .collect();
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    outcome.disk_is_clean()
}
