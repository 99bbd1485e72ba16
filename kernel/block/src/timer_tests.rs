//! What happens because time passes: an elevator that waits, a driver that does not answer.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::Vec;

use base::{DevId, Errno, Result};

use crate::bio::BioOp;
use crate::driver::Limits;
use crate::elevator::Elevator;
use crate::pool::{Pool, RequestId};
use crate::queue::RequestQueue;
use crate::request::Request;
use crate::testing::{LateDisk, VirtualTime, page_bio, submit};
use crate::{Merges, kblockd};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// Keeps what it gets for 6 ms, counted from the last one.
#[derive(Default)]
struct Lazy {
    ids: Vec<RequestId>,
    until: u64,
    completed: Arc<Mutex<usize>>,
}

impl Elevator for Lazy {
    fn name(&self) -> &'static str {
        "lazy"
    }

    fn add(&mut self, _pool: &mut Pool, id: RequestId, now: u64) {
        self.ids.push(id);
        self.until = now + 6 * MS;
    }

    fn joining(&mut self, _pool: &mut Pool, _kept: RequestId, gone: RequestId) {
        self.ids.retain(|id| *id != gone);
    }

    fn dispatch(&mut self, _pool: &Pool, now: u64) -> Option<RequestId> {
        if now < self.until { None } else { self.ids.pop() }
    }

    fn wake_at(&self) -> Option<u64> {
        (!self.ids.is_empty()).then_some(self.until)
    }

    fn completed(&mut self, _request: &Request, _now: u64) {
        *self.completed.lock().unwrap() += 1;
    }
}

fn queue(timer: &'static dyn kblockd::Timer) -> (Arc<LateDisk>, Arc<RequestQueue>) {
    let driver = LateDisk::new(1 << 12, usize::MAX, Limits::default());
    (driver.clone(), RequestQueue::with_timer("vda", DevId::new(254, 0), driver, "noop", timer).unwrap())
}

fn write(queue: &Arc<RequestQueue>, page: u64) {
    let (bio, _) = page_bio(BioOp::Write, page * 8, 1, 1);
    let bio = bio.end_io(|result: Result<()>| assert_eq!(result, Ok(())));
    submit(queue, bio);
}

fn put_lazy(queue: &RequestQueue) -> Arc<Mutex<usize>> {
    let lazy = Lazy::default();
    let completed = lazy.completed.clone();
    queue.lock().elevator = std::boxed::Box::new(lazy);
    completed
}

#[test]
fn an_elevator_that_waits_is_asked_again_at_its_time() {
    let time = VirtualTime::new();
    let (driver, queue) = queue(time);
    let completed = put_lazy(&queue);
    write(&queue, 0);
    time.pass(5 * MS, &queue);
    assert_eq!((driver.held(), queue.waiting()), (0, 1));
    write(&queue, 9);
    time.pass(5 * MS, &queue);
    assert_eq!(driver.held(), 0, "it waits anew");
    time.pass(MS, &queue);
    assert_eq!((driver.held(), queue.waiting()), (2, 0));
    driver.complete_all();
    assert_eq!(*completed.lock().unwrap(), 2);
}

#[test]
fn without_a_timer_no_elevator_waits() {
    struct Nobody;
    impl kblockd::Timer for Nobody {
        fn now(&self) -> u64 {
            SECOND
        }
        fn arm(&self, _at: u64) -> bool {
            false
        }
    }
    let (driver, queue) = queue(&Nobody);
    let _completed = put_lazy(&queue);
    write(&queue, 0);
    assert_eq!(driver.held(), 1);
    // What is in flight will run the queue when it completes.
    write(&queue, 9);
    assert_eq!((driver.held(), queue.waiting()), (1, 1));
    driver.complete_all();
    assert_eq!((driver.held(), queue.waiting()), (0, 0));
}

#[test]
fn kblockd_asks_on_the_real_clock() {
    let driver = LateDisk::new(1 << 12, usize::MAX, Limits::default());
    let queue = RequestQueue::new("vda", DevId::new(254, 0), driver.clone(), "noop").unwrap();
    let _completed = put_lazy(&queue);
    kblockd::start().unwrap();
    kblockd::start().unwrap();
    write(&queue, 0);
    while driver.held() == 0 {
        std::thread::yield_now();
    }
    driver.complete_all();
    drop(queue);
}

#[test]
fn the_driver_is_asked_about_what_it_holds_too_long_and_again() {
    let time = VirtualTime::new();
    let (driver, queue) = queue(time);
    let asked = || *driver.asked.lock().unwrap();
    write(&queue, 3);
    time.pass(10 * SECOND, &queue);
    write(&queue, 7);
    time.pass(20 * SECOND - 1, &queue);
    assert_eq!(asked(), 0);
    time.pass(1, &queue);
    assert_eq!(asked(), 1);
    time.pass(10 * SECOND, &queue);
    assert_eq!(asked(), 2, "the second one");
    time.pass(30 * SECOND, &queue);
    assert_eq!(asked(), 4, "both again");
    driver.complete_all();
    time.pass(100 * SECOND, &queue);
    assert_eq!(asked(), 4);
    // And the next one is watched again.
    write(&queue, 3);
    time.pass(30 * SECOND, &queue);
    assert_eq!(asked(), 5);
    driver.complete_all();
}

#[test]
fn what_the_driver_finds_done_is_not_called_late() {
    let time = VirtualTime::new();
    let (driver, queue) = queue(time);
    write(&queue, 3);
    driver.interrupt_lost.store(true, SeqCst);
    assert_eq!((queue.overdue(32 * SECOND), driver.held()), (Vec::new(), 0));
    write(&queue, 3);
    assert_eq!((queue.overdue(32 * SECOND).len(), driver.held()), (1, 1));
    driver.complete_all();
}

#[test]
fn a_shorter_timeout_counts_at_once() {
    let time = VirtualTime::new();
    let (driver, queue) = queue(time);
    assert_eq!(queue.set_io_timeout_ms(0), Err(Errno::EINVAL));
    write(&queue, 3);
    time.pass(2 * SECOND, &queue);
    queue.set_io_timeout_ms(1500).unwrap();
    time.pass(0, &queue);
    assert_eq!(*driver.asked.lock().unwrap(), 1);
    driver.complete_all();
}

#[test]
fn attributes_are_kept_in_range() {
    let (_driver, queue) = queue(VirtualTime::new());
    assert_eq!((queue.nr_requests(), queue.io_timeout_ms(), queue.rotational()), (256, 30_000, true));
    assert_eq!(queue.set_nr_requests(2049), Err(Errno::EINVAL));
    assert_eq!(queue.set_nr_requests(1), Ok(()));
    assert_eq!(queue.nr_requests(), 4);
    assert_eq!((queue.max_sectors_kb(), queue.max_hw_sectors_kb()), (1280, 1280));
    assert_eq!(queue.set_max_sectors_kb(3), Err(Errno::EINVAL));
    assert_eq!(queue.set_max_sectors_kb(1281), Err(Errno::EINVAL));
    assert_eq!(queue.set_max_sectors_kb(4), Ok(()));
    assert_eq!((queue.limits().max_sectors, queue.hardware().max_sectors), (8, 2560));
    assert_eq!(queue.tunables(), Vec::<&str>::new());
    assert_eq!(queue.set_tunable("fifo_batch", 1), Err(Errno::ENOENT));
    queue.switch_elevator("deadline").unwrap();
    assert_eq!(queue.set_tunable("fifo_batch", 9), Ok(()));
    assert_eq!(queue.tunable("fifo_batch"), Some(9));
    queue.switch_elevator("deadline").unwrap();
    assert_eq!(queue.tunable("fifo_batch"), Some(9), "it is there already");
}

#[test]
fn nomerges_is_obeyed() {
    // The first one keeps the device busy.
    let pages = [100, 10, 11, 20, 12];
    for (merges, log) in [
        (Merges::All, ["Write 800+8", "Write 80+24", "Write 160+8"].as_slice()),
        (Merges::Simple, &["Write 800+8", "Write 80+16", "Write 160+8", "Write 96+8"]),
        (Merges::None, &["Write 800+8", "Write 80+8", "Write 88+8", "Write 160+8", "Write 96+8"]),
    ] {
        let limits = Limits { queue_depth: 1, ..Limits::default() };
        let driver = LateDisk::new(1 << 12, usize::MAX, limits);
        let queue =
            RequestQueue::with_timer("vda", DevId::new(254, 0), driver.clone(), "noop", VirtualTime::new())
                .unwrap();
        queue.set_merges(merges);
        pages.into_iter().for_each(|page| write(&queue, page));
        driver.complete_all();
        assert_eq!(driver.take_log(), log, "{merges:?}");
    }
}

#[test]
fn what_is_not_counted_does_not_show() {
    let (driver, queue) = queue(VirtualTime::new());
    write(&queue, 1);
    queue.set_iostats(false);
    write(&queue, 5);
    assert_eq!(queue.stats().in_flight, 1);
    driver.complete_all();
    assert_eq!((queue.stats().write.ios, queue.stats().in_flight), (1, 0));
}

#[test]
fn a_queue_told_to_write_through_flushes_nothing() {
    let limits = Limits { write_cache: true, ..Limits::default() };
    let driver = LateDisk::new(1 << 12, usize::MAX, limits);
    let queue =
        RequestQueue::with_timer("vda", DevId::new(254, 0), driver.clone(), "noop", VirtualTime::new())
            .unwrap();
    queue.set_write_cache(false).unwrap();
    queue.submit(crate::Bio::new(BioOp::Flush, base::Sector(0)));
    assert_eq!(driver.held(), 0);
    queue.set_write_cache(true).unwrap();
    queue.submit(crate::Bio::new(BioOp::Flush, base::Sector(0)));
    assert_eq!(driver.held(), 1);
    driver.complete_all();
}
