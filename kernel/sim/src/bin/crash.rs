//! `make test-crash`: the crash laboratory's campaigns, with a progress bar and a table.
//!
//! ```text
//! cargo run --release -p sim --bin crash -- [OPTION...]
//!   --workloads N    so many workloads (200), from --first S (0)
//!   --subsets N      ways in which the power goes at each boundary (8)
//!   --every N        one boundary in N (1: all)
//!   --jobs N         threads (all CPUs)
//!   --seed S [--cut P.N]   one workload, or one cut of it, in all ways of recovery
//!   --at-once N      so many programs at once, in each workload
//!   --keep DIR       keep what failed there: its disks, before and after recovery, and its recording
//!   --shake N        hold threads up at one in N of their steps, where programs run at once
//!   --repeat N       each workload so often: several programs at once are never the same again
//!   --show S         what the workload does, and which writes of the disk it causes
//! ```
//! Exit status 1 when anything failed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sim::crash::{Campaign, Outcome, keep, play, run_one};

struct Arguments {
    campaign: Campaign,
    jobs: usize,
    repeat: u64,
}

fn arguments() -> Result<Arguments, String> {
    let mut campaign = Campaign::full(0..200);
    let (mut first, mut workloads, mut repeat) = (0, 200, 1);
    let mut jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: {value} is no number"));
        match word.as_str() {
            "--workloads" => workloads = number()?,
            "--first" => first = number()?,
            "--subsets" => campaign.subsets = number()?.max(1),
            "--every" => campaign.every = number()?.max(1),
            "--jobs" => jobs = number()?.max(1) as usize,
            "--repeat" => repeat = number()?.max(1),
            "--shake" => sim::crash::shake::install(number()?),
            "--at-once" => campaign.at_once = Some(number()?.clamp(1, 64) as usize),
            "--keep" => campaign.keep = Some(value.into()),
            "--show" => {
                show(number()?, &campaign)?;
                std::process::exit(0);
            }
            "--seed" => (first, workloads) = (number()?, 1),
            "--cut" => {
                let (position, subset) = value.split_once('.').ok_or("--cut wants POSITION.SUBSET")?;
                let cut = position.parse().ok().zip(subset.parse().ok());
                campaign.only = Some(cut.ok_or("--cut wants POSITION.SUBSET")?);
                campaign.subsets = campaign.subsets.max(64);
            }
            _ => return Err(format!("{word}: no such option")),
        }
    }
    campaign.seeds = first..first + workloads;
    Ok(Arguments { campaign, jobs, repeat })
}

/// Tells a workload.
fn show(seed: u64, campaign: &Campaign) -> Result<(), String> {
    let story = play(seed, &campaign.setup(seed))?;
    print!("{}", keep::describe(&story));
    Ok(())
}

fn main() -> ExitCode {
    let Arguments { campaign, jobs, repeat } = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("crash: {why}");
            return ExitCode::from(2);
        }
    };
    // A panic in an image is one of its failures, told with the others.
    std::panic::set_hook(Box::new(|_| {}));
    let begin = Instant::now();
    let (next, done, images) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let outcomes = Mutex::new(Vec::new());
    let total = (campaign.seeds.end - campaign.seeds.start).saturating_mul(repeat);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    let seed = campaign.seeds.start + number / repeat;
                    let mut told = || {
                        images.fetch_add(1, Ordering::Relaxed);
                    };
                    let outcome = run_one(&campaign, seed, &mut told);
                    for failure in &outcome.failures {
                        println!("\r\x1b[K{failure}");
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while std::io::stderr().is_terminal() && done.load(Ordering::Relaxed) < total {
            bar(done.load(Ordering::Relaxed), total, images.load(Ordering::Relaxed), begin);
            thread::sleep(Duration::from_millis(200));
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    table(&outcomes, begin);
    if outcomes.iter().all(|outcome| outcome.failures.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn bar(done: u64, total: u64, images: u64, begin: Instant) {
    const WIDTH: u64 = 40;
    let full = (done * WIDTH / total.max(1)) as usize;
    let empty = WIDTH as usize - full;
    let rate = sim::crash::campaign::rate(images, begin);
    eprint!(
        "\r[{}{}] {done}/{total} workloads, {images} images, {rate:.0} a second ",
        "#".repeat(full),
        ".".repeat(empty)
    );
    let _ = std::io::stderr().flush();
}

/// By kind of program: workloads, boundaries, images, failures.
fn table(outcomes: &[Outcome], begin: Instant) {
    let mut rows: BTreeMap<(&str, &str), [u64; 5]> = BTreeMap::new();
    for outcome in outcomes {
        let key = (outcome.setup.data.name(), outcome.setup.profile.name());
        let row = rows.entry(key).or_default();
        let these =
            [1, outcome.boundaries as u64, outcome.images, outcome.same, outcome.failures.len() as u64];
        row.iter_mut().zip(these).for_each(|(sum, n)| *sum += n);
    }
    let line = |data: &str, name: &str, row: &[u64; 5]| {
        println!(
            "{data:<10} {name:<20} {:>9} {:>10} {:>8} {:>8} {:>8}",
            row[0], row[1], row[2], row[3], row[4]
        );
    };
    println!(
        "\n{:<10} {:<20} {:>9} {:>10} {:>8} {:>8} {:>8}",
        "data", "program", "workloads", "boundaries", "images", "(same)", "failures"
    );
    let mut sum = [0; 5];
    for ((data, name), row) in &rows {
        line(data, name, row);
        sum.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    line("all", "", &sum);
    println!("{:.0} s", begin.elapsed().as_secs_f64());
}
