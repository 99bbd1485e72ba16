//! One queue: the requests of a thread, or of all whom nobody waits for, and its turn at the disk.

use alloc::collections::BTreeSet;

use super::idle::{SeekHistory, ThinkTime};
use super::tree::{Place, Workload};
use crate::ioprio::{IoClass, IoPrio};
use crate::pool::RequestId;
use crate::request::{Origin, Request};

/// So many requests waiting at once make a queue deep: it keeps the device busy though it seeks.
const DEEP: usize = 4;

/// Whose requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    /// What this thread waits for.
    Thread(u64),
    /// What nobody waits for, of a class and level.
    Async(IoClass, u8),
}

impl Key {
    pub fn of(origin: &Origin) -> Key {
        if origin.sync {
            Key::Thread(origin.thread.0)
        } else {
            Key::Async(origin.prio.class(), origin.prio.level())
        }
    }

    pub fn is_sync(self) -> bool {
        matches!(self, Key::Thread(_))
    }
}

/// The time of a queue at the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slice {
    /// It begins when the first request ends.
    New,
    /// From when to when.
    Runs { start: u64, end: u64 },
}

impl Slice {
    pub fn is_used(self, now: u64) -> bool {
        matches!(self, Slice::Runs { end, .. } if now > end)
    }
}

/// A queue.
pub(super) struct Queue {
    pub key: Key,
    pub class: IoClass,
    pub level: u8,
    /// By first sector.
    sorted: BTreeSet<(u64, RequestId)>,
    /// By fifo time, then by age.
    fifo: BTreeSet<(u64, RequestId)>,
    /// At the device.
    pub in_flight: u32,
    /// Where in which service tree.
    pub place: Option<Place>,
    pub slice: Slice,
    /// What was left of the last slice; negative: by how much it was overrun.
    pub residue: i64,
    /// Requests dispatched in this slice.
    pub dispatched: u64,
    /// The fifo has been looked at in this slice.
    fifo_checked: bool,
    /// A request came while it was waited for: it goes, even if the slice has ended meanwhile.
    pub must_dispatch: bool,
    /// Whether it is worth waiting for its next request.
    pub idle_window: bool,
    /// It has had [`DEEP`] requests waiting, and none of the waits for it was in vain since.
    pub deep: bool,
    pub seeks: SeekHistory,
    pub think: ThinkTime,
    /// Its thread has ended: there is no next request.
    pub over: bool,
    /// When it was last asked for something.
    pub touched: u64,
}

impl Queue {
    pub fn new(key: Key, prio: IoPrio, now: u64) -> Queue {
        let class = prio.class();
        Queue {
            key,
            class,
            level: prio.level(),
            sorted: BTreeSet::new(),
            fifo: BTreeSet::new(),
            in_flight: 0,
            place: None,
            slice: Slice::New,
            residue: 0,
            dispatched: 0,
            fifo_checked: false,
            must_dispatch: false,
            idle_window: key.is_sync() && class != IoClass::Idle,
            deep: false,
            seeks: SeekHistory::default(),
            think: ThinkTime::new(now),
            over: false,
            touched: now,
        }
    }

    pub fn is_sync(&self) -> bool {
        self.key.is_sync()
    }

    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    pub fn is_placed(&self) -> bool {
        self.place.is_some()
    }

    /// Nothing waits, nothing is in flight.
    pub fn is_quiet(&self) -> bool {
        self.is_empty() && self.in_flight == 0
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    pub fn is_deep(&mut self) -> bool {
        self.deep |= self.len() >= DEEP;
        self.deep
    }

    /// Which of its class's trees it belongs to.
    pub fn workload(&self) -> Workload {
        match (self.is_sync(), self.idle_window) {
            (false, _) => Workload::Async,
            (true, false) => Workload::SyncNoIdle,
            (true, true) => Workload::SyncIdle,
        }
    }

    /// The tree where it is, or will be.
    pub fn tree(&self) -> (IoClass, Workload) {
        self.place.map_or((self.class, self.workload()), |place| (place.class, place.workload))
    }

    /// Its thread has this priority now. Whether the class is another.
    pub fn set_prio(&mut self, prio: IoPrio) -> bool {
        let before = core::mem::replace(&mut self.class, prio.class());
        self.level = prio.level();
        if self.class == before {
            return false;
        }
        self.idle_window = self.is_sync() && self.class != IoClass::Idle;
        true
    }

    /// A turn begins.
    pub fn begin_turn(&mut self) {
        self.slice = Slice::New;
        self.dispatched = 0;
        self.fifo_checked = false;
        self.must_dispatch = false;
    }

    pub fn insert(&mut self, id: RequestId, request: &Request) {
        self.sorted.insert((request.sector().0, id));
        self.fifo.insert((request.expires, id));
    }

    /// Whether it was there.
    pub fn remove(&mut self, id: RequestId, request: &Request) -> bool {
        self.fifo.remove(&(request.expires, id));
        self.sorted.remove(&(request.sector().0, id))
    }

    /// It shall go at `expires`, if that is earlier than it would.
    pub fn hasten(&mut self, id: RequestId, request: &mut Request, expires: u64) {
        if expires < request.expires && self.fifo.remove(&(request.expires, id)) {
            request.expires = expires;
            self.fifo.insert((expires, id));
        }
    }

    /// Its first sector has changed.
    pub fn move_to(&mut self, id: RequestId, was: u64, sector: u64) {
        if self.sorted.remove(&(was, id)) {
            self.sorted.insert((sector, id));
        }
    }

    /// Once a slice: the oldest request, if its fifo time has passed.
    pub fn expired(&mut self, now: u64) -> Option<RequestId> {
        if core::mem::replace(&mut self.fifo_checked, true) {
            return None;
        }
        self.fifo.first().filter(|(expires, _)| *expires <= now).map(|(_, id)| *id)
    }

    /// The request nearest to `from`: ahead, or at most `back_max` sectors behind, where each counts
    /// `penalty`; if there is none, the first of all.
    pub fn nearest(&self, from: u64, back_max: u64, penalty: u64) -> Option<RequestId> {
        let here = (from, RequestId::LEAST);
        let ahead = self.sorted.range(here..).next();
        let behind = self.sorted.range(..here).next_back().filter(|(sector, _)| from - sector <= back_max);
        let nearest = match (ahead, behind) {
            (Some(ahead), Some(behind)) => {
                let back = (from - behind.0).saturating_mul(penalty);
                if back < ahead.0 - from { behind } else { ahead }
            }
            (ahead, behind) => ahead.or(behind).or(self.sorted.first())?,
        };
        Some(nearest.1)
    }
}
