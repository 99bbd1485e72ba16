//! Random operations on a file, checked one by one: the program `fsx` on both block sizes, in each mode of the
//! journal's data and without delayed allocation; once with block pointers instead of extents; and again on a slow disk, in 64 MiB of memory of which next
//! to nothing is left, with a flusher that never rests.
//!
//! `QUILL_FSX_OPS` says how many operations (`make test-big`: a million), `QUILL_FSX_SEED` where the seeds
//! begin. A trial that fails prints its seed and the operations before the one that went wrong.

use std::env;

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, linux};

use crate::trial;

/// What is said of the disk, and its options of the mount.
const MODES: [(&str, &str); 4] = [
    ("ordered", "data=ordered"),
    ("writeback", "data=writeback"),
    ("journal", "data=journal"),
    ("nodelalloc", "nodelalloc"),
];

/// Operations a second, and bytes.
const SLOW: &str = "throttling.iops-total=1500,throttling.bps-total=16777216";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("fsx::linux", under_linux).with_ignored_flag(!linux::available()),
        trial("fsx::pointers", pointers),
    ];
    for block_size in [1024, 4096] {
        for (seed, (mode, options)) in (block_size..).zip(MODES) {
            let name = format!("{block_size}::{mode}");
            trials.push(trial(format!("fsx::{name}"), move || plain(block_size, options, seed)));
            trials.push(trial(format!("fsx::slow::{name}"), move || slow(block_size, options, seed)));
        }
    }
    trials
}

/// A number from the environment.
fn number(name: &str) -> Option<u32> {
    env::var(name).ok()?.parse().ok()
}

/// The disk with the program on it, after no operation at all.
fn disk(block_size: u32) -> Result<Outcome, String> {
    let run = Run::user("fsx").block_size(block_size).options(["--size", "96M"]);
    run.args(["/none", "1", "0"]).go().ends_with(0)
}

fn plain(block_size: u32, options: &str, seed: u32) -> Verdict {
    let run = Run::user("fsx").block_size(block_size).options(["--size", "64M", "--memory", "64M"]);
    let run = run.options(["--append", &format!("rootflags={options}")]);
    checked(run, Run::go, seed, 3000, &["zeros"])
}

/// Small blocks, so that a file reaches past two rows of pointers.
fn pointers() -> Verdict {
    let run =
        Run::user("fsx").options(["--mkfs", "-b 1024 -O ^extent,^64bit", "--size", "64M", "--memory", "64M"]);
    checked(run, Run::go, 6000, 3000, &["zeros", "pointers"])
}

fn slow(block_size: u32, options: &str, seed: u32) -> Verdict {
    let outcome = disk(block_size)?;
    let disk = outcome.disk().ok_or("no disk")?;
    let drive = format!("{},{SLOW}", disk.display());
    let run = Run::new(":/bin/fsx").options(["--no-disk", "--memory", "64M", "--drive", &drive]);
    let run = run.options(["--append", &format!("root=/dev/vda rootflags={options}")]);
    checked(run, Run::go_without_disk, seed, 500, &["zeros", "squeeze", "flush"])?;
    outcome.disk_is_clean()
}

fn checked(run: Run, go: fn(Run) -> Outcome, seed: u32, few: u32, words: &[&str]) -> Verdict {
    let count = number("QUILL_FSX_OPS").unwrap_or(few);
    let seed = (seed + number("QUILL_FSX_SEED").unwrap_or(0)).to_string();
    let run = run.limit(120 + count / 50).args(["/f", &seed, &count.to_string()]).args(words);
    go(run).ends_with(0)?.says(&format!("{count} operations of seed {seed}")).map(drop)
}

/// The program asks for nothing that Linux does not do.
fn under_linux() -> Verdict {
    let outcome = disk(4096)?;
    let disk = outcome.disk().ok_or("no disk")?;
    for answer in linux::run(disk, &["/bin/fsx /l 7 4000"])? {
        let said = answer.output.contains("4000 operations of seed 7");
        if answer.status != 0 || !said {
            return Err(format!("{} under Linux\n{}", answer.command, answer.output));
        }
    }
    outcome.disk_is_clean()
}
