//! noop: first come, first served; merging is all that happens.
//!
//! For disks to which every sector is equally near, and for those that order requests better
//! themselves: a RAM disk, flash, a file on a host with its own elevator. It costs least, and it is
//! fair only by accident: a thread that submits a thousand writes is served a thousand times before
//! the read that came after.
//!
//! It has no tunables.

use alloc::collections::VecDeque;

use super::Elevator;
use crate::pool::{Pool, RequestId};
use crate::request::Request;

/// A queue of ids. Those joined to another stay in it until their turn and are passed over then.
#[derive(Default)]
pub(super) struct Noop {
    fifo: VecDeque<RequestId>,
}

impl Elevator for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn add(&mut self, _pool: &mut Pool, id: RequestId, _now: u64) {
        self.fifo.push_back(id);
    }

    fn joining(&mut self, _pool: &mut Pool, _kept: RequestId, _gone: RequestId) {}

    fn dispatch(&mut self, pool: &Pool, _now: u64) -> Option<RequestId> {
        while let Some(id) = self.fifo.pop_front() {
            if pool.get(id).is_some() {
                return Some(id);
            }
        }
        None
    }

    fn pass(&mut self, _request: &Request, _now: u64) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elevator::Elevator;
    use crate::testing::{drain, pool_with};

    #[test]
    fn first_come_first_served() {
        let mut noop = Noop::default();
        let mut pool = pool_with(&mut noop, &[('w', 80), ('r', 16), ('w', 8), ('r', 400)], 0);
        assert_eq!(drain(&mut noop, &mut pool, 0), [('w', 80), ('r', 16), ('w', 8), ('r', 400)]);
        assert_eq!(noop.name(), "noop");
    }
}
