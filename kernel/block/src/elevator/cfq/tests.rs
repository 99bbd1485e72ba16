//! One thing at a time: what comes out, when, and what is waited for.

use std::vec::Vec;

use sync::thread::ThreadId;

use super::queue::{Key, Slice};
use super::*;
use crate::ioprio::IoPrio;
use crate::testing::add_from;

pub(super) const RT: IoPrio = IoPrio::new(IoClass::RealTime, 4);
pub(super) const BE: IoPrio = IoPrio::new(IoClass::BestEffort, 4);
pub(super) const IDLE: IoPrio = IoPrio::new(IoClass::Idle, 0);

/// An elevator, its pool, and a device that holds what it gets.
#[derive(Default)]
pub(super) struct Bench {
    pub cfq: Cfq,
    pub pool: Pool,
    pub device: Vec<Request>,
    pub now: u64,
}

pub(super) fn origin(thread: u64, prio: IoPrio, sync: bool) -> Origin {
    Origin { thread: ThreadId(thread), prio, sync }
}

impl Bench {
    pub fn add(&mut self, op: char, sector: u64, origin: Origin) -> RequestId {
        add_from(&mut self.cfq, &mut self.pool, op, sector, origin, self.now)
    }

    fn read(&mut self, thread: u64, sector: u64) -> RequestId {
        self.add('r', sector, origin(thread, BE, true))
    }

    fn write(&mut self, sector: u64) -> RequestId {
        self.add('w', sector, origin(1, BE, false))
    }

    /// The sector of what comes out.
    pub fn dispatch(&mut self) -> Option<u64> {
        let id = self.cfq.dispatch(&self.pool, self.now)?;
        self.device.push(self.pool.remove(id).expect("comes out once"));
        self.device.last().map(|r| r.sector().0)
    }

    fn dispatch_all(&mut self) -> Vec<u64> {
        core::iter::from_fn(|| self.dispatch()).collect()
    }

    /// The device is done with its oldest after `ms`.
    pub fn complete(&mut self, ms: u64) {
        self.now += ms * MS;
        let request = self.device.remove(0);
        self.cfq.completed(&request, self.now);
        request.end_bios(Ok(()));
    }

    /// A read from its submission to its end.
    fn round(&mut self, thread: u64, sector: u64, think_ms: u64) {
        self.now += think_ms * MS;
        self.read(thread, sector);
        assert_eq!(self.dispatch(), Some(sector));
        self.complete(1);
    }

    pub fn wake_at(&self) -> Option<u64> {
        self.cfq.wake_at()
    }

    fn thread(&self, thread: u64) -> &Queue {
        &self.cfq.queues[&Key::Thread(thread)]
    }
}

#[test]
fn the_nearest_goes_next_and_behind_counts_double() {
    let mut b = Bench::default();
    for sector in [10_000, 9_000, 10_600, 1_000_000] {
        b.read(1, sector);
    }
    b.cfq.position = 9_900;
    assert_eq!(b.dispatch(), Some(10_000));
    // 592 ahead, 1008 behind.
    assert_eq!(b.dispatch_all(), [10_600, 9_000, 1_000_000]);
}

#[test]
fn what_is_farther_behind_than_back_seek_max_waits_for_the_way_round() {
    let mut b = Bench::default();
    b.cfq.set_tunable("back_seek_max", 100).unwrap();
    for sector in [10_000, 10_100, 50_000] {
        b.read(1, sector);
    }
    b.cfq.position = 10_150;
    assert_eq!(b.dispatch(), Some(10_100));
    b.cfq.position = 11_000;
    assert_eq!(b.dispatch_all(), [50_000, 10_000]);
}

#[test]
fn what_has_waited_too_long_goes_first() {
    let mut b = Bench::default();
    b.read(1, 800_000);
    b.now += 100 * MS;
    b.read(1, 8);
    b.now += 25 * MS;
    b.read(1, 16);
    assert_eq!(b.dispatch_all(), [800_000, 8, 16], "the oldest after 125 ms, then the order of the disk");
}

#[test]
fn an_empty_queue_is_waited_for_within_its_slice() {
    let mut b = Bench::default();
    b.round(1, 8, 0);
    b.read(2, 500_000);
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(b.now + 8 * MS)));
    b.now += 3 * MS;
    b.read(1, 16);
    assert_eq!(b.dispatch(), Some(16), "the wait was not in vain");
    b.complete(1);
    b.now = b.wake_at().unwrap();
    assert_eq!(b.dispatch(), Some(500_000));
}

#[test]
fn nobody_is_waited_for_who_has_more_in_flight() {
    let mut b = Bench::default();
    b.read(1, 8);
    b.read(1, 800);
    assert_eq!(b.dispatch_all(), [8, 800]);
    b.complete(1);
    b.read(2, 500_000);
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(u64::MAX)), "its own completion is waited for");
    b.complete(1);
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(b.now + 8 * MS)));
}

#[test]
fn what_was_waited_for_may_pass() {
    let mut b = Bench::default();
    b.round(1, 8, 0);
    let mut offer = |thread, sector| {
        let id = add_from(
            &mut *crate::elevator::by_name("noop").unwrap(),
            &mut b.pool,
            'r',
            sector,
            origin(thread, BE, true),
            b.now,
        );
        let request = b.pool.remove(id).unwrap();
        let passed = b.cfq.pass(&request, b.now);
        b.device.push(request);
        passed
    };
    assert!(!offer(2, 16), "not its turn");
    assert!(offer(1, 16) && offer(1, 24));
    b.device.remove(0);
    b.complete(1);
    assert_eq!((b.thread(1).in_flight, b.cfq.in_flight), (1, [0, 1]));
    b.complete(1);
    b.read(2, 500_000);
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(b.now + 8 * MS)));
}

#[test]
fn with_slice_idle_0_nobody_is_waited_for() {
    let mut b = Bench::default();
    b.cfq.set_tunable("slice_idle", 0).unwrap();
    b.round(1, 8, 0);
    b.read(2, 500_000);
    assert_eq!(b.dispatch(), Some(500_000));
}

#[test]
fn long_thinking_ends_the_waiting_and_short_brings_it_back() {
    let mut b = Bench::default();
    b.cfq.set_tunable("slice_sync", 100_000).unwrap();
    (0..4).for_each(|n| b.round(1, 8 * n, 30));
    assert!(!b.thread(1).idle_window);
    (4..20).for_each(|n| b.round(1, 8 * n, 1));
    assert!(b.thread(1).idle_window);
}

#[test]
fn a_thread_that_seeks_is_not_waited_for_by_itself() {
    let mut b = Bench::default();
    // Longer than its first turn.
    (0..80).for_each(|n| b.round(1, 100_000 * n, 1));
    assert!(!b.thread(1).idle_window);
    // It is waited for as the last of its kind.
    b.read(2, 90_000_000);
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(b.now + 8 * MS)));
    b.now += 8 * MS;
    assert_eq!(b.dispatch(), Some(90_000_000));
    b.complete(1);
    (0..80).for_each(|n| b.round(2, 70_000_000 + 100_000 * n, 1));
    // Of two who seek neither is waited for: the other goes at once.
    (0..20).for_each(|n| {
        b.round(1, 100_000 * n, 1);
        b.round(2, 90_000_000 + 100_000 * n, 1);
    });
}

#[test]
fn a_thread_that_writes_is_not_waited_for_by_itself() {
    let mut b = Bench::default();
    b.add('w', 8, origin(1, BE, true));
    assert!(!b.thread(1).idle_window);
    b.dispatch_all();
    b.complete(1);
    // The journal's write for the same fsync.
    b.add('w', 9_000_000, origin(2, BE, true));
    assert_eq!(b.dispatch(), Some(9_000_000), "goes at once");
}

#[test]
fn a_device_without_seeks_that_queues_waits_for_nobody() {
    let mut b = Bench::default();
    b.cfq.rotational = false;
    b.round(1, 8, 0);
    b.read(2, 500_000);
    assert_eq!(b.dispatch(), Some(500_000));
    // One that takes one at a time has no such choice.
    b = Bench::default();
    b.cfq.rotational = false;
    b.cfq.depth.queues = false;
    b.round(1, 8, 0);
    b.read(2, 500_000);
    assert_eq!(b.dispatch(), None);
}

#[test]
fn a_device_that_never_has_many_does_not_queue() {
    let mut b = Bench::default();
    (0..100).for_each(|n| {
        b.read(1, 800 * n);
    });
    (0..60).for_each(|_| {
        b.dispatch();
        b.complete(1);
    });
    assert!(!b.cfq.depth.queues);
    b.dispatch_all();
    b.complete(1);
    assert!(b.cfq.depth.queues);
}

#[test]
fn a_sync_request_takes_the_disk_from_an_async_queue_which_keeps_its_rest() {
    let mut b = Bench::default();
    (0..40).for_each(|n| {
        b.write(800 * n);
    });
    assert_eq!(b.dispatch(), Some(0));
    b.complete(1);
    assert_eq!(b.dispatch(), Some(800));
    let Slice::Runs { end, .. } = b.cfq.queues[&Key::Async(IoClass::BestEffort, 4)].slice else { panic!() };
    b.now += MS;
    b.read(7, 9_000_000);
    assert_eq!(b.cfq.active, None);
    // The rest went into its place: it is the earlier by that.
    let tree = b.cfq.trees.tree(IoClass::BestEffort, tree::Workload::Async);
    let place = tree.first_time().unwrap();
    let offset = 180 - 40;
    assert_eq!(place, (b.now + offset * MS) as i64 - (end - b.now) as i64);
    // The write in flight is drained first.
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(u64::MAX)));
    b.complete(1);
    assert_eq!(b.dispatch(), Some(9_000_000));
    assert_eq!(b.dispatch(), None, "no write while a read is in flight");
}

#[test]
fn real_time_takes_the_disk_and_nobody_takes_it_from_real_time() {
    let mut b = Bench::default();
    for n in 0..9 {
        b.read(1, 800 * n);
    }
    assert_eq!(b.dispatch(), Some(0));
    for n in 0..3 {
        b.add('r', 5_000_000 + 800 * n, origin(2, RT, true));
    }
    assert_eq!(b.dispatch(), Some(5_000_000));
    b.read(3, 5_000_800);
    b.add('r', 8, origin(4, IDLE, true));
    assert_eq!((b.dispatch(), b.dispatch()), (Some(5_000_800), Some(5_001_600)));
}

#[test]
fn a_thread_whose_class_changes_changes_its_tree() {
    let mut b = Bench::default();
    b.read(1, 8);
    b.read(2, 800);
    b.add('r', 1600, origin(2, RT, true));
    assert_eq!((b.cfq.trees.busy_of(IoClass::RealTime), b.cfq.trees.busy_of(IoClass::BestEffort)), (1, 1));
    assert_eq!(b.dispatch_all()[..2], [800, 1600]);
}

#[test]
fn the_idle_class_waits_for_its_grace() {
    let mut b = Bench::default();
    b.cfq.set_tunable("slice_idle", 0).unwrap();
    b.round(1, 8, 0);
    b.add('r', 800, origin(2, IDLE, true));
    b.add('r', 900, origin(2, IDLE, true));
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(b.now + 100 * MS)));
    b.now += 100 * MS;
    assert_eq!((b.dispatch(), b.dispatch()), (Some(800), None), "one at a time");
    b.read(1, 16);
    assert_eq!(b.dispatch(), Some(16));
    assert_eq!((b.dispatch(), b.wake_at()), (None, Some(u64::MAX)));
}

#[test]
fn an_async_turn_has_so_many_requests() {
    let mut b = Bench::default();
    (0..40).for_each(|n| {
        b.write(800 * n);
        b.add('w', 9_000_000 + 800 * n, origin(1, IoPrio::new(IoClass::BestEffort, 7), false));
    });
    let mut order = Vec::new();
    while let Some(sector) = b.dispatch() {
        order.push(sector);
        b.complete(2);
    }
    let turns: Vec<usize> =
        order.chunk_by(|a, b| (*a < 9_000_000) == (*b < 9_000_000)).map(|t| t.len()).collect();
    // 2 × slice_async_rq × (8 − level).
    assert_eq!(turns[..4], [16, 4, 16, 4]);
}

#[test]
fn a_queue_among_others_has_so_many_in_flight() {
    let mut b = Bench::default();
    (0..40).for_each(|n| {
        b.read(1, 800 * n);
        b.read(2, 900_000 + 800 * n);
    });
    assert_eq!(b.dispatch_all().len(), 4, "half the quantum before the slice runs");
    b.complete(1);
    assert_eq!(b.dispatch_all().len(), 5, "then all of it");
    assert_eq!(b.device.len(), 8);
    let mut alone = Bench::default();
    (0..40).for_each(|n| {
        alone.read(1, 800 * n);
    });
    assert_eq!(alone.dispatch_all().len(), 40, "alone it has no limit");
}

#[test]
fn after_a_late_read_writes_begin_with_one() {
    let mut b = Bench::default();
    b.read(1, 8);
    b.dispatch();
    b.complete(130);
    (0..40).for_each(|n| {
        b.write(800 * n);
    });
    b.now += 8 * MS;
    assert_eq!(b.dispatch_all().len(), 1);
    b.now += 200 * MS;
    assert_eq!(b.dispatch_all().len(), 1, "two after two slices");
    b.now += 1000 * MS;
    assert!(b.dispatch_all().len() > 4);
}

#[test]
fn slices_shrink_when_many_want_one() {
    let mut b = Bench::default();
    let slice_among = |b: &mut Bench, threads: u64| {
        (1..=threads).for_each(|t| {
            b.read(t, 8000 * t);
        });
        // The mean follows.
        (0..8).for_each(|_| {
            b.cfq.slice_of(Key::Thread(1));
        });
        b.cfq.slice_of(Key::Thread(1)) / MS
    };
    assert_eq!([1, 3, 6, 10].map(|n| slice_among(&mut b, n)), [100, 100, 50, 30]);
    assert_eq!(slice_among(&mut b, 100), 16, "but not below two waits");
    b.cfq.set_tunable("low_latency", 0).unwrap();
    assert_eq!(slice_among(&mut b, 100), 100);
}

#[test]
fn merged_is_only_what_waits_in_one_queue() {
    let mut b = Bench::default();
    let (read, write) = (b.read(1, 8), b.write(800));
    let may = |id, o: Origin| b.cfq.may_merge(b.pool.get(id).unwrap(), &o);
    assert!(may(read, origin(1, BE, true)) && !may(read, origin(2, BE, true)));
    assert!(!may(read, origin(1, BE, false)) && !may(write, origin(1, BE, true)));
    assert!(may(write, origin(9, IoPrio::NONE, false)) && !may(write, origin(1, RT, false)));
}

#[test]
fn a_joined_request_keeps_the_earlier_time_and_leaves_nothing_behind() {
    let mut b = Bench::default();
    let early = b.write(16);
    b.now += 5 * MS;
    let late = b.write(8);
    b.cfq.joining(&mut b.pool, late, early);
    b.pool.join(late, early);
    assert_eq!(b.pool.get(late).unwrap().expires, 250 * MS);
    assert_eq!(b.cfq.waiting, 1);
    assert_eq!((b.dispatch_all(), b.wake_at()), (vec![8], None));
}

#[test]
fn a_bio_in_front_moves_its_request() {
    let mut b = Bench::default();
    let id = b.read(1, 1000);
    b.read(1, 500);
    // As if [200, 1000) had come in front of it.
    let mut request = b.pool.remove(id).unwrap();
    let (bio, _frames) = crate::testing::page_bio(crate::BioOp::Read, 200, 100, 0);
    let shape = crate::request::Shape::of(&bio, &crate::Limits::default());
    request.push_front(bio, shape);
    let again = b.pool.insert(request);
    b.cfq.queues.get_mut(&Key::Thread(1)).unwrap().move_to(id, 1000, 200);
    assert_ne!(id, again);
    assert_eq!(b.thread(1).nearest(0, 0, 1), Some(id));
}

#[test]
fn a_thread_that_has_ended_is_not_waited_for() {
    let mut b = Bench::default();
    b.round(1, 8, 0);
    b.read(2, 500_000);
    assert_eq!(b.dispatch(), None);
    b.cfq.thread_ended(ThreadId(1));
    assert_eq!(b.dispatch(), Some(500_000));
    b.cfq.thread_ended(ThreadId(2));
    b.complete(1);
    b.round(3, 16, 0);
    assert_eq!(b.cfq.queues.len(), 2, "the newest, and the one whose turn it was");
}

#[test]
fn threads_that_are_quiet_are_forgotten() {
    let mut b = Bench::default();
    for thread in 0..2000 {
        b.round(thread, 8 * thread, 0);
        b.now += 8 * MS;
    }
    assert!(b.cfq.queues.len() <= MOST_QUEUES);
    b.now += RETIRE_NS;
    b.round(9999, 8, 0);
    assert_eq!(b.cfq.queues.len(), 1);
}

#[test]
fn tunables_have_linux_units_and_ranges() {
    let mut c = Cfq::default();
    let defaults = [8, 125, 250, 16384, 2, 100, 100_000, 40, 40_000, 2, 8, 8000, 1, 300, 300_000];
    let got: Vec<u64> = c.tunables().iter().map(|name| c.tunable(name).unwrap()).collect();
    assert_eq!(got, defaults);
    c.set_tunable("slice_idle_us", 2500).unwrap();
    assert_eq!((c.tunable("slice_idle"), c.tunable("slice_idle_us")), (Some(2), Some(2500)));
    c.set_tunable("quantum", 0).unwrap();
    c.set_tunable("low_latency", 7).unwrap();
    c.set_tunable("target_latency", u64::MAX).unwrap();
    assert_eq!(["quantum", "low_latency"].map(|n| c.tunable(n)), [Some(1), Some(1)]);
    assert_eq!(c.tunable("target_latency"), Some(u32::MAX.into()));
    assert_eq!(c.set_tunable("group_idle", 1), Err(base::Errno::ENOENT));
}

#[test]
fn what_waits_under_another_elevator_comes_over() {
    let mut b = Bench::default();
    let mut noop = crate::elevator::by_name("noop").unwrap();
    for n in 0..60 {
        let o = origin(n % 7, [BE, RT, IDLE][n as usize % 3], n % 4 != 0);
        add_from(noop.as_mut(), &mut b.pool, if o.sync { 'r' } else { 'w' }, 1000 * n, o, 0);
    }
    for id in b.pool.ids() {
        b.cfq.add(&mut b.pool, id, 5 * MS);
    }
    b.now = 5 * MS;
    let mut out = 0;
    while b.cfq.waiting > 0 {
        out += b.dispatch_all().len();
        match b.device.is_empty() {
            true => b.now = b.wake_at().unwrap_or(b.now),
            false => b.complete(1),
        }
    }
    assert_eq!(out + b.dispatch_all().len(), 60);
}
