//! The kernel's own tests of what only a machine can answer (boot/src/selftest), and its ends: a
//! panic tells registers and a backtrace with names, and QEMU's status says so.

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, ensure};

use crate::trial;

const MACHINES: [(&str, &[&str]); 4] = [
    ("a53", &["--cpu", "cortex-a53"]),
    ("a72", &["--cpu", "cortex-a72", "--memory", "64M"]),
    ("max", &["--cpu", "max,pauth-impdef=on"]),
    ("gic2", &["--cpu", "cortex-a72", "--qemu-arg=-M", "--qemu-arg=gic-version=2"]),
];

/// A way for the kernel to fail, and a word of what it says.
const ENDS: [(&str, &str); 5] = [
    ("panic", "as asked"),
    ("null", "data abort"),
    ("text", "data abort"),
    ("data", "instruction abort"),
    ("overflow", "stack"),
];

pub fn trials() -> Vec<Trial> {
    let machines = MACHINES.into_iter().map(|(name, options)| {
        trial(format!("selftest::{name}"), move || {
            let outcome = asked("all", options);
            ensure!(outcome.status == 0, "status {}\n{outcome}", outcome.status);
            outcome.logs(" 0 failed").map(drop)
        })
    });
    let ends = ENDS.into_iter().map(|(way, word)| trial(format!("panic::{way}"), move || panics(way, word)));
    machines.chain(ends).collect()
}

fn asked(which: &str, options: &[&str]) -> qemu_tests::Outcome {
    let words = format!("quill.selftest={which}");
    let run = Run::new(":/none").options(["--no-disk", "--log", "info", "--append", &words]);
    run.options(options).limit(60).go_without_disk()
}

/// The message, registers and a named function, and status 70.
fn panics(way: &str, word: &str) -> Verdict {
    let outcome = asked(way, &["--cpu", "cortex-a72"]);
    ensure!(outcome.status == 70, "status {}, want 70\n{outcome}", outcome.status);
    let log = outcome.stderr.to_lowercase();
    for wanted in [word, "x0 ", "x30 ", "boot::"] {
        ensure!(log.contains(wanted), "the log lacks {wanted:?}\n{outcome}");
    }
    Ok(())
}
