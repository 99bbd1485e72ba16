//! A disk that writes down what is asked of it and passes it on.

use std::sync::{Arc, Mutex, PoisonError};

use base::Sector;
use block::{BioFlags, BioOp, Driver, InFlight, Limits};

/// One request, as it went to the disk below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// What.
    pub op: BioOp,
    /// Where.
    pub sector: Sector,
    /// How much.
    pub sectors: u64,
    /// How.
    pub flags: BioFlags,
}

/// A driver around a driver.
pub struct Tracer {
    below: Arc<dyn Driver>,
    seen: Mutex<Vec<Trace>>,
}

impl Tracer {
    /// Around this one.
    pub fn new(below: Arc<dyn Driver>) -> Arc<Tracer> {
        Arc::new(Tracer { below, seen: Mutex::default() })
    }

    /// What came by since the last call.
    pub fn take(&self) -> Vec<Trace> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Driver for Tracer {
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
        let trace = Trace {
            op: request.op(),
            sector: request.sector(),
            sectors: request.sectors(),
            flags: request.flags(),
        };
        self.below.queue_request(request)?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(trace);
        Ok(())
    }

    fn commit(&self) {
        self.below.commit();
    }
}
