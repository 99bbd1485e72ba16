//! Random system calls under Quill and under Linux: the program `diff` asks both for the same, and what they answer
//! is compared line by line.
//!
//! `QUILL_DIFF_SEEDS` says how many seeds of 100 calls each, `QUILL_DIFF_SEED` where they begin. What differs is
//! told by the first such line of each seed.

use std::env;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, ensure, linux};

use crate::trial;

/// Calls of a seed.
const CALLS: &str = "100";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("diff::1024", || beside_linux(1024, 1)).with_ignored_flag(!linux::available()),
        trial("diff::4096", || beside_linux(4096, 1001)).with_ignored_flag(!linux::available()),
    ]
}

/// A number from the environment.
fn number(name: &str) -> Option<u32> {
    env::var(name).ok()?.parse().ok()
}

fn beside_linux(block_size: u32, first: u32) -> Verdict {
    let first = (first + number("QUILL_DIFF_SEED").unwrap_or(0)).to_string();
    let seeds = number("QUILL_DIFF_SEEDS").unwrap_or(4);
    let run = Run::user("diff").block_size(block_size).options(["--size", "256M"]).limit(120 + seeds * 4);
    let outcome = run.args(["/q", &first, &seeds.to_string(), CALLS]).go().ends_with(0)?;
    let disk = outcome.disk().ok_or("no disk")?;
    let asked = format!("/bin/diff /l {first} {seeds} {CALLS}");
    let answers = linux::run(disk, &[&asked])?;
    let answer = answers.first().ok_or("Linux said nothing")?;
    ensure!(answer.status == 0, "{asked} under Linux\n{}", answer.output);
    let found = differences(&outcome.stdout, &answer.output);
    ensure!(found.is_empty(), "{asked}\n{}", found.join("\n"));
    outcome.disk_is_clean()
}

/// The first line of each seed that is not the same.
fn differences(quill: &str, linux: &str) -> Vec<String> {
    let (quill, linux) = (by_seed(quill), by_seed(linux));
    let mut found = Vec::new();
    if quill.len() != linux.len() {
        found.push(format!("{} seeds under Quill, {} under Linux", quill.len(), linux.len()));
    }
    for (quill, linux) in quill.iter().zip(&linux) {
        let lines = quill.len().max(linux.len());
        let line = |of: &[&str], n: usize| of.get(n).copied().unwrap_or("nothing").trim_end().to_owned();
        let differs = (0..lines).find(|&n| line(quill, n) != line(linux, n));
        if let Some(n) = differs {
            found.push(format!("{}\n  Quill {}\n  Linux {}", line(quill, 0), line(quill, n), line(linux, n)));
        }
    }
    found
}

fn by_seed(text: &str) -> Vec<Vec<&str>> {
    text.split("== seed ").skip(1).map(|part| part.lines().collect()).collect()
}
