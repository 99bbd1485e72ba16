//! The requests that wait in a queue, and the indexes that find them.
//!
//! The pool owns the requests; an elevator orders their ids. So merging works alike under every
//! elevator, and changing the elevator loses nothing.
//!
//! * by id;
//! * `by_end`: a hash from operation and end sector, for back merges;
//! * `sorted`: a tree by direction and first sector, for front merges and for elevators that sweep.
//!
//! # Invariants
//! 1. A request is in `sorted` exactly as long as it is in the pool, under its present first sector.
//! 2. An entry of `by_end` names a request of the pool that is mergeable and ends there. Of two that
//!    end at the same sector the later one is found; the other is only not merged with.
//! 3. Requests queued before a flush are found by neither merge lookup ([`Pool::seal`]).

use alloc::collections::BTreeSet;

use hashbrown::HashMap;

use crate::bio::{Bio, BioOp, Direction};
use crate::merge::mergeable;
use crate::request::{Request, Shape};

/// Names a request as long as it is in the pool; never used twice. Later requests have greater ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct RequestId(u64);

/// The waiting requests of one queue.
#[derive(Default)]
pub(crate) struct Pool {
    requests: HashMap<RequestId, Request>,
    by_end: HashMap<(BioOp, u64), RequestId>,
    sorted: BTreeSet<(Direction, u64, RequestId)>,
    /// The mergeable one that came or grew last.
    last: Option<RequestId>,
    next_id: u64,
    epoch: u64,
}

impl Pool {
    pub fn insert(&mut self, mut request: Request) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        request.epoch = self.epoch;
        self.index(id, &request);
        self.requests.insert(id, request);
        id
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.unindex(id, &request);
        Some(request)
    }

    pub fn get(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(&id)
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.requests.get_mut(&id)
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// All ids, oldest first.
    pub fn ids(&self) -> alloc::vec::Vec<RequestId> {
        let mut ids: alloc::vec::Vec<_> = self.requests.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// From now on nothing is merged with what is here: a flush lies between.
    pub fn seal(&mut self) {
        self.epoch += 1;
        self.by_end.clear();
        self.last = None;
    }

    /// The request, of no earlier epoch, that came or grew last, if it is still here.
    pub fn last(&self) -> Option<(RequestId, &Request)> {
        let id = self.last?;
        Some((id, self.requests.get(&id)?))
    }

    /// The request of this operation, and of no earlier epoch, that ends at `sector`.
    pub fn ending_at(&self, op: BioOp, sector: u64) -> Option<(RequestId, &Request)> {
        let id = *self.by_end.get(&(op, sector))?;
        Some((id, self.requests.get(&id)?))
    }

    /// The newest request of this operation, and of no earlier epoch, that begins at `sector`.
    pub fn beginning_at(&self, op: BioOp, sector: u64) -> Option<(RequestId, &Request)> {
        let (low, high) = (RequestId(0), RequestId(u64::MAX));
        let direction = op.direction();
        let (_, _, id) =
            *self.sorted.range((direction, sector, low)..=(direction, sector, high)).next_back()?;
        let request = self.requests.get(&id)?;
        let usable =
            request.op() == op && request.epoch == self.epoch && mergeable(request.op(), request.flags());
        usable.then_some((id, request))
    }

    /// The first request of a direction that begins at or behind `sector`.
    pub fn first_from(&self, direction: Direction, sector: u64) -> Option<RequestId> {
        let from = (direction, sector, RequestId(0));
        self.sorted.range(from..).next().filter(|(d, _, _)| *d == direction).map(|(_, _, id)| *id)
    }

    pub fn push_back(&mut self, id: RequestId, bio: Bio, shape: Shape) {
        self.change(id, |request| request.push_back(bio, shape));
    }

    pub fn push_front(&mut self, id: RequestId, bio: Bio, shape: Shape) {
        self.change(id, |request| request.push_front(bio, shape));
    }

    pub fn push_discard(&mut self, id: RequestId, bio: Bio, shape: Shape) {
        self.change(id, |request| request.push_discard(bio, shape));
    }

    /// Appends `gone` to `kept`.
    pub fn join(&mut self, kept: RequestId, gone: RequestId) {
        if let Some(gone) = self.remove(gone) {
            self.change(kept, |request| request.join(gone));
        }
    }

    /// Changes a request's extent, and the indexes with it.
    fn change(&mut self, id: RequestId, f: impl FnOnce(&mut Request)) {
        if let Some(mut request) = self.remove(id) {
            f(&mut request);
            self.index(id, &request);
            self.requests.insert(id, request);
        }
    }

    fn index(&mut self, id: RequestId, request: &Request) {
        let shape = request.shape();
        self.sorted.insert((shape.op.direction(), shape.sector, id));
        if mergeable(shape.op, request.flags()) && request.epoch == self.epoch {
            self.by_end.insert((shape.op, shape.end()), id);
            self.last = Some(id);
        }
    }

    fn unindex(&mut self, id: RequestId, request: &Request) {
        let shape = request.shape();
        self.sorted.remove(&(shape.op.direction(), shape.sector, id));
        let end = (shape.op, shape.end());
        if self.by_end.get(&end) == Some(&id) {
            self.by_end.remove(&end);
        }
    }
}
