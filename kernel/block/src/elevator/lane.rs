//! What `deadline` and `anticipatory` keep of each direction: its requests by deadline, and where the
//! last sweep stands. The order by sector is the pool's.

use alloc::collections::BTreeSet;

use crate::bio::Direction;
use crate::pool::{Pool, RequestId};
use crate::request::Request;

/// One direction.
#[derive(Default)]
pub(super) struct Lane {
    /// By deadline, then by age.
    fifo: BTreeSet<(u64, RequestId)>,
    /// Where the last request ended: what lies from here on is ahead.
    pub head: u64,
}

impl Lane {
    pub fn is_empty(&self) -> bool {
        self.fifo.is_empty()
    }

    /// The request whose deadline comes first, and when.
    pub fn oldest(&self) -> Option<(u64, RequestId)> {
        self.fifo.first().copied()
    }
}

/// Both directions.
#[derive(Default)]
pub(super) struct Lanes {
    pub reads: Lane,
    pub writes: Lane,
}

impl Lanes {
    pub fn of(&self, direction: Direction) -> &Lane {
        match direction {
            Direction::Read => &self.reads,
            Direction::Write => &self.writes,
        }
    }

    fn of_mut(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Read => &mut self.reads,
            Direction::Write => &mut self.writes,
        }
    }

    /// The first request ahead of the direction's head.
    pub fn ahead(&self, pool: &Pool, direction: Direction) -> Option<RequestId> {
        pool.first_from(direction, self.of(direction).head)
    }

    /// A request of the pool waits from now on, until `expires` if possible.
    pub fn add(&mut self, pool: &mut Pool, id: RequestId, expires: u64) {
        if let Some(request) = pool.get_mut(id) {
            request.expires = expires;
            self.of_mut(request.op().direction()).fifo.insert((expires, id));
        }
    }

    /// `gone` becomes the end of `kept`: the whole inherits the earlier deadline.
    pub fn joining(&mut self, pool: &mut Pool, kept: RequestId, gone: RequestId) {
        let Some(gone_expires) = pool.get(gone).map(|r| r.expires) else { return };
        let Some(request) = pool.get_mut(kept) else { return };
        let kept_expires = request.expires;
        request.expires = kept_expires.min(gone_expires);
        let fifo = &mut self.of_mut(request.op().direction()).fifo;
        fifo.remove(&(gone_expires, gone));
        fifo.remove(&(kept_expires, kept));
        fifo.insert((request.expires, kept));
    }

    /// A request goes: it waits no more, and the sweep goes on behind it.
    pub fn take(&mut self, pool: &Pool, id: RequestId) {
        if let Some(request) = pool.get(id) {
            self.of_mut(request.op().direction()).fifo.remove(&(request.expires, id));
            self.passed(request);
        }
    }

    /// A request went that never waited here.
    pub fn passed(&mut self, request: &Request) {
        self.of_mut(request.op().direction()).head = request.end().0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elevator::by_name;
    use crate::testing::add;

    #[test]
    fn a_joined_request_keeps_the_earlier_deadline() {
        let mut pool = Pool::default();
        let mut noop = by_name("noop").unwrap();
        let (late, early) =
            (add(noop.as_mut(), &mut pool, 'w', 8, 0), add(noop.as_mut(), &mut pool, 'w', 16, 0));
        let mut lanes = Lanes::default();
        lanes.add(&mut pool, late, 1000);
        lanes.add(&mut pool, early, 10);
        lanes.joining(&mut pool, late, early);
        pool.join(late, early);
        assert_eq!(lanes.writes.oldest(), Some((10, late)));
        lanes.take(&pool, late);
        assert!(lanes.writes.is_empty() && lanes.reads.is_empty());
        assert_eq!(lanes.writes.head, 24);
    }
}
