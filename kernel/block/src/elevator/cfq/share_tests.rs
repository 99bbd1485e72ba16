//! Who gets how much of the disk, in virtual time, on the disk with an arm of simulation.rs.

use std::vec::Vec;

use crate::elevator::simulation::{Load, MS, Report, SECOND, SIZE, Simulation};
use crate::ioprio::{IoClass, IoPrio};

const HALF: u64 = SIZE / 2;
/// What a sequential reader that does not think gets in a second when it is alone.
const FULL_SPEED: u64 = 12_500;

const RT: IoPrio = IoPrio::new(IoClass::RealTime, 4);
const IDLE: IoPrio = IoPrio::new(IoClass::Idle, 0);

fn be(level: u8) -> IoPrio {
    IoPrio::new(IoClass::BestEffort, level)
}

fn run(seconds: u64, loads: impl IntoIterator<Item = Load>) -> Report {
    run_with("slice_idle", 8, seconds, loads)
}

fn run_with(name: &str, value: u64, seconds: u64, loads: impl IntoIterator<Item = Load>) -> Report {
    let mut world = Simulation::new("cfq");
    world.elevator().set_tunable(name, value).unwrap();
    loads.into_iter().for_each(|load| world.thread(load));
    world.run(seconds * SECOND)
}

/// What each thread has done of what it would do alone; the first reads in sequence, the others not.
fn parts(seconds: u64, seekers: u64) -> Vec<f64> {
    let seek = |seed| Load::reader(0).random(seed, SIZE);
    let report = run(seconds, (1..=seekers).map(seek).chain([Load::reader(0)]));
    let part = |(i, got): (usize, u64)| {
        let alone = if i as u64 == seekers {
            seconds * FULL_SPEED
        } else {
            run(seconds, [seek(i as u64 + 1)]).pages()
        };
        got as f64 / alone as f64
    };
    report.threads.iter().map(|t| t.pages).enumerate().map(part).collect()
}

fn within(got: f64, want: f64, tolerance: f64) -> bool {
    (got - want).abs() <= want * tolerance
}

#[test]
fn a_thread_that_seeks_and_one_that_does_not_get_the_same_time() {
    let parts = parts(6, 1);
    assert!(parts.iter().all(|part| within(*part, 0.5, 0.15)), "{parts:?}");
}

#[test]
fn four_unequal_threads_get_a_quarter_each() {
    let parts = parts(8, 3);
    assert!(parts.iter().all(|part| within(*part, 0.25, 0.15)), "{parts:?}");
}

#[test]
fn a_deep_thread_gets_no_more_than_a_shallow_one() {
    let deep = Load::reader(0).random(1, SIZE).depth(32);
    let report = run(6, [deep, Load::reader(0)]);
    let part = report.threads[1].pages as f64 / (6 * FULL_SPEED) as f64;
    assert!(within(part, 0.5, 0.15), "{part}");
}

#[test]
fn two_sequential_readers_seek_once_a_slice() {
    let report = run(5, [Load::reader(MS), Load::reader(MS).sequential(HALF)]);
    assert!(report.fairness() > 0.98, "{report:?}");
    // About 50 turns of 100 ms, each with a way of half the disk.
    assert!(report.travelled < 60 * HALF, "{report:?}");
}

#[test]
fn a_level_is_worth_a_fifth_of_a_slice() {
    let report = run(8, [Load::reader(0).prio(be(0)), Load::reader(0).sequential(HALF).prio(be(7))]);
    let ratio = report.threads[0].pages as f64 / report.threads[1].pages as f64;
    assert!(within(ratio, 180.0 / 40.0, 0.25), "{ratio}");
}

#[test]
fn of_three_levels_the_better_gets_more() {
    let reader = |n: u64, level| Load::reader(0).sequential(SIZE / 4 * n).prio(be(level));
    let report = run(6, [reader(0, 0), reader(1, 4), reader(2, 7)]);
    let got: Vec<u64> = report.threads.iter().map(|t| t.pages).collect();
    assert!(got[0] > got[1] * 3 / 2 && got[1] > got[2] * 2 && got[2] > 0, "{got:?}");
}

#[test]
fn real_time_starves_best_effort() {
    let report = run(3, [Load::reader(0).prio(RT), Load::reader(0).sequential(HALF).prio(be(0))]);
    assert!(report.threads[0].pages > 3 * FULL_SPEED * 99 / 100, "{report:?}");
    assert!(report.threads[1].pages <= 1, "{report:?}");
}

#[test]
fn best_effort_does_not_hinder_real_time() {
    // It thinks too long to be waited for, and takes the disk back each time.
    let rare = Load::reader(20 * MS).prio(RT);
    let report = run(3, [rare, Load::reader(0).sequential(HALF).prio(be(0))]);
    assert!(report.threads[0].worst_ns < 16 * MS, "{report:?}");
    assert!(report.threads[0].pages > 3000 / 30, "{report:?}");
    assert!(report.threads[1].pages > FULL_SPEED, "{report:?}");
}

#[test]
fn the_idle_class_has_what_nobody_wants() {
    let busy = run(2, [Load::reader(0).prio(IDLE), Load::reader(MS).sequential(HALF)]);
    assert!(busy.threads[0].pages <= 1, "{busy:?}");
    let after = run(2, [Load::reader(0).prio(IDLE), Load::reader(0).sequential(HALF).pages(FULL_SPEED)]);
    let pages = after.threads[0].pages;
    // A second for the other, and then the grace.
    assert!(within(pages as f64, (FULL_SPEED * 9 / 10) as f64, 0.05), "{after:?}");
}

#[test]
fn writes_leave_a_reader_its_disk_and_go_on() {
    let report = run(5, [Load::reader(MS), Load::writer().random(1, SIZE).depth(200)]);
    let (reader, writer) = (&report.threads[0], &report.threads[1]);
    // Alone it would have 926 a second.
    assert!(reader.pages > 5 * 926 * 3 / 4, "{report:?}");
    assert!(reader.worst_ns < 60 * MS, "{report:?}");
    // After the reader has gone there are 200 left.
    assert!(writer.pages > 220, "{report:?}");
}

#[test]
fn waiting_for_a_reader_keeps_the_arm_where_it_is() {
    let loads = || [Load::reader(MS), Load::reader(0).sequential(HALF).depth(4)];
    let (idle, not) = (run(4, loads()), run_with("slice_idle", 0, 4, loads()));
    assert!(idle.threads[0].pages > 4 * not.threads[0].pages, "{idle:?}\n{not:?}");
    assert!(idle.travelled * 4 < not.travelled, "{idle:?}\n{not:?}");
}

#[test]
fn a_reader_that_thinks_long_is_not_waited_for() {
    let report = run(5, [Load::reader(30 * MS), Load::reader(0).sequential(HALF)]);
    // It costs the other a few ms for two ways of the arm, each time.
    assert!(report.busy_ns * 100 > report.end_ns * 97, "{report:?}");
    // It has its turn after the other's, each time.
    assert!(report.threads[0].pages > 20 && report.threads[0].worst_ns < 300 * MS, "{report:?}");
}

#[test]
fn many_threads_have_their_turns_within_the_target() {
    let reader = |n: u64| Load::reader(0).sequential(SIZE / 16 * n);
    let report = run(4, (0..10).map(reader));
    assert!(report.fairness() > 0.9, "{report:?}");
    let patient = run_with("low_latency", 0, 4, (0..10).map(reader));
    assert!(report.worst_ns() < 600 * MS, "{report:?}");
    assert!(patient.worst_ns() > 800 * MS, "{patient:?}");
}

#[test]
fn of_those_who_seek_nobody_is_left_out() {
    for think in [0, MS / 2, 3 * MS] {
        let report = run(5, (1..=4).map(|seed| Load::reader(think).random(seed, SIZE)));
        assert!(report.fairness() > 0.95 && report.worst_ns() < 300 * MS, "{think}: {report:?}");
    }
}

#[test]
fn two_near_each_other_do_not_leave_a_third_out() {
    let near = |sector| Load::reader(MS).sequential(sector);
    let report = run(5, [near(0), near(4096), Load::reader(MS).sequential(HALF)]);
    assert!(report.threads[2].pages > 5 * 926 / 4, "{report:?}");
    assert!(report.worst_ns() < 500 * MS, "{report:?}");
}

#[test]
fn the_idle_class_gives_the_disk_back_at_once() {
    let report =
        run(2, [Load::reader(0).prio(IDLE), Load::reader(MS).sequential(HALF).from(SECOND).prio(be(7))]);
    assert!(within(report.threads[0].pages as f64, FULL_SPEED as f64, 0.01), "{report:?}");
    assert!(report.threads[1].worst_ns < 10 * MS, "{report:?}");
}
