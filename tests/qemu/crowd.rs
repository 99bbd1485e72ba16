//! Very many files in one directory, made, listed, looked up and half of them taken away by a program.

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict};

use crate::trial;

const FILES: &str = "100000";

pub fn trials() -> Vec<Trial> {
    vec![trial("crowd::a_hundred_thousand_files", many_files)]
}

fn many_files() -> Verdict {
    let run = Run::user("crowd").args([FILES]);
    let run = run.options(["--mkfs", "-b 4096 -N 101000", "--size", "128M"]).limit(200);
    run.go().ends_with(0)?.says(" 0 did not").map(drop)
}
