//! The contract of mod.rs under any sequence of calls, of every elevator: each id comes out exactly
//! once, None while something waits means a time to ask again, and asking then leads to an end.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;
use sync::thread::ThreadId;

use super::simulation::MS;
use super::{Elevator, NAMES, by_name};
use crate::ioprio::{IoClass, IoPrio};
use crate::pool::{Pool, RequestId};
use crate::request::{Origin, Request};
use crate::testing::add_from;

#[derive(Clone, Debug)]
enum Step {
    Add {
        thread: u64,
        read: bool,
        sync: bool,
        sector: u64,
        class: usize,
    },
    /// The next request joins the one before it, if both wait.
    Join,
    Dispatch,
    Complete(usize),
    Pass(u64),
    Ended(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let add = (0..5u64, any::<bool>(), any::<bool>(), 0..1u64 << 24, 0..4usize)
        .prop_map(|(thread, read, sync, sector, class)| Step::Add { thread, read, sync, sector, class });
    prop_oneof![
        5 => add,
        1 => Just(Step::Join),
        6 => Just(Step::Dispatch),
        4 => any::<usize>().prop_map(Step::Complete),
        2 => (0..200 * MS).prop_map(Step::Pass),
        1 => (0..5u64).prop_map(Step::Ended),
    ]
}

struct World {
    elevator: Box<dyn Elevator>,
    pool: Pool,
    waiting: BTreeSet<RequestId>,
    flying: Vec<Request>,
    now: u64,
}

impl World {
    fn run(&mut self, step: &Step) {
        match *step {
            Step::Add { thread, read, sync, sector, class } => {
                let classes = [IoClass::RealTime, IoClass::BestEffort, IoClass::Idle];
                let prio = classes.get(class).map_or(IoPrio::NONE, |class| IoPrio::new(*class, 3));
                let origin = Origin { thread: ThreadId(thread), prio, sync: read || sync };
                let op = if read { 'r' } else { 'w' };
                let id = add_from(self.elevator.as_mut(), &mut self.pool, op, sector, origin, self.now);
                self.waiting.insert(id);
            }
            Step::Join => self.join(),
            Step::Dispatch => _ = self.dispatch(),
            Step::Complete(pick) => self.complete(pick),
            Step::Pass(time) => self.now += time,
            Step::Ended(thread) => self.elevator.thread_ended(ThreadId(thread)),
        }
    }

    /// Of the same direction and of the same thread: those any elevator lets join.
    fn join(&mut self) {
        let of = |id| self.pool.get(id).map(|r| (r.op(), r.origin()));
        let mut ids = self.waiting.iter().copied();
        let Some(kept) = ids.next() else { return };
        let Some(gone) = ids.find(|id| of(*id) == of(kept)) else { return };
        self.elevator.joining(&mut self.pool, kept, gone);
        self.pool.join(kept, gone);
        self.waiting.remove(&gone);
    }

    /// Whether something came out.
    fn dispatch(&mut self) -> bool {
        match self.elevator.dispatch(&self.pool, self.now) {
            Some(id) => {
                assert!(self.waiting.remove(&id), "came out twice, or was never there");
                self.flying.extend(self.pool.remove(id));
                true
            }
            None if self.waiting.is_empty() => false,
            None => {
                let at = self.elevator.wake_at().expect("it neither dispatches nor waits");
                assert!(at > self.now && (at != u64::MAX || !self.flying.is_empty()));
                false
            }
        }
    }

    fn complete(&mut self, pick: usize) {
        if !self.flying.is_empty() {
            let request = self.flying.remove(pick % self.flying.len());
            self.elevator.completed(&request, self.now);
        }
    }

    /// Time and completions alone bring everything out.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            if self.dispatch() {
                continue;
            }
            if self.waiting.is_empty() {
                return;
            }
            match self.elevator.wake_at() {
                Some(at) if at != u64::MAX => self.now = at,
                _ => self.complete(0),
            }
        }
        panic!("{} never come out", self.waiting.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_elevator_keeps_the_contract(
        name in 0..NAMES.len(),
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let elevator = by_name(NAMES[name]).unwrap();
        let (pool, waiting, flying) = (Pool::default(), BTreeSet::new(), Vec::new());
        let mut world = World { elevator, pool, waiting, flying, now: 0 };
        steps.iter().for_each(|step| world.run(step));
        world.drain();
    }
}

#[test]
fn the_command_line_may_use_an_old_name() {
    assert_eq!(super::by_boot_name("as"), Some("anticipatory"));
    assert_eq!(super::by_boot_name("cfq"), Some("cfq"));
    assert_eq!(super::by_boot_name("bfq"), None);
    assert!(super::by_name("as").is_none(), "sysfs knows the name alone");
}
