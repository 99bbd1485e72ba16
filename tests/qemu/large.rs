//! Files beyond 4 GiB, and disks filled to the last block and emptied again, by `user/src/bin/large.rs`.

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, debugfs};

use crate::trial;

/// What the disks that are filled are made with.
const FULL: [(&str, &str); 3] =
    [("4k", "-b 4096"), ("1k", "-b 1024"), ("blocks", "-b 1024 -O ^extent,^64bit,^metadata_csum")];

pub fn trials() -> Vec<Trial> {
    let full = FULL.iter().flat_map(|&(name, mkfs)| {
        [
            trial(format!("large::full_and_empty_ten_times_{name}"), move || {
                fill(mkfs, ["fill", "/full", "10"]).map(drop)
            }),
            trial(format!("large::left_full_{name}"), move || left_full(mkfs)),
        ]
    });
    // It takes longer and more room than the others: `make test-big`.
    let dense = std::env::var_os("QUILL_BIG").is_some();
    let files = [
        trial("large::a_sparse_file_of_5_gib", || file(5 << 10, 4 << 10)),
        trial("large::a_file_of_4_gib", || file(4200, 64)).with_ignored_flag(!dense),
    ];
    full.chain(files).collect()
}

fn fill(mkfs: &str, args: [&str; 3]) -> Result<qemu_tests::Outcome, String> {
    let run = Run::user("large").options(["--mkfs", mkfs, "--size", "48M", "--memory", "64M"]);
    run.args(args).limit(200).go().ends_with(0)?.says(" 0 did not")
}

/// The disk is clean too while it is full.
fn left_full(mkfs: &str) -> Verdict {
    let outcome = fill(mkfs, ["full", "/full", "1"])?;
    let listed = outcome.disk().map(|disk| debugfs(disk, "ls -p /full")).unwrap_or_default();
    if listed.contains("f0010") { Ok(()) } else { Err(format!("its files are gone\n{listed}")) }
}

/// Of so many MiB, with 64 KiB at every so many KiB.
fn file(mib: u64, step: u64) -> Verdict {
    let size = format!("{}M", mib + 300);
    let run = Run::user("large").options(["--size", &size, "--mkfs", "-b 4096", "--memory", "128M"]);
    let run = run.args(["file", "/file", &mib.to_string(), &step.to_string()]).limit(290);
    run.go().ends_with(0)?.says(" 0 did not").map(drop)
}
