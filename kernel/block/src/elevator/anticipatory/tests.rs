//! The elevator by itself, step by step, and in the simulation against deadline.

use std::vec::Vec;

use super::*;
use crate::elevator::simulation::{Load, PAGE, Report, SECOND, SIZE, Simulation};
use crate::ioprio::{IoClass, IoPrio};
use crate::testing::add_from;

/// An elevator, its pool, and what it dispatched.
#[derive(Default)]
struct World {
    a: Anticipatory,
    pool: Pool,
    flying: Vec<Request>,
    now: u64,
}

impl World {
    /// A request of eight sectors.
    fn add(&mut self, thread: u64, op: char, sector: u64) {
        let origin = Origin { thread: ThreadId(thread), prio: IoPrio::NONE, sync: op == 'r' };
        add_from(&mut self.a, &mut self.pool, op, sector, origin, self.now);
    }

    /// The sector that goes next.
    fn dispatch(&mut self) -> Option<u64> {
        let id = self.a.dispatch(&self.pool, self.now)?;
        let request = self.pool.remove(id).unwrap();
        let sector = request.sector().0;
        self.flying.push(request);
        Some(sector)
    }

    /// The oldest in flight is done.
    fn complete(&mut self) {
        let request = self.flying.remove(0);
        self.a.completed(&request, self.now);
    }

    /// Thread 1 reads at sector 0 and has its data, thread 2 waits far away.
    fn alternating() -> World {
        let mut w = World::default();
        w.add(1, 'r', 0);
        assert_eq!(w.dispatch(), Some(0));
        w.add(2, 'r', 10_000_000);
        w
    }
}

#[test]
fn it_waits_for_the_next_read_and_takes_it() {
    let mut w = World::alternating();
    assert_eq!((w.dispatch(), w.a.wait.state), (None, State::WaitReq));
    assert_eq!(w.a.wake_at(), Some(u64::MAX));
    w.now = MS;
    w.complete();
    assert_eq!((w.dispatch(), w.a.wait.state, w.a.wake_at()), (None, State::WaitNext, Some(7 * MS)));
    w.now = 2 * MS;
    w.add(1, 'r', 8);
    assert_eq!(w.a.wait.state, State::Finished);
    assert_eq!((w.dispatch(), w.a.wait.state), (Some(8), State::Off));
}

#[test]
fn it_gives_up_after_antic_expire() {
    let mut w = World::alternating();
    w.complete();
    assert_eq!(w.dispatch(), None);
    w.now = 6 * MS - 1;
    assert_eq!(w.dispatch(), None);
    w.now = 6 * MS;
    assert_eq!(w.dispatch(), Some(10_000_000));
}

#[test]
fn a_close_read_of_somebody_else_is_as_good() {
    let mut w = World::alternating();
    w.complete();
    assert_eq!(w.dispatch(), None);
    w.add(3, 'r', 8 + 9000);
    assert_eq!(w.dispatch(), None, "beyond 8192 sectors");
    w.add(3, 'r', 8 + 8192);
    assert_eq!(w.dispatch(), Some(8 + 8192));
}

#[test]
fn its_own_write_ends_the_wait() {
    let mut w = World::alternating();
    w.complete();
    assert_eq!(w.dispatch(), None);
    w.add(1, 'w', 500);
    assert_eq!(w.dispatch(), Some(10_000_000));
}

#[test]
fn no_wait_when_antic_expire_is_0() {
    let mut w = World::alternating();
    w.a.set_tunable("antic_expire", 0).unwrap();
    w.complete();
    assert_eq!(w.dispatch(), Some(10_000_000));
}

#[test]
fn a_thread_that_thinks_too_long_is_not_waited_for() {
    let mut w = World::default();
    for n in 0..8 {
        w.add(1, 'r', n * PAGE);
        assert_eq!(w.dispatch(), Some(n * PAGE));
        w.complete();
        w.now += 10 * MS;
    }
    w.add(1, 'r', 8 * PAGE);
    assert_eq!(w.dispatch(), Some(64));
    w.complete();
    w.add(2, 'r', 10_000_000);
    assert_eq!(w.dispatch(), Some(10_000_000));
}

#[test]
fn the_bio_that_is_waited_for_is_not_hidden_in_another_request() {
    let mut w = World::alternating();
    w.complete();
    assert_eq!(w.dispatch(), None);
    let other = w.pool.get(w.pool.ids()[0]).unwrap();
    let from = |thread| Origin { thread: ThreadId(thread), prio: IoPrio::NONE, sync: true };
    assert!(!w.a.may_merge(other, &from(1)));
    assert!(w.a.may_merge(other, &from(2)) && w.a.may_merge(other, &from(3)));
}

#[test]
fn newcomers_that_end_are_waited_for_only_a_while() {
    let mut w = World::default();
    let mut waits = 0;
    for n in 1..40 {
        let here = n * 1_000_000;
        w.add(n, 'r', here);
        assert_eq!(w.dispatch(), Some(here));
        w.complete();
        w.a.thread_ended(ThreadId(n));
        w.add(1000, 'w', here + 500_000_000);
        waits += usize::from(w.dispatch().is_none());
        w.now += 1000 * MS;
        assert!(w.dispatch().is_none() || w.pool.len() == 0);
        w.flying.drain(..).for_each(|r| w.a.completed(&r, w.now));
        while w.dispatch().is_some() {
            w.complete();
        }
    }
    assert!((3..12).contains(&waits), "{waits}");
    assert!(w.a.history.threads() <= 3, "threads that ended are forgotten");
}

#[test]
fn what_is_known_of_threads_is_bounded() {
    let mut w = World::default();
    for thread in 0..1000 {
        w.add(thread, 'r', thread * PAGE);
        assert_eq!(w.dispatch(), Some(thread * PAGE));
        w.complete();
    }
    assert!(w.a.history.threads() <= 256);
}

#[test]
fn the_sweep_goes_back_a_little_when_that_is_much_nearer() {
    let mut w = World::default();
    w.a.set_tunable("antic_expire", 0).unwrap();
    let order = |w: &mut World, list: &[u64]| {
        list.iter().for_each(|sector| w.add(1, 'r', *sector));
        core::iter::from_fn(|| w.dispatch()).collect::<Vec<_>>()
    };
    assert_eq!(order(&mut w, &[10_000_000]), [10_000_000]);
    let head = 10_000_008;
    // 1000 back counts as 2000 ahead.
    assert_eq!(order(&mut w, &[head - 1000, head + 2100])[0], head - 1000);
    let head = head + 2108;
    assert_eq!(order(&mut w, &[head - 1000, head + 1900])[0], head + 1900);
    let mut w = World::default();
    w.a.set_tunable("antic_expire", 0).unwrap();
    assert_eq!(order(&mut w, &[10_000_000]), [10_000_000]);
    // More than MAX_BACK: the sweep begins anew with the first.
    assert_eq!(order(&mut w, &[7_000_000, 8_000_000]), [7_000_000, 8_000_000]);
}

#[test]
fn batches_turn_when_the_time_is_over_and_the_disk_is_empty() {
    let mut w = World::default();
    w.a.set_tunable("antic_expire", 0).unwrap();
    w.add(1, 'r', 0);
    w.add(1, 'r', 5000);
    w.add(2, 'w', 100);
    assert_eq!(w.dispatch(), Some(0));
    w.now = 501 * MS;
    w.add(1, 'r', 9000);
    assert_eq!((w.dispatch(), w.a.wake_at()), (None, Some(u64::MAX)), "a read is in flight");
    w.complete();
    assert_eq!(w.dispatch(), Some(100));
    // Reads wait, writes do not: back, from the oldest on, when the write is done.
    assert_eq!(w.dispatch(), None);
    w.complete();
    assert_eq!(w.dispatch(), Some(5000));
}

#[test]
fn an_expired_read_goes_before_the_sweep() {
    let mut w = World::default();
    w.a.set_tunable("antic_expire", 0).unwrap();
    w.add(1, 'r', 5_000_000);
    assert_eq!(w.dispatch(), Some(5_000_000));
    w.add(2, 'r', 8);
    w.now = 126 * MS;
    w.add(1, 'r', 5_000_100);
    w.add(1, 'r', 5_000_200);
    assert_eq!(w.dispatch(), Some(8));
}

#[test]
fn tunables_are_in_milliseconds() {
    let mut a = Anticipatory::default();
    let defaults: Vec<_> = a.tunables().iter().map(|name| (*name, a.tunable(name).unwrap())).collect();
    let linux = [125, 250, 6, 500, 125];
    let names = ["read_expire", "write_expire", "antic_expire", "read_batch_expire", "write_batch_expire"];
    assert_eq!(defaults, names.into_iter().zip(linux).collect::<Vec<_>>());
    assert_eq!(a.set_tunable("antic_expire", 9), Ok(()));
    assert_eq!(a.tunables.antic_expire_ns, 9 * MS);
    assert_eq!(a.set_tunable("fifo_batch", 9), Err(base::Errno::ENOENT));
}

/// The same threads under one elevator for ten seconds.
fn under(elevator: &str, threads: &dyn Fn() -> Vec<Load>) -> Report {
    let mut world = Simulation::new(elevator);
    threads().into_iter().for_each(|load| world.thread(load));
    world.run(10 * SECOND)
}

fn both(threads: &dyn Fn() -> Vec<Load>) -> (Report, Report) {
    (under("anticipatory", threads), under("deadline", threads))
}

#[test]
fn alternating_readers_get_many_times_as_much() {
    let (ours, deadlines) = both(&|| vec![Load::reader(MS / 2), Load::reader(MS / 2).sequential(SIZE / 2)]);
    assert!(ours.pages() > 8 * deadlines.pages(), "{ours:?}\n{deadlines:?}");
    assert!(ours.travelled * 10 < deadlines.travelled, "{ours:?}\n{deadlines:?}");
    assert!(ours.fairness() > 0.95, "{ours:?}");
    // read_expire, and what is under way then.
    assert!(ours.worst_ns() < 300 * MS, "{ours:?}");
}

#[test]
fn without_the_wait_it_is_like_deadline() {
    let load = || [Load::reader(MS / 2), Load::reader(MS / 2).sequential(SIZE / 2)];
    let mut world = Simulation::new("anticipatory");
    world.elevator().set_tunable("antic_expire", 0).unwrap();
    load().into_iter().for_each(|load| world.thread(load));
    let (ours, deadlines) = (world.run(10 * SECOND), under("deadline", &|| load().into()));
    assert_eq!((ours.pages(), ours.travelled), (deadlines.pages(), deadlines.travelled));
}

#[test]
fn on_random_readers_it_gives_up() {
    let (ours, deadlines) = both(&|| (1..=4).map(|seed| Load::reader(MS / 2).random(seed, SIZE)).collect());
    assert!(ours.pages() * 10 > deadlines.pages() * 9, "{ours:?}\n{deadlines:?}");
    assert!(ours.fairness() > 0.95);
}

#[test]
fn on_slow_thinkers_it_gives_up() {
    let (ours, deadlines) =
        both(&|| (0..4).map(|n| Load::reader(15 * MS).sequential(n * SIZE / 4)).collect());
    assert!(ours.pages() * 10 > deadlines.pages() * 9, "{ours:?}\n{deadlines:?}");
}

#[test]
fn a_reader_against_a_stream_of_writes() {
    let load = || vec![Load::reader(MS / 2), Load::writer().random(1, SIZE).depth(64)];
    let (ours, deadlines) = both(&load);
    assert!(ours.threads[0].pages > 4 * deadlines.threads[0].pages, "{ours:?}\n{deadlines:?}");
    // Reads 500 ms, writes 125 ms and one turn: a seventh at least is for writes.
    assert!(ours.threads[1].pages * 8 > deadlines.threads[1].pages, "{ours:?}\n{deadlines:?}");
}

#[test]
fn nobody_starves() {
    let load = || {
        let mut all: Vec<Load> = (0..6).map(|n| Load::reader(0).sequential(n * SIZE / 8)).collect();
        all.push(Load::writer().random(1, SIZE));
        // Priorities are cfq's.
        all.push(Load::reader(0).random(2, SIZE).prio(IoPrio::new(IoClass::Idle, 7)));
        all
    };
    let report = under("anticipatory", &load);
    assert!(report.threads.iter().all(|t| t.pages >= 10), "{report:?}");
    assert!(report.worst_ns() < 5 * SECOND, "{report:?}");
}

#[test]
fn a_deep_queue_is_kept_full_of_writes() {
    let mut world = Simulation::new("anticipatory").queue_depth(32);
    world.thread(Load::writer().random(3, SIZE).depth(64));
    world.thread(Load::reader(MS).from(SECOND));
    let report = world.run(5 * SECOND);
    assert!(report.threads.iter().all(|t| t.pages > 50), "{report:?}");
}
