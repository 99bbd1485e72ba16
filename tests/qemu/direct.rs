//! O_DIRECT on files and Linux AIO: the programs `direct`, `aio` and `aiopoll` under Quill, and under Linux on the same
//! disk: both leave the same bytes.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, debugfs, ensure, linux};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("direct::quill", || program("direct").map(drop)),
        trial("direct::linux", || under_linux("direct")).with_ignored_flag(!linux::available()),
        trial("aio::quill", || program("aio").map(drop)),
        trial("aio::linux", || under_linux("aio")).with_ignored_flag(!linux::available()),
        trial("aiopoll::quill", || program("aiopoll").map(drop)),
        trial("aiopoll::linux", || under_linux("aiopoll")).with_ignored_flag(!linux::available()),
    ]
}

fn program(name: &str) -> Result<Outcome, String> {
    Run::user(name).args(["/q"]).go().ends_with(0)?.says(" 0 did not")
}

fn under_linux(name: &str) -> Verdict {
    let outcome = program(name)?;
    let disk = outcome.disk().ok_or("no disk")?;
    let command = format!("/bin/{name} /l");
    for answer in linux::run(disk, &[&command])? {
        ensure!(answer.status == 0, "{} under Linux\n{}", answer.command, answer.output);
    }
    let [ours, linuxs] = ["cat /q", "cat /l"].map(|request| debugfs(disk, request));
    ensure!(ours == linuxs, "{name}: other bytes under Linux");
    outcome.disk_is_clean()
}
