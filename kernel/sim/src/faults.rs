//! A disk that fails the requests it is told to fail, and keeps those it is told to keep.
//!
//! The rest goes to the disk below, untouched. A failed write has written nothing, one that is kept not yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Errno, Sector};
use block::{BioOp, Driver, InFlight, Limits};

/// Which requests fail, with EIO.
#[derive(Clone, Debug)]
pub struct Fault {
    /// This operation, or any.
    pub op: Option<BioOp>,
    /// Those that touch one of these sectors.
    pub sectors: std::ops::Range<u64>,
    /// After so many that fit have gone through.
    pub after: u64,
    /// So many; then the fault is over.
    pub times: u64,
}

impl Fault {
    /// Every request of this kind, from now on.
    pub fn every(op: BioOp) -> Fault {
        Fault { op: Some(op), sectors: 0..u64::MAX, after: 0, times: u64::MAX }
    }

    /// One request of this kind, after `n` that go through.
    pub fn nth(op: BioOp, n: u64) -> Fault {
        Fault { after: n, times: 1, ..Fault::every(op) }
    }

    fn fits(&self, request: &InFlight) -> bool {
        let (begin, end) = (request.sector().0, request.end().0);
        let here = begin < self.sectors.end && end > self.sectors.start;
        self.op.is_none_or(|op| op == request.op()) && (here || begin == end)
    }

    /// Whether this one fails; counts.
    fn strikes(&mut self, request: &InFlight) -> bool {
        if self.times == 0 || !self.fits(request) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times = self.times.saturating_sub(1);
        true
    }
}

/// Which requests are kept.
type Keeps = Box<dyn Fn(&InFlight) -> bool + Send>;

#[derive(Default)]
struct State {
    keeps: Option<Keeps>,
    kept: Vec<InFlight>,
    faults: Vec<Fault>,
    failing: Vec<InFlight>,
    failed: u64,
}

/// A driver around a driver.
pub struct FaultDisk {
    below: Arc<dyn Driver>,
    state: Mutex<State>,
}

impl FaultDisk {
    /// Around this one; no faults yet.
    pub fn new(below: Arc<dyn Driver>) -> Arc<FaultDisk> {
        Arc::new(FaultDisk { below, state: Mutex::default() })
    }

    /// One more fault.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// No faults any more.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Keeps such requests from now on.
    pub fn keep(&self, which: impl Fn(&InFlight) -> bool + Send + 'static) {
        self.lock().keeps = Some(Box::new(which));
    }

    /// How many are kept.
    pub fn kept(&self) -> usize {
        self.lock().kept.len()
    }

    /// Those that were kept go on, and no more are; in the reverse of the order in which they came.
    pub fn release(&self) {
        let kept = {
            let mut state = self.lock();
            state.keeps = None;
            std::mem::take(&mut state.kept)
        };
        self.go_on(kept);
    }

    /// One that was kept goes on, counted from 0 as they came; others are kept still.
    pub fn release_nth(&self, n: usize) {
        let one = {
            let mut state = self.lock();
            (n < state.kept.len()).then(|| state.kept.remove(n))
        };
        self.go_on(one.into_iter().collect());
    }

    fn go_on(&self, kept: Vec<InFlight>) {
        for request in kept.into_iter().rev() {
            // A disk in memory takes what it is given.
            if let Err(request) = self.below.queue_request(request) {
                request.complete(Err(Errno::EBUSY));
            }
        }
        self.below.commit();
    }

    /// How many requests have failed.
    pub fn failed(&self) -> u64 {
        self.lock().failed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for FaultDisk {
    fn limits(&self) -> Limits {
        self.below.limits()
    }

    fn capacity(&self) -> Sector {
        self.below.capacity()
    }

    fn read_only(&self) -> bool {
        self.below.read_only()
    }

    fn queue_request(&self, request: InFlight) -> Result<(), InFlight> {
        let mut state = self.lock();
        if state.faults.iter_mut().any(|fault| fault.strikes(&request)) {
            state.failed += 1;
            state.failing.push(request);
            return Ok(());
        }
        if state.keeps.as_ref().is_some_and(|keeps| keeps(&request)) {
            state.kept.push(request);
            return Ok(());
        }
        drop(state);
        self.below.queue_request(request)
    }

    fn commit(&self) {
        loop {
            // A completion may send the next request, which may fail too: no lock is held around it.
            let next = self.lock().failing.pop();
            let Some(request) = next else { break };
            request.complete(Err(Errno::EIO));
        }
        self.below.commit();
    }
}
