//! The same loads under every elevator, in virtual time: the table of docs/elevators.md.
//!
//! `cargo test -p block comparison -- --nocapture` prints it. What is asserted is the order of the
//! results that each elevator's manual promises, not the figures.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::NAMES;
use super::simulation::{Load, MS, Report, SECOND, SIZE, Simulation};

/// A load by name, and how deep the disk's queue is.
struct Case {
    name: &'static str,
    depth: u32,
    threads: fn() -> Vec<Load>,
}

const READERS: Case = Case {
    name: "two sequential readers",
    depth: 1,
    threads: || vec![Load::reader(MS / 2), Load::reader(MS / 2).sequential(SIZE / 2)],
};

const RANDOM: Case = Case {
    name: "four random readers",
    depth: 1,
    threads: || (1..=4).map(|seed| Load::reader(MS / 2).random(seed, SIZE)).collect(),
};

const WRITES: Case = Case {
    name: "a reader against random writes",
    depth: 1,
    threads: || vec![Load::reader(MS / 2), Load::writer().random(1, SIZE).depth(128)],
};

const HOG: Case = Case {
    name: "a deep reader against a shallow one",
    depth: 1,
    threads: || vec![Load::reader(0).random(1, SIZE).depth(32), Load::reader(0).sequential(SIZE / 2)],
};

const DEEP: Case = Case {
    name: "64 random reads at once",
    depth: 1,
    threads: || vec![Load::reader(0).random(1, SIZE).depth(64)],
};

/// The results, in the order of [`NAMES`]; the table goes to standard output.
fn compare(case: &Case) -> Vec<Report> {
    std::println!("\n{}", case.name);
    std::println!(
        "{:14}{:>9}{:>9}{:>9}{:>14}{:>10}{:>10}{:>10}",
        "",
        "pages",
        "requests",
        "merges",
        "travelled GiB",
        "mean ms",
        "worst ms",
        "fairness"
    );
    let run = |name: &&'static str| {
        let mut world = Simulation::new(name).queue_depth(case.depth);
        (case.threads)().into_iter().for_each(|load| world.thread(load));
        let report = world.run(20 * SECOND);
        std::println!("{}", line(name, &report));
        report
    };
    NAMES.iter().map(run).collect()
}

fn line(name: &str, r: &Report) -> String {
    let ms = |ns: u64| ns as f64 / MS as f64;
    format!(
        "{name:14}{:>9}{:>9}{:>9}{:>14}{:>10.1}{:>10.1}{:>10.2}",
        r.pages(),
        r.requests,
        r.merges,
        r.travelled >> 21,
        ms(r.mean_ns()),
        ms(r.worst_ns()),
        r.fairness()
    )
}

fn of<'a>(reports: &'a [Report], name: &str) -> &'a Report {
    &reports[NAMES.iter().position(|n| *n == name).unwrap()]
}

#[test]
fn sorting_saves_the_arm_its_ways() {
    let all = compare(&DEEP);
    let (noop, deadline) = (of(&all, "noop"), of(&all, "deadline"));
    assert!(noop.travelled / noop.requests > 3 * (deadline.travelled / deadline.requests));
    assert!(deadline.pages() > noop.pages());
    // Deadlines bound what a sweep leaves behind; what expires together is served one by one.
    assert!(deadline.worst_ns() < SECOND);
}

#[test]
fn writes_do_not_starve_a_reader_under_deadline() {
    let all = compare(&WRITES);
    let reader = |name| &of(&all, name).threads[0];
    // Under noop the read waits behind every write that came before.
    assert!(reader("deadline").mean_ns() * 4 < reader("noop").mean_ns());
    assert!(reader("deadline").pages > 4 * reader("noop").pages);
}

#[test]
fn waiting_pays_on_alternating_readers() {
    let all = compare(&READERS);
    let deadline = of(&all, "deadline");
    for waits in [of(&all, "cfq"), of(&all, "anticipatory")] {
        assert!(waits.pages() > 8 * deadline.pages());
        assert!(waits.travelled * 10 < deadline.travelled);
    }
    assert!(all.iter().all(|r| r.fairness() > 0.95));
}

#[test]
fn waiting_costs_little_on_random_readers() {
    let all = compare(&RANDOM);
    let (deadline, anticipatory) = (of(&all, "deadline"), of(&all, "anticipatory"));
    assert!(anticipatory.pages() * 10 > deadline.pages() * 9);
    assert!(all.iter().all(|r| r.fairness() > 0.9));
}

#[test]
fn no_thread_is_left_out() {
    let all = compare(&HOG);
    assert!(all.iter().all(|r| r.threads.iter().all(|t| t.pages > 100)));
}
