//! The programs of `user/`, each on 1 KiB and 4 KiB blocks, on MMIO and PCI, in 32 MiB of memory.

use libtest_mimic::Trial;
use qemu_tests::{Run, debugfs, ensure};

use crate::trial;

const PROGRAMS: [&str; 5] = ["files", "memory", "badptr", "fp", "ioprio"];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for program in PROGRAMS {
        for (block_size, machine) in [(1024, "mmio"), (4096, "mmio"), (4096, "pci"), (1024, "pci")] {
            trials.push(trial(format!("programs::{program}::{block_size}::{machine}"), move || {
                Run::user(program)
                    .block_size(block_size)
                    .options(["--size", "64M", "--memory", "32M", "--machine", machine])
                    .go()
                    .ends_with(0)?
                    .says(" 0 did not")
                    .map(drop)
            }));
        }
    }
    for block_size in [1024, 2048, 4096] {
        trials.push(trial(format!("programs::demo::{block_size}"), move || demo(block_size)));
    }
    trials
}

/// What the demonstration wrote is on the disk as the host sees it.
fn demo(block_size: u32) -> qemu_tests::Verdict {
    let outcome =
        Run::user("demo").block_size(block_size).args(["one", "two words", ""]).go().ends_with(0)?;
    let outcome = outcome.says("argument 2: two words")?.says("4 argument(s)")?.says("done:")?;
    let disk = outcome.disk().ok_or("no disk")?;
    let letter = debugfs(disk, "cat /demo/letter.txt");
    ensure!(letter.contains("write:  the first line"), "letter.txt: {letter}");
    ensure!(letter.contains("writev: and this one"), "letter.txt: {letter}");
    let numbers = debugfs(disk, "stat /demo/numbers.bin");
    ensure!(numbers.contains("Size: 1048576"), "numbers.bin: {numbers}");
    let link = debugfs(disk, "stat /demo/link");
    ensure!(link.contains("Fast link dest: \"letter.txt\""), "link: {link}");
    Ok(())
}
