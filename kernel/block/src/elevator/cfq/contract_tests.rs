//! The elevator's contract, for any sequence of requests, completions and waits: each request comes
//! out once, none is held back without a reason, and the counts are what they count.

use proptest::prelude::*;

use super::queue::Queue;
use super::tests::{BE, Bench, IDLE, RT, origin};
use super::{MS, TUNABLES};
use crate::elevator::Elevator;
use crate::ioprio::{IoClass, IoPrio};

#[derive(Clone, Debug)]
enum Step {
    Add { thread: u64, sync: bool, prio: usize, sector: u64 },
    Dispatch,
    Complete,
    Pass(u64),
    Tune(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5u64, any::<bool>(), 0..5usize, 0..4000u64)
            .prop_map(|(thread, sync, prio, page)| Step::Add { thread, sync, prio, sector: page * 8 }),
        5 => Just(Step::Dispatch),
        4 => Just(Step::Complete),
        2 => (0..40u64).prop_map(Step::Pass),
        1 => (0..TUNABLES.len(), prop_oneof![0..4u64, 0..500u64, any::<u64>()]).prop_map(|(i, v)| Step::Tune(i, v)),
    ]
}

const PRIOS: [IoPrio; 5] =
    [BE, RT, IDLE, IoPrio::new(IoClass::BestEffort, 0), IoPrio::new(IoClass::BestEffort, 7)];

impl Bench {
    /// None comes only with a reason, and when its time has come there is something.
    fn dispatch_by_the_contract(&mut self) {
        for _ in 0..8 {
            if self.dispatch().is_some() || self.pool.len() == 0 {
                return;
            }
            let wake = self.wake_at().expect("something waits");
            assert!(wake > self.now);
            if wake == u64::MAX {
                assert!(!self.device.is_empty(), "waits for nothing");
                return;
            }
            if !self.device.is_empty() {
                return;
            }
            self.now = wake;
        }
        panic!("the time came and came, and nothing was dispatched");
    }

    fn check_counts(&self) {
        let c = &self.cfq;
        assert_eq!(c.waiting, self.pool.len());
        assert_eq!(c.waiting, c.queues.values().map(Queue::len).sum::<usize>());
        assert_eq!(c.in_flight.iter().sum::<u32>() as usize, self.device.len());
        for (key, queue) in &c.queues {
            assert!(queue.is_empty() || queue.is_placed(), "{key:?}");
            assert!(!queue.is_empty() || !queue.is_placed() || c.active == Some(*key), "{key:?}");
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Add { thread, sync, prio, sector } => {
                let op = if sync { 'r' } else { 'w' };
                self.add(op, sector, origin(thread, PRIOS[prio], sync));
            }
            Step::Dispatch => self.dispatch_by_the_contract(),
            Step::Complete if self.device.is_empty() => {}
            Step::Complete => self.complete(1),
            Step::Pass(ms) => self.now += ms * MS,
            Step::Tune(index, value) => self.cfq.set_tunable(TUNABLES[index].name, value).unwrap(),
        }
        self.check_counts();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_request_comes_out_once_and_no_time_is_lost(steps in proptest::collection::vec(step(), 1..200)) {
        let mut b = Bench::default();
        let mut added = 0;
        for step in &steps {
            added += usize::from(matches!(step, Step::Add { .. }));
            b.run(step);
        }
        let mut rounds = 0;
        while b.pool.len() > 0 || !b.device.is_empty() {
            b.dispatch_by_the_contract();
            b.check_counts();
            if !b.device.is_empty() {
                b.complete(1);
            }
            rounds += 1;
            prop_assert!(rounds <= 4 * added);
        }
    }
}
