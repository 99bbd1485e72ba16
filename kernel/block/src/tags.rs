//! What the driver has now: a number, and a few words, for each request in flight.
//!
//! A request belongs to the driver while it is in flight. So that a device which stops answering can
//! still be named ("which request?"), the queue notes what each was, under the request's tag: a small
//! number that no other request in flight has.
//!
//! # Timeouts
//! A request is overdue when the driver has had it for `io_timeout`, and again after each further
//! `io_timeout`. The first are told of at once; what is overdue later only when twice as long has passed
//! since the last time as the time before, so that a disk which is slow by nature does not fill the log,
//! nor a machine whose clock jumps while it waits (QEMU's `-icount sleep=off`). Nothing is done per request but the note: kblockd (kblockd.rs) looks at
//! the whole table at the time when the oldest note would be due, while there is one.
//!
//! # Invariants
//! A tag is in `free` or its note is Some, never both.

use alloc::vec::Vec;
use core::fmt;

use base::Sector;

use crate::bio::BioOp;
use crate::request::Request;

/// How long it is quiet at most, in timeouts: some eight hours of 30 s.
const LONGEST_QUIET: u64 = 1024;

/// The requests that the driver has.
#[derive(Default)]
pub(crate) struct Tags {
    notes: Vec<Option<Note>>,
    free: Vec<u32>,
    quiet: Quiet,
}

/// When the log may hear of this disk again.
#[derive(Default)]
struct Quiet {
    until: u64,
    /// How long it was, or is.
    len: u64,
}

impl Quiet {
    /// Whether something may be said at `now`; it is then quiet for twice as long as last time.
    fn speak(&mut self, now: u64, timeout: u64) -> bool {
        if now < self.until {
            return false;
        }
        self.len = self.len.saturating_mul(2).clamp(timeout, timeout.saturating_mul(LONGEST_QUIET));
        self.until = now.saturating_add(self.len);
        true
    }
}

#[derive(Clone, Copy)]
struct Note {
    op: BioOp,
    sector: Sector,
    sectors: u64,
    /// When the driver got it.
    started: u64,
    /// From when on its time counts: `started`, or when it was last overdue.
    since: u64,
}

/// A request that the driver has had for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overdue {
    /// [`Request::tag`].
    pub tag: u32,
    /// What it is.
    pub op: BioOp,
    /// Where.
    pub sector: Sector,
    /// How much.
    pub sectors: u64,
    /// For how long.
    pub age_ns: u64,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.age_ns / (base::time::NSEC_PER_SEC / 10);
        let (op, sector, sectors) = (self.op, self.sector, self.sectors);
        write!(f, "{op:?} at sector {sector}, {sectors} sectors, not answered for ")?;
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}

impl Tags {
    /// The driver gets a request at `now`: its tag.
    pub fn take(&mut self, request: &Request, now: u64) -> u32 {
        let (op, sector, sectors) = (request.op(), request.sector(), request.sectors());
        let note = Some(Note { op, sector, sectors, started: now, since: now });
        match self.free.pop() {
            Some(tag) => {
                self.notes[tag as usize] = note;
                tag
            }
            None => {
                self.notes.push(note);
                // No more than `queue_depth`, a u32.
                (self.notes.len() - 1) as u32
            }
        }
    }

    /// The driver no longer has it.
    pub fn release(&mut self, tag: u32) {
        if self.notes.get_mut(tag as usize).is_some_and(|note| note.take().is_some()) {
            self.free.push(tag);
        }
    }

    /// When the next one is overdue. None: nothing is in flight.
    pub fn due(&self, timeout: u64) -> Option<u64> {
        let since = self.notes.iter().flatten().map(|note| note.since).min()?;
        Some(since.saturating_add(timeout))
    }

    /// Whether any is overdue at `now`.
    pub fn any_overdue(&self, now: u64, timeout: u64) -> bool {
        self.due(timeout).is_some_and(|at| at <= now)
    }

    /// Those that are overdue at `now`, if they are to be told of now. Their time begins anew either way.
    pub fn overdue(&mut self, now: u64, timeout: u64) -> Vec<Overdue> {
        let mut out = Vec::new();
        for (tag, note) in (0..).zip(&mut self.notes) {
            let Some(note) = note else { continue };
            if now.saturating_sub(note.since) >= timeout {
                note.since = now;
                out.push(note.overdue(tag, now));
            }
        }
        if !out.is_empty() && !self.quiet.speak(now, timeout) {
            out.clear();
        }
        out
    }
}

impl Note {
    fn overdue(&self, tag: u32, now: u64) -> Overdue {
        Overdue {
            tag,
            op: self.op,
            sector: self.sector,
            sectors: self.sectors,
            age_ns: now.saturating_sub(self.started),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_overdue_once_per_timeout() {
        let mut tags = Tags::default();
        let a = tags.take(&Request::shared_flush(0), 100);
        let b = tags.take(&Request::shared_flush(0), 150);
        assert_ne!(a, b);
        assert_eq!(tags.due(1000), Some(1100));
        assert!(tags.overdue(1099, 1000).is_empty());
        let overdue = tags.overdue(1100, 1000);
        assert_eq!((overdue.len(), overdue[0].tag, overdue[0].age_ns), (1, a, 1000));
        assert!(!tags.any_overdue(1101, 1000));
        assert_eq!(tags.due(1000), Some(1150));
        assert!(tags.any_overdue(1150, 1000));
        assert_eq!(tags.overdue(9000, 1000).len(), 2);
    }

    /// A clock that jumps by a timeout whenever the machine waits: each request is overdue.
    #[test]
    fn a_disk_that_is_always_late_is_told_of_at_doubled_intervals() {
        let mut tags = Tags::default();
        let mut told = std::vec::Vec::new();
        for n in 1..=100 {
            let now = n * 1000;
            let tag = tags.take(&Request::shared_flush(0), now - 1000);
            if !tags.overdue(now, 1000).is_empty() {
                told.push(n);
            }
            tags.release(tag);
        }
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn a_tag_is_used_again_when_it_is_free() {
        let mut tags = Tags::default();
        let a = tags.take(&Request::shared_flush(0), 1);
        tags.release(a);
        tags.release(a);
        assert_eq!((tags.due(1000), tags.free.len()), (None, 1));
        assert_eq!(tags.take(&Request::shared_flush(0), 5), a);
    }

    #[test]
    fn an_overdue_request_is_named() {
        let note = Note { op: BioOp::Write, sector: Sector(800), sectors: 8, started: 0, since: 0 };
        let text = std::string::ToString::to_string(&note.overdue(3, 31_000_000_000));
        assert_eq!(text, "Write at sector 800, 8 sectors, not answered for 31.0 s");
    }
}
