//! The service trees: which queues wait for their turn, in the order of it.
//!
//! There is one tree for each class and workload, and one for the idle class. A queue's place in it
//! is a time: when its turn would come if all went as foreseen. Places are only compared within a
//! class.

use alloc::collections::BTreeSet;

use super::idle::ThinkTime;
use super::queue::{Key, Queue};
use crate::ioprio::IoClass;

/// What the queues of a tree have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Workload {
    /// Nobody waits for it.
    Async,
    /// Sync, and not waited for one by one.
    SyncNoIdle,
    /// Sync, and waited for.
    SyncIdle,
}

/// The workloads, in the order in which a tie is decided.
pub(super) const WORKLOADS: [Workload; 3] = [Workload::Async, Workload::SyncNoIdle, Workload::SyncIdle];

/// Where a queue is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub class: IoClass,
    pub workload: Workload,
    /// The time of its turn, and a number that keeps equals in order.
    entry: (i64, u64),
}

/// One tree.
#[derive(Default)]
pub(super) struct Tree {
    queues: BTreeSet<(i64, u64, Key)>,
    /// How long its threads think, taken together.
    pub think: ThinkTime,
}

impl Tree {
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    pub fn first(&self) -> Option<Key> {
        self.queues.first().map(|(_, _, key)| *key)
    }

    pub fn first_time(&self) -> Option<i64> {
        self.queues.first().map(|(time, _, _)| *time)
    }

    pub fn last_time(&self) -> Option<i64> {
        self.queues.last().map(|(time, _, _)| *time)
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Trees {
    trees: [[Tree; 3]; 2],
    idle: Tree,
    /// Of the last entry.
    number: u64,
}

impl Trees {
    pub fn tree(&self, class: IoClass, workload: Workload) -> &Tree {
        match class {
            IoClass::RealTime => &self.trees[0][workload as usize],
            IoClass::BestEffort => &self.trees[1][workload as usize],
            IoClass::Idle => &self.idle,
        }
    }

    pub fn tree_mut(&mut self, class: IoClass, workload: Workload) -> &mut Tree {
        match class {
            IoClass::RealTime => &mut self.trees[0][workload as usize],
            IoClass::BestEffort => &mut self.trees[1][workload as usize],
            IoClass::Idle => &mut self.idle,
        }
    }

    /// How many queues of a class are busy.
    pub fn busy_of(&self, class: IoClass) -> usize {
        match class {
            IoClass::Idle => self.idle.len(),
            _ => WORKLOADS.iter().map(|w| self.tree(class, *w).len()).sum(),
        }
    }

    /// How many queues are busy.
    pub fn busy(&self) -> usize {
        [IoClass::RealTime, IoClass::BestEffort, IoClass::Idle].into_iter().map(|c| self.busy_of(c)).sum()
    }

    /// How many async queues of a class are busy.
    pub fn busy_async_of(&self, class: IoClass) -> usize {
        self.tree(class, Workload::Async).len()
    }

    /// How many sync queues are busy.
    pub fn busy_sync(&self) -> usize {
        let idle = self.idle.queues.iter().filter(|(_, _, key)| key.is_sync()).count();
        let others = self.trees.iter().flat_map(|class| &class[1..]).map(Tree::len).sum::<usize>();
        idle + others
    }

    /// The queue gets its turn at `time`, in the tree where it belongs now.
    pub fn enter(&mut self, queue: &mut Queue, time: i64) {
        self.leave(queue);
        self.number += 1;
        let place = Place { class: queue.class, workload: queue.workload(), entry: (time, self.number) };
        let entry = (time, self.number, queue.key);
        self.tree_mut(place.class, place.workload).queues.insert(entry);
        queue.place = Some(place);
    }

    /// The queue waits for no turn.
    pub fn leave(&mut self, queue: &mut Queue) {
        if let Some(place) = queue.place.take() {
            let (time, number) = place.entry;
            self.tree_mut(place.class, place.workload).queues.remove(&(time, number, queue.key));
        }
    }
}
