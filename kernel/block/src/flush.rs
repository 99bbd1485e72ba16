//! Flushes, PREFLUSH and FUA: which steps a request takes, and how flushes are shared.
//!
//! A write may ask that the device's cache be flushed before it (PREFLUSH), or that it be durable
//! itself when it ends (FUA). Few devices know FUA; it is then a write followed by a flush. So a
//! request walks through up to three steps:
//!
//! ```text
//!   NeedsPre ──flush──▶ Data ──write──▶ NeedsPost ──flush──▶ ended
//!   op Flush, or no data: NeedsPre ──flush──▶ ended
//!   no write cache: every flush falls away
//! ```
//!
//! # Sharing
//! At most one flush is in flight. Requests that need one gather in `waiting`; when the device is
//! free for the next flush they all ride on it. A request never rides on a flush that began before it
//! asked: the device may have begun writing its cache back without the data in question.
//!
//! # Invariants
//! 1. `riding` is non-empty exactly while a flush is in flight.
//! 2. A failed flush fails every request that rode on it; no later step of theirs is taken.
//!
//! Source: Documentation/block/writeback_cache_control.rst; VirtIO 1.2, 5.2.6.2 (flush).

use alloc::vec::Vec;

use base::Result;

use crate::bio::{BioFlags, BioOp};
use crate::driver::Limits;
use crate::request::Request;

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Takes no part in flushes.
    Plain,
    /// Waits for a flush before its data, or has none.
    NeedsPre { post: bool },
    /// Its data may be written; afterwards perhaps a flush.
    Data { post: bool },
    /// Its data is written; waits for the flush that makes it durable.
    NeedsPost,
    /// A flush itself, on behalf of all that ride on it.
    SharedFlush,
}

/// What the flags ask for, on a device with these limits. None: nothing at all is left to do.
pub(crate) fn first_stage(op: BioOp, flags: BioFlags, has_data: bool, limits: &Limits) -> Option<Stage> {
    let pre = limits.write_cache && (op == BioOp::Flush || flags.contains(BioFlags::PREFLUSH));
    let post = limits.write_cache && has_data && flags.contains(BioFlags::FUA) && !limits.fua;
    match (pre, has_data) {
        (true, _) => Some(Stage::NeedsPre { post }),
        (false, true) => Some(Stage::Data { post }),
        (false, false) => None,
    }
}

/// Requests that wait for a flush or ride on one.
#[derive(Default)]
pub(crate) struct FlushMachine {
    waiting: Vec<Request>,
    riding: Vec<Request>,
}

/// What comes out of a flush that ended.
#[derive(Default)]
pub(crate) struct Flushed {
    /// These go on with their data.
    pub go_on: Vec<Request>,
    /// These are over, all with the flush's result.
    pub over: Vec<Request>,
}

impl FlushMachine {
    /// The request needs a flush that has not begun.
    pub fn wait(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// Whether nobody waits for a flush that has not begun.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a flush is to be sent now; if so, all that wait ride on it.
    pub fn begin(&mut self) -> bool {
        if self.waiting.is_empty() || !self.riding.is_empty() {
            return false;
        }
        core::mem::swap(&mut self.waiting, &mut self.riding);
        true
    }

    /// The flush is over.
    pub fn ended(&mut self, result: Result<()>) -> Flushed {
        let mut out = Flushed::default();
        for mut request in core::mem::take(&mut self.riding) {
            match request.stage {
                Stage::NeedsPre { post } if result.is_ok() && request.sectors() > 0 => {
                    request.stage = Stage::Data { post };
                    out.go_on.push(request);
                }
                _ => out.over.push(request),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHED: Limits = Limits { write_cache: true, ..Limits::DEFAULT };

    #[test]
    fn steps_follow_from_flags_and_device() {
        use BioFlags as F;
        let on = |limits: &Limits, op, flags, data| first_stage(op, flags, data, limits);
        assert_eq!(on(&CACHED, BioOp::Flush, F::empty(), false), Some(Stage::NeedsPre { post: false }));
        assert_eq!(
            on(&CACHED, BioOp::Write, F::PREFLUSH | F::FUA, true),
            Some(Stage::NeedsPre { post: true })
        );
        assert_eq!(on(&CACHED, BioOp::Write, F::FUA, true), Some(Stage::Data { post: true }));
        let fua = Limits { fua: true, ..CACHED };
        assert_eq!(on(&fua, BioOp::Write, F::FUA, true), Some(Stage::Data { post: false }));
        let no_cache = Limits { write_cache: false, ..CACHED };
        assert_eq!(on(&no_cache, BioOp::Flush, F::empty(), false), None);
        assert_eq!(on(&no_cache, BioOp::Write, F::PREFLUSH, false), None);
        assert_eq!(
            on(&no_cache, BioOp::Write, F::PREFLUSH | F::FUA, true),
            Some(Stage::Data { post: false })
        );
    }

    fn waiting_flush() -> Request {
        let mut request = Request::shared_flush(0);
        request.stage = Stage::NeedsPre { post: false };
        request
    }

    #[test]
    fn one_flush_serves_all_that_wait_and_none_that_came_later() {
        let mut machine = FlushMachine::default();
        assert!(!machine.begin());
        machine.wait(waiting_flush());
        machine.wait(waiting_flush());
        assert!(machine.begin());
        machine.wait(waiting_flush());
        assert!(!machine.begin(), "one at a time");
        assert_eq!(machine.ended(Ok(())).over.len(), 2);
        assert!(machine.begin());
        assert_eq!(machine.ended(Ok(())).over.len(), 1);
    }
}
