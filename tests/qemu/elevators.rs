//! The same loads under every elevator on a slow disk, and how many requests reach it: as the program
//! sees it in `/proc/diskstats`, and as QEMU's own trace tells. `e2fsck -fn` after each.
//!
//! The tables are printed: `cargo test -p qemu-tests -- elevators --nocapture`. They are in
//! docs/elevators.md.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, e2fsck_clean, ensure, mke2fs, user_program};
use tempfile::TempDir;

use crate::trial;

const ELEVATORS: [&str; 4] = ["noop", "deadline", "cfq", "anticipatory"];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("elevators::each_on_a_slow_disk", each),
        trial("elevators::switched_while_running", switched),
        trial("elevators::few_requests_and_deep_queue", few_and_deep),
    ]
}

/// A disk with the program on it; QEMU writes down what it is asked for.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn new() -> Result<Disk, String> {
        let disk = Disk { dir: TempDir::new().map_err(|e| e.to_string())? };
        let tree = disk.dir.path().join("tree");
        for name in ["bin", "dev", "proc", "sys"] {
            fs::create_dir_all(tree.join(name)).map_err(|e| e.to_string())?;
        }
        fs::copy(user_program("blockload"), tree.join("bin/blockload")).map_err(|e| e.to_string())?;
        mke2fs(&disk.path(), 128 << 20, &["-t", "ext4", "-b", "4096", "-d", &tree.to_string_lossy()])?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn trace(&self) -> PathBuf {
        self.dir.path().join("trace")
    }

    /// Runs the loads on it, with so many requests a second.
    fn run(&self, elevator: &str, iops: u32, loads: &[&str]) -> Result<Outcome, String> {
        let node = format!(
            "driver=throttle,node-name=d0,throttle-group=g,file.driver=raw,file.file.driver=file,\
             file.file.filename={}",
            self.path().display()
        );
        let qemu = [
            "-object".into(),
            format!("throttle-group,id=g,x-iops-total={iops}"),
            "-blockdev".into(),
            node,
            "-device".into(),
            "virtio-blk-device,drive=d0".into(),
            "-D".into(),
            self.trace().display().to_string(),
            "-trace".into(),
            "virtio_blk_handle_*".into(),
            "-trace".into(),
            "virtio_blk_rw_complete".into(),
        ];
        let run = Run::new(":/bin/blockload").options(["--no-disk", "--memory", "128M", "--append"]);
        let run = run.options([format!("elevator={elevator}")]);
        let run = run.options(qemu.iter().map(|arg| format!("--qemu-arg={arg}")));
        let outcome = run.args(["/load"]).args(loads).limit(200).go_without_disk();
        ensure!(outcome.status == 0, "status {}\n{outcome}", outcome.status);
        e2fsck_clean(&self.path())?;
        Ok(outcome)
    }

    /// What QEMU was asked for.
    fn seen(&self) -> Result<Seen, String> {
        let text = fs::read_to_string(self.trace()).map_err(|e| e.to_string())?;
        let mut seen = Seen::default();
        let mut depth = 0;
        for words in text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            let number = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                words.get(at + 1)?.parse::<u64>().ok()
            };
            match (words.first().copied(), number("sector"), number("nsectors")) {
                (Some("virtio_blk_rw_complete"), ..) => depth -= 1,
                (Some(event), Some(sector), Some(sectors)) => {
                    depth += 1;
                    seen.depth = seen.depth.max(depth);
                    seen.travelled += sector.abs_diff(seen.end);
                    seen.end = sector + sectors;
                    seen.large_writes += u64::from(event == "virtio_blk_handle_write" && sectors > 8);
                    seen.requests += 1;
                }
                _ => {}
            }
        }
        ensure!(seen.requests > 0, "no events in QEMU's trace\n{text}");
        Ok(seen)
    }
}

#[derive(Default)]
struct Seen {
    requests: u64,
    /// Writes of more than a page.
    large_writes: u64,
    /// Most that were under way at once.
    depth: i64,
    /// Sectors from the end of each to the beginning of the next.
    travelled: u64,
    end: u64,
}

/// The number before or behind a word in the load's line of output.
fn figure(outcome: &Outcome, load: &str, name: &str) -> Result<u64, String> {
    let find = || {
        let line = outcome.stdout.lines().find_map(|line| line.strip_prefix(load)?.strip_prefix(": "))?;
        let part = line.split(", ").find(|part| part.contains(name))?;
        part.split(' ').find_map(|word| word.parse().ok())
    };
    find().ok_or_else(|| format!("no {name} of {load}\n{outcome}"))
}

fn each() -> Verdict {
    println!(
        "{:14}{:>8}{:>9}{:>9}{:>8}{:>7}{:>15}",
        "", "load", "requests", "merges", "ms", "depth", "travelled MiB"
    );
    for elevator in ELEVATORS {
        for load in ["fill", "random", "mixed"] {
            let disk = Disk::new()?;
            let loads = if load == "fill" { &["fill"][..] } else { &["fill", load][..] };
            let outcome = disk.run(elevator, 500, loads)?;
            let of = |name| figure(&outcome, load, name);
            let (reads, writes) = (of("reads")?, of("writes")?);
            let (merges, ms, depth) = (of("merges")?, of("ms")?, of("depth")?);
            let travelled = disk.seen()?.travelled >> 11;
            println!(
                "{elevator:14}{load:>8}{:>9}{merges:>9}{ms:>8}{depth:>7}{travelled:>15}",
                reads + writes
            );
            let (fewest, most) = match load {
                "fill" => (1, 40),
                "random" => (400, 560),
                _ => (128, 160),
            };
            let requests = reads + writes;
            ensure!(
                (fewest..=most).contains(&requests),
                "{elevator}, {load}: {requests} requests\n{outcome}"
            );
        }
    }
    Ok(())
}

/// Each elevator takes over from another in the middle, and nothing is lost.
fn switched() -> Verdict {
    let disk = Disk::new()?;
    let mut loads = vec!["fill".to_owned()];
    for elevator in ELEVATORS.iter().chain(&["noop"]) {
        loads.extend([format!("={elevator}"), "random".into(), "mixed".into()]);
    }
    let loads: Vec<&str> = loads.iter().map(String::as_str).collect();
    let outcome = disk.run("deadline", 2000, &loads)?;
    let done = outcome.stdout.matches("mixed: ").count();
    ensure!(done == ELEVATORS.len() + 1, "{done} of the loads ended\n{outcome}");
    Ok(())
}

fn few_and_deep() -> Verdict {
    let disk = Disk::new()?;
    let outcome = disk.run("deadline", 500, &["fill"])?;
    let (writes, seen) = (figure(&outcome, "fill", "writes")?, disk.seen()?);
    ensure!(writes <= 40, "8 MiB in a row took {writes} writes\n{outcome}");
    ensure!((1..=40).contains(&seen.large_writes), "QEMU saw {} of them\n{outcome}", seen.large_writes);
    let disk = Disk::new()?;
    let outcome = disk.run("deadline", 500, &["fill", "random"])?;
    let (mean, peak) = (figure(&outcome, "random", "depth")?, disk.seen()?.depth);
    ensure!(mean >= 32, "random pages at a depth of {mean}\n{outcome}");
    ensure!(peak >= 32, "QEMU saw at most {peak} at once\n{outcome}");
    println!("8 MiB in a row: {writes} writes. Random pages: {mean} at once on average, {peak} at most");
    Ok(())
}
