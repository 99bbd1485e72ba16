//! The requests that wait in a queue, and the indexes that find them.
//!
//! The pool owns the requests; an elevator orders their ids. So merging works alike under every
//! elevator, and changing the elevator loses nothing.
//!
//! * by id: a slab; the id says which slot, and its age says whether the slot is still its own;
//! * by end: a hash from operation and end sector, for back merges, chained through the slots;
//! * `sorted`: a tree per direction by first sector, for front merges and for elevators that sweep.
//!
//! Nothing here allocates once as many requests have waited together as ever will, but the trees.
//!
//! # Invariants
//! 1. A request is in `sorted` exactly as long as it is in the pool, under its present first sector.
//! 2. A request is in the hash exactly as long as it is in the pool, is mergeable and of the present
//!    epoch, under its present end. Of two that end at the same sector the later one is found.
//! 3. Requests queued before a flush are found by neither merge lookup ([`Pool::seal`]).
//! 4. A slot is in `free` or holds a request, never both.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use base::DevId;

use crate::bio::{Bio, BioOp, Direction};
use crate::merge::mergeable;
use crate::request::{Request, Shape};
use crate::trace;

/// Names a request as long as it is in the pool; never used twice. Later requests have greater ids.
///
/// ```text
///   63 … 20   19 … 0
///   age       slot
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct RequestId(u64);

/// More slots than requests can be reserved in a queue.
const SLOT_BITS: u32 = 20;

impl RequestId {
    /// No other is less: where a range of an elevator's own order begins.
    pub const LEAST: RequestId = RequestId(0);

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

/// A place for a request.
struct Slot {
    /// Whose the slot is, or was last.
    id: RequestId,
    request: Option<Request>,
    /// The next slot of the same bucket.
    next: Option<u32>,
}

/// Buckets of the hash: a few requests each when the queue is full.
const BUCKETS: usize = 64;

/// The waiting requests of one queue.
pub(crate) struct Pool {
    /// The disk's, for traces.
    dev: DevId,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_end: [Option<u32>; BUCKETS],
    /// By direction; each first sector with the id below it.
    sorted: [BTreeSet<u128>; 2],
    /// The mergeable one that came or grew last.
    last: Option<RequestId>,
    next_age: u64,
    epoch: u64,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::new(DevId::default())
    }
}

impl Pool {
    /// Of the queue of this disk.
    pub fn new(dev: DevId) -> Pool {
        Pool {
            dev,
            slots: Vec::new(),
            free: Vec::new(),
            by_end: [None; BUCKETS],
            sorted: [BTreeSet::new(), BTreeSet::new()],
            last: None,
            next_age: 0,
            epoch: 0,
        }
    }
}

/// Where a request stands in the tree of its direction.
fn place(sector: u64, id: RequestId) -> u128 {
    u128::from(sector) << 64 | u128::from(id.0)
}

/// Whose place it is.
fn id_at(place: u128) -> RequestId {
    // The low half.
    RequestId(place as u64)
}

fn bucket(end: u64) -> usize {
    // Fibonacci hashing: the top bits of the product depend on all below.
    (end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BUCKETS.ilog2())) as usize
}

impl Pool {
    pub fn insert(&mut self, mut request: Request) -> RequestId {
        trace::rq_insert(self.dev, &request);
        request.epoch = self.epoch;
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let id = RequestId(self.next_age << SLOT_BITS | u64::from(slot));
        self.next_age += 1;
        let fresh = Slot { id, request: Some(request), next: None };
        match self.slots.get_mut(slot as usize) {
            Some(old) => *old = fresh,
            None => self.slots.push(fresh),
        }
        self.index(id);
        id
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Request> {
        self.get(id)?;
        self.unindex(id);
        self.free.push(id.slot() as u32);
        self.slots[id.slot()].request.take()
    }

    pub fn get(&self, id: RequestId) -> Option<&Request> {
        let slot = self.slots.get(id.slot()).filter(|slot| slot.id == id)?;
        slot.request.as_ref()
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.id == id)?;
        slot.request.as_mut()
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All ids, oldest first.
    pub fn ids(&self) -> Vec<RequestId> {
        let waiting = self.slots.iter().filter(|slot| slot.request.is_some());
        let mut ids: Vec<RequestId> = waiting.map(|slot| slot.id).collect();
        ids.sort_unstable();
        ids
    }

    /// From now on nothing is merged with what is here: a flush lies between.
    pub fn seal(&mut self) {
        self.epoch += 1;
        self.by_end = [None; BUCKETS];
        self.last = None;
    }

    /// The request, of no earlier epoch, that came or grew last, if it is still here.
    pub fn last(&self) -> Option<(RequestId, &Request)> {
        let id = self.last?;
        Some((id, self.get(id)?))
    }

    /// The request of this operation, and of no earlier epoch, that ends at `sector`.
    pub fn ending_at(&self, op: BioOp, sector: u64) -> Option<(RequestId, &Request)> {
        let mut at = self.by_end[bucket(sector)];
        while let Some(slot) = at.and_then(|slot| self.slots.get(slot as usize)) {
            match &slot.request {
                Some(request) if request.op() == op && request.end().0 == sector => {
                    return Some((slot.id, request));
                }
                _ => at = slot.next,
            }
        }
        None
    }

    /// The newest request of this operation, and of no earlier epoch, that begins at `sector`.
    pub fn beginning_at(&self, op: BioOp, sector: u64) -> Option<(RequestId, &Request)> {
        let (low, high) = (place(sector, RequestId(0)), place(sector, RequestId(u64::MAX)));
        let id = id_at(*self.sorted[op.direction() as usize].range(low..=high).next_back()?);
        let request = self.get(id)?;
        let usable =
            request.op() == op && request.epoch == self.epoch && mergeable(request.op(), request.flags());
        usable.then_some((id, request))
    }

    /// The first request of a direction that begins at or behind `sector`.
    pub fn first_from(&self, direction: Direction, sector: u64) -> Option<RequestId> {
        let from = place(sector, RequestId(0));
        self.sorted[direction as usize].range(from..).next().map(|place| id_at(*place))
    }

    /// The last request of a direction that begins before `sector`.
    pub fn last_before(&self, direction: Direction, sector: u64) -> Option<RequestId> {
        let to = place(sector, RequestId(0));
        self.sorted[direction as usize].range(..to).next_back().map(|place| id_at(*place))
    }

    pub fn push_back(&mut self, id: RequestId, bio: Bio, shape: Shape) {
        trace::bio_backmerge(self.dev, &bio);
        self.change(id, |request| request.push_back(bio, shape));
    }

    pub fn push_front(&mut self, id: RequestId, bio: Bio, shape: Shape) {
        trace::bio_frontmerge(self.dev, &bio);
        self.change(id, |request| request.push_front(bio, shape));
    }

    pub fn push_discard(&mut self, id: RequestId, bio: Bio, shape: Shape) {
        self.change(id, |request| request.push_discard(bio, shape));
    }

    /// Appends `gone` to `kept`.
    pub fn join(&mut self, kept: RequestId, gone: RequestId) {
        if let Some(gone) = self.remove(gone) {
            trace::rq_merge(self.dev, &gone);
            self.change(kept, |request| request.join(gone));
        }
    }

    /// Changes a request's extent, and the indexes with it.
    fn change(&mut self, id: RequestId, f: impl FnOnce(&mut Request)) {
        if self.get(id).is_none() {
            return;
        }
        self.unindex(id);
        if let Some(request) = self.get_mut(id) {
            f(request);
        }
        self.index(id);
    }

    fn index(&mut self, id: RequestId) {
        let epoch = self.epoch;
        let slot = &mut self.slots[id.slot()];
        let Some(request) = &slot.request else { return };
        let shape = request.shape();
        self.sorted[shape.op.direction() as usize].insert(place(shape.sector, id));
        if request.epoch == epoch && mergeable(shape.op, request.flags()) {
            let head = &mut self.by_end[bucket(shape.end())];
            slot.next = head.replace(id.slot() as u32);
            self.last = Some(id);
        }
    }

    fn unindex(&mut self, id: RequestId) {
        let slot = &mut self.slots[id.slot()];
        let Some(request) = &slot.request else { return };
        let shape = request.shape();
        let hashed = request.epoch == self.epoch && mergeable(shape.op, request.flags());
        let next = slot.next.take();
        self.sorted[shape.op.direction() as usize].remove(&place(shape.sector, id));
        if hashed {
            self.unchain(bucket(shape.end()), id.slot() as u32, next);
        }
    }

    /// Takes a slot, which `next` follows, out of the chain of a bucket.
    fn unchain(&mut self, bucket: usize, slot: u32, next: Option<u32>) {
        let mut at = self.by_end[bucket];
        if at == Some(slot) {
            self.by_end[bucket] = next;
            return;
        }
        while let Some(before) = at.and_then(|at| self.slots.get_mut(at as usize)) {
            if before.next == Some(slot) {
                before.next = next;
                return;
            }
            at = before.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elevator;
    use crate::testing::add;

    #[test]
    fn a_slot_that_is_used_again_is_not_the_old_request() {
        let mut noop = elevator::by_name("noop").unwrap();
        let mut pool = Pool::default();
        let first = add(noop.as_mut(), &mut pool, 'w', 8, 0);
        assert!(pool.remove(first).is_some());
        let second = add(noop.as_mut(), &mut pool, 'w', 8, 0);
        assert_eq!(first.slot(), second.slot());
        assert!(second > first && pool.get(first).is_none() && pool.remove(first).is_none());
        assert_eq!((pool.len(), pool.ids()), (1, vec![second]));
    }

    #[test]
    fn many_are_found_by_their_ends_until_they_go_or_a_flush_comes() {
        let mut noop = elevator::by_name("noop").unwrap();
        let mut pool = Pool::default();
        let ids: Vec<_> = (0..500).map(|n| add(noop.as_mut(), &mut pool, 'w', n * 24, 0)).collect();
        let ends = |pool: &Pool, n: u64| pool.ending_at(BioOp::Write, n * 24 + 8).map(|(id, _)| id);
        assert!((0..500).all(|n| ends(&pool, n as u64) == Some(ids[n])));
        assert!(pool.ending_at(BioOp::Read, 8).is_none());
        ids.iter().step_by(3).for_each(|id| drop(pool.remove(*id)));
        assert!((0..500).all(|n| ends(&pool, n as u64).is_none() == (n % 3 == 0)));
        pool.seal();
        assert!((0..500).all(|n| ends(&pool, n).is_none()));
        let late = add(noop.as_mut(), &mut pool, 'w', 24, 0);
        assert_eq!(ends(&pool, 1), Some(late));
        ids.iter().for_each(|id| drop(pool.remove(*id)));
        assert_eq!((pool.len(), ends(&pool, 1)), (1, Some(late)));
    }

    #[test]
    fn of_two_that_end_alike_the_later_is_found_and_then_the_other() {
        let mut noop = elevator::by_name("noop").unwrap();
        let mut pool = Pool::default();
        let first = add(noop.as_mut(), &mut pool, 'w', 8, 0);
        let second = add(noop.as_mut(), &mut pool, 'w', 8, 0);
        let found = |pool: &Pool| pool.ending_at(BioOp::Write, 16).map(|(id, _)| id);
        assert_eq!(found(&pool), Some(second));
        drop(pool.remove(second));
        assert_eq!(found(&pool), Some(first));
        assert_eq!(pool.first_from(Direction::Write, 0), Some(first));
        assert_eq!(pool.first_from(Direction::Write, 9), None);
    }
}
