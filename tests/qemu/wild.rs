//! A wild program ends with a message and 128 + signal, and the kernel ends in order: the disk is
//! clean.

use libtest_mimic::Trial;
use qemu_tests::Run;

use crate::trial;

const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;

/// The way, and the signal that ends it under Linux.
const WAYS: [(&str, i32); 20] = [
    ("jump-null", SIGSEGV),
    ("jump-kernel", SIGSEGV),
    ("jump-odd", SIGBUS),
    ("read-null", SIGSEGV),
    ("write-null", SIGSEGV),
    ("read-kernel", SIGSEGV),
    ("write-kernel", SIGSEGV),
    ("write-high", SIGSEGV),
    ("write-text", SIGSEGV),
    ("execute-data", SIGSEGV),
    ("privileged", SIGILL),
    ("daif", SIGILL),
    ("hlt", SIGILL),
    ("hvc", SIGILL),
    ("undefined", SIGILL),
    ("breakpoint", SIGTRAP),
    ("bad-stack", SIGSEGV),
    ("overflow", SIGSEGV),
    ("cache", SIGILL),
    ("svc-bad-sp", SIGSEGV),
];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = WAYS
        .into_iter()
        .map(|(way, signal)| {
            trial(format!("wild::{way}"), move || {
                let outcome = Run::user("wild").args([way]).options(["--log", "info"]).go();
                outcome.ends_with(128 + signal)?.says("going wild")?.logs("signal").map(drop)
            })
        })
        .collect();
    trials.push(trial("wild::loop", || {
        let outcome = Run::user("wild").args(["loop"]).limit(5).go();
        qemu_tests::ensure!(outcome.status == 124, "status {}\n{outcome}", outcome.status);
        Ok(())
    }));
    trials
}
